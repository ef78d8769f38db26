"""How well vision tells people apart, in pictures of whom is known: the figures for identity's two thresholds."""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.identity import OTHER_ABOVE, SAME_BELOW
from agent.vision import Vision
from drivers.camera import Image, Lens

GONE_S = 10.0  # vision has forgotten whoever was away for so long


class IdentityFigures(NamedTuple):
    """Shares of pairs of pictures on the right side of a threshold, and how many pairs there were."""

    same_below_052: float
    other_above_060: float
    n_same: int
    n_other: int


def embeddings(
    pictures: Iterable[tuple[str, Image]], lens: Lens
) -> list[tuple[str, NDArray[np.float32] | None]]:
    """Each picture's face as identity sees it; None where vision does not find exactly one."""
    found: list[tuple[str, NDArray[np.float32] | None]] = []
    vision = Vision(lens)
    dark = np.zeros((lens.height_px, lens.width_px, 3), np.uint8)
    for k, (name, image) in enumerate(pictures):
        vision.see(dark, 2 * k * GONE_S, 2 * k)  # whoever was there before is forgotten
        faces = vision.see(image, (2 * k + 1) * GONE_S, 2 * k + 1).faces
        found.append((name, faces[0].embedding if len(faces) == 1 else None))
    return found


def identity_figures(pictures: Iterable[tuple[str, Image]], lens: Lens) -> IdentityFigures:
    """Distances within and between people over all pairs of pictures.

    A picture in which vision does not find exactly one face makes all of its pairs wrong.
    """
    same: list[bool] = []
    other: list[bool] = []
    for (one, a), (two, b) in itertools.combinations(embeddings(pictures, lens), 2):
        apart = math.nan if a is None or b is None else math.dist(a, b)
        if one == two:
            same.append(apart < SAME_BELOW)
        else:
            other.append(apart > OTHER_ABOVE)
    return IdentityFigures(_share(same), _share(other), len(same), len(other))


def _share(right: list[bool]) -> float:
    return sum(right) / len(right) if right else math.nan
