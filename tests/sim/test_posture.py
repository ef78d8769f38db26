"""Bodies that sit, walk and hold a hand up: feet stay on the floor, limbs keep their length."""

import numpy as np
import pytest

from sim import people
from sim.mesh import Shape
from sim.people import NAMES, Actor, bent
from sim.posture import Bent


def standing() -> Shape:
    """Built at its first use: only the worker that bends it pays for it."""
    return people.person(NAMES[0]).shape


def posed(eyes_m: float, sitting: float = 0.0, hand_up: float = 0.0, stride_rad: float = 0.0) -> Bent:
    actor = Actor(
        name="x",
        position_m=(0.0, 0.0, eyes_m),
        sitting=sitting,
        hand_up=hand_up,
        stride_rad=stride_rad,
    )
    return bent(standing(), actor)


def test_who_only_stands_is_left_as_built_but_for_the_length_of_the_legs() -> None:
    still = posed(standing().standing_eye_m + 0.1)
    assert still.points is standing().points and still.normals is standing().normals
    assert still.stretch_m == pytest.approx(0.1)


@pytest.mark.parametrize("sitting", [0.2, 0.5, 0.8, 1.0])
def test_the_feet_of_who_sits_down_stay_on_the_floor(sitting: float) -> None:
    eyes_m = standing().standing_eye_m + sitting * (1.2 - standing().standing_eye_m)
    seated = posed(eyes_m, sitting=sitting)
    assert seated.stretch_m == 0.0
    assert seated.points[:, 2].min() == pytest.approx(-eyes_m, abs=0.09)


def test_thighs_lie_level_when_seated_and_nothing_above_the_hips_moves() -> None:
    seated = posed(1.2, sitting=1.0)
    hip, knee = standing().limbs.thighs[0], standing().limbs.shins[0]
    at = knee.vertices[np.argmin(np.abs(knee.shares - 0.5))]
    assert seated.points[at, 0] - hip.joint[0] > 0.3
    assert abs(seated.points[at, 2] - hip.joint[2]) < 0.15
    limbs = (*standing().limbs.thighs, *standing().limbs.arms, *standing().limbs.forearms)
    fixed = np.setdiff1d(np.arange(len(standing().points)), np.concatenate([limb.vertices for limb in limbs]))
    assert np.array_equal(seated.points[fixed], standing().points[fixed])


def test_in_a_step_one_foot_is_ahead_and_the_other_behind_and_the_arms_swing_against_them() -> None:
    step = posed(standing().standing_eye_m, stride_rad=0.4)
    moved = step.points[:, 0] - standing().points[:, 0]
    left_foot, right_foot = (limb.vertices[limb.shares == 1.0] for limb in standing().limbs.shins)
    left_hand, right_hand = (limb.vertices[limb.shares == 1.0] for limb in standing().limbs.forearms)
    assert moved[left_foot].mean() > 0.15 > -0.15 > moved[right_foot].mean()
    assert moved[right_hand].mean() > 0.05 and moved[left_hand].mean() < moved[right_hand].mean()


def test_only_the_right_hand_is_held_up() -> None:
    waving = posed(standing().standing_eye_m, hand_up=1.0)
    left, right = (limb.vertices[limb.shares == 1.0] for limb in standing().limbs.forearms)
    assert np.array_equal(waving.points[left], standing().points[left])
    assert waving.points[right, 2].max() > -0.15
    assert waving.points[right, 1].mean() < 0.0


def test_bent_limbs_keep_their_length_and_unit_normals() -> None:
    for pose in (posed(1.2, sitting=1.0), posed(standing().standing_eye_m, stride_rad=-0.4)):
        assert np.allclose(np.linalg.norm(pose.normals, axis=1), 1.0, atol=1e-3)
        foot = standing().limbs.shins[0].vertices[standing().limbs.shins[0].shares == 1.0]
        one, two = foot[0], foot[-1]
        apart = np.linalg.norm(pose.points[one] - pose.points[two])
        assert apart == pytest.approx(
            np.linalg.norm(standing().points[one] - standing().points[two]), rel=1e-3
        )
