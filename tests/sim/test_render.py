"""The renderer: same scene same bytes, things where geometry says, and no harm from odd input."""

import functools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import weights
from agent.vision import Vision
from drivers.body import Matrix, rotation, transform
from drivers.camera import Lens
from drivers.errors import ConfigError
from sim.people import NAMES, Actor
from sim.render import Renderer
from sim.room import Block, Room, living_room

LENS = Lens(width_px=320, height_px=240, focal_px=264.0)
WATCHED = tuple(NAMES[:2])


@functools.cache
def watching() -> Renderer:
    """Made at its first use: only the worker that draws pays for it."""
    return Renderer(LENS, living_room(), WATCHED)


def camera(x_m: float = 0.0, yaw_rad: float = 0.0, pitch_rad: float = 0.0, height_m: float = 1.1) -> Matrix:
    return transform(rotation("z", yaw_rad) @ rotation("y", pitch_rad), (x_m, 0.0, height_m))


def facing(name: str, x_m: float, y_m: float = 0.0, yaw_rad: float = 0.0, **more: float) -> Actor:
    return Actor(
        name=name,
        position_m=(x_m, y_m, 1.55),
        yaw_rad=math.pi + yaw_rad,
        body_yaw_rad=math.pi + yaw_rad,
        **more,
    )


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a != b).any(axis=2))


def test_the_same_scene_gives_the_same_bytes() -> None:
    actors = (facing(WATCHED[0], 1.5), facing(WATCHED[1], 2.5, 0.4))
    first = watching().draw(camera(), actors)
    watching().draw(camera(yaw_rad=0.5), ())
    again = watching().draw(camera(), actors[::-1])
    assert np.array_equal(first, again)
    assert np.array_equal(first, Renderer(LENS, living_room(), WATCHED).draw(camera(), actors))


def test_the_picture_changes_when_the_camera_turns() -> None:
    before, after = watching().draw(camera(), ()), watching().draw(camera(yaw_rad=0.1), ())
    assert changed(before, after).mean() > 0.5


def test_a_turn_to_the_left_moves_the_person_to_the_right() -> None:
    actor = facing(WATCHED[0], 2.0)
    columns = []
    for yaw_rad in (0.0, 0.3):
        pose = camera(yaw_rad=yaw_rad)
        mask = changed(watching().draw(pose, ()), watching().draw(pose, (actor,)))
        columns.append(float(np.nonzero(mask)[1].mean()))
    assert columns[0] == pytest.approx(LENS.width_px / 2, abs=8)
    assert columns[1] - columns[0] == pytest.approx(LENS.focal_px * math.tan(0.3), abs=15)


def test_feet_stand_on_the_floor_and_no_part_floats() -> None:
    pose = camera(pitch_rad=0.25)
    mask = changed(watching().draw(pose, ()), watching().draw(pose, (facing(WATCHED[1], 3.0),)))
    rows = np.nonzero(mask.any(axis=1))[0]
    assert len(rows) == rows[-1] - rows[0] + 1
    down = math.atan2(1.1, 2.95) - 0.25
    assert rows[-1] == pytest.approx(LENS.height_px / 2 + LENS.focal_px * math.tan(down), abs=8)


def test_a_nearer_person_hides_a_farther_one() -> None:
    near = facing(WATCHED[0], 1.0)
    with_both = watching().draw(camera(height_m=1.5), (near, facing(WATCHED[1], 3.0)))
    head = slice(100, 130), slice(150, 170)
    assert np.array_equal(with_both[head], watching().draw(camera(height_m=1.5), (near,))[head])


def test_a_wall_hides_who_stands_behind_it() -> None:
    wall = Room(
        boxes=(Block(name="wall", centre_m=(1.0, 0.0, 1.3), size_m=(0.1, 4.0, 2.6)),), table_m=(0.0, 0.0, 0.7)
    )
    renderer = Renderer(LENS, wall, WATCHED)
    assert np.array_equal(renderer.draw(camera(), ()), renderer.draw(camera(), (facing(WATCHED[0], 2.0),)))


