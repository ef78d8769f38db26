"""`nod doctor --port`: whether a board is fit to move a robot, measured over its line, then by moving it a little.

Nothing moves and no pulse begins before `move`, and `move` is called only after a person's yes.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from typing import TypeVar

import msgspec

from agent import terminal
from agent.calibrate import WAYS
from agent.doctor import Finding
from agent.glide import Mover, Serving
from drivers.body import Body, Joint
from drivers.errors import LinkTimeout, RobotError, expected
from drivers.head import Head
from drivers.link import ByteStream, Link
from drivers.messages import TABLE_HASH, Message, Pong, ResetCause, State, Status

BOOT_S = (
    4.0  # opening the port resets many boards, and their bootloader waits up to two seconds for a programmer
)
PINGS = 300
PING_PERIOD_S = 0.01
LOST_S = 0.1  # a ping that is not answered by then; a board answers two that arrive together once
MOST_LOST = 3
SLOW_TRIP_S = 0.04  # a set-point is sent 50 ms ahead, and its one way must not spend half of them
TIMING = ("round trip", "clock")  # findings that make motion rough, not wrong
DRIFT_PPM = (
    10_000  # a resonator is within 5000; beyond, the chip runs at another frequency than it was built for
)
CLOCK_ERROR_S = 0.002
MOVE_RAD = math.radians(3.0)
STOP_S = 0.5  # for the stop, which is repeated every 10 ms, to be seen in the reports
LEFT_STOPPED = "the board stays stopped until r in `nod calibrate`, `nod release` of a robot, or its switch"

T = TypeVar("T")
Show = Callable[[str, float], None]
Tell = Callable[[str], None]


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """One ping and its pong: loop times, and the board's clock in between."""

    sent_s: float
    received_s: float
    board_s: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured over the line without moving anything."""

    trips: tuple[Trip, ...]
    pings: int
    errors_here: int  # frames from the board that came broken
    status: Status


async def wake(stream: ByteStream) -> None:
    """Wait until a board with this program's message table answers.

    Raises LinkTimeout when none does, ProtocolError when its table is another, LinkLost.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + BOOT_S
    while True:
        link = Link(stream, lambda _: None)
        try:
            await _with_line(link, link.hello(_session()))
        except LinkTimeout as exc:
            if loop.time() < until_s:
                continue
            raise LinkTimeout(
                f"{stream.name}: no answer from a board in {BOOT_S:g} s; check the cable, "
                "and put the firmware on it with `nod flash`"
            ) from exc
        return


async def measure(stream: ByteStream, show: Show) -> Line:
    """Some seconds of pings to a board that is awake. Raises LinkError."""
    loop = asyncio.get_running_loop()
    sent: dict[int, float] = {}
    trips: list[Trip] = []
    statuses: list[Status] = []
    answered = asyncio.Event()
    session = _session()

    def take(message: Message) -> None:
        if isinstance(message, Pong) and message.number in sent:
            trips.append(
                Trip(
                    sent_s=sent.pop(message.number),
                    received_s=loop.time(),
                    board_s=message.time_us * 1e-6,
                )
            )
            answered.set()
        elif isinstance(message, Status) and message.session == session:
            statuses[:] = [message]

    link = Link(stream, take)

    async def ping() -> int:
        await link.hello(session)
        errors = link.errors  # what came before the session does not count
        for count in range(PINGS):
            answered.clear()
            sent[link.ping()] = loop.time()
            show("measuring the line", (count + 1) / PINGS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOST_S):
                    await answered.wait()
            await asyncio.sleep(PING_PERIOD_S)
        return link.errors - errors

    errors_here = await _with_line(link, ping())
    if not statuses:
        raise LinkTimeout(f"{stream.name}: the board answers but reports nothing; flash its firmware again")
    return Line(trips=tuple(trips), pings=PINGS, errors_here=errors_here, status=statuses[0])


def judge(line: Line) -> list[Finding]:
    """What was measured, as findings."""
    status = line.status
    findings = [
        Finding(
            what="firmware", is_well=True, says=f"message table {TABLE_HASH:08x}, the same as this program's"
        ),
        _reset(status.reset_cause),
    ]
    is_open = status.is_stop_line_open != 0
    says = "open: let go of the stop button, or mend its wire to ground" if is_open else "closed"
    findings.append(Finding(what="stop line", is_well=not is_open, says=says))
    is_stopped = status.state == State.STOPPED
    says = f"in force; {LEFT_STOPPED}" if is_stopped else "none in force"
    findings.append(Finding(what="emergency stop", is_well=not is_stopped, says=says))
    lost = line.pings - len(line.trips)
    is_well = lost <= MOST_LOST and line.errors_here == 0 and status.rx_errors == 0
    says = f"{lost} of {line.pings} pings lost; broken frames: {line.errors_here} here, {status.rx_errors} at the board"
    says += "" if is_well else "; try another cable, and join the grounds of board and servo supply"
    findings.append(Finding(what="line", is_well=is_well, says=says))
    if len(line.trips) >= PINGS // 2:
        findings += [_round_trip(line.trips), _clock(line.trips)]
    return findings


