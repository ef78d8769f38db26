"""What the hardware is: a body file as structs, and where each link stands for given joint angles.

Frames are right-handed, x forward, y left, z up (REP 103). A positive pitch looks down, a positive yaw
turns to the robot's left. The base frame stands on the ground, under the middle of the foot or of the wheels.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError
from drivers.toml_lines import KeyPath, Source

Matrix = NDArray[np.float64]
Angle = Annotated[float, msgspec.Meta(ge=-math.pi, le=math.pi)]
Offset = Annotated[float, msgspec.Meta(ge=-2.0, le=2.0)]
Vector = tuple[Offset, Offset, Offset]
Length = Annotated[float, msgspec.Meta(ge=0.001, le=2.0)]
Mass = Annotated[float, msgspec.Meta(ge=0.001, le=50.0)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]
BusId = Annotated[int, msgspec.Meta(ge=0, le=252)]  # 254 calls all servos, 253 is no address of an XL330
Step = Annotated[int, msgspec.Meta(ge=0, le=4095)]

FOLDER = Path(__file__).with_name("bodies")
DEFAULT_BODY = FOLDER / "tabletop.toml"
MAX_JOINTS = 4  # the set-point frame has room for four
# The board's lines stand outside the planner's, so that a plan at its limits, rounded to the wire's units and
# joined by cubics, is not refused.
VELOCITY_MARGIN = 1.05
ACCELERATION_MARGIN = 1.25
PULSE_MIN_US, PULSE_MAX_US = 400, 2600  # what the firmware makes; beyond, servos run into their own stops
STEPS_PER_RAD = 4096 / (2 * math.pi)  # of both bus servos
DISC_CORNERS = 64  # a disc's polygon lies .12 % inside it

_Row = tuple[float, float, float, float]
_LAST_ROW = (0.0, 0.0, 0.0, 1.0)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: a key that isn't known is an error."""


class PwmServo(_Part, frozen=True, kw_only=True, tag="pwm", tag_field="kind"):
    """A hobby servo on a pin of the board; the pulse's length is the angle."""

    pin: Annotated[int, msgspec.Meta(ge=0, le=63)]
    centre_us: Annotated[int, msgspec.Meta(ge=500, le=2500)] = 1500  # at 0 rad
    per_rad_us: Annotated[float, msgspec.Meta(ge=-2000.0, le=2000.0)] = 637.0


class Sts3215Servo(_Part, frozen=True, kw_only=True, tag="sts3215", tag_field="kind"):
    """A Feetech STS3215 on the servo bus; 4096 steps make a turn."""

    id: BusId
    zero_steps: Step = 2048  # at 0 rad
    is_reversed: bool = False


class Xl330Servo(_Part, frozen=True, kw_only=True, tag="xl330", tag_field="kind"):
    """A Dynamixel XL330 on the servo bus; 4096 steps make a turn."""

    id: BusId
    zero_steps: Step = 2048
    is_reversed: bool = False


Servo = PwmServo | Sts3215Servo | Xl330Servo


class Link(_Part, frozen=True, kw_only=True):
    """What a joint moves, up to the next joint: a box of even density around its centre of mass."""

    mass_kg: Mass
    centre_m: Vector  # in the link's frame, whose origin lies on the joint
    size_m: tuple[Length, Length, Length]

    @property
    def inertia_kg_m2(self) -> tuple[float, float, float]:
        """About the axes through the centre of mass, parallel to the link's."""
        return _box_inertia(self.mass_kg, self.size_m)


class Joint(_Part, frozen=True, kw_only=True):
    """One servo: its axis, where it sits on the link before it, its limits, and what it moves."""

    name: Name
    axis: Literal["x", "y", "z"]
    offset_m: Vector
    min_rad: Angle
    max_rad: Angle
    rest_rad: Angle
    max_velocity_rad_s: Annotated[float, msgspec.Meta(ge=0.01, le=31.0)]  # a set-point can say 32
    max_acceleration_rad_s2: Annotated[float, msgspec.Meta(ge=0.01, le=800.0)]  # the board takes 1000
    max_jerk_rad_s3: Annotated[float, msgspec.Meta(ge=0.1, le=100_000.0)]
    max_torque_nm: Annotated[float, msgspec.Meta(ge=0.01, le=50.0)]  # the servo's, at a standstill
    servo: Servo
    link: Link


