"""What the simulator costs and how far it can be trusted: the figures of `nod bench sim`."""

import hashlib
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

SCENARIO = "living-room"  # five people: four in the room, one on a call
SEED = 7
CORES = 2  # what the goals are for
WARM_UP_S = 2.0
CONFIG = Config(model=ModelConfig(enabled=False))


def measure(*, quick: bool) -> list[Figure]:
    """All of them, one after the other; about three minutes, or one if `quick`."""
    figures = []
    for name, options, seconds in (
        ("landmarks", Options(scenario=SCENARIO, fidelity="landmarks", seed=SEED), 20.0 if quick else 60.0),
        ("pixels", Options(scenario=SCENARIO, seed=SEED), 5.0 if quick else 20.0),
    ):
        figures.append(_speed(f"{name}_one_x", options, seconds, jobs=1))
        figures.append(_speed(f"{name}_x", options, seconds, jobs=CORES))
    figures.append(_identical(3.0 if quick else 10.0))
    return figures + _identity()


def _speed(name: str, options: Options, seconds: float, jobs: int) -> Figure:
    """Simulated seconds a second, over `jobs` processes that play one seed each: a sweep's throughput."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        list(pool.map(_play, [options] * jobs, [WARM_UP_S] * jobs))  # compiled, painted, loaded
        began_s = perf_counter()
        seeds = [msgspec.structs.replace(options, seed=options.seed + job) for job in range(jobs)]
        list(pool.map(_play, seeds, [seconds] * jobs))
        wall_s = perf_counter() - began_s
    return Figure(name=name, value=jobs * seconds / wall_s, unit="x", n=jobs)


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
