"""A real person's nod on a film of a call moves the simulated screen."""

import asyncio
from pathlib import Path

import numpy as np

from agent import app
from agent.config import Config, ModelConfig, MotionConfig
from sim import clock

CONFIG = Config(model=ModelConfig(enabled=False), motion=MotionConfig(idle="off"))
SECONDS = 4.0
SAGGED = 100  # samples until the screen hangs in its servos: it weighs


async def _play(scenario: Path, film: Path | None) -> list[float]:
    """The screen's true tilt, a hundred times a second."""
    options = app.Options(scenario=str(scenario), call=str(film) if film else None, fidelity="landmarks")
    tilts: list[float] = []
    async with app.devices(CONFIG, options, is_virtual=True) as parts:
        assert parts.stage is not None
        robot = app.App(CONFIG, options, parts, is_virtual=True)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(robot.run())
            while asyncio.get_running_loop().time() < SECONDS:
                await asyncio.sleep(0.01)
                tilts.append(parts.stage.angles_rad[parts.body.index("tilt")])
            running.cancel()
    return tilts


def test_the_screen_nods_with_a_real_person(empty_room: Path, shared_dir: Path) -> None:
    still = clock.run(_play(empty_room, None))
    moved = clock.run(_play(empty_room, shared_dir / "clips" / "yes.mkv"))
    print(f"yes.mkv: the screen's tilt goes from {min(moved):.3f} to {max(moved):.3f} rad")
    assert np.ptp(still[SAGGED:]) < 1e-3
    assert np.ptp(moved[SAGGED:]) > 0.15  # a nod of ±13° is .45 rad from end to end
