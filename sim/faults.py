"""What can go wrong in a scenario, and when: one struct a kind, as `[[fault]]` in its file."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from drivers.errors import ConfigError

Second = Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)]
Lasting = Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """Base of all: it strikes at `at_s`, counted from the scenario's start."""

    at_s: Second

    @property
    def name(self) -> str:
        """Its kind, as a scenario writes it."""
        return str(self.__struct_config__.tag)

    @property
    def end_s(self) -> float:
        """When all is well again."""
        return self.at_s


class _Lasting(_Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of those that last."""

    for_s: Lasting

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s


class LinkCut(_Lasting, frozen=True, kw_only=True, tag="link-cut"):
    """The board's cable is pulled, and put back."""


class LinkNoise(_Lasting, frozen=True, kw_only=True, tag="link-noise"):
    """Bits on the board's line are flipped by chance, both ways."""

    bit_error_rate: Annotated[float, msgspec.Meta(gt=0.0, le=0.1)] = 1e-3


class BoardReset(_Fault, frozen=True, kw_only=True, tag="board-reset"):
    """The board begins anew, as by its reset pin."""


class StopButton(_Lasting, frozen=True, kw_only=True, tag="stop-button"):
    """Somebody presses the button at the board, lets go of it, and then releases the stop on the page."""


class BrownOut(_Lasting, frozen=True, kw_only=True, tag="brown-out"):
    """The servos' supply sags: this share of their torque is left."""

    share: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.3


class CameraHung(_Lasting, frozen=True, kw_only=True, tag="camera-hung"):
    """No frames come, and no error either."""


class CameraFrozen(_Lasting, frozen=True, kw_only=True, tag="camera-frozen"):
    """The same picture comes again and again."""


class CameraGone(_Lasting, frozen=True, kw_only=True, tag="camera-gone"):
    """The camera is unplugged, and plugged in again."""


class CameraBlack(_Lasting, frozen=True, kw_only=True, tag="camera-black"):
    """Something covers the camera."""


class Dark(_Lasting, frozen=True, kw_only=True, tag="dark"):
    """The room's light falls to this."""

    light: Annotated[float, msgspec.Meta(ge=0.0, le=2.0)] = (
        0.0002  # not even the camera's gain shows anything
    )


class HostStall(_Lasting, frozen=True, kw_only=True, tag="host-stall"):
    """Nothing runs on the host."""


class ClockJump(_Fault, frozen=True, kw_only=True, tag="clock-jump"):
    """The host's clock leaps ahead; the board's does not."""

    by_s: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)]

    @property
    def end_s(self) -> float:
        return self.at_s + self.by_s  # no moment lies between


class CallGone(_Lasting, frozen=True, kw_only=True, tag="call-gone"):
    """No pictures of the caller come."""


class BrokerDead(_Lasting, frozen=True, kw_only=True, tag="broker-dead"):
    """The MQTT broker's process is killed, and another started in its place."""


Fault = (
    LinkCut
    | LinkNoise
    | BoardReset
    | StopButton
    | BrownOut
    | CameraHung
    | CameraFrozen
    | CameraGone
    | CameraBlack
    | Dark
    | HostStall
    | ClockJump
    | CallGone
    | BrokerDead
)

_TOUCHES = {  # faults of one thing may not overlap; each of the others is alone
    LinkCut: "link",
    LinkNoise: "link",
    CameraHung: "camera",
    CameraFrozen: "camera",
    CameraGone: "camera",
    CameraBlack: "light",
    Dark: "light",
}


def check(faults: Sequence[Fault], duration_s: float, *, has_caller: bool) -> None:
    """Raise ConfigError for faults that cannot be: out of order, too late, two at once of one thing, no caller."""
    times = [fault.at_s for fault in faults]
    if times != sorted(times):
        raise ConfigError(f"faults must come in the order of their at_s, these are {times}")
    busy: dict[str, Fault] = {}
    for fault in faults:
        if fault.at_s >= duration_s:
            raise ConfigError(f"{fault.name} at {fault.at_s:g} s comes after the end at {duration_s:g} s")
        if isinstance(fault, CallGone) and not has_caller:
            raise ConfigError("call-gone needs a [caller], and nobody calls")
        thing = _TOUCHES.get(type(fault), fault.name)
        before = busy.get(thing)
        if before is not None and before.end_s > fault.at_s:
            raise ConfigError(
                f"{fault.name} at {fault.at_s:g} s begins while {before.name} lasts, until {before.end_s:g} s"
            )
        busy[thing] = fault