class Foot(_Part, frozen=True, kw_only=True, tag="foot", tag_field="kind"):
    """A disc that stands on the table."""

    radius_m: Length
    height_m: Length
    mass_kg: Mass

    # Not fields: a foot stays where it is.
    max_acceleration_m_s2 = max_turn_rad_s = max_turn_rad_s2 = 0.0

    @property
    def centre_m(self) -> Vector:
        return (0.0, 0.0, self.height_m / 2)

    @property
    def inertia_kg_m2(self) -> tuple[float, float, float]:
        """About the axes through the centre of mass."""
        upright = self.mass_kg * self.radius_m**2 / 2
        level = upright / 2 + self.mass_kg * self.height_m**2 / 12
        return (level, level, upright)

    @property
    def outline_radius_m(self) -> float:
        """Of the disc that it covers."""
        return self.radius_m

    @property
    def support_m(self) -> tuple[tuple[float, float], ...]:
        """Corners of the polygon that the robot stands on, counter-clockwise."""
        turns = (2 * math.pi * corner / DISC_CORNERS for corner in range(DISC_CORNERS))
        return tuple((self.radius_m * math.cos(turn), self.radius_m * math.sin(turn)) for turn in turns)


class Wheels(_Part, frozen=True, kw_only=True, tag="wheels", tag_field="kind"):
    """Two driven wheels left and right of the base frame's origin, casters, and a box upon them."""

    wheel_radius_m: Length
    track_m: Length  # from wheel to wheel
    casters_m: Annotated[tuple[tuple[Offset, Offset], ...], msgspec.Meta(min_length=1, max_length=4)]
    mass_kg: Annotated[float, msgspec.Meta(ge=0.1, le=50.0)]  # wheels and all
    centre_m: Vector  # of mass
    size_m: tuple[Length, Length, Length]
    max_acceleration_m_s2: Annotated[float, msgspec.Meta(ge=0.01, le=20.0)]  # along and across together
    max_turn_rad_s: Annotated[float, msgspec.Meta(ge=0.01, le=10.0)]
    max_turn_rad_s2: Annotated[float, msgspec.Meta(ge=0.01, le=100.0)]

    @property
    def inertia_kg_m2(self) -> tuple[float, float, float]:
        """About the axes through the centre of mass."""
        return _box_inertia(self.mass_kg, self.size_m)

    @property
    def outline_radius_m(self) -> float:
        """Of the disc that it covers."""
        return max(self.size_m[0], self.size_m[1], self.track_m) / 2

    @property
    def support_m(self) -> tuple[tuple[float, float], ...]:
        """Corners of the polygon that the robot stands on, counter-clockwise."""
        return _hull([(0.0, self.track_m / 2), (0.0, -self.track_m / 2), *self.casters_m])


Base = Foot | Wheels


class Camera(_Part, frozen=True, kw_only=True):
    """Where the camera sits on the screen and how it sees."""

    offset_m: Vector
    field_of_view_rad: Annotated[float, msgspec.Meta(ge=0.2, le=3.0)]


class Body(_Part, frozen=True, kw_only=True):
    """The robot's body, as its file describes it."""

    name: Name
    screen_m: tuple[Length, Length]  # width, height
    servo_lag_s: Annotated[float, msgspec.Meta(ge=0.0, le=0.5)]  # pulse to pose, as measured
    pulse_rate_hz: Annotated[float, msgspec.Meta(ge=50.0, le=333.0)] = 50.0  # of PWM servos
    base: Base
    camera: Camera
    joint: Annotated[tuple[Joint, ...], msgspec.Meta(min_length=1, max_length=MAX_JOINTS)]

    @property
    def rest_rad(self) -> tuple[float, ...]:
        return tuple(joint.rest_rad for joint in self.joint)

    def index(self, name: str) -> int:
        """Place of a joint in every tuple of angles. Raises ConfigError if the body has none of that name."""
        for place, joint in enumerate(self.joint):
            if joint.name == name:
                return place
        raise ConfigError(f"body {self.name!r} has no joint {name!r}; it has {[j.name for j in self.joint]}")


