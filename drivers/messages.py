"""Every message between host and board. Generated from firmware/messages.toml by firmware/generate.py, do not edit."""

import enum
import struct
from typing import Any, ClassVar

import msgspec

TABLE_HASH = 0x14BA8BB6
MAX_BODY_BYTES = 48


class State(enum.IntEnum):
    """What the board is doing."""

    IDLE = 0  # no pulses; waits for handshake, limits and enable
    HOLDING = 1  # pulses keep the joints where they are
    MOVING = 2  # following set-points
    STOPPING = 3  # no fresh set-point: slowing down within the limits
    PARKING = 4  # nobody gave a set-point for long: moving slowly to rest
    PARKED = 5  # at rest, pulses on
    DETACHED = 6  # pulses off after a long silence or on request; enable starts again
    STOPPED = 7  # emergency stop: pulses frozen until the token of that stop comes back


class Reason(enum.IntEnum):
    """Why the board said no; `none` is yes."""

    NONE = 0  # accepted
    SESSION = 1  # no handshake yet, or with another table
    STATE = 2  # not in this state
    POSITION = 3  # outside the position limits
    VELOCITY = 4  # faster than the velocity limit
    ACCELERATION = 5  # steeper than the acceleration limit
    ROOM = 6  # no room left to stop before the position limit
    ORDER = 7  # not after the knot before it
    LATE = 8  # the moment has passed
    EARLY = 9  # more than a second ahead
    FULL = 10  # more knots than the board can keep
    LIMITS = 11  # limits that make no sense, are missing, or exclude the present pose
    TOKEN = 12  # not the token of the present stop
    JOINT = 13  # no such joint
    PIN = 14  # no servo pin of this board, or another joint's
    STOP_LINE = 15  # the stop button is pressed, or its wire is cut


class ResetCause(enum.IntEnum):
    """Why the board last began anew."""

    POWER = 0  # it was switched on
    WATCHDOG = 1  # the firmware hung, and the chip's watchdog noticed
    OTHER = 2  # the reset pin, a dip in the supply, or a debugger


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a session; its sequence number is the one that the next reliable message follows. (reliable, from the host)"""

    TYPE: ClassVar[int] = 1
    SIZE: ClassVar[int] = 6
    table_hash: int
    session: int  # chosen by the host, never 0; the same again is a repetition
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IH")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.table_hash,
            self.session,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Hello":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            table_hash=v[0],
            session=v[1],
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """One joint's limits, rest, pulse and pin. (reliable, from the host)"""

    TYPE: ClassVar[int] = 2
    SIZE: ClassVar[int] = 23
    joint: int
    pin: int
    min_urad: int
    max_urad: int
    rest_urad: int
    velocity_mrad_s: int
    acceleration_mrad_s2: int
    pulse_centre_us: int  # pulse at 0 rad
    pulse_per_rad_ns: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBHbHbHbHIHi")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.joint,
            self.pin,
            self.min_urad & 0xFFFF,
            self.min_urad >> 16,
            self.max_urad & 0xFFFF,
            self.max_urad >> 16,
            self.rest_urad & 0xFFFF,
            self.rest_urad >> 16,
            self.velocity_mrad_s,
            self.acceleration_mrad_s2,
            self.pulse_centre_us,
            self.pulse_per_rad_ns,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Limits":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            joint=v[0],
            pin=v[1],
            min_urad=v[2] | v[3] << 16,
            max_urad=v[4] | v[5] << 16,
            rest_urad=v[6] | v[7] << 16,
            velocity_mrad_s=v[8],
            acceleration_mrad_s2=v[9],
            pulse_centre_us=v[10],
            pulse_per_rad_ns=v[11],
        )


class Enable(msgspec.Struct, frozen=True, kw_only=True):
    """Pulses on, holding the present pose. (reliable, from the host)"""

    TYPE: ClassVar[int] = 3
    SIZE: ClassVar[int] = 3
    joint_count: int
    pulse_period_us: int  # 20000 for analogue servos, down to 3000 for fast digital ones
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BH")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.joint_count,
            self.pulse_period_us,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Enable":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            joint_count=v[0],
            pulse_period_us=v[1],
        )


