"""What a camera makes of a scene: lens distortion, exposure, blur by its own turn, noise, and its delay.

Brightness is that of the drawn picture, 0 … 255 in the usual room; light and gain multiply it, as they would
if it were linear. Only the camera's own turn blurs, not what moves before it. Everything random comes from a
seed, so the same scenes in the same order give the same bytes. A `Sensor` holds the numbers, an `Imager` what
a camera remembers from picture to picture.
"""

import math
from functools import cache
from typing import Annotated

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.body import Matrix
from drivers.camera import Image, Lens
from sim.compiled import compiled
from sim.raster import Bytes

USUAL_EXPOSURE_S = 0.008  # at gain 1, of a webcam in a lit room
MIDDLE = (
    0.46 * 255
)  # the mean brightness that it strives for: that of the furnished rooms in their usual light
SETTLE_S = 0.35  # time constant; within 5 % after a second
LEAST_EXPOSURE = 1 / 64  # of the usual: it cannot close any further
NOISE_SCALE = 24.0  # steps of the table's noise per standard deviation, which is clipped at five of them
NOISE_BYTES = 1 << 20
MOST_TAPS = 16  # pictures that a blur is the mean of
VISIBLE_PX = 0.5  # a shorter blur is left out

Signed = NDArray[np.int8]
Offsets = NDArray[np.int64]


class Sensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera's numbers; the defaults are a usual webcam's, after its own correction of the lens."""

    distortion: Annotated[float, msgspec.Meta(ge=-0.15, le=0.3)] = 0.0
    """Share by which what lies at 45° is drawn too far out; negative is a barrel. Grows with the square.

    A barrel shows more than the pinhole that is drawn: there the picture's edge is repeated.
    """
    longest_exposure_s: Annotated[float, msgspec.Meta(ge=0.001, le=0.05)] = 0.03
    most_gain: Annotated[float, msgspec.Meta(ge=1.0, le=64.0)] = 12.0
    full_well: Annotated[float, msgspec.Meta(ge=100.0, le=1e6)] = 10_000.0
    """Electrons at full brightness and gain 1: the fewer, the more shot noise."""
    read_noise: Annotated[float, msgspec.Meta(ge=0.0, le=20.0)] = 0.4
    """Standard deviation at gain 1, in steps of 255; grows with the gain."""
    latency_s: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.03
    """From the middle of the exposure until the picture arrives."""

    @property
    def most_exposure(self) -> float:
        """How much brighter than usual a picture gets at most, by exposing longer and by gain."""
        return self.longest_exposure_s / USUAL_EXPOSURE_S * self.most_gain

    def as_usual(self, light: float) -> float:
        """The light in which a usual webcam would fare as this one does in `light`: in the dark, what counts is how
        much they can brighten."""
        return light * self.most_exposure / Sensor().most_exposure


class Imager:
    """Develops one camera's pictures in their order, from one thread."""

    def __init__(self, sensor: Sensor, lens: Lens, seed: str) -> None:
        self._sensor = sensor
        self._lens = lens
        self._random = np.random.default_rng(list(seed.encode()))
        self._map = _undistorted(lens, sensor.distortion) if sensor.distortion else None
        self._exposure = 0.0  # of the usual, gain included; 0 before the first picture
        self._last: tuple[float, Matrix] | None = None

    @property
    def exposure_s(self) -> float:
        """How long the last picture was exposed."""
        return min(self._exposure * USUAL_EXPOSURE_S, self._sensor.longest_exposure_s)

    @property
    def gain(self) -> float:
        """How much the last picture was amplified, 1 or more."""
        return max(1.0, self._exposure * USUAL_EXPOSURE_S / self._sensor.longest_exposure_s)

    def develop(self, scene: Image, light: float, camera_pose: Matrix, time_s: float) -> Image:
        """The picture of a scene, drawn in usual light, under `light` (1: usual) from a pose at a time.

        Writes into `scene`'s memory or returns new; times must not run backwards.
        """
        last_s, last_pose = self._last or (time_s, camera_pose)
        dt_s = max(time_s - last_s, 0.0)
        self._adapt(float(scene[::8, ::8, 1].mean()) * light, dt_s)
        self._last = (time_s, camera_pose.copy())
        picture = scene
        if self._map is not None:
            picture = cv2.remap(picture, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        _, pitch_rad, yaw_rad = _turn(last_pose, camera_pose)
        share = self.exposure_s / max(dt_s, self.exposure_s)  # of the turn since the last picture
        across_px, down_px = (angle * self._lens.focal_px * share for angle in (yaw_rad, -pitch_rad))
        if math.hypot(across_px, down_px) > VISIBLE_PX:
            picture = _blurred(picture, across_px, down_px)
        height, width = picture.shape[:2]
        starts = self._random.integers(0, NOISE_BYTES - 3 * width, height)
        out = np.empty_like(picture)
        _expose(
            picture.reshape(height, -1), _noise(), starts, np.float32(light * self._exposure),
            np.float32(self.gain * 255.0 / self._sensor.full_well),
            np.float32((self._sensor.read_noise * self.gain) ** 2), out.reshape(height, -1),
        )  # fmt: skip
        return out

    def _adapt(self, brightness: float, dt_s: float) -> None:
        """Move exposure and gain towards what gives the middle brightness, in steps of equal ratio."""
        wanted = min(max(MIDDLE / max(brightness, 1e-6), LEAST_EXPOSURE), self._sensor.most_exposure)
        if self._exposure == 0.0:
            self._exposure = wanted  # it was on before
        self._exposure *= (wanted / self._exposure) ** (1.0 - math.exp(-dt_s / SETTLE_S))


@cache
def _noise() -> Signed:
    """Normal noise for all cameras; where a row of a picture begins in it is drawn by lot."""
    table = np.random.default_rng(5).standard_normal(NOISE_BYTES, dtype=np.float32)
    return np.asarray(np.clip(np.rint(table * NOISE_SCALE), -127, 127), dtype=np.int8)


@compiled
def _expose(
    scene: Bytes,
    noise: Signed,
    starts: Offsets,
    factor: np.float32,
    shot: np.float32,
    read: np.float32,
    out: Bytes,
) -> None:
    """Brighten each value by `factor` and add noise of variance `shot` · value + `read`."""
    unit = np.float32(1.0 / NOISE_SCALE)
    for y in range(scene.shape[0]):
        grain = noise[starts[y] : starts[y] + scene.shape[1]]
        source, target = scene[y], out[y]
        for x in range(scene.shape[1]):  # without branches, so that eight are done at once
            value = np.float32(source[x]) * factor
            value += np.sqrt(min(value, np.float32(255.0)) * shot + read) * (np.float32(grain[x]) * unit)
            value = min(max(value + np.float32(0.5), np.float32(0.0)), np.float32(255.0))
            target[x] = np.uint8(np.int32(value))


def _blurred(picture: Image, across_px: float, down_px: float) -> Image:
    """The mean of the picture shifted along a line that long, its middle where it was."""
    taps = min(MOST_TAPS, math.ceil(math.hypot(across_px, down_px)) + 1)
    along = np.linspace(-0.5, 0.5, taps)
    shifts = np.rint(np.outer(along, (across_px, down_px))).astype(np.int64)
    edge = int(np.abs(shifts).max())
    wide = cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    out = np.empty_like(picture)
    height = picture.shape[0]
    _mean(wide.reshape(wide.shape[0], -1), shifts + edge, out.reshape(height, -1))
    return out


@compiled
def _mean(wide: Bytes, shifts: Offsets, out: Bytes) -> None:
    """Mean of the parts of `wide` that begin at `shifts` (column, row), as large as `out`."""
    total = np.empty(out.shape[1], dtype=np.uint16)
    share = np.float32(1.0) / np.float32(shifts.shape[0])
    for y in range(out.shape[0]):
        total[:] = 0
        for tap in range(shifts.shape[0]):
            first = 3 * shifts[tap, 0]
            row = wide[y + shifts[tap, 1], first : first + out.shape[1]]
            for x in range(out.shape[1]):
                total[x] += row[x]
        for x in range(out.shape[1]):
            out[y, x] = np.uint8(np.int32(np.float32(total[x]) * share + np.float32(0.5)))


def _turn(before: Matrix, now: Matrix) -> tuple[float, float, float]:
    """Sines of the turn about the camera's own x, y, z: the part of the change that is not symmetric."""
    change = before[:3, :3].T @ now[:3, :3]
    return (
        float(change[2, 1] - change[1, 2]) / 2,
        float(change[0, 2] - change[2, 0]) / 2,
        float(change[1, 0] - change[0, 1]) / 2,
    )


def _undistorted(lens: Lens, distortion: float) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """For each pixel of the picture, where in the pinhole's picture it comes from, as `cv2.remap` wants it.

    Brown's model of radial distortion, first term: r' = r (1 + k r²), here solved for r by Newton's method.
    """
    row, column = np.mgrid[: lens.height_px, : lens.width_px].astype(np.float64)
    x, y = (column - lens.width_px / 2) / lens.focal_px, (row - lens.height_px / 2) / lens.focal_px
    drawn = np.maximum(np.hypot(x, y), 1e-9)
    true = drawn.copy()
    turning = (
        1.0 / math.sqrt(3.0 * -distortion) if distortion < 0.0 else math.inf
    )  # beyond, it would fold back
    for _ in range(8):
        true -= (true * (1 + distortion * true**2) - drawn) / np.maximum(1 + 3 * distortion * true**2, 0.2)
        true = np.clip(true, 0.0, turning)
    scale = true / drawn
    columns = (x * scale * lens.focal_px + lens.width_px / 2).astype(np.float32)
    rows = (y * scale * lens.focal_px + lens.height_px / 2).astype(np.float32)
    whole, part = cv2.convertMaps(columns, rows, cv2.CV_16SC2)
    return np.asarray(whole, dtype=np.int16), np.asarray(part, dtype=np.uint16)
