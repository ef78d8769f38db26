"""Faces made unrecognisable: a few squares with soft edges over every face that was seen.

A picture is let out only when something was seen shortly before and after it; in between a face has not gone far.
"""

from collections import deque
from collections.abc import Callable

import cv2
import msgspec
import numpy as np

from agent import weights
from agent.events import Box, Sight
from agent.landmarks import FaceDetector
from drivers.camera import Frame, Image

MARGIN = 0.6  # of the face's size on each side: hair, ears and chin are the person too, and faces move
BLOCKS = 4  # across a face with its margins: fewer than eyes, nose and mouth need
LONGEST_GAP_S = 0.6  # between two sights about a picture; in a longer one a face can come in unseen
MEMORY_S = 1.0
MOST_HELD = 20
SEARCH_SCORE = 0.3  # lower than what the robot takes for a face: one that is covered needlessly does no harm

_Sides = tuple[int, int, int, int]


class FaceBlur:
    """Holds pictures until the next sight, then lets them out blurred, or not at all.

    A face that vision loses for a moment stays covered: all that was seen within MEMORY_S before counts.
    """

    def __init__(self) -> None:
        self._held: deque[Frame] = deque(maxlen=MOST_HELD)
        self._recent: deque[Sight] = deque()

    def hold(self, frame: Frame) -> None:
        """Take a picture in; the oldest is dropped when nothing is seen for long."""
        self._held.append(frame)

    def see(self, sight: Sight) -> list[Frame]:
        """Take in what was seen; returns the pictures that were waiting for it."""
        out = []
        before_s = self._recent[-1].time_s if self._recent else float("-inf")
        self._recent.append(sight)
        while self._recent[0].time_s < sight.time_s - MEMORY_S:
            self._recent.popleft()
        while self._held and self._held[0].time_s <= sight.time_s:
            frame = self._held.popleft()
            if frame.time_s == sight.time_s or sight.time_s - before_s <= LONGEST_GAP_S:
                boxes = [face.box for one in self._recent for face in one.faces]
                out.append(msgspec.structs.replace(frame, image=blurred(frame.image, boxes)))
        return out


class FaceSearch:
    """Looks at pictures that were blurred already, and covers whatever still looks like a face."""

    def __init__(self) -> None:
        """Raises ConfigError without the detector's weights."""
        self._detector = FaceDetector(weights.path("face_detection"), least_score=SEARCH_SCORE)

    def cover(self, image: Image) -> Image | None:
        """The picture with no face to be found in it, or None if that can't be had."""
        for paint in (blurred, blurred, flat, flat):
            found = self._detector.find(image)
            if not found:
                return image
            image = paint(image, [face.box for face in found])
        return None if self._detector.find(image) else image


def blurred(image: Image, boxes: list[Box]) -> Image:
    """A copy of the picture in which nobody in these boxes can be recognised."""

    def coarse(part: Image) -> Image:
        high, wide = part.shape[:2]
        small = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)

    return _painted(image, boxes, coarse)


def flat(image: Image, boxes: list[Box]) -> Image:
    """A copy of the picture with one colour in these boxes."""
    return _painted(
        image, boxes, lambda part: np.broadcast_to(part.mean(axis=(0, 1)), part.shape).astype(np.uint8)
    )


def _painted(image: Image, boxes: list[Box], paint: Callable[[Image], Image]) -> Image:
    out = image.copy()
    for box in boxes:
        sides = _around(box, image)
        if sides is not None:
            left, top, right, bottom = sides
            out[top:bottom, left:right] = paint(out[top:bottom, left:right])
    return out


def _around(box: Box, image: Image) -> _Sides | None:
    """The box with its margins as whole pixels inside the picture: left, top, right, bottom."""
    numbers = np.array([box.x_px, box.y_px, box.width_px, box.height_px])
    if not np.isfinite(numbers).all():
        return None
    height_px, width_px = image.shape[:2]
    left = int(max(box.x_px - MARGIN * box.width_px, 0))
    top = int(max(box.y_px - MARGIN * box.height_px, 0))
    right = int(min(box.x_px + (1 + MARGIN) * box.width_px + 1, width_px))
    bottom = int(min(box.y_px + (1 + MARGIN) * box.height_px + 1, height_px))
    return (left, top, right, bottom) if right > left and bottom > top else None
