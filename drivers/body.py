"""What the hardware is: `body.toml` as structs, and where each link stands for given joint angles.

Frames are right-handed, x forward, y left, z up (REP 103). A positive pitch looks down, a positive yaw
turns to the robot's left.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError

Matrix = NDArray[np.float64]
Positive = Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]
Angle = Annotated[float, msgspec.Meta(ge=-math.pi, le=math.pi)]
Offset = Annotated[float, msgspec.Meta(ge=-5.0, le=5.0)]
DEFAULT_BODY = Path(__file__).with_name("tabletop.toml")
MAX_JOINTS = 4  # the set-point frame has room for four


class Joint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One servo: its axis, where it sits on the link before it, its limits and its pulse."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]
    axis: Literal["x", "y", "z"]
    offset_m: tuple[Offset, Offset, Offset]
    min_rad: Angle
    max_rad: Angle
    rest_rad: Angle
    max_velocity_rad_s: Positive
    max_acceleration_rad_s2: Positive
    max_jerk_rad_s3: Positive
    pin: Annotated[int, msgspec.Meta(ge=0, le=63)]
    pulse_centre_us: Annotated[int, msgspec.Meta(ge=500, le=2500)] = 1500
    pulse_per_rad_us: Annotated[float, msgspec.Meta(ge=-2000.0, le=2000.0)] = 637.0


class Camera(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the camera sits on the screen and how it sees."""

    offset_m: tuple[Offset, Offset, Offset]
    field_of_view_rad: Annotated[float, msgspec.Meta(ge=0.2, le=3.0)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The robot's body, as its file describes it."""

    name: str
    foot_radius_m: Positive
    foot_mass_kg: Positive
    head_mass_kg: Positive
    screen_m: tuple[Positive, Positive]
    servo_lag_s: Annotated[float, msgspec.Meta(ge=0.0, le=0.5)]  # pulse to pose, as measured
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
    """Read a body file whole. Raises ConfigError naming the file and the key that is wrong."""
    try:
        body = msgspec.toml.decode(path.read_bytes(), type=Body)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); give another with --body FILE") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    names = [joint.name for joint in body.joint]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path}: two joints share a name: {names}")
    for joint in body.joint:
        if not joint.min_rad <= joint.rest_rad <= joint.max_rad or joint.min_rad >= joint.max_rad:
            raise ConfigError(
                f"{path}: joint {joint.name!r}: needs min_rad < max_rad with rest_rad between, "
                f"has {joint.min_rad}, {joint.max_rad}, {joint.rest_rad}"
            )
    return body


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
    poses: list[Matrix] = []
    pose = np.eye(4)
    for joint, angle in zip(body.joint, angles_rad, strict=True):
        pose = pose @ transform(rotation(joint.axis, angle), joint.offset_m)
        poses.append(pose)
    poses.append(pose @ transform(np.eye(3), body.camera.offset_m))
    return tuple(poses)
