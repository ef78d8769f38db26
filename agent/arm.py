"""The loops that move: the board's link, and the 100 Hz tick that sends set-points to it.

The emergency stop is latched here and in the board; a board that comes back while it is latched is stopped
again before anything else. Without a board there is no tick: nothing piles up, and motion begins from the
pose that is read back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from agent import motion
from agent.body import PoseHistory
from agent.config import IdleDial
from agent.events import Bus, HeadPose, NodSignal, Order, Pose, SetPoint
from agent.figures import Figures
from agent.motion import PERIOD_S, Act, Intent, Trajectory
from drivers.body import Body
from drivers.errors import DeviceError, LinkError, Refused, RobotError, heed_cancellation
from drivers.head import HeadDevice, Knot
from drivers.messages import ResetCause, State

LEAD_S = 0.05  # a set-point is sent this long before it is due: the link and three late ticks fit in
MARGIN_S = 0.005  # a knot due sooner could arrive too late
QUIET_S = 10.0  # a trouble that comes again within this time is not said again
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between tries to reach the board; five seconds is what a person waits
CLOSE_TIMEOUT_S = 1.0  # to let go of a port that may be gone
AIM_MAX_AGE_S = 0.6  # a face not seen for longer: the last gaze is kept
NOD_MAX_AGE_S = 0.3  # a caller's frame older than this no longer moves the screen

log = logging.getLogger(__name__)


class Arm:
    """The arm's board, its set-points and its stop."""

    def __init__(self, body: Body, bus: Bus, figures: Figures, idle: IdleDial, description: str) -> None:
        self.body = body
        self.pose_history = PoseHistory(body.rest_rad)
        self.line = "not connected yet"
        self.stopped_by: str | None = None
        self.is_held = False
        self.is_resting = False
        self._bus = bus
        self._figures = figures
        self._idle = idle
        self._description = description
        self._trajectory = Trajectory(body)
        self._head: HeadDevice | None = None
        self._motion: motion.State | None = None
        self._begin: Act | None = None
        self._order: Order | None = None
        self._is_order_new = False
        self._answered_s = -1.0
        self._said_s = -QUIET_S
        self._stops = 0
        self._sent_until_s = 0.0

    @property
    def is_connected(self) -> bool:
        return self._head is not None

    @property
    def act(self) -> Act | None:
        """The gesture that is being made or about to begin."""
        return self._begin or (self._motion.act if self._motion else None)

    @property
    def turn_left_rad(self) -> float | None:
        """How far the arm still is from where gaze wants it, or None when it doesn't move at all."""
        if self._motion is None:
            return None
        pairs = zip(self._motion.position_rad, self._motion.gaze_rad, strict=True)
        return max(abs(p - g) for p, g in pairs)

    def pose(self) -> tuple[float, ...]:
        """Joint angles now, as the board commands them."""
        return self.pose_history.at(asyncio.get_running_loop().time())

    @property
    def order(self) -> Order | None:
        """Who asked for the present gesture."""
        return self._order

    def begin(self, act: Act, order: Order | None = None) -> None:
        """Start a gesture at the next tick, in place of the present one."""
        self._begin, self._order, self._is_order_new = act, order, order is not None

    def end_act(self) -> None:
        """End the gesture where it is; the trajectory brings the arm back smoothly."""
        self._begin = None
        if self._motion is not None:
            self._motion = msgspec.structs.replace(self._motion, act=None)

    def emergency_stop(self, who: str) -> None:
        """Motors rest at once and stay so until `release`. Safe at any time, also without a board."""
        if self.stopped_by is None:
            log.warning("stopped by %s; nothing moves until it is released", who)
        self.stopped_by = who
        self._stops += 1
        self._motion = self._begin = None
        if self._head is not None:
            self._head.stop()

    async def release(self) -> None:
        """Let go of the emergency stop. Raises LinkError if the board cannot be told; it stays stopped then."""
        stops = self._stops
        if self._head is not None:
            await self._head.release()
        if self._stops != stops:
            raise Refused("stopped again meanwhile; release that stop too")
        self.stopped_by = None
        self.is_held = False
        log.info("released")

    async def serve(self, plug_in: Callable[[], Awaitable[HeadDevice]]) -> None:
        """Keep the device connected, for ever; a lost link is said once and tried again with a new one."""
        tries = 0
        while True:
            try:
                async with self._connected(plug_in) as head:
                    log.info("head: connected")
                    self.line, tries = self._description, 0
                    await head.serve()
            except RobotError as exc:
                if self.line != str(exc):
                    log.error("%s", exc)
                self.line = str(exc)
            heed_cancellation()
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            tries += 1

    @asynccontextmanager
    async def _connected(self, plug_in: Callable[[], Awaitable[HeadDevice]]) -> AsyncIterator[HeadDevice]:
        head = await plug_in()
        try:
            telemetry = await head.connect()
            if telemetry.reset_cause is ResetCause.WATCHDOG:
                log.warning("the board's firmware had hung, and its watchdog reset it; please report that")
            self.pose_history.clear()
            self.pose_history.put(telemetry.time_s, telemetry.position_rad)
            if self.stopped_by is not None:
                head.stop()
            elif head.is_stopped:
                self.stopped_by = "somebody, before this robot was started,"
            self._head = head
            yield head
        finally:
            self._head = self._motion = self._begin = None
            with suppress(DeviceError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await head.aclose()

    async def move(self) -> None:
        """The 100 Hz loop: absolute deadlines; a slot that was missed is skipped and counted."""
        loop = asyncio.get_running_loop()
        start_s, slot = loop.time(), 0
        while True:
            before, slot = slot, max(slot + 1, int((loop.time() - start_s) / PERIOD_S))
            due_s = start_s + slot * PERIOD_S
            await asyncio.sleep(due_s - loop.time())
            # Against the first slot that was due, so that a stall counts whole and not as a skipped slot.
            self._figures.note("tick_late_s", loop.time() - start_s - (before + 1) * PERIOD_S)
            if self._head is not None:
                self._heed_button(self._head)
            if self._head is not None and self.stopped_by is None:
                self._tick(self._head, due_s, slot - before)
            if self._head is not None and self._head.telemetry is not None:
                telemetry = self._head.telemetry
                self.pose_history.put(telemetry.time_s, telemetry.position_rad)
                if telemetry.time_s != self._bus.pose.time_s:
                    pose = Pose(time_s=telemetry.time_s, position_rad=telemetry.position_rad)
                    self._bus.pose.put(pose, telemetry.time_s)

    def _heed_button(self, head: HeadDevice) -> None:
        """A stop that the board made by itself is one like any other: latched, said, and to be released."""
        telemetry = head.telemetry
        is_pressed = telemetry is not None and telemetry.is_stop_line_open and self.stopped_by != "button"
        if is_pressed or (head.is_stopped and self.stopped_by is None):
            log.warning("stopped by the button on the robot; nothing moves until it is let go and released")
            self.stopped_by = "button"
            self._stops += 1
            self._motion = self._begin = None

    def _tick(self, head: HeadDevice, due_s: float, periods: int) -> None:
        """Bring motion to the set-point of this slot, through those that were missed, and send it.

        After a stall in which the board ran out of set-points it has braked: motion then begins anew, from the
        pose in which it stands.
        """
        now_s = asyncio.get_running_loop().time()
        if self._motion is not None and self._sent_until_s < now_s:
            self._say_once(
                "the set-points ran out for a moment; the arm braked and goes on from where it stands", now_s
            )
            self._begin_anew()
        if self._motion is None:
            telemetry = head.telemetry
            if telemetry is None or telemetry.state in (State.MOVING, State.STOPPING, State.PARKING):
                return
            self._motion, periods = motion.start(telemetry.position_rad), 1
        aim = self._bus.aim.get(AIM_MAX_AGE_S)
        intent = Intent(
            look_at_m=aim.point_m if aim else None,
            mimic=_trusted(self._bus.nod.get(NOD_MAX_AGE_S)),
            idle=self._idle,
            hold=self.is_held,
            rest=self.is_resting,
            begin=self._begin,
        )
        begun, self._begin = self._begin, None
        try:
            for _ in range(periods):
                self._motion = motion.step(self._motion, intent, self.body, self._trajectory)
                intent = msgspec.structs.replace(intent, begin=None)
            now_s = asyncio.get_running_loop().time()  # the host may have stalled since the tick began
            if due_s + LEAD_S < now_s + MARGIN_S:
                return  # too late to be of use; the next tick's set-point takes its place
            knot = Knot(
                time_s=due_s + LEAD_S,
                position_rad=self._motion.position_rad,
                velocity_rad_s=self._motion.velocity_rad_s,
            )
            head.command(knot)
        except (LinkError, Refused) as exc:
            self._say_once(str(exc), now_s)
            self._begin_anew()
            return
        self._sent_until_s = knot.time_s
        if aim is not None and aim.time_s > self._answered_s:
            self._answered_s = aim.time_s
            self._figures.note("frame_to_setpoint_s", now_s - aim.time_s)
        if begun is not None and self._is_order_new and self._order is not None:
            self._figures.note("order_to_setpoint_s", now_s - self._order.time_s)
            self._is_order_new = False
        self._bus.set_point.put(
            SetPoint(time_s=knot.time_s, position_rad=knot.position_rad, velocity_rad_s=knot.velocity_rad_s),
            due_s,
        )

    def _begin_anew(self) -> None:
        """Motion starts from the next pose that is read back; a gesture that was under way goes on there."""
        if self._motion is not None:
            self._begin = self._begin or self._motion.act
        self._motion = None

    def _say_once(self, line: str, now_s: float) -> None:
        if now_s - self._said_s > QUIET_S:
            log.warning("%s", line)
        self._said_s = now_s


def _trusted(signal: NodSignal | None) -> HeadPose | None:
    """The caller's pose as far as it can be trusted: doubt makes it smaller, never jumpy."""
    if signal is None:
        return None
    pose, share = signal.pose, signal.confidence
    return HeadPose(
        pitch_rad=share * pose.pitch_rad, yaw_rad=share * pose.yaw_rad, roll_rad=share * pose.roll_rad
    )
