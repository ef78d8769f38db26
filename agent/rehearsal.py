"""Rehearsals: a scenario played through the whole robot, and judged.

Beside `app`, this alone sees agent and sim together.
"""

import asyncio
import contextlib
import time
from pathlib import Path

from agent.app import App, Options, devices
from agent.config import Config
from agent.record import Recorder
from sim import clock
from sim.people import NAMES
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario import names as scenario_names
from sim.stage import Stage
from sim.verdict import Judge, Verdict


def scenarios() -> list[tuple[str, str]]:
    """The scenarios that ship: name and what happens."""
    return [(name, load_scenario(name, NAMES).about) for name in scenario_names()]


def simulate(config: Config, options: Options, seconds: float | None, recording: Path | None) -> Verdict:
    """Play a scenario to its end (or for `seconds`) in virtual time and judge it.

    Raises ConfigError for a scenario or a recording file that cannot be used.
    """
    return clock.run(_rehearse(config, options, seconds, recording))


async def _rehearse(
    config: Config, options: Options, seconds: float | None, recording: Path | None
) -> Verdict:
    started_s = time.perf_counter()
    async with devices(config, options, is_virtual=True) as parts:
        stage = parts.stage
        assert stage is not None  # nothing is real here
        duration_s = stage.scenario.duration_s if seconds is None else seconds
        app = App(config, options, parts, is_virtual=True)
        judge = Judge(stage.scenario, options.seed)
        with contextlib.ExitStack() as stack:
            if recording is not None:
                stack.enter_context(Recorder(recording, app.origin())).listen(app.bus)
            with contextlib.suppress(TimeoutError):  # the scenario's end
                async with asyncio.timeout(duration_s), asyncio.TaskGroup() as group:
                    group.create_task(app.run(), name="robot")
                    group.create_task(_watch(app, stage, judge), name="judge")
                    group.create_task(_give_orders(app, stage.scenario), name="orders")
        return judge.verdict(duration_s, time.perf_counter() - started_s)


async def _watch(app: App, stage: Stage, judge: Judge) -> None:
    tilt = app.devices.body.index("tilt")
    replies = app.bus.replies()
    seen = 0
    while True:
        lock = await app.bus.lock.after(seen)
        seen = app.bus.lock.count
        time_s = app.bus.lock.time_s
        sight = app.bus.sight.get()
        person = None
        if lock.face is not None and sight is not None:
            box = sight.faces[lock.face].box
            person = stage.person_at(time_s, box.x_px + box.width_px / 2, box.y_px + box.height_px / 2)
        judge.see_lock(person)
        judge.see_tilt(time_s, stage.angles_rad[tilt])
        while (reply := replies.take()) is not None:
            judge.hear(reply.text)


async def _give_orders(app: App, scenario: Scenario) -> None:
    for part in scenario.order:
        await asyncio.sleep(part.at_s - asyncio.get_running_loop().time())
        app.bus.orders.put(app.order(part.text, "sim"))
