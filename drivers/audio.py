"""Sound: what a microphone gives. Amplitudes are 16-bit samples, one channel."""

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of sound. `time_s` is the loop time of its first sample."""

    samples: NDArray[np.int16]
    time_s: float
    rate_hz: int


class Microphone(Protocol):
    """Enter it, then read stretch after stretch, without gaps. Raises DeviceError when it is gone."""

    async def __aenter__(self) -> "Microphone": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def read(self) -> Sound:
        """The next stretch, once all of it was heard."""
        ...
