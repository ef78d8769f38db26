"""What is on the floor: places, the discs of legs and pets, how a round base meets them. Frame as in `sim.room`."""

import math

import msgspec

from sim.people import Actor
from sim.room import Footprint
from sim.turns import turn, turn_back

LEG_M = 0.06  # radius of a trouser leg at the height of a base
LEGS_APART_M = 0.18  # middle to middle
SHINS_AHEAD_M = 0.4  # of somebody who sits, before the hips
EYES_AHEAD_M = 0.1  # of the body's own axis


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """A place on the floor and where it faces."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0


ORIGIN = Pose()


class Disc(msgspec.Struct, frozen=True, kw_only=True):
    """Something round that may move: a leg, a pet."""

    x_m: float
    y_m: float
    radius_m: float


class Bump(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a base touches: from where, against its own front and positive to the left, and how fast."""

    bearing_rad: float
    speed_m_s: float


def legs_of(actor: Actor) -> tuple[Disc, Disc]:
    """Both legs of a person, left and right; of one who sits they stand before the seat."""
    forward_x, forward_y = math.cos(actor.body_yaw_rad), math.sin(actor.body_yaw_rad)
    ahead_m = SHINS_AHEAD_M * actor.sitting - EYES_AHEAD_M
    x, y = actor.position_m[0] + ahead_m * forward_x, actor.position_m[1] + ahead_m * forward_y
    half_x, half_y = -forward_y * LEGS_APART_M / 2, forward_x * LEGS_APART_M / 2
    return (
        Disc(x_m=x + half_x, y_m=y + half_y, radius_m=LEG_M),
        Disc(x_m=x - half_x, y_m=y - half_y, radius_m=LEG_M),
    )


def way_off(disc: Disc, x_m: float, y_m: float, radius_m: float) -> tuple[float, float] | None:
    """The shortest way, in metres, that a round base must go to stand clear of a disc; None if it does."""
    dx, dy = x_m - disc.x_m, y_m - disc.y_m
    apart = math.hypot(dx, dy)
    too_near = disc.radius_m + radius_m - apart
    if too_near <= 0.0:
        return None
    if apart == 0.0:
        return too_near, 0.0
    return dx / apart * too_near, dy / apart * too_near


def way_out(footprint: Footprint, x_m: float, y_m: float, radius_m: float) -> tuple[float, float] | None:
    """The shortest way, in metres, that a round base must go to stand clear of a rectangle; None if it does."""
    cos, sin = math.cos(footprint.yaw_rad), math.sin(footprint.yaw_rad)
    along, across = turn_back(cos, sin, x_m - footprint.centre_m[0], y_m - footprint.centre_m[1])
    half_x, half_y = footprint.size_m[0] / 2, footprint.size_m[1] / 2
    near_x, near_y = min(max(along, -half_x), half_x), min(max(across, -half_y), half_y)
    gap = math.hypot(along - near_x, across - near_y)
    if gap >= radius_m:
        return None
    if gap > 0.0:
        share = (radius_m - gap) / gap
        move_x, move_y = (along - near_x) * share, (across - near_y) * share
    elif half_x - abs(along) < half_y - abs(across):
        move_x, move_y = math.copysign(half_x - abs(along) + radius_m, along), 0.0
    else:
        move_x, move_y = 0.0, math.copysign(half_y - abs(across) + radius_m, across)
    return turn(cos, sin, move_x, move_y)
