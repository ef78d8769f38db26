"""Each invariant lets a good robot pass, and catches the one that breaks it."""

import math

import pytest

from drivers.body import load
from sim.faults import CameraGone, Dark, Fault, HostStall, LinkCut, StopButton
from sim.invariants import Invariants, Signs
from sim.scenario import Throughout
from sim.truth import TRUTH_S, Truth

BODY = load()
CUT = LinkCut(at_s=2.0, for_s=3.0)
BUTTON = StopButton(at_s=2.0, for_s=3.0)
SWING_RAD = 0.3
SWING_HZ = 0.4
FAR_S = 1e9


class Robot:
    """Swings its yaw, and stands while it is stopped; what is wrong with it is said to the constructor."""

    def __init__(
        self,
        *,
        stands_s: tuple[float, float] = (FAR_S, FAR_S),  # from when to when it stands
        coasts_s: float = 0.0,  # so long after its pulses its joints still move
        swing_rad: float = SWING_RAD,
        swing_hz: float = SWING_HZ,
        tilt_rad: float | None = None,
        up_s: float = -FAR_S,  # from here on its signs are down …
        up_again_s: float = -FAR_S,  # … until here
        stopped_s: tuple[float, float] = (FAR_S, FAR_S),  # from when to when it says that it is stopped
        says_dark: bool = True,
    ) -> None:
        self._stands_s = stands_s
        self._coasts_s = coasts_s
        self._swing_rad, self._rate = swing_rad, 2 * math.pi * swing_hz
        self._tilt_rad = tilt_rad
        self._down_s = (up_s, up_again_s)
        self._stopped_s = stopped_s
        self._says_dark = says_dark

    def play(self, *faults: Fault, seconds: float = 16.0, throughout: Throughout | None = None) -> Invariants:
        invariants = Invariants(BODY, faults, throughout or Throughout(), 0.0)
        for number in range(round(seconds / TRUTH_S)):
            time_s = number * TRUTH_S
            joint_rad, pulse_rad = self._yaw(time_s - self._coasts_s), self._yaw(time_s)
            rest = (0.0,) * (len(BODY.joint) - 1)
            pulse_us = (1500 + round(637 * pulse_rad), *(1500 for _ in rest))
            invariants.see_truth(
                Truth(
                    time_s=time_s, angles_rad=(joint_rad, *rest), pulse_us=pulse_us, tilt_rad=self._tilt_rad
                )
            )
            if number % 25 == 0:
                is_up = not self._down_s[0] <= time_s < self._down_s[1]
                is_stopped = self._stopped_s[0] <= time_s < self._stopped_s[1]
                invariants.see_signs(
                    Signs(
                        time_s=time_s,
                        is_link_up=is_up,
                        is_camera_up=is_up,
                        is_stopped=is_stopped,
                        has_somebody=not self._says_dark,
                    )
                )
        invariants.end()
        return invariants

    def _yaw(self, time_s: float) -> float:
        begin_s, end_s = self._stands_s
        lived_s = min(time_s, begin_s) + max(time_s - end_s, 0.0)
        return self._swing_rad * math.sin(self._rate * lived_s)


def only(invariants: Invariants) -> str:
    """The one thing that failed."""
    assert len(invariants.failures) == 1, invariants.failures
    return invariants.failures[0]


def test_a_good_robot_passes() -> None:
    good = Robot(stands_s=(2.1, 5.5), up_s=2.0, up_again_s=5.5).play(CUT)
    assert good.failures == ()
    assert good.rests[0].rest_s == pytest.approx(0.1, abs=0.02)
    assert good.most_speed_share == pytest.approx(SWING_RAD * 2 * math.pi * SWING_HZ / 3.0, rel=0.05)
    assert good.least_margin_m is not None and 0.08 < good.least_margin_m < 0.11


def test_a_joint_beyond_its_limits_fails() -> None:
    says = only(Robot(swing_rad=1.5, swing_hz=0.2).play())
    assert "yaw was at" in says and "outside -1.4 to 1.4" in says


def test_a_joint_that_is_too_fast_fails() -> None:
    says = " ".join(Robot(swing_rad=0.5, swing_hz=1.5).play().failures)
    assert "yaw moved at" in says and "faster than 1.25 × 3" in says


def test_a_robot_that_tips_fails() -> None:
    assert only(Robot(tilt_rad=0.03).play()) == "at 0.00 s: the robot tipped by 1.7°, more than 1°"


def test_a_robot_that_is_close_to_tipping_fails() -> None:
    says = only(Robot().play(throughout=Throughout(min_margin_m=0.2)))
    assert "the zero-moment point was" in says


def test_a_robot_that_goes_on_without_its_cable_fails() -> None:
    robot = Robot(stands_s=(2.5, 5.5), up_s=2.0, up_again_s=5.5)
    assert "pulses still changed 0.26 s after link-cut" in only(robot.play(CUT))
    assert robot.play(CUT, throughout=Throughout(rest_after_fault_s=0.6)).failures == ()


def test_joints_that_do_not_follow_their_pulses_to_rest_fail() -> None:
    says = only(Robot(stands_s=(2.1, 5.5), coasts_s=0.9, up_s=2.0, up_again_s=5.5).play(CUT))
    assert "yaw still moved at" in says


def test_a_stall_is_like_silence_and_is_said_as_lateness() -> None:
    says = only(Robot(stands_s=(2.1, 5.5)).play(HostStall(at_s=2.0, for_s=3.0)))
    assert says == "at 5.25 s: host-stall at 2 s was not said"


def test_a_robot_that_ignores_its_button_fails() -> None:
    says = Robot(stopped_s=(2.1, 5.6)).play(BUTTON).failures
    assert any("pulses still changed" in line for line in says)
    assert any("it moved while stopped" in line for line in says)
    assert Robot(stands_s=(2.02, 5.7), stopped_s=(2.1, 5.6)).play(BUTTON).failures == ()


def test_a_stop_that_nobody_scripted_counts_too() -> None:
    assert "it moved while stopped, since 3.00 s" in only(Robot(stopped_s=(3.0, 4.0)).play())
    assert Robot(stands_s=(3.1, 4.1), stopped_s=(3.0, 4.0)).play().failures == ()


def test_a_fault_that_is_not_said_fails() -> None:
    assert "link-cut at 2 s was not said" in only(Robot(stands_s=(2.1, 5.5)).play(CUT))
    dark = Dark(at_s=2.0, for_s=4.0)
    assert Robot().play(dark).failures == ()
    assert "dark at 2 s was not said" in only(Robot(says_dark=False).play(dark))


def test_a_robot_that_does_not_move_again_fails() -> None:
    says = only(Robot(stands_s=(2.1, FAR_S), up_s=2.0, up_again_s=5.5).play(CUT))
    assert "it has not moved again" in says


def test_a_device_that_does_not_come_back_fails() -> None:
    says = Robot(up_s=2.0, up_again_s=FAR_S).play(CameraGone(at_s=2.0, for_s=3.0)).failures
    assert any("the camera is still gone" in line for line in says)
