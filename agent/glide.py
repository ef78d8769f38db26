"""Slow motion for bringing a board up: joints go to targets that may change at any moment, never with a jump."""

import asyncio
from types import TracebackType

from ruckig import InputParameter, OutputParameter, Result, Ruckig, RuckigError, Synchronization

from drivers.body import Joint
from drivers.errors import LinkTimeout, Refused
from drivers.head import Head, Knot
from drivers.messages import State

PERIOD_S = 0.02
LEAD_S = 0.05  # as in arm: a knot is sent this long before it is due
MARGIN_S = 0.005  # one due sooner could arrive too late
SLOW_RAD_S = 0.3  # as the firmware parks: slow enough to step back from
SLOW_RAD_S2 = 1.0
SLOW_RAD_S3 = 10.0
THERE_RAD = 1e-6
STAND_S = 3.0  # the slowest body stands within two seconds


class Glide:
    """The curve: targets in, position and velocity one period later out."""

    def __init__(self, joints: tuple[Joint, ...], pose_rad: tuple[float, ...]) -> None:
        count = len(joints)
        self.target_rad = list(pose_rad)
        self._otg = Ruckig(count, PERIOD_S)
        self._input = InputParameter(count)
        self._output = OutputParameter(count)
        given = self._input
        given.synchronization = Synchronization.No
        given.current_position = list(pose_rad)
        given.current_velocity = given.current_acceleration = [0.0] * count
        given.target_velocity = given.target_acceleration = [0.0] * count
        given.max_velocity = [min(SLOW_RAD_S, joint.max_velocity_rad_s) for joint in joints]
        given.max_acceleration = [min(SLOW_RAD_S2, joint.max_acceleration_rad_s2) for joint in joints]
        given.max_jerk = [min(SLOW_RAD_S3, joint.max_jerk_rad_s3) for joint in joints]

    @property
    def pose_rad(self) -> tuple[float, ...]:
        return tuple(self._input.current_position)

    @property
    def is_there(self) -> bool:
        """Whether all joints stand at their targets."""
        given = self._input
        gaps = zip(given.current_position, self.target_rad, strict=True)
        return all(abs(p - t) <= THERE_RAD for p, t in gaps) and not any(given.current_velocity)

    def step(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position and velocity after one more period."""
        given, output = self._input, self._output
        given.target_position = self.target_rad
        try:
            result = self._otg.update(given, output)
        except RuckigError as exc:
            raise Refused(f"motion: no way to {self.target_rad} ({exc})") from exc
        if result == Result.Finished:  # rid of the last digits, so that it counts as standing
            given.current_position = list(self.target_rad)
            given.current_velocity = given.current_acceleration = [0.0] * len(self.target_rad)
        else:
            output.pass_to_input(given)
        return tuple(given.current_position), tuple(given.current_velocity)


class Mover:
    """Sends a glide to the board in real time, one knot in each `tick`."""

    def __init__(self, head: Head, joints: tuple[Joint, ...]) -> None:
        telemetry = head.telemetry
        assert telemetry is not None  # it is connected
        self._head = head
        self._joints = joints
        self.glide = Glide(joints, telemetry.position_rad)
        self._due_s: float | None = None  # of the next knot; none: it begins

    async def tick(self) -> None:
        """One knot, when its time has come; while the board is stopped only the time passes.

        After a delay or a refusal it begins again from where the board is.
        """
        loop = asyncio.get_running_loop()
        if self._due_s is not None:
            await asyncio.sleep(self._due_s - LEAD_S - loop.time())
            if self._due_s - loop.time() < MARGIN_S:
                await self.restart()
                self._due_s = None
        if self._head.is_stopped:
            await asyncio.sleep(PERIOD_S)
            self._due_s = None
            return
        if self._due_s is None:
            self._due_s = loop.time() + LEAD_S
        position_rad, velocity_rad_s = self.glide.step()
        knot = Knot(time_s=self._due_s, position_rad=position_rad, velocity_rad_s=velocity_rad_s)
        self._due_s += PERIOD_S
        try:
            self._head.command(knot)
        except Refused:  # the board had stopped following, and stands
            await self.restart()
            self._due_s = None

    async def restart(self) -> None:
        """From where the board stands, to the same targets. Raises LinkTimeout if it does not come to stand."""
        try:
            async with asyncio.timeout(STAND_S):
                telemetry = await self._head.next_telemetry()
                while telemetry.state in (State.MOVING, State.STOPPING, State.PARKING):
                    telemetry = await self._head.next_telemetry()
        except TimeoutError as exc:
            raise LinkTimeout(f"the board does not stand still within {STAND_S:g} s; switch it off") from exc
        targets = self.glide.target_rad
        self.glide = Glide(self._joints, telemetry.position_rad)
        self.glide.target_rad = targets


class Serving:
    """Reads the board's line while it is entered. What fails comes out as an exception group."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._group = asyncio.TaskGroup()
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Head:
        await self._group.__aenter__()
        self._pump = self._group.create_task(self._head.serve(), name="board's line")
        return self._head

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pump is not None:
            self._pump.cancel()
        await self._group.__aexit__(kind, exc, trace)
