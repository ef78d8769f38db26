"""Faces made unrecognisable: squares as large as features, then smoothed, over every face that was seen.

A picture is let out only when something was seen shortly before and after it; in between a face has not gone far.
"""

from collections import deque

import cv2
import numpy as np

from agent.events import Box, Sight
from drivers.camera import Frame, Image

MARGIN = 0.6  # of the face's size on each side: hair, ears and chin are the person too, and faces move
BLOCKS = 4  # across a face with its margins: fewer than eyes, nose and mouth need
LONGEST_GAP_S = 0.6  # between two sights about a picture; in a longer one a face can come in unseen
MOST_HELD = 20

_Sides = tuple[int, int, int, int]


class FaceBlur:
    """Holds pictures until the next sight, then lets them out blurred, or not at all."""

    def __init__(self) -> None:
        self._held: deque[Frame] = deque(maxlen=MOST_HELD)
        self._before: Sight | None = None

    def hold(self, frame: Frame) -> None:
        """Take a picture in; the oldest is dropped when nothing is seen for long."""
        self._held.append(frame)

    def see(self, sight: Sight) -> list[Frame]:
        """Take in what was seen; returns the pictures that were waiting for it."""
        out = []
        while self._held and self._held[0].time_s <= sight.time_s:
            frame = self._held.popleft()
            sights = [one for one in (self._before, sight) if one is not None]
            is_exact = frame.time_s == sight.time_s
            is_between = len(sights) == 2 and sight.time_s - sights[0].time_s <= LONGEST_GAP_S
            if is_exact or is_between:
                boxes = [face.box for one in sights for face in one.faces]
                out.append(Frame(image=blurred(frame.image, boxes), time_s=frame.time_s, index=frame.index))
        self._before = sight
        return out


def blurred(image: Image, boxes: list[Box]) -> Image:
    """A copy of the picture in which nobody in these boxes can be recognised."""
    out = image.copy()
    for box in boxes:
        sides = _around(box, image)
        if sides is None:
            continue
        left, top, right, bottom = sides
        part = out[top:bottom, left:right]
        high, wide = part.shape[:2]
        small = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(small, (wide, high), interpolation=cv2.INTER_NEAREST)
        out[top:bottom, left:right] = cv2.GaussianBlur(coarse, (0, 0), max(wide, high) / (2 * BLOCKS))
    return np.asarray(out, np.uint8)


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
