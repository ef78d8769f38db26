"""Pixels: what a camera is, and the cameras that OpenCV opens (USB, film, stream)."""

import asyncio
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, without_login

Image = NDArray[np.uint8]
"""Height × width × 3, blue-green-red, as OpenCV keeps it."""


class Lens(msgspec.Struct, frozen=True, kw_only=True):
    """A pinhole: the picture's size, its focal length, and its centre at half the size."""

    width_px: int
    height_px: int
    focal_px: float


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. `time_s` is the loop time at which it was taken, not at which it arrived."""

    image: Image
    time_s: float
    index: int


class Camera(Protocol):
    """A source of frames. `read` waits for the next one; raises DeviceError when there is none to come."""

    @property
    def lens(self) -> Lens: ...

    async def __aenter__(self) -> "Camera": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def read(self) -> Frame: ...


OPEN_TIMEOUT_S = 8.0  # a USB camera that wakes from sleep takes up to five seconds
FRAME_TIMEOUT_S = 2.0  # sixty frames late: it is not coming
STILL_S = 1.0  # thirty pictures that are all alike: a sensor has noise, so it hangs
STREAM_STILL_S = (
    12.0  # a codec may leave out a quiet scene's noise until its next whole picture, each ten seconds
)
DEFAULT_FIELD_OF_VIEW_RAD = math.radians(60)  # of most webcams, until calibrated
WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 480, 30.0
MAX_RATE_HZ = 240.0  # what a film's header may claim before it is taken for damage
MAX_NUMBER = 255  # of a USB camera; Linux has no more
STREAM_TIMEOUT_MS = 2000  # a stream that hangs must not keep the program from ending
FFMPEG_QUIET = "-8"  # its own level for saying nothing


def lens_for(width_px: int, height_px: int, field_of_view_rad: float = DEFAULT_FIELD_OF_VIEW_RAD) -> Lens:
    """The pinhole that sees `field_of_view_rad` across the picture's width."""
    focal_px = width_px / 2 / math.tan(field_of_view_rad / 2)
    return Lens(width_px=width_px, height_px=height_px, focal_px=focal_px)


def most_still_s(source: str | None) -> float | None:
    """For how long a camera's pictures may be alike before it hangs; None for a film, which may well hold a still.

    `source` is as for OpenCvCamera, None for a simulated camera.
    """
    if source is None or source.isdecimal():
        return STILL_S
    return None if is_film(source) else STREAM_STILL_S


def is_film(source: str) -> bool:
    """Whether this is the path of a film, and neither a USB camera's number nor a stream's URL."""
    return not source.isdecimal() and "://" not in source


class OpenCvCamera:
    """A USB camera by number, a stream by URL, or a film by path, which is played at its own pace, over and over.

    Everything that blocks runs in one thread of its own. After an error, leave and enter again to retry.
    """

    def __init__(self, source: str, field_of_view_rad: float = DEFAULT_FIELD_OF_VIEW_RAD) -> None:
        self._source = source
        self._shown = without_login(source)
        self._field_of_view_rad = field_of_view_rad
        self._is_usb = source.isdecimal()
        self._is_film = is_film(source)
        self._thread: ThreadPoolExecutor | None = None
        self._capture: cv2.VideoCapture | None = None
        self._lens = lens_for(WIDTH_PX, HEIGHT_PX, field_of_view_rad)
        self._period_s = 1 / RATE_HZ
        self._due_s = 0.0
        self._index = 0

    @property
    def lens(self) -> Lens:
        return self._lens

    async def __aenter__(self) -> "OpenCvCamera":
        """Open it. Raises DeviceError when it is missing, busy or no film."""
        self._thread = thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="camera")
        try:
            first = await self._call(lambda: self._open(thread), OPEN_TIMEOUT_S)
        except BaseException:
            await self.__aexit__()
            raise
        height_px, width_px = first.shape[:2]
        self._lens = lens_for(width_px, height_px, self._field_of_view_rad)
        self._due_s = asyncio.get_running_loop().time()
        return self

    async def __aexit__(self, *exc: object) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        capture, self._capture = self._capture, None
        if capture is not None:
            thread.submit(capture.release)  # its own, after a read that may be under way
        # A hung camera keeps its thread until the driver gives up; nobody waits for that.
        thread.shutdown(wait=False)

    async def read(self) -> Frame:
        """The next frame; of a film, the one that is due now. Raises DeviceError when none comes."""
        loop = asyncio.get_running_loop()
        skip = 0
        if self._is_film:
            now_s = loop.time()
            if now_s < self._due_s:
                await asyncio.sleep(self._due_s - now_s)
            else:
                skip = int((now_s - self._due_s) / self._period_s)
            self._due_s += (skip + 1) * self._period_s
        image = await self._call(lambda: self._next(skip), FRAME_TIMEOUT_S)
        self._index += 1 + skip
        return Frame(image=image, time_s=loop.time(), index=self._index)

    async def _call(self, work: Callable[[], Image], timeout_s: float) -> Image:
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError as exc:
            raise DeviceError(
                f"camera {self._shown}: no picture for {timeout_s:g} s; "
                "check its cable or choose another with --camera"
            ) from exc

    def _open(self, thread: ThreadPoolExecutor) -> Image:
        _silence()
        if self._is_film and not os.path.isfile(self._source):
            raise DeviceError(f"camera: there is no file {self._shown}; give a film, a number or a URL")
        if self._is_usb and int(self._source) > MAX_NUMBER:
            raise DeviceError(f"camera {self._shown}: numbers end at {MAX_NUMBER}; see `ls /dev/video*`")
        if self._is_usb:
            capture = cv2.VideoCapture(int(self._source), cv2.CAP_V4L2)
        else:  # FFmpeg alone: the other readers of films write their doubts to the terminal
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            options = [value for limit in limits for value in (limit, STREAM_TIMEOUT_MS)]
            capture = cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            if self._is_film:
                says = "is no film that OpenCV can read; give another with --camera"
            elif self._is_usb:
                says = "is missing or busy; see `ls /dev/video*`, or close what uses it"
            else:
                says = "gives no stream; check its address and that it is switched on"
            raise DeviceError(f"camera {self._shown} {says}")
        if self._thread is not thread:  # it was left meanwhile, and perhaps entered again
            capture.release()
            raise DeviceError(f"camera {self._shown} was closed while it opened")
        self._capture = capture
        if self._is_usb:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH_PX)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT_PX)
            capture.set(cv2.CAP_PROP_FPS, RATE_HZ)
        rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
        self._period_s = 1 / rate_hz if 1.0 <= rate_hz <= MAX_RATE_HZ else 1 / RATE_HZ
        return self._next(0)

    def _next(self, skip: int) -> Image:
        capture = self._capture
        if capture is None:
            raise DeviceError(f"camera {self._shown} is closed")
        for _ in range(skip):
            capture.grab()
        ok, image = capture.read()
        if not ok and self._is_film:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, image = capture.read()
        if not ok or image is None:
            raise DeviceError(
                f"camera {self._shown}: no picture; check its cable or choose another with --camera"
            )
        return np.asarray(image, dtype=np.uint8)


def _silence() -> None:
    """Keep OpenCV and FFmpeg from writing to the terminal: what fails is said once, by us, in one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)  # FFmpeg reads it when it is first used
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
