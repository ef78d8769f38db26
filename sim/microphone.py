"""The simulated microphone: voices at their distance with the room's echo, the robot's motors, and noise.

The echo is by pyroomacoustics' image sources in a box as large as the room; furniture and people cast no
shadow. How loud motors are is assumed: 45 dB at a rad/s, of hobby servos heard from 20 cm. Needs the extra
`sound`, and flite for the voices.
"""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.audio import Sound
from drivers.errors import not_installed
from sim.voices import RATE_HZ, need_flite

Floats = NDArray[np.float32]
Place = tuple[float, float, float]

CHUNK_S = 0.04
FULL_SCALE_PA = 1.0  # a sound of 94 dB just fills the samples, as with a USB microphone's usual gain
REVERBERATION_S = 0.45  # to fall by 60 dB, in a furnished living room
ECHOES = 20  # image sources up to this order; more change the last of the tail only
RESPONSE_DELAY = 40  # samples by which pyroomacoustics' fractional delays come late
QUIET_PA = 0.0006  # 30 dB: a quiet room, and the microphone's own noise
MOTOR_PA = 0.0036  # 45 dB at one rad/s of one joint
GEAR_TEETH_PER_RAD = 140.0  # of a servo's fastest gears, seen at its output: 140 Hz at one rad/s
WALL_GAP_M = 0.05  # nobody's mouth is inside a wall


class Utterance(msgspec.Struct, frozen=True):
    """Something spoken: from when, where, and what gives its pressure at one metre in Pa, RATE_HZ samples a second.

    `speak` is called in the microphone's thread, once its first word is due.
    """

    start_s: float
    speak: Callable[[], Floats]
    position_m: Place


def need_pyroomacoustics() -> Any:
    """The library, which takes two seconds to load the first time. Raises ConfigError without the extra `sound`."""
    try:
        import pyroomacoustics
    except ImportError as exc:
        raise not_installed("simulated sound needs pyroomacoustics", "sound") from exc
    pyroomacoustics.constants.set("num_threads", 1)  # how many add up an echo changes its last digits
    return pyroomacoustics


class Acoustics:
    """A box of a room: what becomes of a sound on its way from one place to another."""

    def __init__(self, low_m: Place, high_m: Place, reverberation_s: float = REVERBERATION_S) -> None:
        """Two opposite corners. Raises ConfigError without the extra `sound`."""
        self._library = need_pyroomacoustics()
        self._low_m = np.array(low_m)
        self._size_m = np.array(high_m) - self._low_m
        self._absorption, _ = self._library.inverse_sabine(reverberation_s, list(self._size_m))

    def response(self, source_m: Place, ear_m: Place) -> Floats:
        """What a click of one Pa at a metre sounds like at the ear, from its start on."""
        material = self._library.Material(self._absorption)
        room = self._library.ShoeBox(list(self._size_m), fs=RATE_HZ, materials=material, max_order=ECHOES)
        room.add_source(self._inside(source_m))
        room.add_microphone(self._inside(ear_m))
        room.compute_rir()
        return np.asarray(room.rir[0][0][RESPONSE_DELAY:], dtype=np.float32)

    def heard(self, samples: Floats, source_m: Place, ear_m: Place) -> Floats:
        """The pressure at the ear, as long as the sound and its echo."""
        response = self.response(source_m, ear_m)
        length = len(samples) + len(response) - 1
        size = 1 << (length - 1).bit_length()
        product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
        return np.asarray(np.fft.irfft(product, size)[:length], dtype=np.float32)

    def _inside(self, place_m: Place) -> list[float]:
        inner = np.clip(np.array(place_m) - self._low_m, WALL_GAP_M, self._size_m - WALL_GAP_M)
        return [float(value) for value in inner]


