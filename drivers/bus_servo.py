"""The head's joints on a servo bus: the same device as drivers/head.py, with the computer in the board's place.

There is no microcontroller. A thread follows the knots by the firmware's rules (drivers/follow.py), sends goals at
100 Hz and reads poses at 50 Hz. It does not wait for the event loop: when that stalls, the joints still slow down.
What it cannot do is slow them down when the whole computer dies:

- XL330: its bus watchdog stops it where it is, 200 ms after the last byte.
- STS3215: it has none. It goes to the last goal, which was where the plan stood, and holds there. It trails the
  plan by v²/2a of its own profile, so that is how far it goes on: at its steepest, 39 rad/s², 0.12 rad (7°) at
  3 rad/s, 0.35 rad (20°) at 5.2 rad/s, the fastest it can, and 3 mrad at the 0.5 rad/s of a slow turn.

In both, torque stays on. The servos' own limits of position, speed, acceleration and torque hold throughout.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from drivers.body import ACCELERATION_MARGIN, MAX_JOINTS, VELOCITY_MARGIN, Joint
from drivers.errors import ConfigError, DeviceError, LinkLost, LinkTimeout, Refused
from drivers.follow import AHEAD_S, ROUNDING_RAD, Bounds, Follower
from drivers.head import Knot, Telemetry, limit
from drivers.messages import Reason, State
from drivers.servo_bus import Missed, ServoBus
from drivers.servo_registers import fitting_of

PERIOD_S = 0.01
SLOTS_PER_READING = 2
STATUS_S = 0.5  # twenty-five readings
CONNECT_S = 5.0  # twenty registers of four servos, each tried four times if need be
RELEASE_S = 1.0
CLOSE_S = 2.0  # the slowest body stands by then
SILENT_S = 0.25  # twelve readings in a row are no accident
STALL_S = 0.15  # after which an XL330 may have stopped by itself


class BusHead:
    """Up to four bus servos. `connect` first, then `serve` in a task for as long as it is used.

    After a DeviceError throw it away and build another. `position_rad` in its telemetry is measured; where the
    arm stands a little outside its limits, it says the limit, since plans must begin inside.
    """

    def __init__(self, port: str, joints: tuple[Joint, ...]) -> None:
        if not 1 <= len(joints) <= MAX_JOINTS:
            raise ConfigError(f"a servo bus moves 1 to {MAX_JOINTS} joints, the body has {len(joints)}")
        self._port = port
        self._bounds = tuple(_bounds_of(joint) for joint in joints)
        self._names = tuple(joint.name for joint in joints)
        self._fittings = tuple(fitting_of(joint) for joint in joints)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servo bus")
        self._working: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telemetry: Telemetry | None = None
        self._news = asyncio.Event()
        self._is_ready = False
        self._is_refusing = False
        self._stop_token = 0
        self._last_token = 0
        # What the thread and the loop share, behind the lock.
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._follower = Follower(self._bounds)
        self._measured_rad: tuple[float, ...] = self._follower.goal_rad
        self._is_stop_due = False
        self._release_token = 0
        self._held_token = 0  # of the stop that is in force in the servos
        self._is_closing = False
        self._accepted = 0
        self._refused = 0
        self._last_reason = Reason.NONE
        self._rx_errors = 0

    @property
    def telemetry(self) -> Telemetry | None:
        """The newest, or None before `connect`."""
        return self._telemetry

    @property
    def is_stopped(self) -> bool:
        """Whether a stop is in force; `release` ends it."""
        return self._stop_token != 0

    async def connect(self) -> Telemetry:
        """Open the port, find and set up every servo, torque on where it is, and the pose read back.

        Servos that were stopped before stay stopped: see `is_stopped`. Raises ConfigError without rustypot,
        DeviceError for a port that cannot be had, LinkError naming the joint for a servo that cannot.
        """
        self._loop = asyncio.get_running_loop()
        self._working = self._loop.run_in_executor(self._pool, self._work)
        self._working.add_done_callback(lambda _: self._news.set())
        try:
            async with asyncio.timeout(CONNECT_S):
                while self._telemetry is None:
                    await self._news.wait()
                    self._news.clear()
                    self._tell_failure()
        except TimeoutError as exc:
            raise LinkTimeout(f"{self._port}: the servos are not ready after {CONNECT_S:g} s") from exc
        self._is_ready = True
        return self._telemetry

    async def serve(self) -> None:
        """Wait until the bus fails; raises DeviceError. Nothing moves any more after that."""
        assert self._working is not None
        try:
            await asyncio.shield(self._working)
        finally:
            self._is_ready = False
            self._news.set()

    def command(self, knot: Knot) -> None:
        """Hand over one knot, 30 to 50 ms ahead and after the one before it.

        Raises Refused for what lies outside the limits, is no number, is late, or while stopped; also, once,
        when knots were refused on their way and the arm stands: then begin again from the pose in telemetry.
        """
        if self._stop_token:
            raise Refused("head: stopped; release the stop first")
        if not self._is_ready:
            raise Refused("head: not connected")
        count = len(self._bounds)
        if len(knot.position_rad) != count or len(knot.velocity_rad_s) != count:
            raise Refused(f"a knot needs {count} positions and velocities, has {len(knot.position_rad)}")
        now_s = asyncio.get_running_loop().time()
        with self._lock:
            self._tell_refusals()
            limit(knot.time_s - now_s, 0.0, AHEAD_S, "time ahead of now in s")
            self._check(knot)
            self._follower.step(now_s)
            reason = self._follower.take(knot, now_s, self._measured_rad)
            if reason is Reason.NONE:
                self._accepted = (self._accepted + 1) & 0xFFFF
                self._is_refusing = False
            else:
                self._refused = (self._refused + 1) & 0xFFFF
                self._last_reason = reason
                self._is_refusing = True

    def stop(self) -> None:
        """Emergency stop: hold where it is until `release`. Safe to call at any time."""
        self._last_token = self._last_token % 0xFFFFFFFF + 1
        self._stop_token = self._last_token
        with self._lock:
            self._is_stop_due = True
            self._follower.freeze(self._measured_rad)
        self._wake.set()

    async def release(self) -> None:
        """End the stop in force and hold the pose. Raises Refused if another stop has come meanwhile."""
        token = self._stop_token
        if not token:
            return
        with self._lock:
            self._release_token = token
        self._wake.set()
        try:
            async with asyncio.timeout(RELEASE_S):
                while True:
                    telemetry = await self.next_telemetry()
                    if self._stop_token != token:
                        raise Refused("head: stopped again meanwhile")
                    with self._lock:  # a report may be from before the stop
                        is_over = not (self._is_stop_due or self._release_token or self._held_token)
                    if is_over and telemetry.state is State.HOLDING and telemetry.stop_token == 0:
                        break
        except TimeoutError as exc:
            raise LinkTimeout(f"{self._port}: the servos do not take the release; check the cable") from exc
        self._stop_token = 0

    async def next_telemetry(self) -> Telemetry:
        """Wait for the next report. Raises LinkTimeout after half a second without one."""
        self._news.clear()
        before = self._telemetry
        try:
            async with asyncio.timeout(STATUS_S):
                while self._telemetry is before or self._telemetry is None:
                    self._tell_failure()
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError as exc:
            raise LinkTimeout(f"{self._port}: no report from the servos for {STATUS_S:g} s") from exc
        return self._telemetry

    async def aclose(self) -> None:
        """Slow down, stand, and let go of the line. The servos hold the pose."""
        self._is_ready = False
        with self._lock:
            self._is_closing = True
            self._follower.slow_down()
        self._wake.set()
        if self._working is not None:
            with suppress(DeviceError, ConfigError):
                async with asyncio.timeout(CLOSE_S):
                    await asyncio.shield(self._working)
        self._pool.shutdown(wait=False)

    def _check(self, knot: Knot) -> None:
        for j, bound in enumerate(self._bounds):
            name, speed = self._names[j], bound.velocity_rad_s
            low, high = bound.low_rad - ROUNDING_RAD, bound.high_rad + ROUNDING_RAD
            limit(knot.position_rad[j], low, high, f"{name} in rad")
            limit(knot.velocity_rad_s[j], -speed, speed, f"{name} in rad/s")

    def _tell_refusals(self) -> None:
        """An arm that moves took later knots; one that stands would refuse for ever a plan that left it."""
        if not self._is_refusing or self._follower.state in (State.MOVING, State.STOPPING):
            return
        self._is_refusing = False
        raise Refused(
            f"head: knots were refused ({self._last_reason.name.lower()}) and the arm stands; begin again from "
            "its pose"
        )

    def _tell_failure(self) -> None:
        if self._working is not None and self._working.done():
            self._working.result()
            raise LinkLost(f"{self._port}: closed")

    def _take(self, telemetry: Telemetry) -> None:
        if telemetry.stop_token and not self._stop_token and not self._is_ready:
            self._stop_token = self._last_token = telemetry.stop_token  # stopped before this session
        self._telemetry = telemetry
        self._news.set()

    # From here on: the thread.

    def _work(self) -> None:
        bus = ServoBus(self._port, self._fittings)
        try:
            was_stopped = bus.set_up()
            pose = self._read_first(bus)
            with self._lock:
                self._follower.stand(pose, self._time_s())
                if was_stopped and not self._is_stop_due:
                    self._held_token = 1
                    self._follower.freeze(pose)
            self._report(pose, self._time_s())
            try:
                self._follow(bus)
            except DeviceError:
                if (
                    self._follower.state is not State.DETACHED
                ):  # a goal would switch an STS3215's torque on again
                    with suppress(DeviceError):
                        bus.send_goals(self._measured_rad)  # those that still listen hold where they are
                raise
        finally:
            bus.close()

    def _follow(self, bus: ServoBus) -> None:
        """Goals at 100 Hz, poses at 50 Hz, with absolute deadlines; a slot that was missed is skipped."""
        start_s = heard_s = last_s = self._time_s()
        slot = 0
        while True:
            now_s = self._time_s()
            if now_s - last_s > STALL_S and bus.has_watchdog_fired():
                raise LinkLost(f"{self._port}: this computer stalled and the servos stopped; connect again")
            last_s = now_s
            self._obey(bus)
            with self._lock:
                self._follower.step(now_s)
                state, goal_rad = self._follower.state, self._follower.goal_rad
                is_done = self._is_closing and state is not State.STOPPING
            if state is State.DETACHED:
                bus.let_go()
                raise LinkLost(f"{self._port}: the servos let go after a long silence; connect again")
            bus.send_goals(
                tuple(
                    limit(goal, bound.low_rad, bound.high_rad, f"goal of {name}")
                    for goal, bound, name in zip(goal_rad, self._bounds, self._names, strict=True)
                )
            )
            if is_done:
                return
            if slot % SLOTS_PER_READING == 0 and self._read(bus):
                heard_s = self._time_s()
            elif self._time_s() - heard_s > SILENT_S:
                raise bus.why_silent()
            slot = max(slot + 1, int((self._time_s() - start_s) / PERIOD_S))
            if self._wake.wait(max(start_s + slot * PERIOD_S - self._time_s(), 0.0)):
                self._wake.clear()

    def _obey(self, bus: ServoBus) -> None:
        """Carry out a stop or a release that has come."""
        with self._lock:
            is_stop_due, self._is_stop_due = self._is_stop_due, False
            token, release_token = self._last_token, self._release_token
            if not is_stop_due:
                self._release_token = 0
        if is_stop_due:
            with suppress(Missed):
                self._measured_rad = self._inside(bus.read_pose())
            bus.send_goals(self._measured_rad)
            with self._lock:
                self._follower.freeze(self._measured_rad)
                self._held_token = token
            bus.mark_stopped(True)
        elif release_token and release_token == token and self._held_token:
            bus.mark_stopped(False)
            with self._lock:
                if not self._is_stop_due:
                    self._held_token = 0
                    self._follower.stand(self._follower.goal_rad, self._time_s())

    def _read_first(self, bus: ServoBus) -> tuple[float, ...]:
        """The pose, or LinkTimeout."""
        start_s = self._time_s()
        while self._time_s() - start_s < SILENT_S:
            with suppress(Missed):
                return self._inside(bus.read_pose())
        raise bus.why_silent()

    def _read(self, bus: ServoBus) -> bool:
        """Read and report the pose; False if the answer was lost."""
        before_s = self._time_s()
        try:
            pose = self._inside(bus.read_pose())
        except Missed:
            self._rx_errors = (self._rx_errors + 1) & 0xFFFF
            return False
        self._report(pose, (before_s + self._time_s()) / 2)
        return True

    def _report(self, pose: tuple[float, ...], time_s: float) -> None:
        with self._lock:
            self._measured_rad = pose
            telemetry = Telemetry(
                time_s=time_s,
                position_rad=pose,
                state=self._follower.state,
                stop_token=self._held_token,
                accepted=self._accepted,
                refused=self._refused,
                last_reason=self._last_reason,
                rx_errors=self._rx_errors,
                underruns=self._follower.underruns,
            )
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._take, telemetry)
        except RuntimeError as exc:
            raise LinkLost(f"{self._port}: the robot's program has ended") from exc

    def _inside(self, pose: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(
            min(max(angle, bound.low_rad), bound.high_rad)
            for angle, bound in zip(pose, self._bounds, strict=True)
        )

    def _time_s(self) -> float:
        assert self._loop is not None
        return self._loop.time()


def _bounds_of(joint: Joint) -> Bounds:
    return Bounds(
        low_rad=joint.min_rad,
        high_rad=joint.max_rad,
        rest_rad=joint.rest_rad,
        velocity_rad_s=joint.max_velocity_rad_s * VELOCITY_MARGIN,
        acceleration_rad_s2=joint.max_acceleration_rad_s2 * ACCELERATION_MARGIN,
    )
