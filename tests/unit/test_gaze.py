"""The lock, driven by made-up faces: a person is a point in the space of embeddings, a track a number."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.events import Box, Face, HeadPose, Lock, Sight
from agent.gaze import Command, GazeState, LockOnto, LockTrack, Release, step, wanted

DT_S = 1 / 30
SIZE_PX = 80.0


class Stage:
    """Plays faces to the lock, frame by frame, with the noise of real looks."""

    def __init__(self) -> None:
        self.state = GazeState()
        self.lock = Lock(phase="idle", face=None, reason="")
        self.sight = Sight(time_s=0.0, frame=0, faces=())
        self.frame = 0
        self._random = np.random.default_rng(5)

    @property
    def phase(self) -> str:
        return self.lock.phase

    def person(self, like: NDArray[np.float32] | None = None, distance: float = 0.88) -> NDArray[np.float32]:
        """A new person, this far from another one."""
        way = self._random.normal(size=128)
        away = distance * way / np.linalg.norm(way)
        return (away if like is None else like + away).astype(np.float32)

    def show(
        self,
        *faces: tuple[int, NDArray[np.float32], float],
        command: Command | None = None,
        seconds: float = DT_S,
    ) -> list[int | None]:
        """Faces as (track, person, x); gives the track that was locked in each frame."""
        tracks: list[int | None] = []
        for _ in range(max(1, round(seconds / DT_S))):
            self.frame += 1
            ask = wanted(self.state)
            known = {suspect.track for suspect in self.state.suspects}
            shown = tuple(
                self._face(track, person, x_px, embed=track in ask or track not in known)
                for track, person, x_px in faces
            )
            self.sight = Sight(time_s=self.frame * DT_S, frame=self.frame, faces=shown)
            self.state, self.lock = step(self.state, self.sight, command, DT_S)
            command = None
            tracks.append(None if self.lock.face is None else shown[self.lock.face].track)
        return tracks

    def _face(self, track: int, person: NDArray[np.float32], x_px: float, *, embed: bool) -> Face:
        noise = self._random.normal(size=128) * 0.2 / math.sqrt(128)  # two looks at one person lie .28 apart
        return Face(
            track=track,
            box=Box(x_px, 100.0, SIZE_PX, SIZE_PX),
            score=1.0,
            pose=HeadPose(pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0),
            distance_m=1.0 + track / 10,
            embedding=(person + noise).astype(np.float32) if embed else None,
        )


def settled() -> tuple[Stage, NDArray[np.float32], NDArray[np.float32]]:
    """A stage on which the person on the left is locked, and another stands on the right."""
    stage = Stage()
    anna = stage.person()
    ben = stage.person(like=anna)
    stage.show((1, anna, 100.0), (2, ben, 400.0), command=LockOnto(place="left"), seconds=1.5)
    assert stage.phase == "locked"
    return stage, anna, ben


def test_without_a_command_it_takes_the_nearest_after_a_moment() -> None:
    stage = Stage()
    anna = stage.person()
    ben = stage.person(like=anna)
    locked = stage.show((7, ben, 400.0), (3, anna, 100.0), seconds=0.25)
    assert set(locked) == {None} and stage.phase == "idle"
    locked = stage.show((7, ben, 400.0), (3, anna, 100.0), seconds=1.2)
    assert set(locked[3:]) == {3}
    assert stage.phase == "locked"


def test_an_empty_room_is_idle() -> None:
    stage = Stage()
    assert stage.show(seconds=2.0) == [None] * 60
    assert stage.lock.reason == "nobody in view"


def test_places_are_the_robots_left_and_right() -> None:
    for place, track in (("left", 2), ("middle", 3), ("right", 1), ("nearest", 1)):
        stage = Stage()
        people = [stage.person() for _ in range(3)]
        faces = ((1, people[0], 500.0), (2, people[1], 20.0), (3, people[2], 250.0))
        stage.show(*faces, seconds=0.1)
        assert stage.show(*faces, command=LockOnto(place=place))[-1] == track, place  # type: ignore[arg-type]


def test_next_goes_around_the_people_in_view() -> None:
    stage, anna, ben = settled()
    faces = ((1, anna, 100.0), (2, ben, 400.0))
    assert stage.show(*faces, command=LockOnto(place="next"), seconds=1.5)[-1] == 2
    assert stage.show(*faces, command=LockOnto(place="next"), seconds=1.5)[-1] == 1
    assert stage.lock.reason == "sure of the next person"


def test_a_tap_locks_onto_that_track() -> None:
    stage, anna, ben = settled()
    assert stage.show((1, anna, 100.0), (2, ben, 400.0), command=LockTrack(track=2), seconds=1.2)[-1] == 2
    assert stage.lock.reason == "sure of the person you tapped"


def test_a_tap_on_a_track_that_is_gone_changes_nobody() -> None:
    stage, anna, ben = settled()
    locked = stage.show((1, anna, 100.0), (2, ben, 400.0), command=LockTrack(track=99), seconds=4.0)
    assert set(locked) == {1}


def test_an_order_is_kept_when_the_one_chosen_leaves_at_once() -> None:
    stage = Stage()
    anna = stage.person()
    ben, chidi = stage.person(like=anna), stage.person(like=anna)
    assert stage.show((1, anna, 100.0), (2, ben, 400.0), command=LockOnto(place="left"), seconds=0.1)[-1] == 1
    locked = stage.show((2, ben, 400.0), (3, chidi, 600.0), seconds=2.0)
    assert locked[0] is None and locked[-1] == 2, "now Ben is the person on the left"
    assert stage.lock.reason == "sure of the person on the left"


def test_a_face_that_flickers_at_the_edge_is_not_meant() -> None:
    stage = Stage()
    anna = stage.person()
    faces = (2, stage.person(like=anna), 400.0), (3, stage.person(like=anna), 500.0)
    stage.show(*faces, seconds=0.2)
    assert stage.show((1, anna, 0.0), *faces, command=LockOnto(place="left")) == [2]


def test_a_track_taken_over_while_it_is_learned_teaches_nothing_wrong() -> None:
    stage = Stage()
    anna = stage.person()
    ben = stage.person(like=anna)
    stage.show((1, anna, 100.0), (2, ben, 400.0), command=LockOnto(place="left"), seconds=0.4)
    stage.show((1, ben, 400.0), seconds=2.0)
    assert stage.lock.face is None, "Ben took over her number"
    assert stage.show((1, ben, 400.0), (5, anna, 100.0), seconds=1.0)[-1] == 5


def test_release_looks_at_nobody_until_asked() -> None:
    stage, anna, ben = settled()
    faces = ((1, anna, 100.0), (2, ben, 400.0))
    assert set(stage.show(*faces, command=Release(), seconds=3.0)) == {None}
    assert stage.phase == "idle" and wanted(stage.state) == frozenset()
    assert stage.show(*faces, command=LockOnto(place="right"))[-1] == 2


def test_an_order_waits_for_somebody_to_come() -> None:
    stage = Stage()
    stage.show(command=LockOnto(place="left"), seconds=1.0)
    assert "waiting" in stage.lock.reason
    assert stage.show((1, stage.person(), 300.0)) == [1]


def test_a_track_that_another_face_took_over_is_left_by_the_next_look() -> None:
    stage, anna, ben = settled()
    locked = stage.show((1, ben, 100.0), (2, anna, 400.0), seconds=1.0)
    assert 1 not in locked[6:], "a lone face is looked at every .2 s; then the number no longer counts"
    assert locked[-1] == 2 and locked.index(2) <= 9  # within .3 s


def test_hidden_and_back_under_a_new_number() -> None:
    stage, anna, ben = settled()
    assert set(stage.show((2, ben, 400.0), seconds=2.0)) == {None}
    assert stage.phase == "lost"
    assert stage.lock.reason.startswith("lost sight of the person on the left 2.0 s ago")
    locked = stage.show((2, ben, 400.0), (5, anna, 200.0), seconds=1.0)
    assert locked[-1] == 5 and locked.index(5) <= 9
    assert None in locked[:1] or locked[0] == 5


def test_a_stranger_in_their_place_is_not_them() -> None:
    stage, anna, ben = settled()
    stage.show(seconds=3.0)
    assert set(stage.show((9, stage.person(like=anna), 100.0), seconds=5.0)) == {None}


def test_a_look_alike_is_not_them_however_long_they_stay() -> None:
    stage, anna, ben = settled()
    stage.show(seconds=1.0)
    double = stage.person(like=anna, distance=0.55)
    assert set(stage.show((9, double, 100.0), (2, ben, 400.0), seconds=10.0)) == {None}
    assert stage.phase in {"ambiguous", "lost"}


def test_a_look_alike_beside_them_changes_nothing() -> None:
    stage, anna, ben = settled()
    double = stage.person(like=anna, distance=0.55)
    locked = stage.show((1, anna, 100.0), (9, double, 300.0), seconds=3.0)
    assert set(locked) == {1}


def test_a_long_overlap_ends_in_doubt_without_looks() -> None:
    """Two faces on top of each other whose looks cannot be had: nobody after a short while."""
    stage, anna, ben = settled()
    blind = np.full(128, np.nan, np.float32)
    locked = stage.show((1, blind, 100.0), (2, blind, 120.0), seconds=1.0)
    assert locked[0] == 1 and locked[-1] is None
    assert stage.phase == "ambiguous"


def test_one_chosen_by_the_rule_is_replaced_after_a_while_but_one_asked_for_is_not() -> None:
    stage = Stage()
    anna = stage.person()
    ben = stage.person(like=anna)
    stage.show((1, anna, 100.0), seconds=2.0)
    stage.show((2, ben, 100.0), seconds=9.0)
    assert stage.lock.face is None
    assert stage.show((2, ben, 100.0), seconds=3.0)[-1] == 2

    asked, _, ben = settled()
    assert set(asked.show((2, ben, 400.0), seconds=30.0)) == {None}


def test_settled_faces_are_looked_at_rarely() -> None:
    stage, anna, ben = settled()
    asked = 0
    for _ in range(90):
        asked += len(wanted(stage.state))
        stage.show((1, anna, 100.0), (2, ben, 400.0))
    assert asked < 90, "two lone people for 3 s: far fewer than 180 looks"


def test_a_step_leaves_the_old_state_alone() -> None:
    stage, anna, _ = settled()
    before = stage.state
    looks = len(before.person.looks), before.suspects
    stage.show((1, anna, 100.0), seconds=1.0)
    assert (len(before.person.looks), before.suspects) == looks
