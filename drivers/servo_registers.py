"""The registers of bus servos, by their manuals' addresses, and what is written into them.

Sources: Feetech's memory table of the STS3215 (magnetic encoder, protocol of the SMS/STS series); ROBOTIS'
control table of the XL330-M288/M077. A test compares both tables with other people's.
"""

import enum
import math

import msgspec

from drivers.body import (
    ACCELERATION_MARGIN,
    STEPS_PER_RAD,
    VELOCITY_MARGIN,
    Joint,
    PwmServo,
    Sts3215Servo,
    Xl330Servo,
)
from drivers.errors import ConfigError

STEPS = 4096  # in a turn
STEP_RAD = 1.0 / STEPS_PER_RAD


class Register(enum.Enum):
    """What a servo keeps; not every servo keeps everything."""

    MODEL = enum.auto()
    RETURN_DELAY = enum.auto()  # before an answer
    DRIVE_MODE = enum.auto()
    MODE = enum.auto()  # position, velocity, …
    LOW_POSITION = enum.auto()
    HIGH_POSITION = enum.auto()
    TOP_ACCELERATION = enum.auto()  # what ACCELERATION may say at most
    TORQUE_ON = enum.auto()
    LED = enum.auto()
    ACCELERATION = enum.auto()  # of the servo's own way to a goal
    VELOCITY = enum.auto()
    TORQUE_LIMIT = enum.auto()
    WATCHDOG = enum.auto()
    LOCK = enum.auto()
    GOAL = enum.auto()
    PRESENT = enum.auto()
    ERRORS = enum.auto()


class Place(msgspec.Struct, frozen=True):
    """Where a register lies, and whether the servo remembers it without power."""

    address: int
    size: int
    is_kept: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of servo: its registers, units and habits."""

    name: str
    models: tuple[int, ...]
    table: dict[Register, Place]
    errors: dict[int, str]  # bits of ERRORS
    kept: dict[Register, int]  # as this program needs them
    velocity_rad_s: float  # the unit of VELOCITY …
    most_velocity: int  # … and what the servo can do
    acceleration_rad_s2: float
    most_acceleration: int
    full_torque: int
    stall_nm: float  # at full torque
    is_signed_by_bit: bool  # negative numbers have a sign bit instead of two's complement
    watchdog: int  # 0: it has none
    mark: Register  # what says, in the servo itself, that it was stopped: see `stopped_mark`

    def number(self, register: Register, data: bytes) -> int:
        """A register's bytes as a number; only positions have a sign."""
        value = int.from_bytes(data, "little")
        if register not in (Register.PRESENT, Register.GOAL):
            return value
        sign = 1 << (8 * len(data) - 1)
        if self.is_signed_by_bit:
            return -(value - sign) if value & sign else value
        return value - 2 * sign if value & sign else value

    def bytes_of(self, register: Register, value: int) -> bytes:
        """A number as a register's bytes. Raises ValueError for what does not fit: no negative ones are sent."""
        size = self.table[register].size
        if not 0 <= value < 1 << (8 * size):
            raise ValueError(f"{value} does not fit into {register.name.lower()} of an {self.name}")
        return value.to_bytes(size, "little")


STS3215 = Kind(
    name="STS3215",
    models=(777,),
    table={
        Register.MODEL: Place(3, 2, True),
        Register.RETURN_DELAY: Place(7, 1, True),
        Register.LOW_POSITION: Place(9, 2, True),
        Register.HIGH_POSITION: Place(11, 2, True),
        Register.MODE: Place(33, 1, True),
        Register.TORQUE_ON: Place(40, 1),
        Register.ACCELERATION: Place(41, 1),
        Register.GOAL: Place(42, 2),
        Register.VELOCITY: Place(46, 2),
        Register.TORQUE_LIMIT: Place(48, 2),
        Register.LOCK: Place(55, 1),
        Register.PRESENT: Place(56, 2),
        Register.ERRORS: Place(65, 1),
        Register.TOP_ACCELERATION: Place(85, 1, True),
    },
    errors={
        0: "the voltage is out of range",
        1: "its angle sensor fails",
        2: "it is too hot",
        3: "too much current",
        5: "overload",
    },
    kept={Register.RETURN_DELAY: 0, Register.MODE: 0, Register.TOP_ACCELERATION: 254},
    velocity_rad_s=STEP_RAD,  # one step a second
    most_velocity=3400,
    acceleration_rad_s2=100 * STEP_RAD,
    most_acceleration=254,
    full_torque=1000,
    stall_nm=2.94,  # 30 kg cm of the 12 V version; the 7.4 V one has two thirds
    is_signed_by_bit=True,
    watchdog=0,
    mark=Register.TORQUE_LIMIT,
)
XL330 = Kind(
    name="XL330",
    models=(1190, 1200),  # M077, M288
    table={
        Register.MODEL: Place(0, 2, True),
        Register.RETURN_DELAY: Place(9, 1, True),
        Register.DRIVE_MODE: Place(10, 1, True),
        Register.MODE: Place(11, 1, True),
        Register.HIGH_POSITION: Place(48, 4, True),
        Register.LOW_POSITION: Place(52, 4, True),
        Register.TORQUE_ON: Place(64, 1),
        Register.LED: Place(65, 1),
        Register.ERRORS: Place(70, 1),
        Register.WATCHDOG: Place(98, 1),
        Register.TORQUE_LIMIT: Place(100, 2),  # of the motor's duty
        Register.ACCELERATION: Place(108, 4),
        Register.VELOCITY: Place(112, 4),
        Register.GOAL: Place(116, 4),
        Register.PRESENT: Place(132, 4),
    },
    errors={
        0: "the voltage is out of range",
        2: "it is too hot",
        3: "its angle sensor fails",
        4: "an electrical shock, or too little power",
        5: "overload",
    },
    kept={Register.RETURN_DELAY: 0, Register.DRIVE_MODE: 0, Register.MODE: 3},
    velocity_rad_s=0.229 * 2 * math.pi / 60,
    most_velocity=445,
    acceleration_rad_s2=214.577 * 2 * math.pi / 3600,  # its unit is a turn per minute squared
    most_acceleration=32767,
    full_torque=885,
    stall_nm=0.52,  # of the M288 at 5 V; the M077 has 0.22
    is_signed_by_bit=False,
    watchdog=10,  # of 20 ms: as long as a board waits for a set-point
    mark=Register.LED,
)
ALERT_BIT = 7  # in the answers of an XL330: look into ERRORS
# A servo plans to stand at each goal, so it trails by v²/2a. Four times the joint's acceleration keeps that small.
ACCELERATION_HEADROOM = 4.0
VELOCITY_HEADROOM = 1.2  # to catch up after a stumble


