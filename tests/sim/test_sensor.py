"""The simulated sensor: exposure, noise, blur, distortion and delay, the same for the same seed."""

import asyncio
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.body import Matrix, rotation, transform
from drivers.camera import Image, Lens
from sim import clock
from sim.camera import SimCamera
from sim.sensor import MIDDLE, Imager, Sensor

LENS = Lens(width_px=160, height_px=120, focal_px=130.0)
STILL: Matrix = transform(rotation("z", 0.0), (0.0, 0.0, 1.0))
GREY: Image = np.full((LENS.height_px, LENS.width_px, 3), round(MIDDLE), dtype=np.uint8)
QUIET = Sensor(full_well=1e6, read_noise=0.0)


def imager(sensor: Sensor = QUIET, seed: str = "7 camera") -> Imager:
    return Imager(sensor, LENS, seed)


def settle(camera: Imager, light: float, seconds: float, start_s: float = 0.0, scene: Image = GREY) -> Image:
    for k in range(round(seconds * 20) + 1):
        picture = camera.develop(scene, light, STILL, start_s + k / 20)
    return picture


def test_a_usual_scene_comes_out_as_it_was_drawn() -> None:
    picture = imager().develop(GREY, 1.0, STILL, 0.0)
    assert np.abs(picture.astype(int) - GREY).max() <= 2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    pictures = [settle(imager(Sensor(), seed), 0.3, 0.5) for seed in ("7 camera", "7 camera", "8 camera")]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_noise_changes_from_frame_to_frame() -> None:
    camera = imager(Sensor())
    first, second = settle(camera, 1.0, 0.0), settle(camera, 1.0, 0.0, start_s=0.05)
    assert (first != second).mean() > 0.5


def test_exposure_follows_the_light_within_about_a_second() -> None:
    camera = imager()
    settle(camera, 1.0, 1.0)
    at_once = settle(camera, 0.25, 0.0, start_s=1.05).mean()
    half_way = settle(camera, 0.25, 0.25, start_s=1.1).mean()
    after = settle(camera, 0.25, 1.25, start_s=1.4).mean()
    assert at_once < 0.4 * MIDDLE < half_way < 0.9 * MIDDLE
    assert after == pytest.approx(MIDDLE, rel=0.05)


def test_a_brighter_room_is_exposed_shorter() -> None:
    camera = imager()
    usual = (settle(camera, 1.0, 0.0), camera.exposure_s)[1]
    assert settle(camera, 2.0, 3.0, start_s=0.05).mean() == pytest.approx(MIDDLE, rel=0.02)
    assert camera.exposure_s == pytest.approx(usual / 2, rel=0.02)
    assert camera.gain == 1.0


def test_a_fading_room_gets_noisy_first_and_dark_when_gain_has_run_out() -> None:
    camera = imager(Sensor())
    seen = []
    for step, light in enumerate((1.0, 0.3, 0.05, 0.01, 0.002)):
        picture = settle(camera, light, 3.0, start_s=4.0 * step)
        seen.append((float(picture.mean()), float(picture.std()), camera.gain))
    means, noises, gains = zip(*seen, strict=True)
    assert means[:3] == pytest.approx((MIDDLE,) * 3, rel=0.03)
    assert gains[:2] == (1.0, 1.0) and 1.0 < gains[2] < gains[3] == pytest.approx(
        Sensor().most_gain, rel=1e-3
    )
    assert noises[2] > 2 * noises[0] > 1.0
    assert MIDDLE / 2 > means[3] > means[4]
    for light, mean in zip((1.0, 0.3, 0.05, 0.01), means, strict=False):
        assert mean == pytest.approx(MIDDLE * min(1.0, light * Sensor().most_exposure), rel=0.05)


