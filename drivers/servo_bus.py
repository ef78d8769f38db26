"""Servos on one half-duplex line, through rustypot: set up, goals out, poses back. Synchronous, for one thread.

Every call takes 1 to 3 ms at 1,000,000 Bd with four servos and a USB adapter whose latency timer is 1 ms; an
adapter left at 16 ms answers that late too.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from drivers.errors import DeviceError, LinkLost, LinkTimeout, ProtocolError, not_installed
from drivers.link import why_not_open
from drivers.servo_registers import ALERT_BIT, STS3215, Fitting, Kind, Register

BAUD = 1_000_000
ANSWER_S = 0.04  # twice the slowest adapter's latency timer, and less than a stop may be late
TRIES = 4  # of what has to arrive, at the start and for a mark
MISSED = (
    "timed out",
    "Timeout",
    "Checksum",
    "Parsing",
    "Incorrect id",
)  # rustypot's words; all else is a lost port
WATCHDOG_FIRED = 0xFF
OUTSIDE_RAD = 0.1  # a joint found further outside its limits is not where its zero says

T = TypeVar("T")


class Missed(Exception):
    """An answer did not come or made no sense; once is an accident."""


class ServoBus:
    """An open line with its servos.

    Raises ConfigError without rustypot, DeviceError if the port is missing, busy or no serial port.
    """

    def __init__(self, port: str, fittings: tuple[Fitting, ...]) -> None:
        self._name = port
        self._fittings = fittings
        self._kind: Kind = fittings[0].kind  # a body has one kind throughout
        self._ids = [fitting.id for fitting in fittings]
        self._line = _open(port, self._kind)

    def close(self) -> None:
        """Let go of the port. Servos hold their last goal."""
        self._line.close()

    def set_up(self) -> bool:
        """Find every servo, write what it needs, and hold the pose it is in; True if it was stopped before.

        What a servo keeps without power is written only where it differs, and without torque: its memory wears,
        and it takes nothing while it holds. Raises LinkTimeout, ProtocolError or DeviceError naming the joint.
        """
        for fitting in self._fittings:
            model = self._read(fitting, Register.MODEL)
            if model not in self._kind.models:
                raise ProtocolError(
                    f"{self._where(fitting)} says model {model}, an {self._kind.name} would say "
                    f"{' or '.join(str(known) for known in self._kind.models)}; compare servo and body file"
                )
            self._check_alarm(fitting)
        for fitting in self._fittings:
            if self._kind.watchdog:
                self._write(fitting, Register.WATCHDOG, 0)  # fired, it lets no goal through
            self._keep(fitting)
        was_stopped = any(
            fitting.is_marked(self._read(fitting, self._kind.mark)) for fitting in self._fittings
        )
        for fitting in self._fittings:
            steps = self._read(fitting, Register.PRESENT)
            self._check_place(fitting, steps)
            self._write(fitting, Register.VELOCITY, fitting.velocity)
            self._write(fitting, Register.ACCELERATION, fitting.acceleration)
            self._write(fitting, Register.GOAL, min(max(steps, fitting.low_steps), fitting.high_steps))
            self._write(fitting, Register.TORQUE_ON, 1)
            self._write(fitting, Register.TORQUE_LIMIT, fitting.torque)
            self._write(fitting, self._kind.mark, fitting.mark(was_stopped))
        if self._kind.watchdog:
            for fitting in self._fittings:
                self._write(fitting, Register.WATCHDOG, self._kind.watchdog)
        return was_stopped

    def send_goals(self, position_rad: tuple[float, ...]) -> None:
        """Where the joints shall be now, in one frame, unanswered. Raises ValueError for what is no step."""
        steps = [fitting.steps(angle) for fitting, angle in zip(self._fittings, position_rad, strict=True)]
        self._send(Register.GOAL, steps)

    def read_pose(self) -> tuple[float, ...]:
        """Where the joints are. Raises Missed, and DeviceError for a servo that reports an alarm."""
        place = self._kind.table[Register.PRESENT]
        answers = self._try(
            lambda: self._line.sync_read_raw_data_with_error(self._ids, place.address, place.size)
        )
        angles = []
        for fitting, (data, error) in zip(self._fittings, answers, strict=True):
            if error:
                self._check_alarm(fitting)
                self._check_answer(error)
            angles.append(fitting.radians(self._kind.number(Register.PRESENT, bytes(data))))
        return tuple(angles)

    def mark_stopped(self, is_stopped: bool) -> None:
        """Write into the servos whether they are stopped, so that another host finds it. Raises LinkTimeout."""
        for fitting in self._fittings:
            self._write(fitting, self._kind.mark, fitting.mark(is_stopped))

    def let_go(self) -> None:
        """Torque off."""
        for fitting in self._fittings:
            self._write(fitting, Register.TORQUE_ON, 0)

    def has_watchdog_fired(self) -> bool:
        """Whether a servo has stopped by itself because nobody spoke to it."""
        return bool(self._kind.watchdog) and any(
            self._read(fitting, Register.WATCHDOG) == WATCHDOG_FIRED for fitting in self._fittings
        )

    def why_silent(self) -> LinkTimeout:
        """The joint whose servo does not answer any more, or what else it may be."""
        for fitting in self._fittings:
            try:
                self._read(fitting, Register.MODEL)
            except LinkTimeout as exc:
                return exc
        return LinkTimeout(
            f"{self._name}: the servos' answers are garbled; check cable and ground, and that no two servos "
            "share an id"
        )

    def _keep(self, fitting: Fitting) -> None:
        wanted = {
            **self._kind.kept,
            Register.LOW_POSITION: fitting.low_steps,
            Register.HIGH_POSITION: fitting.high_steps,
        }
        differing = [
            (register, value) for register, value in wanted.items() if self._read(fitting, register) != value
        ]
        if not differing:
            return
        self._write(fitting, Register.TORQUE_ON, 0)
        if Register.LOCK in self._kind.table:
            self._write(fitting, Register.LOCK, 0)
        for register, value in differing:
            self._write(fitting, register, value)
        if Register.LOCK in self._kind.table:
            self._write(fitting, Register.LOCK, 1)

    def _check_place(self, fitting: Fitting, steps: int) -> None:
        low, high = sorted((fitting.radians(fitting.low_steps), fitting.radians(fitting.high_steps)))
        angle = fitting.radians(steps)
        if not low - OUTSIDE_RAD <= angle <= high + OUTSIDE_RAD:
            raise DeviceError(
                f"{self._where(fitting)} stands at {angle:.2f} rad, outside {low:.2f} to {high:.2f}; turn it "
                "inside by hand, or correct zero_steps in the body file"
            )

    def _check_alarm(self, fitting: Fitting) -> None:
        bits = self._read(fitting, Register.ERRORS)
        names = [name for bit, name in self._kind.errors.items() if bits >> bit & 1]
        if names:
            raise DeviceError(
                f"{self._where(fitting)}: {' and '.join(names)}; take the load off, check the supply, then "
                "switch the servos off and on"
            )

    def _check_answer(self, error: int) -> None:
        """An XL330 puts a code for a misread instruction beside the alert; an STS3215 only alarms."""
        if self._kind is not STS3215 and error & ~(1 << ALERT_BIT):
            raise Missed(f"the servo misread an instruction (error {error:#x})")

    def _read(self, fitting: Fitting, register: Register) -> int:
        place = self._kind.table[register]

        def ask() -> int:
            data, error = self._line.read_raw_data_with_error(fitting.id, place.address, place.size)
            self._check_answer(error)
            if len(data) != place.size:
                raise Missed(f"{len(data)} bytes instead of {place.size}")
            return self._kind.number(register, bytes(data))

        return self._insist(fitting, ask)

    def _write(self, fitting: Fitting, register: Register, value: int) -> None:
        place = self._kind.table[register]
        data = list(self._kind.bytes_of(register, value))

        def tell() -> None:
            self._check_answer(self._line.write_raw_data_with_error(fitting.id, place.address, data))

        self._insist(fitting, tell)

    def _send(self, register: Register, values: list[int]) -> None:
        place = self._kind.table[register]
        data = [list(self._kind.bytes_of(register, value)) for value in values]
        try:
            self._try(lambda: self._line.sync_write_raw_data(self._ids, place.address, data))
        except Missed as exc:
            raise LinkLost(f"{self._name}: the port takes no bytes ({exc}); check the adapter") from exc

    def _insist(self, fitting: Fitting, call: Callable[[], T]) -> T:
        """Try until the servo answers. Raises LinkTimeout when it does not."""
        for _ in range(TRIES - 1):
            try:
                return self._try(call)
            except Missed:
                continue
        try:
            return self._try(call)
        except Missed as exc:
            raise LinkTimeout(
                f"{self._where(fitting)} does not answer at {BAUD} Bd ({exc}); check its cable, its power "
                "and its id"
            ) from exc

    def _try(self, call: Callable[[], T]) -> T:
        """Once. Raises Missed or LinkLost in place of what rustypot raises."""
        try:
            return call()
        except (RuntimeError, OSError) as exc:
            if any(word in str(exc) for word in MISSED):
                raise Missed(str(exc)) from exc
            raise LinkLost(f"{self._name}: the port is gone ({exc}); check the cable") from exc

    def _where(self, fitting: Fitting) -> str:
        return f"{self._name}: joint {fitting.joint!r}: servo {fitting.id}"


def need_library() -> None:
    """Raises ConfigError without rustypot, which is an extra."""
    try:
        import rustypot  # noqa: F401  # only whether it can be
    except ImportError as exc:
        raise not_installed("bus servos need rustypot", "bus") from exc


def _open(port: str, kind: Kind) -> Any:  # rustypot's controllers have no common type
    need_library()
    import rustypot

    controllers = {"STS3215": rustypot.Sts3215PyController, "XL330": rustypot.Xl330PyController}
    try:
        # Opened once before: rustypot says what went wrong in words only, the system with a number.
        os.close(os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        return controllers[kind.name](port, BAUD, ANSWER_S)
    except OSError as exc:
        raise DeviceError(why_not_open(port, exc)) from exc
