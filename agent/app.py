"""The composition root: which device is real and which is simulated, and the table of tasks.

Besides `rehearsal`, nothing else sees agent, drivers and sim together.
"""

import asyncio
import contextlib
import gc
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent import origin, prepare, weights
from agent.arm import Arm
from agent.config import Config
from agent.events import Bus, Latest, Order, PlannerStatus
from agent.eyes import Eye, Seeing, Watcher, watch_caller
from agent.figures import Figures
from agent.home import Home, address
from agent.modelled import ModelledVision
from agent.planner import Planner, PlanReport
from agent.record import LogTap, Recorder
from agent.record_files import About
from agent.record_format import Crowd
from agent.remote import Block, Remote, Scene, Sources, Standing, scene_of
from agent.robot import Robot
from agent.status import Status
from agent.vision import Vision
from drivers import body as bodies
from drivers.body import Body, PwmServo
from drivers.bus_servo import BusHead
from drivers.camera import DEFAULT_FIELD_OF_VIEW_RAD, Camera, Lens, OpenCvCamera
from drivers.errors import ConfigError, DeviceError, RobotError
from drivers.head import Head, HeadDevice
from drivers.link import SerialStream
from drivers.mqtt import serve_broker
from drivers.servo_bus import need_library
from drivers.servo_registers import fitting_of
from drivers.urdf import urdf
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
from sim.people import NAMES
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.stage import Fidelity, Physics, Stage, plant_of

SWITCH_INTERVAL_S = 0.0005  # how long a thread may hold the interpreter while the motion tick waits for it

CROWD_PERIOD_S = 0.2  # people of a simulated room, for those who look at a recording
FRAMES_TO_LOAD = 30  # by then every library has loaded what it needs

log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to nod.toml."""

    scenario: str = "living-room"
    seed: int = 1
    call: str | None = None  # a film of a caller; none: the scenario's
    has_page: bool = True
    fidelity: Fidelity = "pixels"  # of the simulated cameras
    physics: Physics = "light"  # of the simulated body


class Devices(msgspec.Struct, kw_only=True):
    """What the robot is made of in this run. What is simulated says so."""

    body: Body
    camera: Camera
    camera_says: str
    call_camera: Camera | None
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


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of tasks. One that may fail is said and the robot goes on without it."""

    name: str
    work: Coroutine[Any, Any, None]
    may_fail: bool = False


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
            camera_says="simulated room" if source is None else f"camera {source}",
            call_camera=faults.before_call(call_camera) if faults and not options.call else call_camera,
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