def test_noise_grows_with_gain_and_with_brightness() -> None:
    def noise(light: float, value: int) -> float:
        scene = GREY.copy()
        scene[: LENS.height_px // 4] = value
        picture = settle(imager(Sensor()), light, 0.0, scene=scene)
        return float(picture[: LENS.height_px // 4].std())

    assert noise(1.0, 20) < noise(1.0, 120) < noise(0.05, 120)
    assert noise(0.0, 120) > 1.0  # a dark room still shows what reading costs


@pytest.mark.parametrize(
    ("axis", "is_across"), [("z", True), ("y", False)], ids=["yaw blurs rows", "pitch blurs columns"]
)
def test_a_turn_blurs_along_it_and_by_as_much(axis: str, is_across: bool) -> None:
    rate_rad_s, dt_s = 3.0, 0.05
    lines = np.zeros_like(GREY)
    lines[:, LENS.width_px // 2] = 255
    lines[LENS.height_px // 2] = 255
    camera = imager()
    camera.develop(GREY, 1.0, STILL, 0.0)
    turned = transform(rotation(axis, rate_rad_s * dt_s), (0.0, 0.0, 1.0))
    picture = camera.develop(lines, 1.0, turned, dt_s).astype(int)
    upright, level = picture[10, :, 1], picture[:, 10, 1]
    spread, sharp = (upright, level) if is_across else (level, upright)
    factor = camera.exposure_s / 0.008 * 255  # the line's brightness, more than fits
    expected_px = math.sin(rate_rad_s * dt_s) / dt_s * LENS.focal_px * camera.exposure_s
    assert expected_px > 4
    assert np.count_nonzero(spread > 5) == pytest.approx(expected_px, abs=2)
    assert np.count_nonzero(sharp > 5) == 1 and factor > 255
    where = np.nonzero(spread > 5)[0]
    assert where.mean() == pytest.approx(len(spread) / 2, abs=1)


def test_a_turn_to_the_left_and_down_smears_to_the_right_and_up() -> None:
    camera = imager()
    camera.develop(GREY, 1.0, STILL, 0.0)
    point = np.zeros_like(GREY)
    point[60, 80] = 255
    turned = transform(rotation("z", 0.15) @ rotation("y", 0.15), (0.0, 0.0, 1.0))
    rows, columns = np.nonzero(camera.develop(point, 1.0, turned, 0.05)[..., 1] > 5)
    assert len(rows) > 4
    assert np.corrcoef(columns, rows)[0, 1] < -0.9


def test_a_still_camera_and_one_that_only_rolls_blur_nothing() -> None:
    camera = imager()
    scene = np.random.default_rng(1).integers(60, 160, GREY.shape, dtype=np.uint8)
    before = settle(camera, 1.0, 0.0, scene=scene)
    rolled = transform(rotation("x", 0.05), (0.0, 0.0, 1.0))
    after = camera.develop(scene, 1.0, rolled, 0.05)
    assert np.abs(before.astype(int) - after).max() <= 4


@pytest.mark.parametrize("distortion", [-0.1, 0.1])
def test_distortion_moves_the_edge_by_browns_formula_and_leaves_the_middle(distortion: float) -> None:
    scene = np.zeros_like(GREY)
    true_px = 50
    for column in (0, true_px):
        scene[:, LENS.width_px // 2 + column] = 255
    picture = imager(msgspec.structs.replace(QUIET, distortion=distortion)).develop(scene, 1.0, STILL, 0.0)
    row = picture[LENS.height_px // 2, :, 1]
    found = np.nonzero(row > 100)[0] - LENS.width_px // 2
    away = true_px / LENS.focal_px
    assert 0 in found
    assert found[-1] == pytest.approx(true_px * (1 + distortion * away**2), abs=1.5)
    assert (found[-1] > true_px) == (distortion > 0)


@settings(max_examples=20, deadline=None)
@given(
    light=st.floats(0.0, 10.0),
    yaw_rad=st.floats(-7.0, 7.0),
    pitch_rad=st.floats(-2.0, 2.0),
    dt_s=st.floats(0.0, 5.0),
    value=st.integers(0, 255),
)
def test_any_turn_and_light_gives_a_whole_picture(
    light: float, yaw_rad: float, pitch_rad: float, dt_s: float, value: int
) -> None:
    camera = imager(Sensor(distortion=-0.05))
    camera.develop(GREY, 1.0, STILL, 0.0)
    pose = transform(rotation("z", yaw_rad) @ rotation("y", pitch_rad), (0.0, 0.0, 1.0))
    picture = camera.develop(np.full_like(GREY, value), light, pose, dt_s)
    assert picture.shape == GREY.shape and picture.dtype == np.uint8


@pytest.mark.parametrize("latency_s", [0.0, 0.03, 0.17])
def test_frames_arrive_as_late_as_the_latency_says_and_at_the_full_rate(latency_s: float) -> None:
    async def play() -> list[tuple[float, float, int, int]]:
        loop = asyncio.get_running_loop()
        camera = SimCamera(
            LENS, 20.0, lambda time_s: lambda: np.full_like(GREY, round(time_s * 20)), latency_s
        )
        out = []
        async with camera:
            for _ in range(8):
                frame = await camera.read()
                out.append((frame.time_s, loop.time(), frame.index, int(frame.image[0, 0, 0])))
        return out

    frames = clock.run(play())
    for place, (taken_s, arrived_s, index, value) in enumerate(frames, start=1):
        assert taken_s == pytest.approx(place / 20)
        assert arrived_s - taken_s == pytest.approx(latency_s)
        assert index == value == place