def load(path: Path = DEFAULT_BODY) -> Body:
    """Read a body whose joints ask for no more acceleration than it stands; see `drivers.balance`.

    Raises ConfigError naming the file, the line and the key that is wrong, and when nothing keeps it upright.
    """
    return decode(str(path), _content(path))


def decode(name: str, data: bytes) -> Body:
    """What `load` makes of a file's content; `name` is what a complaint calls it."""
    from drivers import balance  # not at the top: balance is about bodies

    body, source = _decode(name, data)
    limits = balance.acceleration_limits(body)
    if not all(limits):
        raise source.error(
            ("base",), "is too light or too narrow: the robot's weight, or its top speeds alone, tip it over"
        )
    joints = (
        msgspec.structs.replace(joint, max_acceleration_rad_s2=limit)
        for joint, limit in zip(body.joint, limits, strict=True)
    )
    return msgspec.structs.replace(body, joint=tuple(joints))


def read(path: Path = DEFAULT_BODY) -> Body:
    """Read a body as its file has it: the accelerations are what its servos can do. Raises ConfigError."""
    return _decode(str(path), _content(path))[0]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); give another with --body FILE") from exc


def _decode(name: str, data: bytes) -> tuple[Body, Source]:
    source = Source(name, data)
    body = source.decode(Body)
    _check_joints(body, source)
    _check_base(body, source)
    return body, source


def _check_joints(body: Body, source: Source) -> None:
    names: set[str] = set()
    outlets: set[int] = set()
    kind = type(body.joint[0].servo)
    if kind is not PwmServo and source.has(("pulse_rate_hz",)):
        raise source.error(("pulse_rate_hz",), "is for PWM servos, and this body has others; leave it out")
    for place, joint in enumerate(body.joint):
        here: KeyPath = ("joint", place)
        if joint.name in names:
            raise source.error((*here, "name"), f"two joints share the name {joint.name!r}")
        names.add(joint.name)
        if joint.min_rad >= joint.max_rad:
            raise source.error((*here, "min_rad"), f"must be below max_rad, which is {joint.max_rad:g}")
        if not joint.min_rad <= joint.rest_rad <= joint.max_rad:
            allowed = f"{joint.min_rad:g} to {joint.max_rad:g}"
            raise source.error((*here, "rest_rad"), f"must lie within min_rad and max_rad, {allowed}")
        if type(joint.servo) is not kind:
            raise source.error(
                (*here, "servo", "kind"), "is another than the first joint's; a body has one kind of servo"
            )
        key, outlet = (
            ("pin", joint.servo.pin) if isinstance(joint.servo, PwmServo) else ("id", joint.servo.id)
        )
        if outlet in outlets:
            raise source.error((*here, "servo", key), f"two joints share {key} {outlet}")
        outlets.add(outlet)
        _check_range(joint, here, source)


def _check_range(joint: Joint, here: KeyPath, source: Source) -> None:
    """A servo must be able to say every angle within the limits."""
    servo = joint.servo
    if isinstance(servo, PwmServo):
        unit, scale, zero = "µs", servo.per_rad_us, servo.centre_us
        low, high = PULSE_MIN_US, PULSE_MAX_US
        if abs(scale) < 1.0:
            raise source.error((*here, "servo", "per_rad_us"), "must be at least 1 or at most -1")
    else:
        unit, scale, zero = "steps", -STEPS_PER_RAD if servo.is_reversed else STEPS_PER_RAD, servo.zero_steps
        low, high = 0, 4095
    ends = sorted((zero + scale * joint.min_rad, zero + scale * joint.max_rad))
    if ends[0] < low or ends[1] > high:
        raise source.error(
            (*here, "servo"),
            f"between min_rad and max_rad it needs {ends[0]:.0f} to {ends[1]:.0f} {unit}; "
            f"{low} to {high} are allowed",
        )


def _check_base(body: Body, source: Source) -> None:
    corners = body.base.support_m
    if isinstance(body.base, Wheels) and (len(corners) < 3 or inset_m(corners, 0.0, 0.0) < -1e-9):
        raise source.error(
            ("base", "casters_m"),
            "wheels and casters must enclose the middle between the wheels, as a triangle",
        )


