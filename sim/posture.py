"""How a body below the head bends: sitting, walking, an arm held up. Joints turn in the body's upright plane.

Each limb's vertices turn about its joint by their own share of its angle, so that cloth bends in a curve. A limb
further out is bent first and then carried along by the one it hangs on.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SEAT_REACH = 0.5  # how far before the hip the feet of somebody seated stand, as a share of the legs' length
ARM_UP_RAD, ELBOW_UP_RAD = 0.95, 1.35  # of an arm that holds something up beside the face
ARMS_ON_LAP_RAD, ELBOWS_ON_LAP_RAD = 0.25, 0.75
ARM_SWING = 0.7  # of the legs' swing
KNEE_AHEAD, KNEE_BEHIND = 0.6, 0.9  # how far the knees bend in a step, as a share of the swing


class Limb(msgspec.Struct, frozen=True):
    """Vertices that turn about a joint, and each one's share (0 … 1) of the turn."""

    joint: tuple[float, float, float]
    vertices: NDArray[np.int64]
    shares: Floats


class Limbs(msgspec.Struct, frozen=True):
    """One body's, from the tips inwards: a limb comes before the one that carries it. Left before right."""

    shins: tuple[Limb, Limb]
    thighs: tuple[Limb, Limb]
    forearms: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    shin_m: float  # from knee to ankle


class Bent(NamedTuple):
    """Vertices and normals as they lie after bending, and how much longer the legs must still get."""

    points: Floats
    normals: Floats
    stretch_m: float


def bend(
    points: Floats, normals: Floats, legs: Floats, limbs: Limbs, stretch_m: float,
    sitting: float, hand_up: float, stride_rad: float,
) -> Bent:  # fmt: skip
    """Bend a body whose legs are `stretch_m` longer than drawn; points and normals in the person's own frame.

    `sitting` and `hand_up` (the right one) go from 0 to 1; `stride_rad` is how far the left leg is ahead.
    The feet of somebody who sits stay on the floor below, however high their eyes are: the hips bend as two
    bones of one length each, between hip and ankle, demand.
    """
    moved, turned = points.copy(), normals.copy()
    thigh_m, shin_m = limbs.thighs[0].joint[2] - limbs.shins[0].joint[2], limbs.shin_m
    longer_m = stretch_m * (1.0 - sitting)
    moved[:, 2] -= legs * np.float32(longer_m)
    if sitting > 0.0:
        half_m = longer_m / 2.0
        hip_rad, knee_rad = _seat(thigh_m + half_m, shin_m + half_m, thigh_m + shin_m + stretch_m, sitting)
    else:
        hip_rad = knee_rad = 0.0
    for side, ahead in ((0, 1.0), (1, -1.0)):
        swing = ahead * stride_rad
        knee = knee_rad + (KNEE_AHEAD * swing if swing > 0.0 else -KNEE_BEHIND * swing)
        _turn(moved, turned, _lower(limbs.shins[side], legs, longer_m), knee)
        _turn(moved, turned, limbs.thighs[side], -(hip_rad + swing))
        raised = hand_up if side == 1 else 0.0
        elbow = _mix(ELBOWS_ON_LAP_RAD * sitting + 0.3 * abs(swing), ELBOW_UP_RAD, raised)
        arm = _mix(ARMS_ON_LAP_RAD * sitting - ARM_SWING * swing, ARM_UP_RAD, raised)
        _turn(moved, turned, limbs.forearms[side], -elbow)
        _turn(moved, turned, limbs.arms[side], -arm)
    return Bent(moved, turned, 0.0)


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _lower(limb: Limb, legs: Floats, longer_m: float) -> Limb:
    """The limb with its joint where the longer leg has it."""
    x, y, z = limb.joint
    middle = int(limb.vertices[np.argmin(np.abs(limb.shares - 0.5))])
    return msgspec.structs.replace(limb, joint=(x, y, z - float(legs[middle]) * longer_m))


def _seat(thigh_m: float, shin_m: float, down_m: float, sitting: float) -> tuple[float, float]:
    """Turns of hip (forward up) and knee (back) that put the ankle `down_m` below the hip and ahead of it."""
    ahead_m = sitting * SEAT_REACH * (thigh_m + shin_m)
    reach_m = min(math.hypot(ahead_m, down_m), 0.999 * (thigh_m + shin_m))
    knee = math.pi - math.acos(
        np.clip((thigh_m**2 + shin_m**2 - reach_m**2) / (2 * thigh_m * shin_m), -1.0, 1.0)
    )
    between = math.acos(np.clip((thigh_m**2 + reach_m**2 - shin_m**2) / (2 * thigh_m * reach_m), -1.0, 1.0))
    return math.atan2(ahead_m, max(down_m, 1e-3)) + between, knee


def _turn(points: Floats, normals: Floats, limb: Limb, angle_rad: float) -> None:
    """Turn a limb about the body's y axis; positive brings what hangs down to the back."""
    if angle_rad == 0.0:
        return
    angle = limb.shares * np.float32(angle_rad)
    cos, sin = np.cos(angle), np.sin(angle)
    for rows, origin in ((points, limb.joint), (normals, (0.0, 0.0, 0.0))):
        x, z = rows[limb.vertices, 0] - np.float32(origin[0]), rows[limb.vertices, 2] - np.float32(origin[2])
        rows[limb.vertices, 0] = np.float32(origin[0]) + cos * x + sin * z
        rows[limb.vertices, 2] = np.float32(origin[2]) - sin * x + cos * z
