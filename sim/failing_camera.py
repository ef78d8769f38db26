"""A camera that fails when it is told to, in the ways and with the words of a true one."""

import asyncio
from typing import Literal

import msgspec

from drivers.camera import FRAME_TIMEOUT_S, OPEN_TIMEOUT_S, Camera, Frame, Lens
from drivers.errors import DeviceError

Failure = Literal["hung", "frozen", "gone"]
FROZEN_PERIOD_S = 0.05  # a frozen camera goes on at its rate


class FailingCamera:
    """Stands before a camera and passes its frames on while all is well."""

    def __init__(self, camera: Camera, name: str) -> None:
        self._camera = camera
        self._name = name
        self._failure: Failure | None = None
        self._changed = asyncio.Event()
        self._last: Frame | None = None

    @property
    def lens(self) -> Lens:
        return self._camera.lens

    def fail(self, failure: Failure | None) -> None:
        """Fail in this way from now on; None: be well again."""
        self._failure = failure
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "FailingCamera":
        await self._pass(OPEN_TIMEOUT_S)
        await self._camera.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._camera.__aexit__(*exc)

    async def read(self) -> Frame:
        while True:
            await self._pass(FRAME_TIMEOUT_S)
            if self._failure == "frozen" and self._last is not None:
                await asyncio.sleep(FROZEN_PERIOD_S)
                now_s = asyncio.get_running_loop().time()
                self._last = msgspec.structs.replace(self._last, time_s=now_s, index=self._last.index + 1)
                return self._last
            frame = await self._camera.read()
            if self._failure != "hung":  # else this one never arrives
                self._last = frame
                return frame

    async def _pass(self, timeout_s: float) -> None:
        """Return when there is a picture to be had; raise DeviceError as a driver does when there is none."""
        if self._failure == "gone":
            raise DeviceError(f"{self._name} is missing or busy; plug it in, or close what uses it")
        try:
            async with asyncio.timeout(timeout_s):
                while self._failure == "hung":
                    await self._changed.wait()
        except TimeoutError as exc:
            raise DeviceError(f"{self._name}: no picture for {timeout_s:g} s; check its cable") from exc
