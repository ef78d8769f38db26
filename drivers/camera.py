"""Pixels: what a camera is, and the cameras that OpenCV opens (USB, film, stream)."""

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

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
