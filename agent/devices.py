"""The composition root: which device is real and which is simulated.

Besides `rehearsal`, nothing else sees agent, drivers and sim together.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from agent.config import Config
from agent.eyes import Seeing
from agent.modelled import ModelledVision
from agent.viewing import Block, Scene, Standing, scene_of
from agent.vision import Vision
from drivers import body as bodies
from drivers.audio import Microphone
from drivers.body import Body, PwmServo
from drivers.bus_servo import BusHead
from drivers.camera import DEFAULT_FIELD_OF_VIEW_RAD, Camera, Lens, OpenCvCamera
from drivers.errors import ConfigError, DeviceError, without_login
from drivers.head import Head, HeadDevice
from drivers.link import SerialStream
from drivers.servo_bus import need_library
from drivers.servo_registers import fitting_of
from sim import clock
from sim import link_trials as sim_link_trials
from sim.board import LockstepBoard, ProcessBoard
from sim.broker import BrokerProcess
from sim.bus_servo import ServoBus
from sim.cable import Cable, LockstepCable, PtyCable
from sim.fault_player import FaultPlayer
from sim.faults import LinkCut, LinkNoise
from sim.landmarks import Landmarks
from sim.link_trials import Trial
from sim.microphone import need_pyroomacoustics
from sim.people import NAMES
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.stage import Fidelity, Physics, Stage, plant_of


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to nod.toml."""

    scenario: str = "living-room"
    seed: int = 1
    call: str | None = None  # a film of a caller; none: the scenario's
    has_page: bool = True
    fidelity: Fidelity = "pixels"  # of the simulated cameras
    physics: Physics = "light"  # of the simulated body
    has_sound: bool = False  # a recording shall hold what is said in the simulated room


class Devices(msgspec.Struct, kw_only=True):
    """What the robot is made of in this run. What is simulated says so."""

    body: Body
    camera: Camera
    camera_says: str
    call_camera: Camera | None
    microphone: Microphone | None
    plug_in: Callable[[], Awaitable[HeadDevice]]
    board_says: str
    stage: Stage | None
    faults: FaultPlayer | None
    scene: Scene
    seeing: Seeing
    call_seeing: Seeing

    def people(self, now_s: float) -> tuple[Standing, ...]:
        """Everybody in the simulated room."""
        if self.stage is None:
            return ()
        return tuple(
            Standing(
                name=actor.name,
                x_m=actor.position_m[0],
                y_m=actor.position_m[1],
                z_m=actor.position_m[2],
                yaw_rad=actor.yaw_rad,
            )
            for actor in self.stage.actors(now_s)
        )


@contextlib.asynccontextmanager
async def devices(
    config: Config, options: Options, is_virtual: bool, broker: BrokerProcess | None = None
) -> AsyncIterator[Devices]:
    """Choose each device: the real one if it is configured, else its stand-in. `broker` is one for faults to kill.

    Raises ConfigError or DeviceError when what was asked for cannot be had.
    """
    body = bodies.load(Path(config.head.body) if config.head.body else bodies.DEFAULT_BODY)
    port, source = config.head.port, config.camera.source
    if _has_bus(body):
        need_library()
        for joint in body.joint:
            fitting_of(joint)  # said now rather than each time the arm is plugged in
    if port is not None and source is None:
        raise ConfigError("a real arm needs a real camera: add --camera 0 (see `ls /dev/video*`)")
    record = config.record
    wants_sound = options.has_sound or (record.enabled and record.sound and not is_virtual)
    has_sound = wants_sound and port is None and source is None  # of the room, which needs what few have
    if has_sound:
        need_pyroomacoustics()  # before the room's time begins
    async with contextlib.AsyncExitStack() as stack:
        stage: Stage | None = None
        far_side: LockstepBoard | ProcessBoard | ServoBus | None = None
        cable: LockstepCable | PtyCable | None = None
        faults: FaultPlayer | None = None
        if port is None:
            far_side = _far_side(body, is_virtual)
            await stack.enter_async_context(far_side)
            scenario = load_scenario(options.scenario, NAMES)
            if _has_bus(body) and options.physics != "light":
                raise ConfigError(
                    f"body {body.name!r} has bus servos, which move their joints without physics"
                )
            plant = plant_of(options.physics)
            stage = Stage(scenario, body, far_side, options.seed, options.fidelity, plant)
            cable = await _cable(far_side, scenario, options.seed, stack)
            faults = FaultPlayer(stage, cable, broker)
        camera, call_camera = _camera(config, stage), _call_camera(options, stage if source is None else None)
        is_modelled = stage is not None and source is None and options.fidelity == "landmarks"
        yield Devices(
            body=body,
            camera=faults.before_camera(camera) if faults is not None and source is None else camera,
            camera_says="simulated room" if source is None else f"camera {without_login(source)}",
            call_camera=faults.before_call(call_camera) if faults and not options.call else call_camera,
            microphone=stage.microphone() if stage is not None and has_sound else None,
            plug_in=_plug(body, port, far_side, cable),
            board_says=_says(body, port),
            stage=stage,
            faults=faults,
            scene=_scene(body, stage, is_body_simulated=port is None, is_camera_simulated=source is None),
            seeing=_seeing(stage.landmarks if stage and is_modelled else None, has_identity=True),
            # Nobody is told apart in a call.
            call_seeing=_seeing(
                stage.call_landmarks if stage and is_modelled and options.call is None else None,
                has_identity=False,
            ),
        )


