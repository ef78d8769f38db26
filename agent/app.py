"""One robot, put together from its devices: the table of its tasks."""

import asyncio
import contextlib
import gc
import itertools
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent import origin, prepare, weights
from agent.arm import Arm
from agent.config import Config
from agent.devices import Devices, Options, devices
from agent.events import Bus, Latest, Order, PlannerStatus
from agent.eyes import Eye, Watcher, watch_caller
from agent.figures import Figures
from agent.home import Home, address
from agent.planner import Planner, PlanReport
from agent.record import LogTap, Recorder
from agent.record_files import About
from agent.record_format import Crowd
from agent.remote import Remote, Sources
from agent.robot import Robot
from agent.status import Status
from drivers.audio import Microphone
from drivers.camera import most_still_s
from drivers.errors import ConfigError, RobotError
from drivers.mqtt import serve_broker
from drivers.urdf import urdf

__all__ = ["App", "Options", "Task", "devices"]

SWITCH_INTERVAL_S = 0.0005  # how long a thread may hold the interpreter while the motion tick waits for it

CROWD_PERIOD_S = 0.2  # people of a simulated room, for those who look at a recording
FRAMES_TO_LOAD = 30  # by then every library has loaded what it needs

log = logging.getLogger(__name__)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of tasks. One that may fail is said and the robot goes on without it."""

    name: str
    work: Coroutine[Any, Any, None]
    may_fail: bool = False


class App:
    """One robot, put together."""

    def __init__(self, config: Config, options: Options, parts: Devices, *, is_virtual: bool = False) -> None:
        self.bus = Bus()
        self.figures = Figures()
        self.devices = parts
        self.arm = Arm(parts.body, self.bus, self.figures, config.motion.idle, parts.board_says)
        self.eye = Eye(
            "camera",
            parts.camera,
            self.bus.frames,
            parts.camera_says,
            config.camera.latency_s,
            most_still_s(config.camera.source),
        )
        self.watcher = Watcher(parts.body, self.bus, self.arm.pose_history, self.figures)
        self.planner = Planner(has_model=config.model.enabled)
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
            still_s = most_still_s(self._options.call)
            caller = Eye("call", parts.call_camera, self.bus.call_frames, "call", still_s=still_s)
            tasks.append(Task(name="call", work=caller.film()))
            tasks.append(
                Task(name="nod", work=watch_caller(caller, self.bus, parts.call_seeing, call_thread))
            )
        if parts.microphone is not None and self.bus.sound.is_tapped:
            tasks.append(Task(name="microphone", work=self._hear(parts.microphone), may_fail=True))
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

    async def _hear(self, microphone: Microphone) -> None:
        """Put stretch after stretch of sound on the bus."""
        async with microphone:
            while True:
                sound = await microphone.read()
                self.bus.sound.put(sound, sound.time_s)

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
        return Sources(
            bus=self.bus,
            pose=self.arm.pose,
            people=lambda: self.devices.people(loop.time()),
            scene=self.devices.scene,
            urdf=urdf(self.devices.body),
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
