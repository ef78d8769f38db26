"""Sights that an error model gives in vision's place; where that comes from is the composition root's affair."""

from collections.abc import Iterable, Set
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.events import Box, Face, HeadPose, Sight
from drivers.body import Matrix
from drivers.camera import Image


class ModelledFace(Protocol):
    """One face as the model gives it: as `Face`, but flat."""

    @property
    def track(self) -> int: ...
    @property
    def x_px(self) -> float: ...
    @property
    def y_px(self) -> float: ...
    @property
    def width_px(self) -> float: ...
    @property
    def height_px(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def pitch_rad(self) -> float: ...
    @property
    def yaw_rad(self) -> float: ...
    @property
    def roll_rad(self) -> float: ...
    @property
    def distance_m(self) -> float: ...
    @property
    def embedding(self) -> NDArray[np.float32] | None: ...


class Model(Protocol):
    """Says which faces vision would have seen in a frame."""

    def see(self, time_s: float, frame: int, wanted: Set[int] | None) -> Iterable[ModelledFace]: ...


class ModelledVision:
    """An `agent.eyes.Sees` that looks at no picture."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def see(
        self,
        image: Image,
        time_s: float,
        frame: int,
        wanted: Set[int] | None = None,
        shift: Matrix | None = None,
    ) -> Sight:
        faces = tuple(
            Face(
                track=seen.track,
                box=Box(seen.x_px, seen.y_px, seen.width_px, seen.height_px),
                score=seen.score,
                pose=HeadPose(pitch_rad=seen.pitch_rad, yaw_rad=seen.yaw_rad, roll_rad=seen.roll_rad),
                distance_m=seen.distance_m,
                embedding=seen.embedding,
            )
            for seen in self._model.see(time_s, frame, wanted)
        )
        return Sight(time_s=time_s, frame=frame, faces=faces)