class SimMicrophone:
    """Stretches of CHUNK_S, without gaps.

    `speech(from_s, to_s)` gives what begins to be spoken then; `ear()` says where the microphone is and
    `joints()` the angles of the robot's joints in rad, both now. All three are asked on the loop.
    """

    def __init__(
        self,
        acoustics: Acoustics,
        speech: Callable[[float, float], tuple[Utterance, ...]],
        ear: Callable[[], Place],
        joints: Callable[[], tuple[float, ...]],
        seed: int,
    ) -> None:
        need_flite()
        self._acoustics = acoustics
        self._speech = speech
        self._ear = ear
        self._joints = joints
        self._random = np.random.default_rng((seed, 0x50))
        self._thread: ThreadPoolExecutor | None = None
        self._pending: list[tuple[int, Floats]] = []  # first sample, pressure at the ear
        self._sample = 0
        self._start_s = 0.0
        self._angles: tuple[float, NDArray[np.float64]] | None = None  # and when they were so
        self._speeds: NDArray[np.float64] = np.zeros(0)
        self._phases: NDArray[np.float64] = np.zeros(0)

    async def __aenter__(self) -> "SimMicrophone":
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="microphone")
        self._start_s, self._sample = asyncio.get_running_loop().time(), 0
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def read(self) -> Sound:
        """The next stretch, once all of it was heard."""
        loop = asyncio.get_running_loop()
        count = round(CHUNK_S * RATE_HZ)
        first, self._sample = self._sample, self._sample + count
        await asyncio.sleep(max(self._start_s + self._sample / RATE_HZ - loop.time(), 0.0))
        self._feel(loop.time())
        # The same expression for this stretch's end as for the next one's start: nothing is heard twice or never.
        from_s, to_s = (self._start_s + sample / RATE_HZ for sample in (first, self._sample))
        spoken = self._speech(from_s, to_s)
        pressure = await loop.run_in_executor(
            self._thread, self._hear, first, count, spoken, self._speeds, self._ear()
        )
        samples = np.clip(np.rint(pressure / FULL_SCALE_PA * 32767), -32768, 32767).astype(np.int16)
        return Sound(samples=samples, time_s=from_s, rate_hz=RATE_HZ)

    def _feel(self, now_s: float) -> None:
        """How fast the joints turned since the last time; after a stall several stretches are heard at once."""
        angles = np.array(self._joints())
        if self._angles is None:
            self._speeds = np.zeros(len(angles))
        elif now_s - self._angles[0] < CHUNK_S / 2:
            return
        else:
            self._speeds = np.abs(angles - self._angles[1]) / (now_s - self._angles[0])
        self._angles = now_s, angles

    def _hear(
        self,
        first: int,
        count: int,
        spoken: tuple[Utterance, ...],
        speeds_rad_s: NDArray[np.float64],
        ear_m: Place,
    ) -> Floats:
        for said in spoken:
            begin = round((said.start_s - self._start_s) * RATE_HZ)
            self._pending.append((begin, self._acoustics.heard(said.speak(), said.position_m, ear_m)))
        pressure = self._random.normal(0.0, QUIET_PA, count).astype(np.float32)
        for begin, heard in self._pending:
            low, high = max(begin, first), min(begin + len(heard), first + count)
            if low < high:
                pressure[low - first : high - first] += heard[low - begin : high - begin]
        self._pending = [
            (begin, heard) for begin, heard in self._pending if begin + len(heard) > first + count
        ]
        return pressure + self._motors(speeds_rad_s, count)

    def _motors(self, speeds_rad_s: NDArray[np.float64], count: int) -> Floats:
        """Gears whine at a pitch that follows the speed, with three overtones, and hiss as loudly."""
        if len(self._phases) != len(speeds_rad_s):
            self._phases = np.zeros(len(speeds_rad_s))
        steps = np.arange(1, count + 1) / RATE_HZ
        total = np.zeros(count)
        for place, speed in enumerate(speeds_rad_s):
            phase = self._phases[place] + 2 * math.pi * GEAR_TEETH_PER_RAD * speed * steps
            self._phases[place] = phase[-1] % (2 * math.pi)
            whine = sum(np.sin(phase * harmonic) / harmonic for harmonic in (1, 2, 3, 4))
            total += MOTOR_PA * min(speed, 4.0) * (0.7 * whine + self._random.normal(0.0, 0.7, count))
        return total.astype(np.float32)
