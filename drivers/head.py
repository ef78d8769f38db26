"""The head's joints as a device: knots in, telemetry out, and a stop that always works.

The board has limits of its own and stops alone; what is checked here is checked there again.
"""

import asyncio
import math
from typing import Protocol

import msgspec

from drivers import messages
from drivers.body import ACCELERATION_MARGIN, MAX_JOINTS, VELOCITY_MARGIN, Joint, PwmServo
from drivers.errors import ConfigError, DeviceError, LinkLost, LinkTimeout, ProtocolError, Refused
from drivers.link import ByteStream, Link
from drivers.messages import Reason, ResetCause, State

POSITION_ROUNDING_RAD = 1e-6  # the wire's unit
MAX_AHEAD_S = 1.0  # the board refuses what lies further ahead
STATUS_S = 0.5  # the board reports every 20 ms
STOPPING_S = 3.0  # the slowest body stands within two seconds; parking ends at hello
CLOCK_S = 0.5  # the first round trips come every 20 ms
CLOCK_SAMPLES = 3  # before the board's clock is trusted
PULSE_RATE_HZ = 50.0  # what every servo takes
RELEASE_S = 1.0  # for the stop itself to arrive, which is repeated every 10 ms


class Knot(msgspec.Struct, frozen=True, kw_only=True):
    """Where the joints shall be, and how fast, at a loop time; the board joins knots by cubics."""

    time_s: float
    position_rad: tuple[float, ...]
    velocity_rad_s: tuple[float, ...]


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself; `position_rad` at loop time `time_s` is what a board commands its servos,
    and what bus servos measure."""

    time_s: float
    position_rad: tuple[float, ...]
    state: State
    stop_token: int  # 0 when not stopped
    accepted: int  # counters, 16 bits, since the session began
    refused: int
    last_reason: Reason
    rx_errors: int
    underruns: int
    is_stop_line_open: bool = False  # the stop button is pressed, or its wire is cut; a servo bus has none
    reset_cause: ResetCause | None = None  # None: a servo bus does not tell


class HeadDevice(Protocol):
    """The joints, whatever moves them: a board (`Head`) or servos on a bus (`drivers.bus_servo.BusHead`)."""

    @property
    def telemetry(self) -> Telemetry | None: ...

    @property
    def is_stopped(self) -> bool: ...

    async def connect(self) -> Telemetry: ...

    async def serve(self) -> None: ...

    def command(self, knot: Knot) -> None: ...

    def stop(self) -> None: ...

    async def release(self) -> None: ...

    async def next_telemetry(self) -> Telemetry: ...

    async def aclose(self) -> None: ...


def limit(value: float, low: float, high: float, name: str) -> float:
    """The value, if it is a number within its limits; raises Refused, never clamps."""
    if not math.isfinite(value):
        raise Refused(f"{name} is {value}, not a number that a joint can follow")
    if not low <= value <= high:
        raise Refused(f"{name} is {value:.4g}; the limits are {low:.4g} and {high:.4g}")
    return value


class _Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What `command` checks one joint against, and what it calls it."""

    position: str
    velocity: str
    low_rad: float
    high_rad: float
    velocity_rad_s: float


