"""Processes that do jobs side by side, any of which may die without taking the others along.

`concurrent.futures` gives up all work under way when one of its processes dies, and cannot say whose work killed
it. Here each process has a pipe of its own: a death names its job, and whoever loses the parent ends by itself.
"""

import faulthandler
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

J = TypeVar("J")
R = TypeVar("R")
TRIES = 2  # a process may die of another's hunger for memory; twice is the job's own doing
END_S = 3.0  # for a process that was told to end


class Died(msgspec.Struct, frozen=True):
    """The processes that did a job died of it, TRIES times; how the last one ended."""

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"the process ended by itself with exit code {self.exit_code}"
        return f"the process was killed by signal {signal.Signals(-self.exit_code).name}"


class _Worker(Generic[J, R]):
    def __init__(self, do: Callable[[J], R], log: Path) -> None:
        # "spawn": a fork copies threads' locks, and the libraries of vision have threads.
        context = get_context("spawn")
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end, do, log), daemon=True)
        self.process.start()
        far_end.close()

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class _Task(msgspec.Struct, Generic[J]):
    job: J
    tries: int = 0


def each_done(do: Callable[[J], R], jobs: Sequence[J], count: int, log: Path) -> Iterator[tuple[J, R | Died]]:
    """Do all jobs in `count` processes; yields each with its result as it comes, in no order.

    `do`, jobs and results must be picklable, and `do` raises nothing. What the processes write to stderr goes to the
    end of the file `log`. Closing the iterator ends the processes.
    """
    waiting = deque(_Task(job) for job in jobs)
    busy: dict[Connection, tuple[_Worker[J, R], _Task[J]]] = {}

    def give(worker: _Worker[J, R] | None) -> None:
        """The next task to this process, or to a new one; without a task it ends."""
        if not waiting:
            if worker is not None:
                worker.end()
            return
        task = waiting.popleft()
        task.tries += 1
        worker = worker or _Worker(do, log)
        busy[worker.pipe] = (worker, task)
        try:
            worker.pipe.send(task.job)
        except BrokenPipeError:
            return  # it died while idle; that is read below

    try:
        for _ in range(min(count, len(waiting))):
            give(None)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, task = busy.pop(pipe)
                try:
                    answer: R | Died = pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    answer = Died(worker.process.exitcode or 0)
                    worker.end()
                    if task.tries < TRIES:
                        waiting.appendleft(task)
                        give(None)
                        continue
                    give(None)
                else:
                    give(worker)
                yield task.job, answer
    finally:
        for worker, _ in busy.values():
            worker.end()


def _serve(pipe: Connection, do: Callable[[J], R], log: Path) -> None:
    """In the process: job after job, until the parent closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 2)
    os.close(target)
    faulthandler.enable()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send(do(job))
        except BrokenPipeError:
            return
