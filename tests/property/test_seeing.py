"""The pure steps of seeing, fed what no camera should give: NaN, infinities, huge and negative times."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agent import gaze, nod
from agent.events import Box, Face, HeadPose, Sight

ANY = st.floats(allow_nan=True, allow_infinity=True)
ANGLE = st.floats(-1.5, 1.5)
POSES = st.builds(HeadPose, pitch_rad=ANY, yaw_rad=ANY, roll_rad=ANY)
TIMES = st.one_of(ANY, st.floats(-1.0, 1.0))


def _face(
    track: int, box: Box, score: float, pose: HeadPose | None, distance_m: float, look: int | None
) -> Face:
    embedding = None
    if look is not None:
        embedding = np.random.default_rng(look % 5).normal(size=128).astype(np.float32) * 0.06
        if look > 20:
            embedding[look] = math.nan if look % 2 else math.inf
    return Face(track=track, box=box, score=score, pose=pose, distance_m=distance_m, embedding=embedding)


FACES = st.builds(
    _face,
    st.integers(0, 5),
    st.builds(Box, *[st.one_of(ANY, st.floats(0.0, 600.0))] * 4),
    st.one_of(ANY, st.just(1.0)),
    st.none() | POSES,
    ANY,
    st.none() | st.integers(0, 30),
)
COMMANDS: SearchStrategy[gaze.Command | None] = st.one_of(
    st.none(),
    st.builds(gaze.LockOnto, st.sampled_from(["left", "right", "middle", "nearest", "next"])),
    st.builds(gaze.LockTrack, st.integers(-1, 6)),
    st.builds(gaze.Release),
)


@given(st.lists(st.tuples(st.lists(FACES, max_size=4), COMMANDS, TIMES), max_size=25))
def test_the_lock_never_breaks_and_names_only_faces_that_are_there(
    frames: list[tuple[list[Face], gaze.Command | None, float]],
) -> None:
    state = gaze.GazeState()
    for k, (faces, command, dt_s) in enumerate(frames):
        sight = Sight(time_s=0.0, frame=k, faces=tuple(faces))
        state, lock = gaze.step(state, sight, command, dt_s)
        assert lock.phase in gaze.PHASES
        assert lock.reason and "nan" not in lock.reason and "\n" not in lock.reason
        assert (lock.face is not None) == (lock.phase in {"enrol", "locked"})
        assert lock.face is None or lock.face < len(faces)
        assert all(math.isfinite(suspect.odds) for suspect in state.suspects)
        assert np.isfinite(state.person.looks).all() and np.isfinite(state.person.poses).all()
        assert gaze.wanted(state) <= {suspect.track for suspect in state.suspects}


@given(st.lists(st.tuples(st.none() | POSES, TIMES, TIMES), max_size=40))
def test_the_nod_signal_is_always_a_number(frames: list[tuple[HeadPose | None, float, float]]) -> None:
    state = nod.start()
    for pose, time_s, dt_s in frames:
        state, signal, gestures = nod.step(state, pose, time_s, dt_s)
        if signal is not None:
            values = (signal.pose.pitch_rad, signal.pose.yaw_rad, signal.pose.roll_rad, signal.time_s)
            assert all(map(math.isfinite, values))
            assert 0.0 <= signal.confidence <= 1.0
        assert all(0.0 <= gesture.confidence <= 1.0 for gesture in gestures)


@given(st.lists(st.tuples(ANGLE, ANGLE, ANGLE), min_size=30, max_size=60), st.floats(0.01, 0.1))
def test_the_signal_is_never_further_from_the_head_than_the_stiction(
    angles: list[tuple[float, float, float]], dt_s: float
) -> None:
    state = nod.start()
    for k, (pitch, yaw, roll) in enumerate(angles):
        pose = HeadPose(pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll)
        state, signal, _ = nod.step(state, pose, k * dt_s, dt_s)
        assert signal is not None
        for out, true, neutral in zip(
            (signal.pose.pitch_rad, signal.pose.yaw_rad, signal.pose.roll_rad),
            angles[k],
            state.neutral,
            strict=True,
        ):
            assert abs(out - (true - neutral)) <= nod.NodConfig().stick_rad + 1e-9
