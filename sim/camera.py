"""A simulated camera: draws what is in front of it, at each frame's time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from drivers.camera import Frame, Image, Lens

View = Callable[[float], Callable[[], Image] | Image]
"""What there is to see at a time, taken at once; calling the result draws it, in another thread.

A picture instead of such a call is taken as it is.
"""


class SimCamera:
    """Frames at a steady rate. A slot that is missed is skipped, never made up for."""

    def __init__(self, lens: Lens, rate_hz: float, view: View) -> None:
        self._lens = lens
        self._period_s = 1 / rate_hz
        self._view = view
        self._thread: ThreadPoolExecutor | None = None
        self._start_s = 0.0
        self._index = 0

    @property
    def lens(self) -> Lens:
        return self._lens

    async def __aenter__(self) -> "SimCamera":
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._start_s = asyncio.get_running_loop().time()
        self._index = 0
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def read(self) -> Frame:
        """Wait for the next slot and draw it; the frame carries the time of what it shows."""
        loop = asyncio.get_running_loop()
        self._index = max(self._index + 1, int((loop.time() - self._start_s) / self._period_s))
        due_s = self._start_s + self._index * self._period_s
        await asyncio.sleep(max(due_s - loop.time(), 0.0))
        taken_s = loop.time()
        view = self._view(taken_s)
        image = await loop.run_in_executor(self._thread, view) if callable(view) else view
        return Frame(image=image, time_s=taken_s, index=self._index)
