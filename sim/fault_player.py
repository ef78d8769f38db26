"""Makes a scenario's faults happen, each at its time: on the cable, the board, the cameras, the light, the host."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import assert_never

from drivers.camera import Camera
from drivers.errors import ConfigError
from sim.broker import BrokerProcess
from sim.bus_servo import ServoBus
from sim.cable import Cable
from sim.clock import VirtualLoop
from sim.failing_camera import FailingCamera, Failure
from sim.faults import (
    BoardReset,
    BrokerDead,
    BrownOut,
    CallGone,
    CameraBlack,
    CameraFrozen,
    CameraGone,
    CameraHung,
    ClockJump,
    Dark,
    Fault,
    HostStall,
    LinkCut,
    LinkNoise,
    StopButton,
)
from sim.stage import Stage

LETS_GO_S = 0.5  # from the button let go to the stop released on the page: a quick person


class FaultPlayer:
    """Plays the faults of a stage's scenario. Raises ConfigError for one on a device that isn't there.

    `cable` leads to the board (a link that fails needs one), `broker` is the process that can be killed.
    """

    def __init__(self, stage: Stage, cable: Cable | None, broker: BrokerProcess | None = None) -> None:
        self._stage = stage
        self._cable = cable
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._eye: FailingCamera | None = None
        self._call: FailingCamera | None = None
        for fault in stage.scenario.fault:
            self._need(fault)

    def before_camera(self, camera: Camera) -> Camera:
        """The robot's camera, able to fail if the scenario wants it to."""
        if any(isinstance(fault, CameraHung | CameraFrozen | CameraGone) for fault in self._faults):
            self._eye = FailingCamera(camera, "simulated camera")
            return self._eye
        return camera

    def before_call(self, camera: Camera | None) -> Camera | None:
        """The caller's film, able to end if the scenario wants it to."""
        if camera is not None and any(isinstance(fault, CallGone) for fault in self._faults):
            self._call = FailingCamera(camera, "simulated call")
            return self._call
        return camera

    async def play(self, release: Callable[[], Awaitable[None]]) -> None:
        """Play them all. `release` lets go of the robot's stop, as a person on the page does."""
        async with asyncio.TaskGroup() as group:
            for fault in self._faults:
                group.create_task(self._strike(fault, release), name=f"fault {fault.name}")

    @property
    def _faults(self) -> tuple[Fault, ...]:
        return self._stage.scenario.fault

    def _need(self, fault: Fault) -> None:
        where = f"scenario {self._stage.scenario.name!r}: {fault.name} at {fault.at_s:g} s"
        match fault:
            case LinkCut() | LinkNoise() | BoardReset() | StopButton() | BrownOut():
                if isinstance(self._stage.board, ServoBus):
                    raise ConfigError(f"{where} needs a board, and this body has servos on a bus")
            case ClockJump():
                if not isinstance(self._loop, VirtualLoop):
                    raise ConfigError(f"{where} needs virtual time; leave out --real")
            case BrokerDead():
                if self._broker is None:
                    raise ConfigError(f"{where}: broker-dead needs --real")
            case _:
                pass

    async def _strike(self, fault: Fault, release: Callable[[], Awaitable[None]]) -> None:
        await self._until(fault.at_s)
        match fault:
            case LinkCut() | LinkNoise():
                await self._fail_cable(fault)
            case BoardReset():
                assert not isinstance(self._stage.board, ServoBus)
                self._stage.board.reset()
            case StopButton():
                assert not isinstance(self._stage.board, ServoBus)
                self._stage.board.press_stop(True)
                await self._until(fault.end_s)
                self._stage.board.press_stop(False)
                await self._until(fault.end_s + LETS_GO_S)
                await release()
            case BrownOut():
                self._stage.plant.brown_out(fault.share)
                await self._until(fault.end_s)
                self._stage.plant.brown_out(1.0)
            case CameraHung():
                await self._fail_camera(self._eye, "hung", fault.end_s)
            case CameraFrozen():
                await self._fail_camera(self._eye, "frozen", fault.end_s)
            case CameraGone():
                await self._fail_camera(self._eye, "gone", fault.end_s)
            case CallGone():
                await self._fail_camera(self._call, "gone", fault.end_s)
            case CameraBlack():
                await self._dim(0.0, fault.end_s)
            case Dark():
                await self._dim(fault.light, fault.end_s)
            case HostStall():
                self._stall(fault.for_s)
            case ClockJump():
                self._leap(fault.by_s)
            case BrokerDead():
                assert self._broker is not None
                await self._broker.kill()
                await self._until(fault.end_s)
                await self._broker.start()
            case _:
                assert_never(fault)

    async def _until(self, time_s: float) -> None:
        await asyncio.sleep(self._stage.start_s + time_s - self._loop.time())

    async def _fail_cable(self, fault: LinkCut | LinkNoise) -> None:
        assert self._cable is not None
        if isinstance(fault, LinkCut):
            self._cable.pull()
            await self._until(fault.end_s)
            self._cable.plug()
        else:
            self._cable.garble(fault.bit_error_rate)
            await self._until(fault.end_s)
            self._cable.garble(0.0)

    async def _fail_camera(self, camera: FailingCamera | None, failure: Failure, end_s: float) -> None:
        if camera is None:
            return  # a film plays in its place, which does not fail
        camera.fail(failure)
        await self._until(end_s)
        camera.fail(None)

    async def _dim(self, light: float, end_s: float) -> None:
        self._stage.light = light
        await self._until(end_s)
        self._stage.light = None

    def _stall(self, seconds: float) -> None:
        if isinstance(self._loop, VirtualLoop):
            self._loop.stall(seconds)
        else:
            time.sleep(seconds)  # on the loop's own thread: that is the fault

    def _leap(self, seconds: float) -> None:
        assert isinstance(self._loop, VirtualLoop)
        self._stage.stand_still(seconds)
        self._loop.stall(seconds)