def _camera(config: Config, stage: Stage | None) -> Camera:
    source = config.camera.source
    if source is None:
        assert stage is not None
        return stage.camera()
    return OpenCvCamera(source, config.camera.field_of_view_rad or DEFAULT_FIELD_OF_VIEW_RAD)


def _call_camera(options: Options, stage: Stage | None) -> Camera | None:
    if options.call is not None:
        return OpenCvCamera(options.call)
    return stage.call_camera() if stage is not None else None


def _seeing(model: Callable[[Lens], Landmarks] | None, *, has_identity: bool) -> Seeing:
    """Vision, or the error model in its place."""
    if model is None:
        return Seeing(make=lambda lens: Vision(lens, identity=has_identity))
    return Seeing(make=lambda lens: ModelledVision(model(lens)), needs_thread=False)


def _has_bus(body: Body) -> bool:
    return not isinstance(body.joint[0].servo, PwmServo)


def _far_side(body: Body, is_virtual: bool) -> LockstepBoard | ProcessBoard | ServoBus:
    """What stands in for the board, or for the servos on a bus."""
    if _has_bus(body):
        if is_virtual:
            raise ConfigError(
                f"body {body.name!r} has bus servos, whose line runs in real time only: `nod run` moves them; "
                "here, give a body with PWM servos (--body FILE)"
            )
        return ServoBus(body.joint, asyncio.get_running_loop().time)
    return LockstepBoard(len(body.joint)) if is_virtual else ProcessBoard(len(body.joint))


def _says(body: Body, port: str | None) -> str:
    if _has_bus(body):
        return "simulated bus servos" if port is None else f"servos on {port}"
    return "simulated arm, true firmware" if port is None else f"board on {port}"


async def _cable(
    far_side: LockstepBoard | ProcessBoard | ServoBus,
    scenario: Scenario,
    seed: int,
    stack: contextlib.AsyncExitStack,
) -> LockstepCable | PtyCable | None:
    """The cable to a board, where faults of the scenario need one. A bus has its own."""
    if not any(isinstance(fault, LinkCut | LinkNoise) for fault in scenario.fault):
        return None
    match far_side:
        case LockstepBoard():
            return LockstepCable(far_side, seed)
        case ProcessBoard():
            return await stack.enter_async_context(PtyCable(far_side, seed))
        case ServoBus():
            return None


def _plug(
    body: Body,
    port: str | None,
    far_side: LockstepBoard | ProcessBoard | ServoBus | None,
    cable: Cable | None,
) -> Callable[[], Awaitable[HeadDevice]]:
    """How to get the device anew, each time that its link was lost."""

    async def plug_in() -> HeadDevice:
        if cable is not None and cable.is_out:
            raise DeviceError("simulated board: no such port; put its cable back")
        name = port
        match far_side:
            case LockstepBoard():
                stream = cable if isinstance(cable, LockstepCable) else far_side
                return Head(stream, body.joint, body.pulse_rate_hz)
            case ProcessBoard() | ServoBus():
                name = cable.port if isinstance(cable, PtyCable) else far_side.port
        assert name is not None
        if _has_bus(body):
            return BusHead(name, body.joint)
        return Head(SerialStream(name), body.joint, body.pulse_rate_hz)

    return plug_in


def _scene(body: Body, stage: Stage | None, *, is_body_simulated: bool, is_camera_simulated: bool) -> Scene:
    scene = msgspec.structs.replace(
        scene_of(body), is_body_simulated=is_body_simulated, is_camera_simulated=is_camera_simulated
    )
    if stage is None or not is_camera_simulated:
        return scene
    blocks = tuple(
        Block(centre_m=block.centre_m, size_m=block.size_m, yaw_rad=block.yaw_rad, rgb=block.colour)
        for block in stage.room.boxes
    )
    stand = stage.scenario.robot
    return msgspec.structs.replace(scene, blocks=blocks, base_m=stand.position_m, base_yaw_rad=stand.yaw_rad)


def warm_up() -> None:
    """Draw one picture of the default scenario: compiles the renderer and paints the people into the cache."""

    async def draw() -> None:
        async with devices(Config(), Options(), is_virtual=True) as parts:
            for camera in (parts.camera, parts.call_camera):
                if camera is not None:
                    async with camera:
                        await camera.read()

    clock.run(draw())


def link_trials(*, quick: bool) -> list[Trial]:
    """The line to the board, measured against the simulated one."""
    return sim_link_trials.run(quick=quick)
