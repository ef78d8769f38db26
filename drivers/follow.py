"""Knots joined by cubics, for servos that have no board: what is taken, what is refused, and when to stop.

The rules are those of firmware/core/motion.c and core.c, in floating point; tests/property drives both side by
side. No clock and no I/O: every call is told the time.
"""

import math

import msgspec

from drivers.head import Knot
from drivers.messages import Reason, State

AHEAD_S = 1.0
SEGMENT_S = 0.002  # a shorter way between knots makes rounding look like acceleration
MAX_KNOTS = 16
TICK_S = 0.001  # of slowing down and of parking
QUIET_STOP_S = 0.2  # without an accepted knot: slow down
QUIET_PARK_S = 5.0
QUIET_DETACH_S = 30.0
PARK_VELOCITY_RAD_S = 0.3  # slow enough to step back from
PARK_ACCELERATION_RAD_S2 = 1.0
HULL_RAD = 1e-4  # plans that come to rest at a limit within a segment pass it by less
ROUNDING_S = 1e-7
TINY_RAD = 2e-9  # the firmware counts nanoradians
ROUNDING_RAD = 1e-6
ROUNDING_RAD_S = 0.5e-3
LEAN_S = 0.25  # time constant with which a goal that was held against a load gives way to the plan


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one joint may do."""

    low_rad: float
    high_rad: float
    rest_rad: float
    velocity_rad_s: float
    acceleration_rad_s2: float


class _Cubic(msgspec.Struct, frozen=True):
    """Position over one segment: start + s (a + s (c2 + s c3)), s from 0 to 1."""

    start: float
    end: float
    a: float
    b: float
    c2: float
    c3: float
    length_s: float


class Follower:
    """Joints that follow knots, slow down when there are none, and park when nobody speaks.

    `stand` comes first. `step` brings it to a time; `goal_rad` is then where the servos shall be.
    """

    def __init__(self, bounds: tuple[Bounds, ...]) -> None:
        self.state = State.IDLE
        self.underruns = 0
        self.goal_rad: tuple[float, ...] = tuple(bound.rest_rad for bound in bounds)
        self._bounds = bounds
        self._position_rad = [bound.rest_rad for bound in bounds]
        self._velocity_rad_s = [0.0] * len(bounds)
        self._from: Knot | None = None
        self._ahead: list[Knot] = []
        self._now_s = 0.0
        self._intent_s = 0.0
        self._lean_rad = [0.0] * len(bounds)
        self._lean_since_s = 0.0

    def stand(self, position_rad: tuple[float, ...], now_s: float) -> None:
        """Hold this pose, and count the silence from now."""
        self.freeze(position_rad)
        self.state = State.HOLDING
        self._now_s = self._intent_s = now_s

    def freeze(self, position_rad: tuple[float, ...]) -> None:
        """Stopped, with this pose to hold; knots are forgotten."""
        self.state = State.STOPPED
        self._ahead.clear()
        self._position_rad = list(position_rad)
        self._velocity_rad_s = [0.0] * len(self._bounds)
        self._lean_rad = [0.0] * len(self._bounds)
        self.goal_rad = position_rad

    def slow_down(self) -> None:
        """Forget the knots and brake."""
        if self.state is State.MOVING:
            self._ahead.clear()
            self.state = State.STOPPING

    def take(self, knot: Knot, now_s: float, measured_rad: tuple[float, ...] | None = None) -> Reason:
        """Add a knot after the last one, or after the present pose; or say why not. Never clamps.

        Joints that stand begin from where they were measured. What their goal leads that by (a load pulls)
        stays in the goal and fades, so that a start neither jerks nor sags.
        """
        if self.state in (State.IDLE, State.DETACHED, State.STOPPED):
            return Reason.STATE
        is_standing = not self._ahead and not any(self._velocity_rad_s)
        position = self._position_rad if not is_standing or measured_rad is None else measured_rad
        if self._ahead:
            start = self._ahead[-1]
        else:
            start = Knot(
                time_s=now_s, position_rad=tuple(position), velocity_rad_s=tuple(self._velocity_rad_s)
            )
        reason = self._judge(start, knot, now_s)
        if reason is Reason.NONE:
            if not self._ahead:
                self._from = start
                if is_standing:
                    self._lean_rad = [g - p for g, p in zip(self.goal_rad, position, strict=True)]
                    self._lean_since_s = now_s
                    self._position_rad = list(position)
            self._ahead.append(knot)
            self._intent_s = now_s
            self.state = State.MOVING
        return reason

    def step(self, now_s: float) -> None:
        """Go on to a time."""
        since_s, self._now_s = self._now_s, max(now_s, self._now_s)
        if self.state is State.MOVING:
            since_s = self._follow(since_s)
        if self.state is State.HOLDING and self._now_s - self._intent_s >= QUIET_PARK_S:
            since_s, self.state = self._now_s, State.PARKING
        while self.state in (State.STOPPING, State.PARKING) and since_s + TICK_S <= self._now_s + ROUNDING_S:
            since_s += TICK_S
            if self.state is State.STOPPING and self._brake():
                self.state = State.HOLDING
            elif self.state is State.PARKING and self._park():
                self.state = State.PARKED
        if self.state in (State.STOPPING, State.PARKING):
            self._now_s = since_s  # the rest of a tick is not lost
        if self.state is State.PARKED and self._now_s - self._intent_s >= QUIET_DETACH_S:
            self.state = State.DETACHED
        if self.state is not State.STOPPED:
            self.goal_rad = self._goal(now_s)

    def _goal(self, now_s: float) -> tuple[float, ...]:
        turns = max(now_s - self._lean_since_s, 0.0) / LEAN_S
        share = (1.0 + turns) * math.exp(-turns)  # leaves and arrives without a jerk
        return tuple(
            min(max(position + share * lean, bound.low_rad), bound.high_rad)
            for position, lean, bound in zip(self._position_rad, self._lean_rad, self._bounds, strict=True)
        )

    def _judge(self, start: Knot, knot: Knot, now_s: float) -> Reason:
        ahead_s, length_s = knot.time_s - now_s, knot.time_s - start.time_s
        if not ahead_s >= SEGMENT_S - ROUNDING_S:
            return Reason.LATE
        if ahead_s > AHEAD_S + ROUNDING_S:
            return Reason.EARLY
        if length_s < SEGMENT_S - ROUNDING_S:
            return Reason.ORDER
        if len(self._ahead) == MAX_KNOTS:
            return Reason.FULL
        for j, bound in enumerate(self._bounds):
            position, velocity = knot.position_rad[j], knot.velocity_rad_s[j]
            low, high = bound.low_rad - ROUNDING_RAD, bound.high_rad + ROUNDING_RAD
            if not low <= position <= high:
                return Reason.POSITION
            if not abs(velocity) <= bound.velocity_rad_s + ROUNDING_RAD_S:
                return Reason.VELOCITY
            way = velocity * abs(velocity) / (2 * bound.acceleration_rad_s2)
            if not low <= position + way <= high:
                return Reason.ROOM
            cubic = _between(start, knot, j)
            if not _is_velocity_kept(cubic, bound):
                return Reason.VELOCITY
            if not _is_acceleration_kept(cubic, bound):
                return Reason.ACCELERATION
            if not _is_position_kept(cubic, bound):
                return Reason.POSITION
        return Reason.NONE

    def _follow(self, since_s: float) -> float:
        """Follow the knots to now; the time from which slowing down counts, if it came to that."""
        while self._ahead:
            knot = self._ahead[0]
            if self._now_s < knot.time_s:
                self._place(knot)
                if self._now_s - self._intent_s >= QUIET_STOP_S:
                    self._ahead.clear()
                    self.state = State.STOPPING
                return self._now_s
            self._position_rad = list(knot.position_rad)
            self._velocity_rad_s = list(knot.velocity_rad_s)
            self._from, since_s = knot, max(knot.time_s, since_s)
            del self._ahead[0]
        if any(self._velocity_rad_s):
            self.underruns += 1
            self.state = State.STOPPING
        else:
            self.state = State.HOLDING
        return since_s

    def _place(self, knot: Knot) -> None:
        assert self._from is not None
        for j, bound in enumerate(self._bounds):
            cubic = _between(self._from, knot, j)
            s = min(max((self._now_s - self._from.time_s) / cubic.length_s, 0.0), 1.0)
            position = cubic.start + s * (cubic.a + s * (cubic.c2 + s * cubic.c3))
            self._position_rad[j] = min(max(position, bound.low_rad), bound.high_rad)
            rate = cubic.a + s * (2 * cubic.c2 + 3 * s * cubic.c3)
            self._velocity_rad_s[j] = rate / cubic.length_s

    def _brake(self) -> bool:
        """One tick of slowing down; true when all joints stand."""
        for j, bound in enumerate(self._bounds):
            velocity = self._velocity_rad_s[j]
            less = bound.acceleration_rad_s2 * TICK_S
            slower = 0.0 if abs(velocity) <= less else velocity - math.copysign(less, velocity)
            position = self._position_rad[j] + (velocity + slower) / 2 * TICK_S
            is_inside = bound.low_rad <= position <= bound.high_rad
            self._position_rad[j] = min(max(position, bound.low_rad), bound.high_rad)
            self._velocity_rad_s[j] = slower if is_inside else 0.0
        return not any(self._velocity_rad_s)

    def _park(self) -> bool:
        """One tick of going slowly to rest; true when there."""
        is_there = True
        for j, bound in enumerate(self._bounds):
            way = bound.rest_rad - self._position_rad[j]
            acceleration = min(bound.acceleration_rad_s2, PARK_ACCELERATION_RAD_S2)
            top = min(bound.velocity_rad_s, PARK_VELOCITY_RAD_S)
            gain = acceleration * TICK_S
            speed = abs(self._velocity_rad_s[j])
            # The way of a tick at one step more, and of all that then follow while slowing down.
            is_near = (speed + gain) * (speed + 2 * gain) >= 2 * acceleration * abs(way)
            speed += -gain if is_near else gain
            speed = min(max(speed, gain), max(top, gain))
            if abs(way) <= speed * TICK_S:
                self._position_rad[j], self._velocity_rad_s[j] = bound.rest_rad, 0.0
                continue
            is_there = False
            self._position_rad[j] += math.copysign(speed * TICK_S, way)
            self._velocity_rad_s[j] = math.copysign(speed, way)
        return is_there


def _between(start: Knot, end: Knot, j: int) -> _Cubic:
    """Cubic Hermite between two knots."""
    length_s = end.time_s - start.time_s
    a, b = start.velocity_rad_s[j] * length_s, end.velocity_rad_s[j] * length_s
    way = end.position_rad[j] - start.position_rad[j]
    c2, c3 = 3 * way - 2 * a - b, a + b - 2 * way
    return _Cubic(start.position_rad[j], end.position_rad[j], a, b, c2, c3, length_s)


def _is_position_kept(cubic: _Cubic, bound: Bounds) -> bool:
    """The curve lies within the hull of its Bézier points."""
    margin = TINY_RAD + HULL_RAD + ROUNDING_RAD_S * cubic.length_s / 3
    low, high = bound.low_rad - margin, bound.high_rad + margin
    return low <= cubic.start + cubic.a / 3 <= high and low <= cubic.end - cubic.b / 3 <= high


def _is_velocity_kept(cubic: _Cubic, bound: Bounds) -> bool:
    if cubic.c3 == 0 or (cubic.c2 < 0) == (cubic.c3 < 0) or abs(cubic.c2) >= abs(3 * cubic.c3):
        return True  # fastest at an end, and the ends are checked as knots
    peak = cubic.a - cubic.c2**2 / (3 * cubic.c3)
    return abs(peak) <= (bound.velocity_rad_s + ROUNDING_RAD_S) * cubic.length_s + 8 * ROUNDING_RAD + TINY_RAD


def _is_acceleration_kept(cubic: _Cubic, bound: Bounds) -> bool:
    limit = bound.acceleration_rad_s2 * cubic.length_s**2
    limit += TINY_RAD + 6 * ROUNDING_RAD + 6 * ROUNDING_RAD_S * cubic.length_s
    return abs(2 * cubic.c2) <= limit and abs(2 * cubic.c2 + 6 * cubic.c3) <= limit
