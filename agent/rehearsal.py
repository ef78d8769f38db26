"""Rehearsals: a scenario played through the whole robot, and judged.

Beside `app`, this alone sees agent and sim together. Time is virtual, or the machine's, or stepped by hand.
"""

import asyncio
import contextlib
import logging
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import msgspec

from agent.app import App, Options, devices
from agent.config import Config
from agent.record import Kept, Recorder
from drivers.camera import Image, Lens
from drivers.errors import ConfigError
from sim import clock, people_views
from sim.broker import BrokerProcess
from sim.faults import BrokerDead
from sim.invariants import Signs
from sim.overview import Overview
from sim.people import NAMES
from sim.scenario import load as load_scenario
from sim.scenario import names as scenario_names
from sim.stage import Stage
from sim.stage import plant_of as plant_of
from sim.truth import Truth as Truth
from sim.verdict import Judge
from sim.verdict import Verdict as Verdict

T = TypeVar("T")
TRUTHS_A_RECORD = 2  # of a hundred a second: 50 Hz in the recording


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario, for choosing one. Some faults can only happen to a process, in real time."""

    name: str
    about: str
    duration_s: float
    needs_real_time: bool


class Witness(Protocol):
    """Watches a rehearsal without touching it: the robot moves as it does without."""

    def begin(self, rehearsal: "Rehearsal") -> None:
        """The robot and its stage are there; nothing has moved yet."""
        ...

    def see(self, truth: Truth) -> None:
        """How the body truly is, a hundred times a second. Must not ask the stage for the present."""
        ...


def scenarios() -> list[Listed]:
    """The scenarios that ship."""
    return [listed(name) for name in scenario_names()]


def portraits() -> tuple[list[tuple[str, Image]], Lens]:
    """Pictures of the whole cast, near and far, straight on and turned, and the lens that took them."""
    return [(name, image) for name, _, image, _ in people_views.views()], people_views.LENS


def listed(name: str) -> Listed:
    """A scenario by its name or TOML file. Raises ConfigError if it is none, or wrong."""
    scenario = load_scenario(name, NAMES)
    return Listed(
        name=name,
        about=scenario.about,
        duration_s=scenario.duration_s,
        needs_real_time=any(isinstance(fault, BrokerDead) for fault in scenario.fault),
    )


def simulate(
    config: Config,
    options: Options,
    seconds: float | None,
    recording: Path | None,
    *,
    is_real: bool = False,
    witnesses: Sequence[Witness] = (),
) -> Verdict:
    """Play a scenario to its end (or for `seconds`) and judge it.

    In virtual time, with the firmware in lock step; or, `is_real`, against the machine's clock, with the firmware
    as a process on a pseudo-terminal and an MQTT broker beside it. Raises ConfigError for a scenario or a
    recording file that cannot be used.
    """
    if is_real:
        return asyncio.run(_play_for_real(config, options, seconds, recording, witnesses))
    return clock.run(_play(config, options, seconds, recording, witnesses))


async def _play_for_real(
    config: Config,
    options: Options,
    seconds: float | None,
    recording: Path | None,
    witnesses: Sequence[Witness],
) -> Verdict:
    async with BrokerProcess() as broker:
        mqtt = msgspec.structs.replace(config.mqtt, enabled=True, url=f"mqtt://127.0.0.1:{broker.port}")
        record = msgspec.structs.replace(config.record, enabled=False)  # a file that is asked for is enough
        config = msgspec.structs.replace(config, mqtt=mqtt, record=record)
        options = msgspec.structs.replace(options, has_page=False)
        return await _play(config, options, seconds, recording, witnesses, broker)


async def _play(
    config: Config,
    options: Options,
    seconds: float | None,
    recording: Path | None,
    witnesses: Sequence[Witness],
    broker: BrokerProcess | None = None,
) -> Verdict:
    async with rehearse(config, options, recording, broker) as rehearsal:
        rehearsal.witnesses = tuple(witnesses)
        for witness in witnesses:
            witness.begin(rehearsal)
        duration_s = rehearsal.stage.scenario.duration_s if seconds is None else seconds
        with contextlib.suppress(TimeoutError):  # the scenario's end
            async with asyncio.timeout_at(rehearsal.start_s + duration_s):
                await rehearsal.run()
        return rehearsal.verdict()


@contextlib.asynccontextmanager
async def rehearse(
    config: Config, options: Options, recording: Path | None = None, broker: BrokerProcess | None = None
) -> AsyncIterator["Rehearsal"]:
    """A robot on its stage, ready to run; in virtual time unless there is a broker."""
    is_virtual = broker is None
    async with devices(config, options, is_virtual, broker) as parts:
        if parts.stage is None:
            raise ConfigError("a scenario needs the simulated body; leave out --port and head.port")
        app = App(config, options, parts, is_virtual=is_virtual)
        kept = Kept(has_sound=options.has_sound)
        with contextlib.ExitStack() as stack:
            recorder = (
                stack.enter_context(Recorder(recording, app.origin(), kept, has_thread=not is_virtual))
                if recording is not None
                else None
            )
            warnings = stack.enter_context(_Warnings())
            yield Rehearsal(app, parts.stage, options.seed, recorder, warnings)


class Rehearsal:
    """One robot on its stage, with the judge beside it."""

    def __init__(
        self, app: App, stage: Stage, seed: int, recorder: Recorder | None, warnings: "_Warnings"
    ) -> None:
        self.app = app
        self.stage = stage
        self.start_s = stage.start_s
        self.witnesses: tuple[Witness, ...] = ()
        self.judge = Judge(stage.scenario, seed, app.devices.body, self.start_s)
        self._recorder = recorder
        self._warnings = warnings
        self.person: str | None = None  # at whom the lock truly points
        self._truths = 0
        self._began_s = time.perf_counter()
        if recorder is not None:
            recorder.listen(app.bus)
        stage.witness = self._see_truth

    async def run(self) -> None:
        """Play on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.app.run(), name="robot")
            group.create_task(self._watch_lock(), name="judge of the lock")
            group.create_task(self._watch_signs(), name="judge of the signs")
            group.create_task(self._give_orders(), name="orders")

    def overview(self) -> Overview:
        """Draws this rehearsal from outside, and what the robot's camera has before it."""
        scenario = self.stage.scenario
        names = tuple(part.name for part in scenario.person)
        return Overview(self.app.devices.body, self.stage.room, scenario.robot, names)

    def verdict(self) -> Verdict:
        """How it went until now."""
        latencies = self.app.figures.get("frame_to_setpoint_s")
        return self.judge.verdict(
            asyncio.get_running_loop().time() - self.start_s,
            time.perf_counter() - self._began_s,
            statistics.median(latencies) if latencies else None,
        )

    def _see_truth(self, truth: Truth) -> None:
        self.judge.see_truth(truth)
        self._truths += 1
        if self._recorder is not None and self._truths % TRUTHS_A_RECORD == 0:
            self._recorder.write("truth", msgspec.structs.replace(truth, person=self.person), truth.time_s)
        for witness in self.witnesses:
            witness.see(truth)

    async def _watch_lock(self) -> None:
        bus = self.app.bus
        replies = bus.replies()
        seen = 0
        while True:
            lock = await bus.lock.after(seen)
            seen, time_s = bus.lock.count, bus.lock.time_s
            sight = bus.sight.get()
            self.person = None
            if lock.face is not None and sight is not None:
                box = sight.faces[lock.face].box
                x_px, y_px = box.x_px + box.width_px / 2, box.y_px + box.height_px / 2
                self.person = self.stage.person_at(time_s, x_px, y_px)
            self.judge.see_lock(time_s, self.person)
            while (reply := replies.take()) is not None:
                self.judge.hear(reply.text)

    async def _watch_signs(self) -> None:
        bus = self.app.bus
        seen = 0
        while True:
            health = await bus.health.after(seen)
            seen = bus.health.count
            lock = bus.lock.get()
            self.judge.see_signs(
                Signs(
                    time_s=bus.health.time_s,
                    is_link_up=health.is_link_up,
                    is_camera_up=health.is_camera_up,
                    is_stopped=health.is_stopped,
                    late_s=health.tick_late_s,
                    has_somebody=lock is not None and lock.face is not None,
                    warned_s=self._warnings.last_s,
                )
            )

    async def _give_orders(self) -> None:
        loop = asyncio.get_running_loop()
        for part in self.stage.scenario.orders():
            await asyncio.sleep(self.start_s + part.at_s - loop.time())
            self.app.bus.orders.put(self.app.order(part.text, "sim"))


