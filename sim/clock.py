"""Virtual time: an event loop whose clock jumps to the next deadline instead of waiting for it.

An hour of robot life takes as long as its computing does, and the same seed gives the same order of events.
Work handed to an executor runs in its threads while the clock stands still; its results come back one at a
time, in the order in which the work was handed over, and only when nothing else is left to do at that moment.
So nothing depends on which thread was faster. Sockets and pipes that need real waiting don't belong here.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for work in threads; otherwise never: what the loop would have waited becomes virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._under_way: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()

    def hold(self, work: Future[Any], answer: asyncio.Future[Any]) -> None:
        """Let no time pass until this work is done and its answer given."""
        self._under_way.append((work, answer))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # there is work; what woke the loop from elsewhere is already among it
        ready = super().select(0)
        if ready:
            return ready
        if self._under_way:
            work, answer = self._under_way.popleft()
            error = work.exception()
            if answer.cancelled():
                pass
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(work.result())
            return ready
        if timeout is None:
            raise RuntimeError("virtual time: every task waits and nothing is due; this run would never end")
        self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, starting at zero."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._pool: ThreadPoolExecutor | None = None
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as on a host that hangs."""
        self._jumping.now_s += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        if executor is None:
            self._pool = self._pool or ThreadPoolExecutor(max_workers=1)
            executor = self._pool
        answer: asyncio.Future[T] = self.create_future()
        self._jumping.hold(executor.submit(func, *args), answer)
        return answer

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        super().close()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