@pytest.mark.parametrize("part", ["mouth", "blink", "smile"])
def test_an_expression_changes_the_face_and_nothing_else(part: str) -> None:
    actor = Actor(name=WATCHED[0], position_m=(0.0, 0.0, 1.6))
    still = watching().draw_portrait(actor)
    moved = watching().draw_portrait(Actor(name=WATCHED[0], position_m=(0.0, 0.0, 1.6), **{part: 1.0}))
    rows, columns = np.nonzero(changed(still, moved))
    assert len(rows) > 50
    half_face_px = LENS.focal_px * 0.14 / 0.6
    assert abs(columns - LENS.width_px / 2).max() < half_face_px


def test_a_dark_room_is_dark() -> None:
    actors = (facing(WATCHED[0], 1.5),)
    bright, dark = watching().draw(camera(), actors), watching().draw(camera(), actors, light=0.2)
    assert dark.mean() == pytest.approx(0.2 * bright.mean(), rel=0.15)
    assert not watching().draw(camera(), actors, light=0.0).any()


def test_vision_sees_the_turn_of_the_head_with_its_sign() -> None:
    try:
        weights.path("face_landmark")
    except ConfigError as exc:
        pytest.skip(str(exc))
    lens = Lens(width_px=640, height_px=480, focal_px=527.0)
    renderer = Renderer(lens, living_room(), WATCHED)

    def pose(**turn: float) -> tuple[float, float, float]:
        actor = Actor(name=WATCHED[0], position_m=(0.0, 0.0, 1.6), **turn)
        faces = Vision(lens).see(renderer.draw_portrait(actor, 0.8), 0.0, 0).faces
        assert len(faces) == 1 and faces[0].pose is not None
        return faces[0].pose.pitch_rad, faces[0].pose.yaw_rad, faces[0].pose.roll_rad

    for axis, key in enumerate(("pitch_rad", "yaw_rad", "roll_rad")):
        difference = pose(**{key: 0.2})[axis] - pose(**{key: -0.2})[axis]
        assert difference == pytest.approx(0.4, abs=0.12), key


@settings(max_examples=25, deadline=None)
@given(
    x_m=st.floats(-3.0, 5.0),
    y_m=st.floats(-3.0, 3.0),
    z_m=st.floats(0.0, 2.5),
    yaw_rad=st.floats(-7.0, 7.0),
    pitch_rad=st.floats(-1.6, 1.6),
    light=st.floats(0.0, 3.0),
)
def test_any_pose_gives_a_whole_picture(
    x_m: float, y_m: float, z_m: float, yaw_rad: float, pitch_rad: float, light: float
) -> None:
    actor = Actor(name=WATCHED[0], position_m=(x_m, y_m, z_m), yaw_rad=yaw_rad, pitch_rad=pitch_rad)
    image = watching().draw(camera(yaw_rad=yaw_rad, pitch_rad=pitch_rad), (actor,), light)
    assert image.shape == (LENS.height_px, LENS.width_px, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_pose_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        watching().draw(camera(x_m=bad), ())
    with pytest.raises(ValueError, match=WATCHED[0]):
        watching().draw(camera(), (facing(WATCHED[0], bad),))
    with pytest.raises(ValueError, match="light"):
        watching().draw(camera(), (), light=bad)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="Nobody"):
        Renderer(LENS, living_room(), ("Nobody",))


def test_three_people_are_drawn_in_time() -> None:
    lens = Lens(width_px=640, height_px=480, focal_px=527.0)
    renderer = Renderer(lens, living_room(), NAMES[:3])
    actors = (facing(NAMES[0], 1.2, 0.35), facing(NAMES[1], 2.0, -0.3), facing(NAMES[2], 3.0, 0.9))
    took_s = []
    for turn in range(10):
        start_s = time.thread_time()
        renderer.draw(camera(yaw_rad=turn * 0.02), actors)
        took_s.append(time.thread_time() - start_s)
    assert min(took_s) < 0.06, f"{min(took_s) * 1e3:.1f} ms of one core, expected about 20"
