"""Benchmarks: each runs the robot as `nod run` does, in real time, and prints figures beside their goals.

A figure's goal is for two cores. All but `start` and `sim` run in this process, with the simulated room, the firmware's
process on its pty, vision, the page with one viewer, and the model.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine

import aiohttp
import msgspec
import numpy as np

from agent import app, bench_record, bench_sim, devices, prepare
from agent.config import Config, ModelConfig, MqttConfig
from agent.events import Order
from agent.figures import Figure
from agent.planner import PlanReport
from drivers.errors import ConfigError, DeviceError, expected

START_TIMEOUT_S = 120.0
MODEL_TIMEOUT_S = 60.0
SETTLE_S = 4.0  # until the lock is held and the model is loaded, nothing is counted
REFLEX_GAP_S = 1.3  # a nod takes .85 s
HARD_SENTENCES = (
    "look at the person on the right, then nod twice",
    "shake your head and then say good morning",
    "first nod, after that look at whoever is nearest",
    "tilt your head twice and rest",
    "could you look up and then shake three times please",
    "say hello and then nod",
    "look at the one in the middle and tell them dinner is ready",
    "nod once, look left, nod again",
)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark measured."""

    bench: str
    cores: int
    figures: tuple[Figure, ...]


Bench = Callable[[bool], Coroutine[object, object, list[Figure]]]

GOALS: dict[str, float] = {
    "first_frame_s": 10.0,
    "order_to_setpoint_p99_ms": 50.0,
    "frame_to_setpoint_p50_ms": 80.0,
    "frame_to_setpoint_p99_ms": 150.0,
    "tick_late_p99_ms": 5.0,
    "cmd_to_pwm_50hz_p99_ms": 25.0,
    "cmd_to_pwm_333hz_p99_ms": 6.0,
    "ber1e4_bad": 0.0,
    "ber1e3_bad": 0.0,
    "host_killed_stop_ms": 250.0,
    "estop_pwm_frames": 1.0,
    "clock_error_p99_ms": 0.5,
    "clock_error_5000ppm_p99_ms": 0.5,
    "record_tick_cost_p99_ms": 0.2,
    "disk_gb_day": 2.0,
}
GOALS_AT_LEAST: dict[str, float] = {
    "ber1e3_goodput_hz": 500.0,
    "landmarks_x": 50.0,
    "mujoco_x": 40.0,
    "pixels_x": 2.0,
    "identical": 1.0,
    "same_below_052": 0.99,
    "other_above_060": 0.98,
}


def names() -> list[tuple[str, str]]:
    """The benchmarks and what each measures."""
    return [(name, (bench.__doc__ or "").strip()) for name, bench in BENCHES.items()]


def run(name: str, *, quick: bool) -> Report:
    """Run one benchmark. Raises ConfigError for an unknown name, DeviceError when the robot doesn't start."""
    if name not in BENCHES:
        raise ConfigError(f"no benchmark {name!r}; there are {', '.join(BENCHES)}")
    try:
        figures = asyncio.run(BENCHES[name](quick))
    except BaseExceptionGroup as group:
        error = expected(group)
        if error is None:
            raise
        raise error from None
    return Report(bench=name, cores=os.cpu_count() or 1, figures=tuple(figures))


def table(report: Report) -> str:
    """The figures beside their goals, for a person."""
    rows = [f"{report.bench} on {report.cores} cores"]
    for figure in report.figures:
        goal = f"goal ≤ {GOALS[figure.name]:g}" if figure.name in GOALS else ""
        if figure.name in GOALS_AT_LEAST:
            goal = f"goal ≥ {GOALS_AT_LEAST[figure.name]:g}"
        rows.append(
            f"  {figure.name:28} {figure.value:10.3f} {figure.unit:6} n={figure.n:<6} {goal}".rstrip()
        )
        rows += [f"  {'':28} {figure.text}"] if figure.text else []
    return "\n".join(rows)


@contextlib.asynccontextmanager
async def _robot(*, has_model: bool) -> AsyncIterator[app.App]:
    """A whole robot with one viewer of its page; ends with the block."""
    config = Config(name="bench", model=ModelConfig(enabled=has_model), mqtt=MqttConfig(enabled=False))
    options = app.Options()
    sys.setswitchinterval(app.SWITCH_INTERVAL_S)
    started = asyncio.Event()
    async with app.devices(config, options, is_virtual=False) as parts:
        robot = app.App(config, options, parts)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(robot.run(lambda _: started.set()), name="robot")
            await started.wait()
            assert robot.remote is not None
            viewer = group.create_task(_view(robot.remote.url), name="viewer")
            try:
                if has_model:
                    await _until_ready(robot)
                await asyncio.sleep(SETTLE_S)
                robot.figures.clear()
                yield robot
            finally:
                viewer.cancel()
                task.cancel()