class Stepper:
    """A scenario in virtual time that is stepped by hand, for tests and notebooks. Use it as a context:

    `with Stepper(config, options) as stepper: stepper.step(1.5); stepper.call(lambda: stepper.stage.angles_rad)`.
    No time passes between steps. What asks the loop for its time, as most of the robot does, goes through `call`.
    """

    def __init__(self, config: Config, options: Options, recording: Path | None = None) -> None:
        self._runner = asyncio.Runner(loop_factory=clock.VirtualLoop)
        self._making = rehearse(config, options, recording)
        self._rehearsal: Rehearsal | None = None
        self._running: asyncio.Task[None] | None = None

    def __enter__(self) -> "Stepper":
        try:
            self._rehearsal = self._runner.run(self._making.__aenter__())
            self._running = self._runner.get_loop().create_task(self._rehearsal.run(), name="rehearsal")
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._end())
        finally:
            self._runner.close()

    @property
    def app(self) -> App:
        return self._there.app

    @property
    def stage(self) -> Stage:
        return self._there.stage

    @property
    def time_s(self) -> float:
        """Virtual time now."""
        return self._runner.get_loop().time()

    def step(self, seconds: float) -> None:
        """Let so much virtual time pass. Raises what ended the robot, if something did."""
        self.wait(asyncio.sleep(seconds))
        assert self._running is not None
        if self._running.done():
            self._running.result()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out a coroutine beside the robot, for as long as it takes, and return its result."""
        return self._runner.run(work)

    def call(self, action: Callable[[], T]) -> T:
        """Call something on the robot's loop, in no time, and return its result."""

        async def act() -> T:
            return action()

        return self.wait(act())

    def verdict(self) -> Verdict:
        """How it went until now."""
        return self.call(self._there.verdict)

    @property
    def _there(self) -> Rehearsal:
        assert self._rehearsal is not None, "use the Stepper as a context"
        return self._rehearsal

    async def _end(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait((self._running,))
        await self._making.__aexit__(None, None, None)


class _Warnings(logging.Handler):
    """Notes when the robot last warned of anything: what a person would read in its terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last_s = -math.inf

    def __enter__(self) -> "_Warnings":
        logging.getLogger("agent").addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger("agent").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.last_s = asyncio.get_running_loop().time()
        except RuntimeError:
            return  # from a thread, about what a thread does