class Head:
    """A board with up to four joints. `connect` first, then `serve` in a task for as long as it is used.

    After a LinkError throw it away and build another with a new stream.
    """

    def __init__(
        self, stream: ByteStream, joints: tuple[Joint, ...], pulse_rate_hz: float = PULSE_RATE_HZ
    ) -> None:
        if not 1 <= len(joints) <= MAX_JOINTS:
            raise ConfigError(f"a board moves 1 to {MAX_JOINTS} joints, the body has {len(joints)}")
        self._joints = joints
        self._limits = tuple(limits_of(place, joint) for place, joint in enumerate(joints))
        self._bounds = tuple(_bounds_of(joint) for joint in joints)
        self._pulse_period_us = round(1e6 / pulse_rate_hz)
        self._link = Link(stream, self._take)
        self._session = 0
        self._is_ready = False
        self._stop_token = 0  # of the stop in force, as far as this side knows
        self._last_token = 0
        self._telemetry: Telemetry | None = None
        self._reported_s = 0.0
        self._news = asyncio.Event()
        self._previous: messages.SetPoint | None = None
        self._is_refusing = False  # since the last report, knots were refused and none was taken

    @property
    def telemetry(self) -> Telemetry | None:
        """The newest, or None before `connect`."""
        return self._telemetry

    @property
    def is_stopped(self) -> bool:
        """Whether a stop is in force; `release` ends it."""
        return self._stop_token != 0

    async def connect(self, *, is_enabling: bool = True) -> Telemetry:
        """Handshake, clock, limits, enable, and the pose read back. Pulses stay as they are if not `is_enabling`.

        A board that was stopped before stays stopped: see `is_stopped`. Raises LinkTimeout without an answer,
        ProtocolError for another firmware, ConfigError if the board does not take the body's limits.
        """
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._link.serve(), name="head handshake")
                telemetry = await self._open(is_enabling)
                pump.cancel()
        except ExceptionGroup as errors:
            for error in errors.exceptions:
                if isinstance(error, DeviceError | ConfigError | Refused):
                    raise error from error.__cause__
            raise
        return telemetry

    async def serve(self) -> None:
        """Run the line until it fails; raises LinkError. Nothing moves any more after that."""
        try:
            await self._link.serve()
        finally:
            self._is_ready = False
            self._news.set()

    def command(self, knot: Knot) -> None:
        """Send one knot, 30 to 50 ms ahead and after the one before it.

        Raises Refused for what lies outside the limits, is no number, is late, or while stopped; also, once,
        when the board itself refused knots and stands: then begin again from the pose in telemetry.
        """
        if self._stop_token:
            raise Refused("head: stopped; release the stop first")
        if not self._is_ready:
            raise Refused("head: not connected")
        count = len(self._joints)
        if len(knot.position_rad) != count or len(knot.velocity_rad_s) != count:
            raise Refused(f"a knot needs {count} positions and velocities, has {len(knot.position_rad)}")
        self._tell_refusals()
        now_s = asyncio.get_running_loop().time()
        limit(knot.time_s - now_s, 0.0, MAX_AHEAD_S, "time ahead of now in s")
        position, velocity = [0] * MAX_JOINTS, [0] * MAX_JOINTS
        for place, bounds in enumerate(self._bounds):
            position_rad, velocity_rad_s = knot.position_rad[place], knot.velocity_rad_s[place]
            speed = bounds.velocity_rad_s
            # `limit` says what is wrong; what is right need not be looked at twice.
            if not (bounds.low_rad <= position_rad <= bounds.high_rad and -speed <= velocity_rad_s <= speed):
                limit(position_rad, bounds.low_rad, bounds.high_rad, bounds.position)
                limit(velocity_rad_s, -speed, speed, bounds.velocity)
            urad = round(position_rad * 1e6)
            units = self._limits[place]
            position[place] = min(max(urad, units.min_urad), units.max_urad)
            velocity[place] = round(velocity_rad_s * 1e3)
        time_us = self._link.clock.board_us(knot.time_s)
        positions = (position[0], position[1], position[2], position[3])
        velocities = (velocity[0], velocity[1], velocity[2], velocity[3])
        before = self._previous
        point = messages.SetPoint(
            time_us=time_us,
            position_urad=positions,
            velocity_mrad_s=velocities,
            previous_time_us=before.time_us if before else time_us,  # not before it: there is none
            previous_position_urad=before.position_urad if before else positions,
            previous_velocity_mrad_s=before.velocity_mrad_s if before else velocities,
        )
        self._link.send(point)
        self._previous = point

    def stop(self) -> None:
        """Emergency stop: pulses freeze and stay frozen until `release`. Safe to call at any time."""
        self._last_token = self._last_token % 0xFFFFFFFF + 1
        self._stop_token = self._last_token
        self._previous = None
        self._link.urgent(messages.Stop(token=self._stop_token))

    async def release(self) -> None:
        """End the stop in force and hold the pose. Raises Refused if another stop has come meanwhile."""
        token = self._stop_token
        if not token:
            return
        try:
            async with asyncio.timeout(RELEASE_S):
                while self._link.is_urgent_pending:
                    await self.next_telemetry()
        except TimeoutError as exc:
            raise LinkTimeout(
                f"{self._link.name}: the board has not answered the stop; check the cable"
            ) from exc
        await self._ask(messages.Release(token=token))
        if self._stop_token != token:
            raise Refused("head: stopped again meanwhile")
        self._stop_token = 0
        for bounds in self._limits:
            await self._ask(bounds)
        await self._enable()
        await self._settle(token)
        if self._stop_token:
            raise Refused("head: stopped again meanwhile")

    async def recalibrate(self, place: int, joint: Joint, position_rad: float) -> None:
        """Another zero and other limits for a joint that stands; `position_rad` is where it stands by the new ones.

        A board with pulses on takes no other pulse, so they pause for some milliseconds, which a servo does not
        notice. Its pose would then stay the same number of radians and so become another pulse: limits that
        leave out the old pose and rest at the new one make it the new one, then come the true ones.
        """
        bounds = limits_of(place, joint)
        pose_urad = round(limit(position_rad, joint.min_rad, joint.max_rad, f"{joint.name} in rad") * 1e6)
        pose_urad = min(max(pose_urad, bounds.min_urad), bounds.max_urad)
        self._previous = None
        telemetry = await self._stand()
        old_urad = round(telemetry.position_rad[place] * 1e6)
        self._is_ready = False  # detached by itself, the board would pass for one that let go
        await self._ask(messages.Detach())
        low_urad, high_urad = (
            (pose_urad, pose_urad + 1) if old_urad < pose_urad else (pose_urad - 1, pose_urad)
        )
        if old_urad != pose_urad:
            await self._ask(
                msgspec.structs.replace(bounds, min_urad=low_urad, max_urad=high_urad, rest_urad=pose_urad)
            )
        await self._ask(bounds)
        self._joints = (*self._joints[:place], joint, *self._joints[place + 1 :])
        self._limits = (*self._limits[:place], bounds, *self._limits[place + 1 :])
        self._bounds = (*self._bounds[:place], _bounds_of(joint), *self._bounds[place + 1 :])
        await self._enable()
        await self._settle(0)
        self._is_ready = True

    async def next_telemetry(self) -> Telemetry:
        """Wait for the next report. Raises LinkTimeout after half a second without one."""
        self._news.clear()
        before = self._telemetry
        try:
            async with asyncio.timeout(STATUS_S):
                while self._telemetry is before or self._telemetry is None:
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError as exc:
            raise LinkTimeout(f"{self._link.name}: no report from the board for {STATUS_S:g} s") from exc
        return self._telemetry

    async def aclose(self) -> None:
        """Let go of the line. The board slows down and stops by itself."""
        self._is_ready = False
        await self._link.aclose()

    def _tell_refusals(self) -> None:
        """A board that moves took later knots; one that stands would refuse for ever a plan that left it."""
        telemetry = self._telemetry
        if not self._is_refusing or telemetry is None or telemetry.state in (State.MOVING, State.STOPPING):
            return
        self._is_refusing = False
        self._previous = None
        raise Refused(
            f"head: the board refused knots ({telemetry.last_reason.name.lower()}) and stands; "
            "begin again from its pose"
        )

    async def _open(self, is_enabling: bool) -> Telemetry:
        loop = asyncio.get_running_loop()
        # Another number than any session before, and the same in every run of one simulation.
        self._session = int(loop.time() * 1000) % 0xFFFF + 1
        self._previous = None
        await self._link.hello(self._session)
        try:
            async with asyncio.timeout(CLOCK_S):
                while self._link.clock.samples < CLOCK_SAMPLES:
                    await self.next_telemetry()
        except TimeoutError as exc:
            raise LinkTimeout(
                f"{self._link.name}: the board does not tell its time; check the cable"
            ) from exc
        telemetry = await self._stand()
        if telemetry.state is not State.STOPPED:
            for bounds in self._limits:
                await self._ask(bounds)
            if is_enabling:
                await self._enable()
                telemetry = await self._settle(0)
        self._is_refusing = False
        self._is_ready = is_enabling
        return telemetry

    async def _stand(self) -> Telemetry:
        """Wait until the board has slowed down from whatever it did for a host before."""
        try:
            async with asyncio.timeout(STOPPING_S):
                while True:
                    telemetry = await self.next_telemetry()
                    if telemetry.state not in (State.MOVING, State.STOPPING, State.PARKING):
                        return telemetry
        except TimeoutError as exc:
            raise LinkTimeout(f"{self._link.name}: the board does not stand still; switch it off") from exc

    async def _settle(self, old_token: int) -> Telemetry:
        """The first report of a board that holds, with no trace of the stop before."""
        while True:
            telemetry = await self.next_telemetry()
            is_fresh = telemetry.stop_token == 0 or telemetry.stop_token != old_token
            if is_fresh and telemetry.state in (State.HOLDING, State.STOPPED):
                return telemetry

    async def _enable(self) -> None:
        await self._ask(messages.Enable(joint_count=len(self._joints), pulse_period_us=self._pulse_period_us))

    async def _ask(self, message: messages.Message) -> None:
        reason = await self._link.request(message)
        if reason is Reason.NONE:
            return
        what = type(message).__name__.lower()
        if reason is Reason.STOP_LINE:
            raise Refused("head: the stop button is pressed, or its wire is cut; let go of it, then release")
        if isinstance(message, messages.Limits):
            joint = self._joints[message.joint]
            if reason is Reason.PIN:
                raise ConfigError(
                    f"{self._link.name}: this board has no servo pin {message.pin} (joint {joint.name!r}); "
                    "docs/hardware.md names the pins"
                )
            raise ConfigError(
                f"{self._link.name}: the board does not take the limits of joint "
                f"{joint.name!r}; compare them with body.toml, or switch the board "
                "off and on if the body was changed"
            )
        raise Refused(f"{self._link.name}: the board refuses {what!r}: {reason.name.lower()}")

    def _take(self, message: messages.Message) -> None:
        now_s = asyncio.get_running_loop().time()
        if not isinstance(message, messages.Status):
            if self._is_ready and now_s - self._reported_s > STATUS_S:
                # It answers pings and reports nothing: it has begun anew, and knows no session.
                raise LinkLost(f"{self._link.name}: the board has restarted; connect again")
            return
        self._reported_s = now_s
        if message.session != self._session:
            if self._is_ready:
                raise LinkLost(f"{self._link.name}: the board has restarted; connect again")
            return
        if not self._link.clock.samples:
            return
        if self._is_ready and message.state in (State.IDLE, State.DETACHED) and not self._stop_token:
            raise LinkLost(
                f"{self._link.name}: the board let go of its servos after a long silence; connect again"
            )
        if message.stop_token:
            self._last_token = max(self._last_token, message.stop_token)
            if message.stop_token != self._stop_token and not self._link.is_urgent_pending:
                # Stopped before this session, or by the button.
                self._stop_token, self._previous = message.stop_token, None
        try:
            state, last_reason = State(message.state), Reason(message.last_reason)
            reset_cause = ResetCause(message.reset_cause)
        except ValueError as exc:
            raise ProtocolError(
                f"{self._link.name}: the board reports {exc}; flash its firmware again"
            ) from exc
        before = self._telemetry
        if before is not None and message.accepted != before.accepted:
            self._is_refusing = False
        elif before is not None and message.refused != before.refused:
            self._is_refusing = True
        self._telemetry = Telemetry(
            time_s=self._link.clock.loop_s(message.time_us),
            position_rad=tuple(urad * 1e-6 for urad in message.position_urad[: len(self._joints)]),
            state=state,
            stop_token=message.stop_token,
            accepted=message.accepted,
            refused=message.refused,
            last_reason=last_reason,
            rx_errors=message.rx_errors,
            underruns=message.underruns,
            is_stop_line_open=message.is_stop_line_open != 0,
            reset_cause=reset_cause,
        )
        self._news.set()


