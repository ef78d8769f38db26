"""Scenarios with MuJoCo behind the firmware: the whole robot, chosen by one option."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent import app, rehearsal, sweep
from agent.config import Config, HeadConfig, ModelConfig
from agent.rehearsal import Stepper
from agent.sweep import Job
from drivers.body import FOLDER
from drivers.errors import ConfigError
from sim.body import LightBody
from sim.mujoco_body import MujocoBody
from sim.stage import Fidelity, Physics

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(model=ModelConfig(enabled=False))


@pytest.mark.parametrize(("physics", "depth"), [("light", LightBody), ("mujoco", MujocoBody)])
def test_the_option_chooses_the_body(physics: Physics, depth: type) -> None:
    options = app.Options(fidelity="landmarks", physics=physics)
    with Stepper(CONFIG, options) as stepper:
        assert type(stepper.stage.plant) is depth


@pytest.mark.parametrize("fidelity", ["landmarks", pytest.param("pixels", marks=pytest.mark.e2e)])
def test_the_same_seed_gives_the_same_recording(tmp_path: Path, fidelity: Fidelity) -> None:
    files = [tmp_path / f"{name}.mcap" for name in ("first", "second", "light")]
    for file in files:
        physics: Physics = "light" if file.stem == "light" else "mujoco"
        options = app.Options(seed=7, fidelity=fidelity, physics=physics)
        rehearsal.simulate(CONFIG, options, 1.0, file)
    first, second, light = (file.read_bytes() for file in files)
    assert first == second
    assert first != light  # it was MuJoCo that moved


def test_a_sweep_carries_the_option_and_plays_anew_with_another() -> None:
    versions = set()
    wanted: tuple[Physics, ...] = ("light", "mujoco")
    for physics in wanted:
        plan = Job(config=CONFIG, options=app.Options(physics=physics))
        job, _ = sweep.jobs(plan, ["living-room"], (1, 2))
        assert job.options.physics == physics
        versions.add(job.version)
    assert len(versions) == 2


def test_bus_servos_have_no_physics() -> None:
    config = Config(model=ModelConfig(enabled=False), head=HeadConfig(body=str(FOLDER / "tabletop_bus.toml")))
    with pytest.raises(ConfigError, match="bus servos"):
        rehearsal.simulate(config, app.Options(physics="mujoco"), 1.0, None, is_real=True)


@pytest.mark.e2e
@pytest.mark.parametrize("seeds", ["1", "1:2"])
def test_without_mujoco_one_line_says_what_to_install(seeds: str) -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None\n"  # what an import finds where it is not installed
        "from agent.__main__ import main\n"
        f"sys.exit(main(['sim', 'living-room', '--seed', '{seeds}', '--physics', 'mujoco']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "pip install -e '.[mujoco]'" in lines[0]
