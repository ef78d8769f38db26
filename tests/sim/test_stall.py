"""A host that hangs for a moment in the middle of a movement: the arm brakes, then goes on."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent import app
from agent.config import Config, ModelConfig, MotionConfig
from agent.events import Order
from sim import clock

CONFIG = Config(model=ModelConfig(enabled=False), motion=MotionConfig(idle="off"))


async def _turn_away(scenario: Path, stall_s: float) -> tuple[list[float], list[float]]:
    """Times and yaw while the arm turns by .9 rad, with a stall in the middle."""
    options = app.Options(scenario=str(scenario), fidelity="landmarks")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, clock.VirtualLoop)
    stalled_s = stall_s
    times: list[float] = []
    yaws: list[float] = []
    async with app.devices(CONFIG, options, is_virtual=True) as parts:
        stage = parts.stage
        assert stage is not None
        robot = app.App(CONFIG, options, parts, is_virtual=True)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(robot.run())
            await asyncio.sleep(1.0)
            order = Order(id="1", text="look away", source="sim", time_s=loop.time())
            robot.bus.orders.put(order)
            started_s = loop.time()
            while loop.time() < started_s + 4.0 + stalled_s:
                await asyncio.sleep(0.01)
                times.append(loop.time())
                yaws.append(stage.angles_rad[parts.body.index("yaw")])
                if stall_s and loop.time() > started_s + 0.25:
                    loop.stall(stall_s)
                    stall_s = 0.0
            running.cancel()
    return times, yaws


@pytest.mark.parametrize("stall_s", [0.0, 0.03, 0.3, 6.0])  # after five seconds the board parks
def test_the_arm_arrives_and_never_jerks(empty_room: Path, stall_s: float) -> None:
    times, yaws = clock.run(_turn_away(empty_room, stall_s))
    speeds = np.diff(yaws) / np.maximum(np.diff(times), 1e-6)
    arrived_s = next(time_s for time_s, yaw in zip(times, yaws, strict=True) if yaw > 0.85) - times[0]
    fastest = float(np.abs(speeds).max())
    print(f"stall of {stall_s:g} s: there after {arrived_s:.2f} s, fastest {fastest:.2f} rad/s")
    assert yaws[-1] == pytest.approx(0.9, abs=0.03)
    assert fastest < 3.6  # the joint's limit is 3, reached in steps of a 50 Hz pulse
    if stall_s < 5.0:  # then it has parked meanwhile
        assert min(np.diff(yaws)) > -0.02  # it never springs back


def test_a_gesture_goes_on_after_a_stall(empty_room: Path) -> None:
    async def nod() -> tuple[str, float]:
        options = app.Options(scenario=str(empty_room), fidelity="landmarks")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualLoop)
        async with app.devices(CONFIG, options, is_virtual=True) as parts:
            assert parts.stage is not None
            robot = app.App(CONFIG, options, parts, is_virtual=True)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(robot.run())
                await asyncio.sleep(1.0)
                robot.bus.orders.put(Order(id="1", text="nod twice", source="sim", time_s=loop.time()))
                await asyncio.sleep(0.8)
                loop.stall(0.2)
                deepest = 0.0
                while robot.reports.count == 0:
                    await asyncio.sleep(0.01)
                    deepest = max(deepest, parts.stage.angles_rad[parts.body.index("tilt")])
                running.cancel()
            report = robot.reports.get()
            assert report is not None
            return report.path, deepest

    path, deepest = clock.run(nod())
    assert path == "fast"
    assert deepest > 0.15  # the second nod was made


def test_what_was_refused_is_not_made_later(empty_room: Path) -> None:
    async def play() -> list[float]:
        options = app.Options(scenario=str(empty_room), fidelity="landmarks")
        loop = asyncio.get_running_loop()
        tilts: list[float] = []
        async with app.devices(CONFIG, options, is_virtual=True) as parts:
            assert parts.stage is not None
            robot = app.App(CONFIG, options, parts, is_virtual=True)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(robot.run())
                await asyncio.sleep(1.0)
                robot.bus.orders.put(Order(id="1", text="nod twice", source="sim", time_s=loop.time()))
                await asyncio.sleep(0.2)
                robot.arm.emergency_stop("the test")
                await robot.reports.after(0)
                await asyncio.sleep(0.5)
                await robot.arm.release()
                await asyncio.sleep(1.0)
                start_s = loop.time()
                while loop.time() < start_s + 2.0:
                    await asyncio.sleep(0.01)
                    tilts.append(parts.stage.angles_rad[parts.body.index("tilt")])
                running.cancel()
        return tilts

    assert np.ptp(clock.run(play())) < 0.01
