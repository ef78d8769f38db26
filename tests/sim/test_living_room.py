"""The living room in virtual time, whole: people, vision, lock, planner, firmware, servos and the camera's picture."""

import asyncio
import hashlib
from pathlib import Path

import numpy as np
import pytest

from agent import app, rehearsal
from agent.config import Config, ModelConfig
from agent.events import Order
from sim import clock
from sim.stage import Fidelity

QUIET = """
name = "quiet"
about = "Anna stands still."
duration_s = 60.0
[robot]
position_m = [0.0, 0.0, 0.75]
[[person]]
name = "Anna"
spots_m = [[1.5, 0.2]]
"""
WITHOUT_MODEL = Config(model=ModelConfig(enabled=False))
FIDELITIES: tuple[Fidelity, Fidelity] = ("pixels", "landmarks")


def test_the_same_seed_gives_the_same_recording(tmp_path: Path) -> None:
    first, second = tmp_path / "first.mcap", tmp_path / "second.mcap"
    for recording in (first, second):
        rehearsal.simulate(WITHOUT_MODEL, app.Options(seed=7), 1.2, recording)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)}
    assert first.stat().st_size > 40_000
    assert len(digests) == 1


def test_it_holds_on_to_one_person_in_pixels_as_in_landmarks_mode() -> None:
    drawn, modelled = (
        rehearsal.simulate(WITHOUT_MODEL, app.Options(seed=1, fidelity=fidelity), 5.0, None)
        for fidelity in FIDELITIES
    )
    assert drawn.lock_share > 0.7
    assert len(drawn.locked_onto) == 1
    assert modelled.frames == drawn.frames
    assert modelled.locked_onto == drawn.locked_onto
    assert modelled.lock_share == pytest.approx(drawn.lock_share, abs=0.1)


def test_a_chat_line_changes_the_cameras_picture(tmp_path: Path) -> None:
    """The order is recognised, carried as bytes to the firmware, and its pulses turn the camera."""
    scenario = tmp_path / "quiet.toml"  # nobody calls or walks, so nothing else can change the picture
    scenario.write_text(QUIET)
    options = app.Options(scenario=str(scenario))
    pitches: list[float] = []
    changes: dict[str, float] = {}

    async def play() -> None:
        async with app.devices(WITHOUT_MODEL, options, is_virtual=True) as parts:
            robot = app.App(WITHOUT_MODEL, options, parts, is_virtual=True)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(robot.run())
                await asyncio.sleep(1.0)
                await order(robot, "rest")
                await asyncio.sleep(0.5)
                changes["at rest"] = await change(robot, 0.5)
                await order(robot, "look up")
                changes["looking up"] = await change(robot, 0.0, before["at rest"])
                assert parts.stage is not None
                angles = parts.stage.angles_rad
                pitches.append(angles[parts.body.index("lift")] + angles[parts.body.index("tilt")])
                running.cancel()

    before: dict[str, np.ndarray] = {}

    async def order(robot: app.App, text: str) -> None:
        seen = robot.reports.count
        now_s = asyncio.get_running_loop().time()
        robot.bus.orders.put(Order(id=text, text=text, source="sim", time_s=now_s))
        report = await robot.reports.after(seen)
        assert report.path == "fast"

    async def change(robot: app.App, wait_s: float, old: np.ndarray | None = None) -> float:
        """Mean difference of the ceiling's part of the picture, where nobody walks."""
        top = await top_of(robot) if old is None else old
        before["at rest"] = top
        await asyncio.sleep(wait_s)
        return float(np.abs(await top_of(robot) - top).mean())

    async def top_of(robot: app.App) -> np.ndarray:
        frame = await robot.bus.frames.after(robot.bus.frames.count)
        blocks = frame.image[:60].reshape(6, 10, -1, 10, 3).mean(axis=(1, 3))  # without the camera's noise
        return np.asarray(blocks, dtype=np.float64)

    clock.run(play())
    print(f"change of the picture: {changes}, pitch afterwards {pitches[0]:.3f} rad")
    assert pitches[0] < -0.2  # it truly looks up
    assert changes["looking up"] > 2 * changes["at rest"] + 1.0
