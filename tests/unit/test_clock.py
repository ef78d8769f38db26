"""Virtual time: jumps over waits, stands still for work in threads, and says when nothing can ever happen."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sim import clock


def test_an_hour_passes_at_once() -> None:
    async def sleep() -> float:
        await asyncio.sleep(3600.0)
        return asyncio.get_running_loop().time()

    began_s = time.perf_counter()
    assert clock.run(sleep()) == pytest.approx(3600.0)
    assert time.perf_counter() - began_s < 60.0  # an hour within a minute, on any machine


def test_no_time_passes_while_threads_work() -> None:
    def slow() -> str:
        time.sleep(0.05)
        return "done"

    async def work() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.001):
            said = await loop.run_in_executor(None, slow)
        return said, loop.time()

    assert clock.run(work()) == ("done", 0.0)


def test_results_come_back_in_the_order_of_the_work_not_of_its_end() -> None:
    first_may_end = threading.Event()

    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        order: list[str] = []

        async def one(name: str, what: object) -> None:
            await loop.run_in_executor(pool, what)  # type: ignore[arg-type]  # a function without arguments
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(one("first", lambda: first_may_end.wait(5.0)))
            group.create_task(one("second", first_may_end.set))
        return order

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert clock.run(work()) == ["first", "second"]


def test_an_error_in_a_thread_reaches_whoever_waits() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(None, fail)

    with pytest.raises(ValueError, match="no"):
        clock.run(work())


def test_a_run_that_could_never_end_says_so() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="never end"):
        clock.run(forever())
