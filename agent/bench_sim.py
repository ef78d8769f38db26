"""What the simulator costs and how far it can be trusted: the figures of `nod bench sim`."""

import hashlib
import logging
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import msgspec

from agent import rehearsal
from agent.app import Options
from agent.config import Config, ModelConfig
from agent.figures import Figure
from agent.likeness_trials import identity_figures
from drivers.errors import ConfigError

SCENARIO = "living-room"  # five people: four in the room, one on a call
SEED = 7
CORES = 2  # what the goals are for
WARM_UP_S = 2.0
CONFIG = Config(model=ModelConfig(enabled=False))
WHAT = "whole robot without the model, true firmware, five people"

log = logging.getLogger(__name__)


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Runs whose speed is measured."""

    name: str
    options: Options
    seconds: float
    quick_s: float
    text: str


KINDS = (
    _Kind(
        name="landmarks",
        options=Options(scenario=SCENARIO, fidelity="landmarks", seed=SEED),
        seconds=60.0,
        quick_s=20.0,
        text="vision modelled; light body",
    ),
    _Kind(
        name="mujoco",
        options=Options(scenario=SCENARIO, fidelity="landmarks", physics="mujoco", seed=SEED),
        seconds=60.0,
        quick_s=20.0,
        text="vision modelled; body in MuJoCo, 5 ms a step",
    ),
    _Kind(
        name="pixels",
        options=Options(scenario=SCENARIO, seed=SEED),
        seconds=20.0,
        quick_s=5.0,
        text="pictures drawn and seen; light body",
    ),
)


def measure(*, quick: bool) -> list[Figure]:
    """All of them, one after the other; about four minutes, or one and a half if `quick`."""
    figures = []
    for kind in KINDS:
        try:
            rehearsal.plant_of(kind.options.physics)
        except ConfigError as exc:
            log.warning("%s_x is left out: %s", kind.name, exc)
            continue
        for name, jobs in ((f"{kind.name}_one_x", 1), (f"{kind.name}_x", CORES)):
            figures.append(_speed(name, kind, kind.quick_s if quick else kind.seconds, jobs))
    figures.append(_identical(3.0 if quick else 10.0))
    return figures + _identity()


def _speed(name: str, kind: _Kind, seconds: float, jobs: int) -> Figure:
    """Simulated seconds a second, over `jobs` processes that play one seed each: a sweep's throughput."""
    options = kind.options
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        list(pool.map(_play, [options] * jobs, [WARM_UP_S] * jobs))  # compiled, painted, loaded
        began_s = perf_counter()
        seeds = [msgspec.structs.replace(options, seed=options.seed + job) for job in range(jobs)]
        list(pool.map(_play, seeds, [seconds] * jobs))
        wall_s = perf_counter() - began_s
    text = f"{WHAT}; {kind.text}; {jobs} × {seconds:g} simulated s, by the clock of this machine"
    return Figure(name=name, value=jobs * seconds / wall_s, unit="x", n=jobs, text=text)


def _play(options: Options, seconds: float) -> None:
    rehearsal.simulate(CONFIG, options, seconds, None)


def _identical(seconds: float) -> Figure:
    """1 when two runs of one seed, in processes of their own, give the same bytes."""
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        files = [Path(folder) / f"{name}.mcap" for name in ("first", "second")]
        with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
            list(pool.map(_record, files, [seconds] * 2))
        digests = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return Figure(name="identical", value=float(len(digests) == 1), unit="1", n=2)


def _record(file: Path, seconds: float) -> None:
    rehearsal.simulate(CONFIG, Options(scenario=SCENARIO, seed=SEED), seconds, file)


def _identity() -> list[Figure]:
    """How well the simulated people are told apart. Who ships was chosen for it: it tests the lock, not identity."""
    pictures, lens = rehearsal.portraits()
    told = identity_figures(pictures, lens)
    return [
        Figure(name="same_below_052", value=told.same_below_052, unit="1", n=told.n_same),
        Figure(name="other_above_060", value=told.other_above_060, unit="1", n=told.n_other),
    ]