def _box_inertia(mass_kg: float, size_m: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (side * side * mass_kg / 12 for side in size_m)
    return (y + z, x + z, x + y)


def inset_m(corners: tuple[tuple[float, float], ...], x_m: float, y_m: float) -> float:
    """How far a point lies inside a convex polygon, corners counter-clockwise; negative outside."""
    following = corners[1:] + corners[:1]
    return min(
        ((bx - ax) * (y_m - ay) - (by - ay) * (x_m - ax)) / math.hypot(bx - ax, by - ay)
        for (ax, ay), (bx, by) in zip(corners, following, strict=True)
    )


def _hull(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Convex hull, counter-clockwise (Andrew's monotone chain)."""

    def half(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in ordered:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    ordered = sorted(set(points))
    return tuple(half(ordered) + half(ordered[::-1]))


def rotation(axis: str, angle_rad: float) -> Matrix:
    """3×3 rotation about a named axis."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    rows = {
        "x": ((1, 0, 0), (0, c, -s), (0, s, c)),
        "y": ((c, 0, s), (0, 1, 0), (-s, 0, c)),
        "z": ((c, -s, 0), (s, c, 0), (0, 0, 1)),
    }[axis]
    return np.array(rows, dtype=np.float64)


def transform(rotation_matrix: Matrix, offset_m: tuple[float, float, float]) -> Matrix:
    """4×4 homogeneous transform."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_matrix
    pose[:3, 3] = offset_m
    return pose


def forward(body: Body, angles_rad: tuple[float, ...]) -> tuple[Matrix, ...]:
    """Pose of every joint's link in the base frame, then of the camera: 4×4 each, x forward, z up."""
    return tuple(np.array((*rows, _LAST_ROW)) for rows in _chain(body, angles_rad))


def camera_pose(body: Body, angles_rad: tuple[float, ...]) -> Matrix:
    """The camera's pose alone, 4×4 in the base frame: x forward, z up."""
    return np.array((*_chain(body, angles_rad)[-1], _LAST_ROW))


def camera_place(body: Body, angles_rad: tuple[float, ...]) -> tuple[float, float, float]:
    """Where the camera is in the base frame, in metres; a tenth of the work of all poses."""
    x, y, z = _chain(body, angles_rad)[-1]
    return x[3], y[3], z[3]


def _chain(body: Body, angles_rad: tuple[float, ...]) -> list[tuple[_Row, _Row, _Row]]:
    """The upper three rows of each link's pose, then of the camera's.

    Plain numbers: for so few, each call into numpy costs more than the arithmetic.
    """
    rows: list[tuple[_Row, _Row, _Row]] = []
    # Columns of the rotation, and the place.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
    px = py = pz = 0.0
    for joint, angle in zip(body.joint, angles_rad, strict=True):
        a, b, c = joint.offset_m
        px += xx * a + yx * b + zx * c
        py += xy * a + yy * b + zy * c
        pz += xz * a + yz * b + zz * c
        cos, sin = math.cos(angle), math.sin(angle)
        match joint.axis:  # the two other columns turn
            case "x":
                yx, zx = cos * yx + sin * zx, cos * zx - sin * yx
                yy, zy = cos * yy + sin * zy, cos * zy - sin * yy
                yz, zz = cos * yz + sin * zz, cos * zz - sin * yz
            case "y":
                zx, xx = cos * zx + sin * xx, cos * xx - sin * zx
                zy, xy = cos * zy + sin * xy, cos * xy - sin * zy
                zz, xz = cos * zz + sin * xz, cos * xz - sin * zz
            case "z":
                xx, yx = cos * xx + sin * yx, cos * yx - sin * xx
                xy, yy = cos * xy + sin * yy, cos * yy - sin * xy
                xz, yz = cos * xz + sin * yz, cos * yz - sin * xz
        rows.append(((xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz)))
    a, b, c = body.camera.offset_m
    px += xx * a + yx * b + zx * c
    py += xy * a + yy * b + zy * c
    pz += xz * a + yz * b + zz * c
    rows.append(((xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz)))
    return rows