class App:
    """One robot, put together."""

    def __init__(self, config: Config, options: Options, parts: Devices, *, is_virtual: bool = False) -> None:
        self.bus = Bus()
        self.figures = Figures()
        self.devices = parts
        self.arm = Arm(parts.body, self.bus, self.figures, config.motion.idle, parts.board_says)
        self.eye = Eye("camera", parts.camera, self.bus.frames, parts.camera_says, config.camera.latency_s)
        self.watcher = Watcher(parts.body, self.bus, self.arm.pose_history, self.figures)
        self.planner = Planner()
        self.reports: Latest[PlanReport] = Latest()
        self.remote: Remote | None = None
        self.recorder: Recorder | None = None
        self._config = config
        self._options = options
        self._is_virtual = is_virtual
        self._order_ids = itertools.count(1)

    def order(self, text: str, source: Literal["mqtt", "sim"]) -> Order:
        """A sentence that came another way than by the page, with an id and the present time."""
        now_s = asyncio.get_running_loop().time()
        order = Order(id=f"{source}-{next(self._order_ids)}", text=text, source=source, time_s=now_s)
        if self.remote is not None:
            self.remote.heard(order)
        return order

    def origin(self) -> About:
        """What a recording of this robot says about itself."""
        facts = {"name": self._config.name}
        if self.devices.stage is not None:
            options = self._options
            facts |= {
                "scenario": options.scenario,
                "seed": str(options.seed),
                "fidelity": options.fidelity,
            }
        return origin.origin(self._config, self.devices.body, self.devices.scene, facts)

    async def run(self, ready: Callable[["App"], None] | None = None) -> None:
        """Run until cancelled. `ready` is called once everything that listens does.

        Raises DeviceError when the page's port cannot be had; device failures later are reported, not raised.
        """
        async with contextlib.AsyncExitStack() as stack:
            thread = stack.enter_context(_thread("vision"))
            call_thread = stack.enter_context(_thread("call-vision"))
            if self._config.record.enabled and not self._is_virtual:
                clock_s = asyncio.get_running_loop().time
                self.recorder = stack.enter_context(origin.live(self._config, self.origin(), clock_s()))
                stack.enter_context(LogTap(self.recorder, clock_s))
                self.recorder.listen(self.bus)
            if not self._is_virtual:
                has_page = self._options.has_page
                self.remote = Remote(self._sources(), self._config.page.port, has_page=has_page)
                await stack.enter_async_context(self.remote)
            async with asyncio.TaskGroup() as group:
                for task in self._tasks(thread, call_thread):
                    group.create_task(_guarded(task) if task.may_fail else task.work, name=task.name)
                if ready is not None:
                    ready(self)

    def _tasks(self, thread: ThreadPoolExecutor, call_thread: ThreadPoolExecutor) -> list[Task]:
        """The table of tasks: what runs in this robot."""
        parts, config = self.devices, self._config
        line = (lambda: recorder.line) if (recorder := self.recorder) else (lambda: "off")
        status = Status(self.bus, self.arm, self.watcher, self.eye, self.figures, line)
        tasks = [
            Task(name="head", work=self.arm.serve(parts.plug_in)),
            Task(name="motion", work=self.arm.move()),
            Task(name="camera", work=self.eye.film()),
            Task(name="gaze", work=self.watcher.watch(self.eye, parts.seeing, thread)),
            Task(name="orders", work=self._obey()),
            Task(name="status", work=status.report()),
            Task(name="memory", work=self._spare_collector()),
        ]
        if parts.stage is not None:
            tasks.append(Task(name="stage", work=parts.stage.run()))
            tasks.append(Task(name="crowd", work=self._count_people()))
        if parts.faults is not None:
            tasks.append(Task(name="faults", work=parts.faults.play(self.arm.release), may_fail=True))
        if parts.call_camera is not None:
            caller = Eye("call", parts.call_camera, self.bus.call_frames, "call")
            tasks.append(Task(name="call", work=caller.film()))
            tasks.append(
                Task(name="nod", work=watch_caller(caller, self.bus, parts.call_seeing, call_thread))
            )
        if config.model.enabled:
            tasks.append(Task(name="model", work=self._keep_model(), may_fail=True))
        if self.remote is not None:
            tasks.append(Task(name="page", work=self.remote.serve()))
            tasks.append(Task(name="replies", work=self._show_replies(self.remote)))
        if config.mqtt.enabled and not self._is_virtual:
            broker = address(config.mqtt)
            home = Home(
                config.name,
                broker,
                self.bus,
                order=lambda text: self.order(text, "mqtt"),
                stop=lambda: self.arm.emergency_stop("mqtt"),
            )
            if config.mqtt.url is None:
                tasks.append(Task(name="broker", work=serve_broker(broker.port), may_fail=True))
            tasks.append(Task(name="mqtt", work=home.serve()))
        return tasks

    async def _count_people(self) -> None:
        """Put who is where in a simulated room on the bus."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for slot in itertools.count(1):
            people = self.devices.people(loop.time())
            self.bus.people.put(Crowd(time_s=loop.time(), people=people))
            await asyncio.sleep(start_s + slot * CROWD_PERIOD_S - loop.time())

    async def _spare_collector(self) -> None:
        """Take what was loaded at the start out of garbage collection: walking it stops motion for 75 ms."""
        await self.bus.sight.after(FRAMES_TO_LOAD)
        gc.freeze()
        try:
            await asyncio.Event().wait()
        finally:
            gc.unfreeze()  # else the libraries find their objects alive at the end, and complain

    async def _obey(self) -> None:
        """Hand each order to the planner, which does one at a time; a stop is never behind another order."""
        async with asyncio.TaskGroup() as group:
            while True:
                order = await self.bus.orders.get()
                group.create_task(self._carry_out(order), name=f"order {order.id}")

    async def _carry_out(self, order: Order) -> None:
        robot = Robot(self.bus, self.arm, self.watcher, order)
        self.reports.put(await self.planner.run(order, robot, self.bus.tell))

    async def _keep_model(self) -> None:
        """Prepare the model's library if need be, then keep its process alive."""

        def tell(status: PlannerStatus) -> None:
            self.planner.set_status(status)
            self.bus.planner.put(status)

        config = self._config.model
        try:
            file = Path(config.file) if config.file else weights.path("smollm2")
        except ConfigError as exc:
            tell(PlannerStatus(state="failed", note=str(exc)))
            return
        if prepare.is_installed() or (not self._is_virtual and await prepare.prepare(tell)):
            await self.planner.keep(file, tell)

    async def _show_replies(self, remote: Remote) -> None:
        replies = self.bus.replies()
        while True:
            remote.tell(await replies.get())

    def _sources(self) -> Sources:
        loop = asyncio.get_running_loop()
        bus = self.bus
        return Sources(
            frames=bus.frames,
            sight=bus.sight,
            lock=bus.lock,
            call_frames=bus.call_frames,
            call_sight=bus.call_sight,
            doing=bus.doing,
            planner=bus.planner,
            health=bus.health,
            pose=self.arm.pose,
            people=lambda: self.devices.people(loop.time()),
            scene=self.devices.scene,
            urdf=urdf(self.devices.body),
            orders=bus.orders,
            stop=self.arm.emergency_stop,
            release=self.arm.release,
        )


async def _guarded(task: Task) -> None:
    """Run a task that the robot can do without."""
    try:
        await task.work
    except RobotError as exc:
        log.error("%s", exc)


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


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
