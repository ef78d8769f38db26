"""What vision would have seen, without a picture: true geometry, and errors like vision's.

Faces are found, followed, lost and numbered by the rules of `agent.vision`; whether a face is there, and how
wrong its box, pose and distance are, comes from the true view of it.
"""

import math
from collections.abc import Callable, Set
from typing import NamedTuple

import msgspec
import numpy as np

from drivers.body import Matrix
from drivers.camera import Lens
from sim import sightlines, vision_errors
from sim.people import Actor
from sim.sightlines import RANGE_M, Doubles
from sim.vision_errors import Vector

Row = list[float]

# As `agent.vision.VisionConfig` and `agent.landmarks` have them; a test holds them together.
DETECT_EVERY = 3
COAST_S = 0.5
UNCONFIRMED_S = 2.0
SAME_FACE = 0.45
MOST_FACES = 8
MERGED_OVERLAP = 0.3


class Instant(NamedTuple):
    """All that a picture would have shown."""

    time_s: float
    camera_pose: Matrix
    actors: tuple[Actor, ...]
    light: float


class SeenFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face, as `agent.events.Face` has it: box in pixels, pose against the line of sight."""

    track: int
    x_px: float
    y_px: float
    width_px: float
    height_px: float
    score: float
    pitch_rad: float
    yaw_rad: float
    roll_rad: float
    distance_m: float
    embedding: Vector | None


class _Track(msgspec.Struct, kw_only=True):
    number: int
    name: str  # whose face it is on
    is_visible: bool = True
    frames: int = 1
    lost_s: float = 0.0
    unconfirmed_s: float = 0.0


class Landmarks:
    """Stands in for the vision of one camera. Raises ConfigError without a fit, or for who is not in it."""

    def __init__(
        self,
        lens: Lens,
        instant: Callable[[float], Instant],
        blocks: Doubles,
        seed: int,
        *,
        has_identity: bool = True,
    ) -> None:
        """`instant` tells what was before the camera at a frame's time; `blocks` what stands in the room."""
        self._lens = lens
        self._instant = instant
        self._blocks = blocks
        self._seed = seed
        self._has_identity = has_identity
        self._errors, _ = vision_errors.load()
        self._cast: tuple[str, ...] = ()
        self._people = np.zeros(0, dtype=np.int64)
        self._keys = np.zeros(0, dtype=np.int64)
        self._tracks: list[_Track] = []
        self._next_number = 1
        self._time_s: float | None = None
        self._frames_since_detection = 0

    def see(self, time_s: float, frame: int, wanted: Set[int] | None = None) -> tuple[SeenFace, ...]:
        """The faces in the frame taken at `time_s`; embeddings for new tracks and those `wanted`, None: all."""
        instant = self._instant(time_s)
        names = tuple([actor.name for actor in instant.actors])
        if names != self._cast:
            self._cast = names
            self._people = vision_errors.places_of(names)
            self._keys = np.array([vision_errors.key_of(self._seed, name) for name in names], dtype=np.int64)
        view = sightlines.faces_in_view(instant.camera_pose, self._lens, instant.actors, self._blocks)
        errors = self._errors
        rows = vision_errors.looks(
            view, instant.light, self._lens.width_px, self._people, self._keys, time_s, frame,
            errors.weights, errors.own, errors.noise, errors.jitter, errors.lasting,
            errors.scales[vision_errors.TOGETHER],
        )  # fmt: skip
        looks = dict(zip(names, rows.tolist(), strict=True))
        dt_s = 0.0 if self._time_s is None else max(time_s - self._time_s, 0.0)
        self._time_s = time_s
        self._follow(looks, dt_s)
        self._frames_since_detection += 1
        if (
            self._frames_since_detection >= DETECT_EVERY
            or not self._tracks
            or not all(track.is_visible for track in self._tracks)
        ):
            self._detect(looks)
            self._frames_since_detection = 0
        self._drop(looks, dict(zip(names, view[:, RANGE_M].tolist(), strict=True)))
        faces = []
        for track in self._tracks:
            if track.is_visible:
                embedding = None
                if self._has_identity and (wanted is None or track.number in wanted or track.frames <= 2):
                    place = names.index(track.name)
                    embedding = self._embedding(view[place], instant.light, place, time_s, frame)
                faces.append(self._face(looks[track.name], track.number, embedding))
        return tuple(faces)

    def _embedding(self, view: Doubles, light: float, place: int, time_s: float, frame: int) -> Vector:
        errors = self._errors
        share, stays_s = errors.lasting[-1]
        return vision_errors.embedding(
            view, light, self._people[place], self._keys[place], time_s, frame, errors.look, errors.own_look,
            errors.look_noise, errors.look_spread, errors.scales, share, stays_s,
        )  # fmt: skip

    def _follow(self, looks: dict[str, Row], dt_s: float) -> None:
        for track in self._tracks:
            track.unconfirmed_s += dt_s
            if track.is_visible and track.name in looks and self._fits(looks[track.name]):
                track.frames += 1
                track.lost_s = 0.0
            else:
                track.is_visible = False
                track.lost_s += dt_s

    def _detect(self, looks: dict[str, Row]) -> None:
        """Confirm, take up again, begin: as vision does with what the detector finds."""
        found: dict[str, Row] = {}
        for name, look in sorted(looks.items(), key=lambda item: -item[1][vision_errors.FOUND]):
            if look[vision_errors.FOUND] <= 0.0:
                break
            if all(_overlap(look, other) <= MERGED_OVERLAP for other in found.values()):
                found[name] = look
        followed = {track.name: track for track in self._tracks}
        for name, look in found.items():
            track = followed.get(name)
            if track is not None:
                track.unconfirmed_s = 0.0
                if not track.is_visible and self._fits(look):
                    track.is_visible, track.lost_s = True, 0.0
                    track.frames += 1
            elif len(self._tracks) < MOST_FACES and self._fits(look):
                self._tracks.append(_Track(number=self._next_number, name=name))
                self._next_number += 1

    def _drop(self, looks: dict[str, Row], ranges_m: dict[str, float]) -> None:
        """Forget faces that are gone; of two that lie on each other the nearer one is kept."""
        visible = [track for track in self._tracks if track.is_visible]
        if len(visible) > 1:
            kept: list[Row] = []
            for track in sorted(visible, key=lambda track: ranges_m[track.name]):
                look = looks[track.name]
                if all(_common(look, other) < SAME_FACE for other in kept):
                    kept.append(look)
                else:
                    track.is_visible = False
        self._tracks = [
            track
            for track in self._tracks
            if track.lost_s <= COAST_S
            and track.unconfirmed_s <= UNCONFIRMED_S
            and (track.is_visible or track.frames > 3)
        ]

    def _fits(self, look: Row) -> bool:
        return (
            look[vision_errors.FITTED] > 0.0
            and 0.0 <= look[vision_errors.BOX_X] < self._lens.width_px
            and 0.0 <= look[vision_errors.BOX_Y] < self._lens.height_px
        )

    def _face(self, look: Row, number: int, embedding: Vector | None) -> SeenFace:
        return SeenFace(
            track=number,
            x_px=look[vision_errors.BOX_X] - look[vision_errors.BOX_WIDTH] / 2,
            y_px=look[vision_errors.BOX_Y] - look[vision_errors.BOX_HEIGHT] / 2,
            width_px=look[vision_errors.BOX_WIDTH],
            height_px=look[vision_errors.BOX_HEIGHT],
            score=1.0
            / (1.0 + math.exp(-self._errors.scales[vision_errors.SLOPE] * look[vision_errors.FITTED])),
            pitch_rad=look[vision_errors.PITCH],
            yaw_rad=look[vision_errors.YAW],
            roll_rad=look[vision_errors.ROLL],
            distance_m=look[vision_errors.DISTANCE],
            embedding=embedding,
        )


def _shared(one: Row, other: Row) -> float:
    x, y, width, height = _box(one)
    other_x, other_y, other_width, other_height = _box(other)
    across = (width + other_width) / 2 - abs(x - other_x)
    high = (height + other_height) / 2 - abs(y - other_y)
    return max(0.0, min(across, width, other_width)) * max(0.0, min(high, height, other_height))


def _overlap(one: Row, other: Row) -> float:
    both = _shared(one, other)
    return both / max(_area(one) + _area(other) - both, 1e-6)


def _common(one: Row, other: Row) -> float:
    return _shared(one, other) / max(min(_area(one), _area(other)), 1.0)


def _box(look: Row) -> tuple[float, float, float, float]:
    """Middle and size."""
    x, y, width, height = look[vision_errors.BOX_X : vision_errors.BOX_HEIGHT + 1]
    return x, y, width, height


def _area(look: Row) -> float:
    return look[vision_errors.BOX_WIDTH] * look[vision_errors.BOX_HEIGHT]