class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """A joint's servo: where it is on the bus, and what to write into it."""

    joint: str
    id: int
    kind: Kind
    zero_steps: int
    is_reversed: bool
    low_steps: int
    high_steps: int
    velocity: int
    acceleration: int
    torque: int  # even, so that one less can mean something

    def steps(self, position_rad: float) -> int:
        """An angle in the servo's steps."""
        way = round(position_rad * STEPS_PER_RAD)
        return self.zero_steps + (-way if self.is_reversed else way)

    def radians(self, steps: int) -> float:
        """The servo's steps as an angle."""
        way = steps - self.zero_steps
        return (-way if self.is_reversed else way) * STEP_RAD

    def mark(self, is_stopped: bool) -> int:
        """What the marking register holds: an XL330 shows its LED, an STS3215's torque limit is odd."""
        if self.kind.mark is Register.LED:
            return int(is_stopped)
        return self.torque - 1 if is_stopped else self.torque

    def is_marked(self, value: int) -> bool:
        """Whether the marking register's value says stopped."""
        return value % 2 == 1


def fitting_of(joint: Joint) -> Fitting:
    """What a joint needs of its servo. Raises ConfigError if that cannot give it."""
    servo = joint.servo
    velocity_rad_s = joint.max_velocity_rad_s * VELOCITY_MARGIN
    acceleration_rad_s2 = joint.max_acceleration_rad_s2 * ACCELERATION_MARGIN
    match servo:
        case PwmServo():
            raise ConfigError(f"joint {joint.name!r}: has a PWM servo, which is no bus servo; see body.toml")
        case Sts3215Servo():
            kind = STS3215
        case Xl330Servo():
            kind = XL330
    fastest = kind.most_velocity * kind.velocity_rad_s
    steepest = kind.most_acceleration * kind.acceleration_rad_s2
    if velocity_rad_s > fastest or acceleration_rad_s2 > steepest or joint.max_torque_nm > kind.stall_nm:
        raise ConfigError(
            f"joint {joint.name!r}: an {kind.name} does at most {fastest:.2g} rad/s, {steepest:.3g} rad/s² and "
            f"{kind.stall_nm:g} Nm, and the body with its margins needs {velocity_rad_s:.3g}, "
            f"{acceleration_rad_s2:.3g} and {joint.max_torque_nm:g}"
        )
    acceleration = round(acceleration_rad_s2 * ACCELERATION_HEADROOM / kind.acceleration_rad_s2)
    fitting = Fitting(
        joint=joint.name,
        id=servo.id,
        kind=kind,
        zero_steps=servo.zero_steps,
        is_reversed=servo.is_reversed,
        low_steps=0,
        high_steps=STEPS - 1,
        velocity=min(math.ceil(velocity_rad_s * VELOCITY_HEADROOM / kind.velocity_rad_s), kind.most_velocity),
        acceleration=min(acceleration, kind.most_acceleration),
        torque=max(round(kind.full_torque * joint.max_torque_nm / kind.stall_nm) // 2 * 2, 2),
    )
    ends = sorted((fitting.steps(joint.min_rad), fitting.steps(joint.max_rad)))
    return msgspec.structs.replace(fitting, low_steps=ends[0], high_steps=ends[1])