def _bounds_of(joint: Joint) -> _Bounds:
    return _Bounds(
        position=f"{joint.name} in rad",
        velocity=f"{joint.name} in rad/s",
        # The margin is for rounding in the planner; the wire's whole numbers are exact again.
        low_rad=joint.min_rad - POSITION_ROUNDING_RAD,
        high_rad=joint.max_rad + POSITION_ROUNDING_RAD,
        velocity_rad_s=joint.max_velocity_rad_s * VELOCITY_MARGIN,
    )


def limits_of(place: int, joint: Joint) -> messages.Limits:
    """A joint in the wire's units. Raises ConfigError for what the wire cannot say."""
    if not isinstance(joint.servo, PwmServo):
        raise ConfigError(f"joint {joint.name!r}: the board drives PWM servos; this one is on a servo bus")
    velocity = round(joint.max_velocity_rad_s * VELOCITY_MARGIN * 1e3)
    acceleration = round(joint.max_acceleration_rad_s2 * ACCELERATION_MARGIN * 1e3)
    if not (1 <= velocity <= 32767 and 1 <= acceleration <= 1_000_000):
        raise ConfigError(
            f"joint {joint.name!r}: a board takes up to 31 rad/s and 800 rad/s², "
            f"not {joint.max_velocity_rad_s:g} and {joint.max_acceleration_rad_s2:g}"
        )
    return messages.Limits(
        joint=place,
        pin=joint.servo.pin,
        min_urad=round(joint.min_rad * 1e6),
        max_urad=round(joint.max_rad * 1e6),
        rest_urad=round(joint.rest_rad * 1e6),
        velocity_mrad_s=velocity,
        acceleration_mrad_s2=acceleration,
        pulse_centre_us=joint.servo.centre_us,
        pulse_per_rad_ns=round(joint.servo.per_rad_us * 1e3),
    )
