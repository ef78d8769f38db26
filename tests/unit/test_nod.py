"""A head's movement: what the robot copies of it, and what it takes for a yes, a no or a tilt."""

import math
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent import weights
from agent.events import Gesture, HeadPose, NodSignal
from agent.nod import start, step
from agent.vision import Vision
from drivers.camera import Lens

RATE_HZ = 30.0
DEGREE = math.pi / 180


class Head:
    """Plays poses (pitch, yaw, roll in degrees) to the step and keeps what came out."""

    def __init__(self, seed: int = 3) -> None:
        self.state = start()
        self.signals: list[NodSignal | None] = []
        self.gestures: list[Gesture] = []
        self.time_s = 50.0
        self._random = np.random.default_rng(seed)

    def show(self, poses: Iterable[tuple[float, float, float] | None], noise: float = 0.15) -> None:
        for pose in poses:
            shown = None
            if pose is not None:
                pitch, yaw, roll = (np.array(pose) + self._random.normal(size=3) * noise) * DEGREE
                shown = HeadPose(pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll)
            self.state, signal, gestures = step(self.state, shown, self.time_s, 1 / RATE_HZ)
            self.time_s += 1 / RATE_HZ
            self.signals.append(signal)
            self.gestures += gestures

    def still(self, seconds: float, pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.show([pose] * round(seconds * RATE_HZ))

    def swing(self, axis: int, size: float, rate_hz: float, cycles: float) -> list[float]:
        """A sine in pitch (0) or yaw (1); gives the true angles."""
        count = round(cycles / rate_hz * RATE_HZ)
        angles = [size * math.sin(2 * math.pi * rate_hz * k / RATE_HZ) for k in range(count)]
        self.show([(angle, 0.0, 0.0) if axis == 0 else (0.0, angle, 0.0) for angle in angles])
        return angles

    @property
    def kinds(self) -> list[str]:
        return [gesture.kind for gesture in self.gestures]

    def pitch(self, last: int) -> list[float]:
        return [signal.pose.pitch_rad / DEGREE for signal in self.signals[-last:] if signal is not None]


def test_a_still_face_gives_a_dead_still_signal() -> None:
    head = Head()
    head.show([(12.0, -8.0, 3.0)] * 300, noise=0.25)
    told = {signal.pose for signal in head.signals if signal is not None}
    assert told == {HeadPose(pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0)}, "their neutral, to the last bit"
    assert head.gestures == []


@pytest.mark.parametrize("rate_hz", [0.5, 1.0, 2.5])
def test_a_nod_comes_through_at_full_size_without_lag(rate_hz: float) -> None:
    head = Head()
    head.still(3.0)
    truth = np.array(head.swing(0, 10.0, rate_hz, 4))
    out = np.array(head.pitch(len(truth)))
    half = len(truth) // 2
    gain = np.ptp(out[half:]) / np.ptp(truth[half:])
    assert 0.95 < gain < 1.1
    shifts = [
        float(np.corrcoef(truth[half:-3], out[half + lag : len(out) - 3 + lag])[0, 1]) for lag in range(4)
    ]
    assert int(np.argmax(shifts)) == 0, "lag below half a frame"


def test_after_a_nod_it_is_dead_still_again() -> None:
    head = Head()
    head.still(3.0)
    head.swing(0, 10.0, 1.5, 2)
    head.still(1.0)
    head.still(2.0)
    settled = head.pitch(60)
    assert len(set(settled)) == 1 and abs(settled[0]) < 1.5


def test_the_neutral_is_each_persons_own_and_survives_a_glance_aside() -> None:
    head = Head()
    head.still(10.0, (14.0, 0.0, 0.0))
    head.still(2.0, (14.0, 30.0, 0.0))
    head.still(1.0, (14.0, 0.0, 0.0))
    last = head.signals[-1]
    assert last is not None
    assert abs(last.pose.pitch_rad) < 1.5 * DEGREE and abs(last.pose.yaw_rad) < 6 * DEGREE


@pytest.mark.parametrize(("axis", "kind"), [(0, "yes"), (1, "no")])
def test_two_swings_there_and_back_are_one_gesture(axis: int, kind: str) -> None:
    head = Head()
    head.still(2.0)
    head.swing(axis, 9.0, 1.6, 2)
    head.still(2.0)
    assert head.kinds == [kind]


def test_small_slow_or_single_movements_are_no_gesture() -> None:
    head = Head()
    head.still(2.0)
    head.swing(0, 2.0, 2.0, 4)  # talking
    head.swing(0, 15.0, 0.3, 2)  # looking up and down
    head.still(1.0)
    head.show([(20.0 * min(1.0, k / 8), 0.0, 0.0) for k in range(60)])  # looking down at a book
    assert head.kinds == []


def test_rolling_the_head_around_is_neither_yes_nor_no() -> None:
    head = Head()
    head.still(2.0)
    turn = [2 * math.pi * 1.5 * k / RATE_HZ for k in range(80)]
    head.show([(9 * math.sin(a), 9 * math.cos(a) - 9, 0.0) for a in turn])
    assert head.kinds == []


def test_a_tilt_is_told_once_until_the_head_was_upright_again() -> None:
    head = Head()
    head.still(2.0)
    for _ in range(2):
        head.still(1.5, (0.0, 0.0, 20.0))
        head.still(1.0)
    assert head.kinds == ["tilt", "tilt"]


def test_a_lost_face_fades_and_then_is_nobody() -> None:
    head = Head()
    head.still(2.0)
    head.show([None] * 30)
    faded = [signal.confidence for signal in head.signals[60:] if signal is not None]
    assert faded == sorted(faded, reverse=True) and faded[-1] < 0.15
    assert head.signals[-1] is None
    assert head.signals[59] is not None and head.signals[59].confidence == 1.0


def _play(film: Path) -> tuple[Head, NDArray[np.float64]]:
    """A film through vision and the step; gives the head and the pitch that vision saw, in degrees."""
    if weights.missing(("face_detection", "face_landmark")):
        pytest.skip("the weights of vision are not on this machine; `./nod run` fetches them")
    capture = cv2.VideoCapture(str(film))
    vision = Vision(Lens(width_px=640, height_px=480, focal_px=530.0), identity=False)
    head = Head()
    pitches: list[float] = []
    while True:
        more, image = capture.read()
        if not more:
            break
        sight = vision.see(image, head.time_s, len(pitches))
        pose = sight.faces[0].pose
        assert pose is not None
        pitches.append(pose.pitch_rad / DEGREE)
        head.show([(pose.pitch_rad / DEGREE, pose.yaw_rad / DEGREE, pose.roll_rad / DEGREE)], noise=0.0)
    return head, np.array(pitches)


def test_a_real_nod_is_a_yes_and_moves_the_signal_as_much(shared_dir: Path) -> None:
    head, pitch = _play(shared_dir / "clips" / "yes.mkv")
    assert head.kinds == ["yes"]
    nod = slice(22, 50)
    out = np.array(head.pitch(len(pitch)))
    assert np.ptp(pitch[nod]) > 15.0, "degrees: up, down, up"
    assert 0.85 < np.ptp(out[nod]) / np.ptp(pitch[nod]) < 1.05


@pytest.mark.parametrize("name", ["please.mkv", "help.mkv"])
def test_signers_who_move_but_do_not_nod_say_no_yes(name: str, shared_dir: Path) -> None:
    head, _ = _play(shared_dir / "clips" / name)
    assert "yes" not in head.kinds
