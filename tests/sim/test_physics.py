"""Scenarios with MuJoCo behind the firmware: the whole robot, chosen by one option."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent import app, rehearsal, sweep
from agent.config import Config, HeadConfig, ModelConfig
from agent.rehearsal import Stepper
from agent.sweep import Job
from drivers.body import FOLDER, Body, PwmServo
from drivers.errors import ConfigError
from sim.board import LockstepBoard, PwmFrame
from sim.invariants import MOST_TILT_RAD
from sim.stage import Fidelity, Physics

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(model=ModelConfig(enabled=False))
MARGIN_M = 0.005  # by which the two bodies' balance may differ over a scenario
BOTH = pytest.mark.parametrize("physics", ["light", "mujoco"])
LIVELY = """
name = "lively"
about = "Nobody is there; it looks down when it is asked to."
duration_s = 2.6
[robot]
position_m = [0.0, 0.0, 0.75]
[[order]]
at_s = 1.0
text = "look down"
[throughout]
min_margin_m = {}
"""


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


@pytest.mark.e2e
@pytest.mark.parametrize(
    "name",
    [
        "tip-over-temptation",
        "stop-button",
        "clock-jump",
        "board-restart",
        "sit-and-stand",
        "leave-and-return",
    ],
)
def test_both_bodies_end_in_the_same_verdict(name: str) -> None:
    wanted: tuple[Physics, ...] = ("light", "mujoco")
    light, mujoco = (
        rehearsal.simulate(
            CONFIG, app.Options(scenario=name, fidelity="landmarks", physics=physics), None, None
        )
        for physics in wanted
    )
    for verdict in (light, mujoco):
        print(
            f"{name}: {verdict.failures}, {verdict.locked_onto} in {verdict.lock_share:.3f}, {verdict.nods} nods, "
            f"least margin {verdict.least_margin_m} m, most tilt {verdict.most_tilt_rad} rad"
        )
    assert light.failures == mujoco.failures == ()
    assert light.locked_onto == mujoco.locked_onto
    assert light.lock_share == pytest.approx(mujoco.lock_share, abs=0.05)
    assert light.least_margin_m == pytest.approx(mujoco.least_margin_m, abs=MARGIN_M)


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


def lively(folder: Path, physics: Physics, min_margin_m: float) -> app.Options:
    file = folder / f"lively-{min_margin_m}.toml"
    file.write_text(LIVELY.format(min_margin_m))
    return app.Options(scenario=str(file), fidelity="landmarks", physics=physics)


@BOTH
def test_how_near_it_came_to_tipping_is_judged_though_it_stood(tmp_path: Path, physics: Physics) -> None:
    """The tabletop's zero-moment point at rest lies 10.1 cm inside the edge of its foot."""
    passes, fails = (
        rehearsal.simulate(CONFIG, lively(tmp_path, physics, margin_m), None, None)
        for margin_m in (0.08, 0.1)
    )
    assert passes.most_tilt_rad is not None and passes.most_tilt_rad < MOST_TILT_RAD
    assert passes.failures == ()
    assert passes.least_margin_m == fails.least_margin_m
    assert passes.least_margin_m is not None and 0.08 < passes.least_margin_m < 0.1
    assert len(fails.failures) == 1 and "the zero-moment point was" in fails.failures[0]


class Thrower:
    """Behind a board that has lost its limits: it throws the arm to and fro."""

    def __init__(self, board: LockstepBoard, body: Body) -> None:
        self._pulses, self._body = board.pulses, body

    def __call__(self) -> list[PwmFrame]:
        return [PwmFrame(frame.time_s, self._thrown(frame)) for frame in self._pulses()]

    def _thrown(self, frame: PwmFrame) -> tuple[int, ...]:
        way = 1.0 if int(frame.time_s / 0.4) % 2 else -1.0
        pulse_us = list(frame.pulse_us)
        for name, angle_rad in (("lift", 0.1 + 0.5 * way), ("tilt", 0.5 * way)):
            place = self._body.index(name)
            servo = self._body.joint[place].servo
            assert isinstance(servo, PwmServo)
            pulse_us[place] = round(servo.centre_us + servo.per_rad_us * angle_rad)
        return tuple(pulse_us)


@BOTH
def test_a_board_without_limits_is_caught_before_the_robot_tips(tmp_path: Path, physics: Physics) -> None:
    with Stepper(CONFIG, lively(tmp_path, physics, 0.05)) as stepper:
        board = stepper.stage.board
        assert isinstance(board, LockstepBoard)
        stepper.step(1.0)
        board.pulses = Thrower(board, stepper.app.devices.body)  # type: ignore[method-assign]
        stepper.step(1.5)
        verdict = stepper.verdict()
    print(f"{physics}: {verdict.least_margin_m} m, {verdict.most_tilt_rad} rad, {verdict.failures}")
    assert any("the zero-moment point was" in failure for failure in verdict.failures)
    assert not any("tipped" in failure for failure in verdict.failures)
