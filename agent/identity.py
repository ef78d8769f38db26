"""Who a face is: 128 numbers that lie close together for one person, by dlib's face network (CC0).

The network was carried over to LiteRT by tools/face_embedding.py. Distances are Euclidean and the vectors are
not of unit length: below .52 the same person, above .60 another (measured on 4,128 labelled pairs).
"""

from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.landmarks import Network, Points, reals
from drivers.camera import Image

SAME_BELOW = 0.52
OTHER_ABOVE = 0.60

_CHIP_SIDE_PX = 150
_MARGIN = 0.25  # dlib's padding around the face
# Eye corners (left outer, left inner, right outer, right inner) and the point under the nose; and where
# dlib's five-point chip has them, as shares of the side without margin
# (dlib, image_transforms/interpolation.h).
_ANCHORS = (263, 362, 33, 133, 2)
_PLACES = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)


class FaceNetwork:
    """Gives faces their 128 numbers; about 2 ms each on one thread."""

    def __init__(self, threads: int = 1) -> None:
        with resources.as_file(resources.files("agent") / "data" / "face_embedding_int8.tflite") as file:
            self._network = Network(file, threads)
        chip = (_MARGIN + _PLACES) / (1 + 2 * _MARGIN) * _CHIP_SIDE_PX
        self._target = chip[:, 0] + 1j * chip[:, 1]

    def embed(self, image: Image, points: Points) -> NDArray[np.float32] | None:
        """The numbers of the face with these points; None if the points make no face."""
        corners = points[list(_ANCHORS), :2].astype(np.float64)
        here = corners[:, 0] + 1j * corners[:, 1]
        spread = float((np.abs(here - here.mean()) ** 2).sum())
        if not np.isfinite(spread) or spread < 1.0:
            return None
        # The similarity that brings five points closest to five others, as one complex factor and a shift.
        goal = self._target - self._target.mean()
        factor = (np.conj(here - here.mean()) * goal).sum() / spread
        shift = self._target.mean() - factor * here.mean()
        warp = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
        chip = cv2.warpAffine(image, warp, (_CHIP_SIDE_PX, _CHIP_SIDE_PX), flags=cv2.INTER_LINEAR)
        vector = self._network(reals(chip))[0][0].copy()
        return vector if np.isfinite(vector).all() else None
