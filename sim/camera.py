"""A simulated camera: draws what is in front of it, at each frame's time."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from drivers.camera import Frame, Image, Lens

View = Callable[[float], Callable[[], Image] | Image]
"""What there is to see at a time, taken at once; calling the result draws it, in another thread.

A picture instead of such a call is taken as it is.
"""


class _Taken(NamedTuple):
    time_s: float
    number: int
    image: Future[Image] | Image


class SimCamera:
    """Frames at a steady rate, each arriving `latency_s` after it was taken, whatever drawing it costs.

    A slot that is missed is skipped, never made up for. While a frame is on its way, it is drawn.
    """

    def __init__(self, lens: Lens, rate_hz: float, view: View, latency_s: float = 0.0) -> None:
        self._lens = lens
        self._period_s = 1 / rate_hz
        self._view = view
        self._latency_s = latency_s
        self._thread: ThreadPoolExecutor | None = None
        self._start_s = 0.0
        self._index = 0
        self._on_the_way: deque[_Taken] = deque()

    @property
    def lens(self) -> Lens:
        return self._lens

    async def __aenter__(self) -> "SimCamera":
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._start_s = asyncio.get_running_loop().time()
        self._index = 0
        self._on_the_way.clear()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def read(self) -> Frame:
        """Wait for the next frame to arrive; it carries the time of what it shows."""
        loop = asyncio.get_running_loop()
        while True:
            index = max(self._index + 1, int((loop.time() - self._start_s) / self._period_s))
            due_s = self._start_s + index * self._period_s
            if self._on_the_way and self._on_the_way[0].time_s + self._latency_s <= due_s:
                return await self._arrive()
            await asyncio.sleep(max(due_s - loop.time(), 0.0))
            self._index = index
            self._take(loop.time())

    def _take(self, time_s: float) -> None:
        assert self._thread is not None
        view = self._view(time_s)
        image = self._thread.submit(view) if callable(view) else view
        self._on_the_way.append(_Taken(time_s, self._index, image))

    async def _arrive(self) -> Frame:
        loop = asyncio.get_running_loop()
        time_s, number, image = self._on_the_way[0]
        await asyncio.sleep(max(time_s + self._latency_s - loop.time(), 0.0))
        self._on_the_way.popleft()
        if isinstance(
            image, Future
        ):  # asked for in a thread, so that virtual time stands still until it is done
            image = await loop.run_in_executor(self._thread, image.result)
        return Frame(image=image, time_s=time_s, index=number)