def _reset(code: int) -> Finding:
    says = {
        ResetCause.POWER: "it was switched on",
        ResetCause.WATCHDOG: "the firmware hung and the watchdog reset it; flash it again, and tell what it did",
        ResetCause.OTHER: "the reset pin (opening the port does that), a dip in the supply, or a debugger",
    }.get(ResetCause(code) if code in list(ResetCause) else ResetCause.OTHER, "")
    return Finding(what="last reset", is_well=code != ResetCause.WATCHDOG, says=says)


def _round_trip(trips: tuple[Trip, ...]) -> Finding:
    spans = sorted(trip.received_s - trip.sent_s for trip in trips)
    p50, p99 = spans[len(spans) // 2], spans[len(spans) * 99 // 100]
    says = f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms of {len(spans)}"
    if p99 > SLOW_TRIP_S:
        says += f"; up to {SLOW_TRIP_S * 1e3:.0f} ms are well; try another USB port, latency_timer 1, a quieter machine"
    return Finding(what="round trip", is_well=p99 <= SLOW_TRIP_S, says=says)


def _clock(trips: tuple[Trip, ...]) -> Finding:
    """A straight line through the shorter half of the round trips; the board's 32 bits may wrap once."""
    board_s, wraps = [trips[0].board_s], 0.0
    for before, after in zip(trips, trips[1:], strict=False):
        wraps += (1 << 32) * 1e-6 if after.board_s < before.board_s - 1.0 else 0.0
        board_s.append(after.board_s + wraps)
    longest = sorted(trip.received_s - trip.sent_s for trip in trips)[len(trips) // 2]
    points = [
        ((trip.sent_s + trip.received_s) / 2, board)
        for trip, board in zip(trips, board_s, strict=True)
        if trip.received_s - trip.sent_s <= longest
    ]
    host_mean = sum(host for host, _ in points) / len(points)
    board_mean = sum(board for _, board in points) / len(points)
    spread = sum((host - host_mean) ** 2 for host, _ in points)
    rate = sum((host - host_mean) * (board - board_mean) for host, board in points) / spread
    errors = sorted(abs(board - board_mean - rate * (host - host_mean)) for host, board in points)
    error_s = errors[len(errors) * 99 // 100]
    drift_ppm = (rate - 1.0) * 1e6
    is_well = abs(drift_ppm) <= DRIFT_PPM and error_s <= CLOCK_ERROR_S
    says = f"{round(drift_ppm):+d} ppm against this machine's, p99 of its error {error_s * 1e3:.3f} ms"
    if abs(drift_ppm) > DRIFT_PPM:
        says += "; the chip's frequency is not the one that its firmware was built for"
    elif not is_well:
        says += f"; up to {CLOCK_ERROR_S * 1e3:g} ms are well: this machine or its USB is very busy"
    return Finding(what="clock", is_well=is_well, says=says)


async def check_limits(stream: ByteStream, body: Body) -> Finding:
    """Whether the board takes the body's limits and pins; its pulses stay as they are."""
    try:
        head = Head(stream, body.joint, body.pulse_rate_hz)
        await head.connect(is_enabling=False)
    except RobotError as exc:
        return Finding(what="limits", is_well=False, says=str(exc))
    if head.is_stopped:
        return Finding(what="limits", is_well=False, says="not tried, because the board is stopped")
    return Finding(what="limits", is_well=True, says=f"taken for {len(body.joint)} joints of {body.name!r}")


async def move(stream: ByteStream, body: Body, tell: Tell, *, has_person: bool) -> list[Finding]:
    """Pulses on, then each joint three degrees from rest and back, slowly.

    A person at the terminal stops it at once with any key, and is asked after each joint. Raises LinkError, also in a
    group; when cancelled, the board is stopped and stays so.
    """
    head = Head(stream, body.joint, body.pulse_rate_hz)
    await head.connect()
    async with Serving(head):
        try:
            if not has_person:
                return await _Moves(head, body, tell, None).run()
            async with terminal.Keys() as keys:
                return await _Moves(head, body, tell, keys).run()
        except asyncio.CancelledError:
            if await _stop(head):
                tell(f"stopped; {LEFT_STOPPED}")
            raise


class _Moves:
    """Each joint in turn."""

    def __init__(self, head: Head, body: Body, tell: Tell, keys: terminal.Keys | None) -> None:
        self._head = head
        self._body = body
        self._tell = tell
        self._keys = keys
        self._mover = Mover(head, body.joint)

    async def run(self) -> list[Finding]:
        if self._keys is not None:
            self._tell("every key stops at once")
        findings: list[Finding] = []
        self._mover.glide.target_rad = list(self._body.rest_rad)
        is_going_on = await self._arrive()
        for place, joint in enumerate(self._body.joint):
            if not is_going_on:
                says = f"left out, because it was stopped; {LEFT_STOPPED}"
                findings.append(Finding(what=f"joint {joint.name}", is_well=False, says=says))
                continue
            finding = await self._joint(place, joint)
            findings.append(finding)
            is_going_on = not self._head.is_stopped
        return findings

    async def _joint(self, place: int, joint: Joint) -> Finding:
        what = f"joint {joint.name}"
        has_room = joint.rest_rad + MOVE_RAD <= joint.max_rad
        by_rad = MOVE_RAD if has_room else -min(MOVE_RAD, joint.rest_rad - joint.min_rad)
        way = WAYS[joint.axis][0 if has_room else 1]
        self._tell(f"{joint.name} moves {math.degrees(abs(by_rad)):.0f}° {way}, and back")
        refused = self._refused()
        for target_rad in (joint.rest_rad + by_rad, joint.rest_rad):
            self._mover.glide.target_rad[place] = target_rad
            if not await self._arrive():
                return Finding(what=what, is_well=False, says=f"stopped on its way; {LEFT_STOPPED}")
        await self._head.next_telemetry()  # what was refused on the way is in it
        refused = self._refused() - refused
        says = f"sent {math.degrees(abs(by_rad)):.0f}° {way} and back"
        if refused:
            return Finding(
                what=what, is_well=False, says=f"{says}, but the board refused {refused} set-points"
            )
        if self._keys is None:
            return Finding(what=what, is_well=True, says=f"{says}; nobody was asked what it did")
        return await self._question(what, joint, says, way)

    async def _question(self, what: str, joint: Joint, says: str, way: str) -> Finding:
        assert self._keys is not None
        self._tell(f"did {joint.name} move {way}, and back? y or n; other keys stop")
        while not self._head.is_stopped:
            match self._keys.take():
                case None:
                    await self._mover.tick()  # or the board would think that nobody cares, and park
                case "y":
                    return Finding(what=what, is_well=True, says=f"{says}, as was seen")
                case "n":
                    todo = f"check its plug and pin; the wrong way: turn the sign of per_rad_us of {joint.name!r}"
                    return Finding(what=what, is_well=False, says=f"{says}, but was not seen to; {todo}")
                case _:
                    await _stop(self._head)
        return Finding(what=what, is_well=False, says=f"stopped; {LEFT_STOPPED}")

    async def _arrive(self) -> bool:
        """Wait until the arm is there; False if it was stopped, by a key or at the board."""
        while not self._mover.glide.is_there:
            if self._keys is not None and self._keys.take() is not None:
                await _stop(self._head)
            if self._head.is_stopped:
                return False
            await self._mover.tick()
        return not self._head.is_stopped

    def _refused(self) -> int:
        telemetry = self._head.telemetry
        return telemetry.refused if telemetry is not None else 0


async def _stop(head: Head) -> bool:
    """Emergency stop; whether the board said that it stands. Without that word the stop was sent fifty times."""
    head.stop()
    try:
        async with asyncio.timeout(STOP_S):
            while (await head.next_telemetry()).state is not State.STOPPED:
                pass
    except (TimeoutError, LinkTimeout):
        terminal.warn(
            "the board has not said that it stopped; without its line it stops alone, else switch it off"
        )
        return False
    return True


async def _with_line(link: Link, work: Coroutine[object, object, T]) -> T:
    """Do something while the line is being read; what fails comes out as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(link.serve(), name="board's line")
            result = await work
            pump.cancel()
    except BaseExceptionGroup as errors:
        error = expected(errors)
        if error is None:
            raise
        raise error from error.__cause__
    return result


def _session() -> int:
    """Another number than the session before."""
    return int(asyncio.get_running_loop().time() * 1000) % 0xFFFF + 1
