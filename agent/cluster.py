"""Sweeps on other machines, by `dask.distributed` (the extra `cluster`).

Each machine has this same version of Nod and one worker a core:
`dask worker tcp://SCHEDULER:8786 --nthreads 1 --nworkers -1`. A worker that dies loses nothing: the scheduler has its
runs played by another. No dashboard is opened here, and nobody but the scheduler is spoken to.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from agent import sweep
from agent.sweep import Job, Played
from drivers.errors import ConfigError, DeviceError, not_installed

CONNECT_TIMEOUT_S = 10.0  # a scheduler in the same house answers within one
_one_at_a_time = threading.Lock()  # a run has a process for itself, though a worker may have several threads


def player(address: str) -> sweep.Player:
    """Plays on the cluster whose scheduler is at an address such as tcp://host:8786.

    Raises ConfigError for another kind of address, or without the extra. Playing raises DeviceError when there is no
    scheduler or it is lost.
    """
    parts = urlsplit(address)
    try:
        usable = parts.scheme in ("tcp", "tls") and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"--cluster {address!r} is no address like tcp://192.168.1.5:8786")
    try:
        import distributed  # not at the top: few have it
    except ImportError as exc:
        raise not_installed("a cluster needs dask.distributed", "cluster") from exc

    def play(left: Sequence[Job]) -> Iterator[tuple[Job, Played]]:
        with contextlib.ExitStack() as stack:
            try:
                client = stack.enter_context(distributed.Client(address, timeout=CONNECT_TIMEOUT_S))
            except OSError as exc:
                raise DeviceError(
                    f"{address}: no scheduler answers; start one with `dask scheduler`"
                ) from exc
            by_key = {f"{job.options.scenario}-{job.options.seed}-{job.version}": job for job in left}
            futures = client.map(_play, list(by_key.values()), key=list(by_key), pure=False)
            for future in distributed.as_completed(futures):
                if future.status == "cancelled":
                    raise DeviceError(f"{address}: the scheduler is gone; start the sweep again to go on")
                error = future.exception()
                yield by_key[future.key], _lost(by_key[future.key], error) if error else future.result()
                future.release()

    return play


def _play(job: Job) -> Played:
    with _one_at_a_time:
        return sweep.play(job)


def _lost(job: Job, error: BaseException) -> Played:
    """A run that the cluster could not play: its workers died of it, or have another Nod."""
    trouble = f"{type(error).__name__}: {error}".split("\n")[0]
    return Played(
        sweep.Result(
            scenario=job.options.scenario, seed=job.options.seed, version=job.version, trouble=trouble
        )
    )