async def _view(url: str) -> None:
    """Take pictures as a browser does, and say so, so that the next comes."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws", max_msg_size=0) as socket:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                await socket.send_str('{"type":"drawn"}')


async def _until_ready(robot: app.App) -> None:
    if not prepare.is_installed():
        raise ConfigError("the model's library is not there yet; let ./nod run prepare it first")
    seen = 0
    try:
        async with asyncio.timeout(MODEL_TIMEOUT_S):
            while (await robot.bus.planner.after(seen)).state != "ready":
                seen = robot.bus.planner.count
    except TimeoutError as exc:
        raise DeviceError(f"the model was not ready within {MODEL_TIMEOUT_S:g} s") from exc


async def _start(quick: bool) -> list[Figure]:
    """./nod run after set-up → the first camera frame on the page."""
    values = []
    for _ in range(1 if quick else 3):
        began_s = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "agent", "run", "--json", "--name", "bench-start", "--no-mqtt"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                assert process.stdout is not None
                line = await process.stdout.readline()
                if not line:
                    raise DeviceError("the robot ended before it said where its page is")
                await _first_picture(json.loads(line)["url"])
            values.append(time.perf_counter() - began_s)
        finally:
            process.terminate()
            await process.wait()
    return [Figure(name="first_frame_s", value=max(values), unit="s", n=len(values))]


async def _first_picture(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws", max_msg_size=0) as socket:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                return


async def _reflex(quick: bool) -> list[Figure]:
    """An order of the fast path → the first new set-point on the wire."""
    async with _robot(has_model=False) as robot:
        for number in range(20 if quick else 120):
            now_s = asyncio.get_running_loop().time()
            robot.bus.orders.put(Order(id=f"bench-{number}", text="nod", source="page", time_s=now_s))
            await asyncio.sleep(REFLEX_GAP_S)
        values = robot.figures.get("order_to_setpoint_s")
    return [_share("order_to_setpoint_p50_ms", values, 50), _share("order_to_setpoint_p99_ms", values, 99)]


async def _gaze(quick: bool) -> list[Figure]:
    """A camera frame → the set-point that answers it is on the wire; all but MQTT is running."""
    async with _robot(has_model=prepare.is_installed()) as robot:
        async with _busy_model(robot):
            await asyncio.sleep(30 if quick else 60)
        values = robot.figures.get("frame_to_setpoint_s")
        sights = robot.figures.get("frame_to_sight_s")
    return [
        _share("frame_to_setpoint_p50_ms", values, 50),
        _share("frame_to_setpoint_p99_ms", values, 99),
        _share("frame_to_sight_p50_ms", sights, 50),
    ]


async def _loop(quick: bool) -> list[Figure]:
    """Lateness of the 100 Hz tick while vision and the model run."""
    async with _robot(has_model=prepare.is_installed()) as robot:
        async with _busy_model(robot):
            await asyncio.sleep(30 if quick else 60)
        values = robot.figures.get("tick_late_s")
    return [
        _share("tick_late_p50_ms", values, 50),
        _share("tick_late_p99_ms", values, 99),
        _share("tick_late_max_ms", values, 100),
    ]


async def _plan(quick: bool) -> list[Figure]:
    """The model: a sentence → the first step of its plan; passes over the weights a plan."""
    async with _robot(has_model=True) as robot:
        reports = []
        for number in range(1 if quick else 4):
            for text in HARD_SENTENCES:
                report = await _order(robot, f"bench-{number}", text)
                reports += [report] if report.passes else []
    if not reports:
        raise DeviceError("plan: the model wrote no plan; look at `nod run`'s messages")
    firsts = [report.first_step_s for report in reports if report.first_step_s is not None]
    passes = [float(report.passes) for report in reports]
    return [
        Figure(name="first_step_p50_s", value=float(np.median(firsts)), unit="s", n=len(firsts)),
        Figure(name="passes_mean", value=float(np.mean(passes)), unit="1", n=len(passes)),
        Figure(
            name="tokens_mean", value=float(np.mean([r.tokens for r in reports])), unit="1", n=len(reports)
        ),
    ]


async def _link(quick: bool) -> list[Figure]:
    """The line and the board: round trip, command → pulse, stops, clock, and commands through noise."""
    trials = await asyncio.to_thread(devices.link_trials, quick=quick)
    return [Figure(name=t.name, value=t.value, unit=t.unit, n=t.n) for t in trials]


async def _sim(quick: bool) -> list[Figure]:
    """The simulator: × real time, its people, whether a seed gives the same bytes; what recording costs."""
    figures = await asyncio.to_thread(bench_sim.measure, quick=quick)
    return figures + await asyncio.to_thread(bench_record.measure, quick=quick)


@contextlib.asynccontextmanager
async def _busy_model(robot: app.App) -> AsyncIterator[None]:
    """Keep the model writing plans, one after the other."""

    async def ask() -> None:
        for number in itertools.count():
            text = HARD_SENTENCES[number % len(HARD_SENTENCES)]
            await _order(robot, f"busy-{number}", text)

    if robot.planner.status.state != "ready":
        yield
        return
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask(), name="busy")
        yield
        asking.cancel()


async def _order(robot: app.App, order_id: str, text: str) -> PlanReport:
    """Give an order and wait until it is carried out."""
    seen = robot.reports.count
    now_s = asyncio.get_running_loop().time()
    robot.bus.orders.put(Order(id=order_id, text=text, source="page", time_s=now_s))
    return await robot.reports.after(seen)


def _share(name: str, values_s: list[float], percent: float) -> Figure:
    if not values_s:
        raise DeviceError(f"{name}: nothing was measured; look at `nod run`'s messages")
    return Figure(name=name, value=float(np.percentile(values_s, percent)) * 1e3, unit="ms", n=len(values_s))


BENCHES: dict[str, Bench] = {
    "start": _start,
    "reflex": _reflex,
    "gaze": _gaze,
    "loop": _loop,
    "plan": _plan,
    "link": _link,
    "sim": _sim,
}
