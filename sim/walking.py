"""One tick of walking: towards the next corner of the way, past others, into nobody and nothing."""

import math
from collections.abc import Callable, Sequence

import msgspec

from sim.gestures import between
from sim.places import Point

IsFree = Callable[[float, float], bool]
Body = tuple[float, float, float, float]  # x, y in m and their speeds in m/s
Velocity = tuple[float, float]

BRAKE_M_S2, PUSH_M_S2 = 1.5, 4.0  # how somebody slows down before a goal; how fast they change their walk
COMFORT_M = 0.75  # people would rather pass each other so far apart
AHEAD_S = 2.0  # and look so far ahead for it
SEE_M = 3.0
TURNS_RAD = (0.0, -0.3, 0.3, -0.6, 0.6, -1.0, 1.0, -1.5, 1.5, -2.1, 2.1)
SHARES = (1.0, 0.5)  # of the pace
RIGHT_BIAS = 0.05  # two who meet both pass on the right


class Walker(msgspec.Struct, frozen=True):
    """How much room somebody takes: no nearer to the middle of anybody; height, as a share of an adult's."""

    apart_m: float = 0.42
    size: float = 1.0


def pick_velocity(
    body: Body,
    yaw_rad: float,
    corner: Point,
    rest_m: float,
    pace_m_s: float,
    others: Sequence[Body],
    walker: Walker,
    is_free: IsFree,
    blocked_s: float,
    tick_s: float,
) -> Velocity:
    """The next velocity: of a few turns and speeds the one that costs least, or none.

    `corner` is the next point of the way and `rest_m` what lies behind it. Whatever is picked, the next place
    is free and not nearer to anybody than `walker.apart_m`, unless it leads away from them.
    """
    x, y, _, _ = body
    to_x, to_y = corner[0] - x, corner[1] - y
    corner_m = math.hypot(to_x, to_y)
    straight = math.atan2(to_y, to_x)
    pace = min(pace_m_s, math.sqrt(2 * BRAKE_M_S2 * (corner_m + rest_m)), corner_m / tick_s)
    turned = abs(between(yaw_rad, straight, 1.0) - yaw_rad)
    pace *= max(0.1, math.cos(min(turned, math.pi / 2)))  # first turn, then go
    near = [other for other in others if math.hypot(other[0] - x, other[1] - y) < SEE_M]
    if not near:
        velocity = _towards(body, straight, pace, tick_s)
        if is_free(x + velocity[0] * tick_s, y + velocity[1] * tick_s):
            return velocity
    best, least = (0.0, 0.0), 0.6 + blocked_s  # to wait grows dear
    for turn in TURNS_RAD:
        for share in SHARES:
            cost = 0.6 * abs(turn) + 0.8 * (1 - share) + (RIGHT_BIAS if turn > 0 else 0.0)
            if cost >= least:
                continue
            velocity = _towards(body, straight + turn, pace * share, tick_s)
            if not is_free(x + velocity[0] * tick_s, y + velocity[1] * tick_s):
                continue
            for other in near:
                cost += _crowding(body, velocity, other, walker.apart_m, tick_s)
                if cost >= least:
                    break
            else:
                best, least = velocity, cost
    return best


def _towards(body: Body, bearing_rad: float, speed_m_s: float, tick_s: float) -> Velocity:
    """As near to a wanted velocity as the body's own allows in one tick."""
    _, _, vx, vy = body
    dx, dy = speed_m_s * math.cos(bearing_rad) - vx, speed_m_s * math.sin(bearing_rad) - vy
    change = math.hypot(dx, dy)
    share = min(1.0, PUSH_M_S2 * tick_s / change) if change > 0 else 1.0
    return vx + share * dx, vy + share * dy


def _crowding(body: Body, velocity: Velocity, other: Body, apart_m: float, tick_s: float) -> float:
    """What it costs to come near somebody, infinite for too near."""
    x, y = other[0] - body[0], other[1] - body[1]
    now_m = math.hypot(x, y)
    then_m = math.hypot(x - velocity[0] * tick_s, y - velocity[1] * tick_s)
    if then_m < apart_m and then_m <= now_m:
        return math.inf
    wx, wy = other[2] - velocity[0], other[3] - velocity[1]
    fast = wx * wx + wy * wy
    meet_s = min(max(-(x * wx + y * wy) / fast, 0.0), AHEAD_S) if fast > 1e-9 else 0.0
    miss_m = math.hypot(x + wx * meet_s, y + wy * meet_s)
    if miss_m >= COMFORT_M or miss_m >= now_m:
        return 0.0
    return 1.5 * (1 - miss_m / COMFORT_M) * (1 - 0.4 * meet_s / AHEAD_S)
