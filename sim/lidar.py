"""A turning lidar: beams over the room's furniture and the legs in it, with noise, dropouts, limits and latency.

Its plane lies at one height; it turns once a scan, so a base that moves sees the room bent. Room frame, as `sim.room`.
"""

import asyncio
import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled
from sim.floor import Disc, Pose
from sim.room import Room
from sim.turns import turn_back

Reals = NDArray[np.float64]

GRAZING = 0.12  # cosine of the beam against a surface, below which most echoes are lost: 7 degrees


class LidarSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a lidar can; the defaults are those of a triangulating one of 100 euros."""

    beams: int = 360
    rate_hz: float = 10.0
    height_m: float = 0.12
    least_m: float = 0.12
    most_m: float = 8.0
    noise_m: float = 0.008  # one sigma, near
    noise_share: float = 0.006  # and so much more of the range
    lost_share: float = 0.005  # of all beams
    lost_grazing_share: float = 0.7  # of those that only graze
    latency_s: float = 0.03  # from the end of a turn until it is read


_SPEC = LidarSpec()


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. Beam k looks to k/n of a turn, to the left from the front; the last one fired at `time_s`."""

    time_s: float
    range_m: Reals  # 0 where nothing came back
    has_echo: NDArray[np.bool_]


class Lidar:
    """What `read` gives is what a driver of a lidar will: a scan a turn, in the loop's time, from a seed."""

    def __init__(
        self,
        room: Room,
        pose_at: Callable[[float], Pose],
        discs_at: Callable[[float], Sequence[Disc]],
        seed: int,
        spec: LidarSpec = _SPEC,
    ) -> None:
        self._spec = spec
        self._walls = walls_of(room, spec.height_m)
        self._pose_at, self._discs_at = pose_at, discs_at
        self._random = np.random.default_rng([seed, spec.beams])
        self._turns = 0

    async def read(self) -> Scan:
        """Wait for the next turn to end and to come over. A reader who is late misses turns."""
        loop = asyncio.get_running_loop()
        period_s, late_s = 1 / self._spec.rate_hz, self._spec.latency_s
        self._turns = max(self._turns + 1, math.ceil((loop.time() - late_s) / period_s))
        end_s = self._turns * period_s
        await asyncio.sleep(end_s + late_s - loop.time())
        return self.scan(end_s)

    def scan(self, end_s: float) -> Scan:
        """The turn that ends at a time. What stands in the way is where it was in the turn's middle."""
        spec = self._spec
        start, end = self._pose_at(end_s - 1 / spec.rate_hz), self._pose_at(end_s)
        middle_s = end_s - 0.5 / spec.rate_hz
        discs = np.array([(d.x_m, d.y_m, d.radius_m) for d in self._discs_at(middle_s)]).reshape(-1, 3)
        places = np.linspace(
            (start.x_m, start.y_m, start.yaw_rad), (end.x_m, end.y_m, end.yaw_rad), spec.beams
        )
        found, facing = np.empty(spec.beams), np.empty(spec.beams)
        cast_beams(places, self._walls, discs, found, facing)
        in_reach = (found >= spec.least_m) & (found <= spec.most_m)
        lost = np.where(facing < GRAZING, spec.lost_grazing_share, spec.lost_share)
        has_echo = in_reach & (self._random.random(spec.beams) >= lost)
        true_m = np.where(has_echo, found, 0.0)
        noise_m = self._random.standard_normal(spec.beams) * (spec.noise_m + spec.noise_share * true_m)
        measured = np.where(has_echo, np.maximum(true_m + noise_m, 0.0), 0.0)
        return Scan(time_s=end_s, range_m=measured, has_echo=has_echo)


def walls_of(room: Room, height_m: float) -> Reals:
    """The blocks that a plane cuts, as rows: centre, half sizes, cosine and sine of the turn."""
    rows = [
        (
            *box.centre_m[:2],
            *(side / 2 for side in box.size_m[:2]),
            math.cos(box.yaw_rad),
            math.sin(box.yaw_rad),
        )
        for box in room.boxes
        if abs(box.centre_m[2] - height_m) < box.size_m[2] / 2
    ]
    return np.array(rows, np.float64).reshape(-1, 6)


@compiled
def cast_beams(places: Reals, walls: Reals, discs: Reals, found_m: Reals, facing: Reals) -> None:
    """Of each beam the range of the first thing, inf for none, and the cosine at which it meets it.

    `places` has a row a beam: x, y and yaw of the lidar when that beam fires. Rectangles by slabs, discs by the
    quadratic of the ray.
    """
    beams = places.shape[0]
    for k in range(beams):
        bearing = places[k, 2] + 2.0 * np.pi * k / beams
        ray_x, ray_y = np.cos(bearing), np.sin(bearing)
        nearest, cosine = np.inf, 1.0
        for i in range(walls.shape[0]):
            cx, cy, hx, hy, cos, sin = walls[i]
            x, y = turn_back(cos, sin, places[k, 0] - cx, places[k, 1] - cy)
            u, v = turn_back(cos, sin, ray_x, ray_y)
            near_x, far_x = -np.inf, np.inf
            if u != 0.0:
                near_x, far_x = (-hx - x) / u, (hx - x) / u
                if u < 0.0:
                    near_x, far_x = far_x, near_x
            elif abs(x) > hx:
                continue
            near_y, far_y = -np.inf, np.inf
            if v != 0.0:
                near_y, far_y = (-hy - y) / v, (hy - y) / v
                if v < 0.0:
                    near_y, far_y = far_y, near_y
            elif abs(y) > hy:
                continue
            near = max(near_x, near_y)
            if near > min(far_x, far_y) or min(far_x, far_y) < 0.0:
                continue
            near = max(near, 0.0)  # within it: nothing is seen beyond
            if near < nearest:
                nearest, cosine = near, abs(u) if near_x > near_y else abs(v)
        for i in range(discs.shape[0]):
            dx, dy = places[k, 0] - discs[i, 0], places[k, 1] - discs[i, 1]
            along = dx * ray_x + dy * ray_y
            aside = along * along - (dx * dx + dy * dy - discs[i, 2] ** 2)
            if aside < 0.0:
                continue
            near = -along - np.sqrt(aside)
            if 0.0 <= near < nearest:
                nearest, cosine = near, np.sqrt(aside) / discs[i, 2]
        found_m[k], facing[k] = nearest, cosine