class Detach(msgspec.Struct, frozen=True, kw_only=True):
    """Pulses off; refused while moving. (reliable, from the host)"""

    TYPE: ClassVar[int] = 4
    SIZE: ClassVar[int] = 0
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Detach":
        """From a body of SIZE bytes."""
        return cls()


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Ends the emergency stop whose token it carries. (reliable, from the host)"""

    TYPE: ClassVar[int] = 5
    SIZE: ClassVar[int] = 4
    token: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.token,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Release":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            token=v[0],
        )


class SetPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The next knot, and the one before it in case its own frame was lost. (stream, from the host)"""

    TYPE: ClassVar[int] = 16
    SIZE: ClassVar[int] = 48
    time_us: int
    position_urad: tuple[int, int, int, int]
    velocity_mrad_s: tuple[int, int, int, int]
    previous_time_us: int
    previous_position_urad: tuple[int, int, int, int]
    previous_velocity_mrad_s: tuple[int, int, int, int]
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IHbHbHbHbhhhhIHbHbHbHbhhhh")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.time_us,
            self.position_urad[0] & 0xFFFF,
            self.position_urad[0] >> 16,
            self.position_urad[1] & 0xFFFF,
            self.position_urad[1] >> 16,
            self.position_urad[2] & 0xFFFF,
            self.position_urad[2] >> 16,
            self.position_urad[3] & 0xFFFF,
            self.position_urad[3] >> 16,
            self.velocity_mrad_s[0],
            self.velocity_mrad_s[1],
            self.velocity_mrad_s[2],
            self.velocity_mrad_s[3],
            self.previous_time_us,
            self.previous_position_urad[0] & 0xFFFF,
            self.previous_position_urad[0] >> 16,
            self.previous_position_urad[1] & 0xFFFF,
            self.previous_position_urad[1] >> 16,
            self.previous_position_urad[2] & 0xFFFF,
            self.previous_position_urad[2] >> 16,
            self.previous_position_urad[3] & 0xFFFF,
            self.previous_position_urad[3] >> 16,
            self.previous_velocity_mrad_s[0],
            self.previous_velocity_mrad_s[1],
            self.previous_velocity_mrad_s[2],
            self.previous_velocity_mrad_s[3],
        )

    @classmethod
    def unpack(cls, body: bytes) -> "SetPoint":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            time_us=v[0],
            position_urad=(v[1] | v[2] << 16, v[3] | v[4] << 16, v[5] | v[6] << 16, v[7] | v[8] << 16),
            velocity_mrad_s=(v[9], v[10], v[11], v[12]),
            previous_time_us=v[13],
            previous_position_urad=(v[14] | v[15] << 16, v[16] | v[17] << 16, v[18] | v[19] << 16, v[20] | v[21] << 16),
            previous_velocity_mrad_s=(v[22], v[23], v[24], v[25]),
        )


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for the board's clock. No motion intent. (stream, from the host)"""

    TYPE: ClassVar[int] = 17
    SIZE: ClassVar[int] = 2
    number: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.number,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Ping":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            number=v[0],
        )


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Emergency stop. Needs no session. (urgent, from the host)"""

    TYPE: ClassVar[int] = 32
    SIZE: ClassVar[int] = 4
    token: int  # never 0
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.token,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Stop":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            token=v[0],
        )


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """Answers hello. With another table's hash the board stays closed. (stream, from the board)"""

    TYPE: ClassVar[int] = 65
    SIZE: ClassVar[int] = 6
    table_hash: int
    session: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IH")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.table_hash,
            self.session,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Welcome":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            table_hash=v[0],
            session=v[1],
        )


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Answers one reliable message; again for each repetition of it. (stream, from the board)"""

    TYPE: ClassVar[int] = 66
    SIZE: ClassVar[int] = 2
    number: int  # sequence number of the message answered
    reason: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BB")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.number,
            self.reason,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Result":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            number=v[0],
            reason=v[1],
        )


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A reliable message is missing: repeat from here. (stream, from the board)"""

    TYPE: ClassVar[int] = 67
    SIZE: ClassVar[int] = 1
    expected: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<B")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.expected,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Gap":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            expected=v[0],
        )


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Telemetry, 50 times a second. (stream, from the board)"""

    TYPE: ClassVar[int] = 80
    SIZE: ClassVar[int] = 34
    time_us: int
    session: int
    state: int
    last_reason: int  # of the newest refused set-point
    position_urad: tuple[int, int, int, int]  # as commanded now
    stop_token: int  # 0 when not stopped
    accepted: int
    refused: int
    rx_errors: int
    underruns: int  # knots ran out while moving
    is_stop_line_open: int  # 1: the stop button is pressed, or its wire is cut
    reset_cause: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IHBBHbHbHbHbIHHHHBB")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.time_us,
            self.session,
            self.state,
            self.last_reason,
            self.position_urad[0] & 0xFFFF,
            self.position_urad[0] >> 16,
            self.position_urad[1] & 0xFFFF,
            self.position_urad[1] >> 16,
            self.position_urad[2] & 0xFFFF,
            self.position_urad[2] >> 16,
            self.position_urad[3] & 0xFFFF,
            self.position_urad[3] >> 16,
            self.stop_token,
            self.accepted,
            self.refused,
            self.rx_errors,
            self.underruns,
            self.is_stop_line_open,
            self.reset_cause,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Status":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            time_us=v[0],
            session=v[1],
            state=v[2],
            last_reason=v[3],
            position_urad=(v[4] | v[5] << 16, v[6] | v[7] << 16, v[8] | v[9] << 16, v[10] | v[11] << 16),
            stop_token=v[12],
            accepted=v[13],
            refused=v[14],
            rx_errors=v[15],
            underruns=v[16],
            is_stop_line_open=v[17],
            reset_cause=v[18],
        )


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    """The board's clock when the ping came in. (stream, from the board)"""

    TYPE: ClassVar[int] = 81
    SIZE: ClassVar[int] = 6
    number: int
    time_us: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HI")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.number,
            self.time_us,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "Pong":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            number=v[0],
            time_us=v[1],
        )


class StopAck(msgspec.Struct, frozen=True, kw_only=True):
    """The stop with this token is latched. (urgent, from the board)"""

    TYPE: ClassVar[int] = 96
    SIZE: ClassVar[int] = 4
    token: int
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    def pack(self) -> bytes:
        """The body's bytes; struct.error if a number does not fit."""
        return self._LAYOUT.pack(
            self.token,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "StopAck":
        """From a body of SIZE bytes."""
        v = cls._LAYOUT.unpack(body)
        return cls(
            token=v[0],
        )


Message = Hello | Limits | Enable | Detach | Release | SetPoint | Ping | Stop | Welcome | Result | Gap | Status | Pong | StopAck

BY_TYPE: dict[int, type[Any]] = {
    1: Hello,
    2: Limits,
    3: Enable,
    4: Detach,
    5: Release,
    16: SetPoint,
    17: Ping,
    32: Stop,
    65: Welcome,
    66: Result,
    67: Gap,
    80: Status,
    81: Pong,
    96: StopAck,
}
"""The struct of each type number."""
