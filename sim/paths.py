"""Ways through a furnished room: the shortest one around its footprints, for somebody of a radius.

A visibility graph: the corners of all footprints, grown by the radius, that see each other.
"""

import heapq
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sim.places import Point
from sim.room import Footprint, Room

PERSON_RADIUS_M = 0.22  # shoulders turn when it is tight
PET_RADIUS_M = 0.14
PERSON_TALL_M, PET_TALL_M = 1.9, 0.5  # a pet walks under a table
CLEARANCE_M = 0.01  # of the graph's corners from what is grown, so that rounding never decides
CELL_M = 0.5  # of the grid that finds the footprints near a point

Floats = NDArray[np.float64]


class Ground:
    """The floor of a room, as somebody of a radius can use it."""

    def __init__(self, footprints: tuple[Footprint, ...], radius_m: float) -> None:
        self._centre = np.array([print_.centre_m for print_ in footprints]).reshape(-1, 2)
        self._half = np.array([print_.size_m for print_ in footprints]).reshape(-1, 2) / 2 + radius_m
        yaw = np.array([print_.yaw_rad for print_ in footprints])
        self._cos, self._sin = np.cos(yaw), np.sin(yaw)
        self._names = tuple(print_.name for print_ in footprints)
        self._near: dict[tuple[int, int], list[tuple[float, ...]]] = {}
        self._nodes = self._corners()
        self._edges = self._seen_from_each_other()

    def is_free(self, x_m: float, y_m: float) -> bool:
        """Whether one can stand there."""
        cell = (math.floor(x_m / CELL_M), math.floor(y_m / CELL_M))
        if cell not in self._near:
            self._near[cell] = self._touching(cell)
        for centre_x, centre_y, cos, sin, half_x, half_y in self._near[cell]:
            x, y = x_m - centre_x, y_m - centre_y
            if abs(cos * x + sin * y) < half_x and abs(cos * y - sin * x) < half_y:
                return False
        return True

    def name_at(self, x_m: float, y_m: float) -> str | None:
        """What is in the way of standing there, None for nothing."""
        x, y = x_m - self._centre[:, 0], y_m - self._centre[:, 1]
        inside = np.abs(self._cos * x + self._sin * y) < self._half[:, 0]
        inside &= np.abs(self._cos * y - self._sin * x) < self._half[:, 1]
        return self._names[int(inside.argmax())] if inside.any() else None

    def is_clear(self, start_m: Point, goal_m: Point) -> bool:
        """Whether one can walk straight from one place to the other."""
        return bool(self._clear(np.array([start_m]), np.array([goal_m]))[0])

    def way(self, start_m: Point, goal_m: Point) -> tuple[Point, ...] | None:
        """The corners to turn at and the goal at last; None if there is no way."""
        if self.is_clear(start_m, goal_m):
            return (goal_m,)
        if not self.is_free(*goal_m) or not len(self._nodes):
            return None
        from_start = self._clear(np.array([start_m]), self._nodes)
        to_goal = self._clear(self._nodes, np.array([goal_m]))
        left = np.hypot(*(self._nodes - goal_m).T)
        best: dict[int, float] = {}
        came: dict[int, int] = {}
        queue: list[tuple[float, float, int, int]] = []
        for node in np.flatnonzero(from_start).tolist():
            gone = math.dist(start_m, self._nodes[node])
            heapq.heappush(queue, (gone + left[node], gone, node, -1))
        while queue:
            _, gone, node, before = heapq.heappop(queue)
            if node in best:
                continue
            best[node], came[node] = gone, before
            if node == len(self._nodes):
                return (*self._back(came, before), goal_m)
            if to_goal[node]:
                heapq.heappush(queue, (gone + left[node], gone + left[node], len(self._nodes), node))
            for other, long in self._edges[node]:
                if other not in best:
                    heapq.heappush(queue, (gone + long + left[other], gone + long, other, node))
        return None

    def _back(self, came: dict[int, int], node: int) -> list[Point]:
        corners: list[Point] = []
        while node >= 0:
            corners.append((float(self._nodes[node][0]), float(self._nodes[node][1])))
            node = came[node]
        return corners[::-1]

    def _corners(self) -> Floats:
        nodes = []
        for (x, y), (half_x, half_y), cos, sin in zip(
            self._centre.tolist(), self._half.tolist(), self._cos.tolist(), self._sin.tolist(), strict=True
        ):
            for a in (-half_x - CLEARANCE_M, half_x + CLEARANCE_M):
                for b in (-half_y - CLEARANCE_M, half_y + CLEARANCE_M):
                    corner = (x + cos * a - sin * b, y + sin * a + cos * b)
                    if self.is_free(*corner):
                        nodes.append(corner)
        return np.array(nodes).reshape(-1, 2)

    def _seen_from_each_other(self) -> list[list[tuple[int, float]]]:
        edges = []
        for node in self._nodes:
            seen = self._clear(np.broadcast_to(node, self._nodes.shape), self._nodes)
            long = np.hypot(*(self._nodes - node).T)
            edges.append(
                [(other, float(long[other])) for other in np.flatnonzero(seen & (long > 0)).tolist()]
            )
        return edges

    def _clear(self, starts: Floats, goals: Floats) -> NDArray[np.bool_]:
        """For each pair, whether the straight line misses everything: the slab test, in each box's own frame."""
        count = max(len(starts), len(goals))
        enter, leave = np.zeros((count, len(self._half))), np.ones((count, len(self._half)))
        start = np.broadcast_to(starts, (count, 2))[:, None, :] - self._centre
        span = np.broadcast_to(goals - starts, (count, 2))[:, None, :]
        for axis, (cos, sin) in enumerate(((self._cos, self._sin), (-self._sin, self._cos))):
            at = start[..., 0] * cos + start[..., 1] * sin
            go = span[..., 0] * cos + span[..., 1] * sin
            go = np.where(np.abs(go) < 1e-12, 1e-12, go)
            one, other = (-self._half[:, axis] - at) / go, (self._half[:, axis] - at) / go
            enter = np.maximum(enter, np.minimum(one, other))
            leave = np.minimum(leave, np.maximum(one, other))
        return np.asarray(~(enter < leave).any(axis=1), dtype=np.bool_)

    def _touching(self, cell: tuple[int, int]) -> list[tuple[float, ...]]:
        middle = (np.array(cell) + 0.5) * CELL_M
        reach = np.hypot(*self._half.T) + CELL_M
        near = np.hypot(*(self._centre - middle).T) < reach
        rows = np.column_stack((self._centre, self._cos, self._sin, self._half))[near]
        return [tuple(row) for row in rows.tolist()]


@cache
def ground_for(room: Room, is_pet: bool = False) -> Ground:
    """The floor of a room for people, or for cats and dogs."""
    if is_pet:
        return Ground(room.footprints(PET_TALL_M), PET_RADIUS_M)
    return Ground(room.footprints(PERSON_TALL_M), PERSON_RADIUS_M)
