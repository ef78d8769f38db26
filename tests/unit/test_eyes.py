"""A camera whose picture stands still has failed; one that is quiet, shows nothing, or plays a film has not."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from agent.events import Latest
from agent.eyes import Eye
from drivers.camera import STILL_S, STREAM_STILL_S, Camera, Frame, Image, Lens, lens_for, most_still_s
from sim import clock

PERIOD_S = 0.05
View = Callable[[float], Image]


class Pictures:
    """A camera that shows what a function of the time says."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.times_opened = 0

    @property
    def lens(self) -> Lens:
        return lens_for(64, 48)

    async def __aenter__(self) -> Camera:
        self.times_opened += 1
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def read(self) -> Frame:
        await asyncio.sleep(PERIOD_S)
        now_s = asyncio.get_running_loop().time()
        return Frame(image=self._view(now_s), time_s=now_s, index=round(now_s / PERIOD_S))


def noise(time_s: float) -> Image:
    """One pixel in a quiet picture differs, by one step."""
    image = np.full((48, 64, 3), 100, np.uint8)
    image[16, 32, 1] += round(time_s / PERIOD_S) % 2
    return image


def black(_time_s: float) -> Image:
    return np.zeros((48, 64, 3), np.uint8)


def watch(
    view: View, seconds: float, still_s: float | None = STILL_S
) -> tuple[list[tuple[bool, str]], int, int]:
    """Twice a second whether the eye is open and its line; how many frames came, how often it was opened."""

    async def look() -> tuple[list[tuple[bool, str]], int, int]:
        frames: Latest[Frame] = Latest()
        camera = Pictures(view)
        eye = Eye("camera", camera, frames, "a camera", still_s=still_s)
        said: list[tuple[bool, str]] = []
        async with asyncio.TaskGroup() as group:
            filming = group.create_task(eye.film())
            for _ in range(round(2 * seconds)):
                await asyncio.sleep(0.5)
                said.append((eye.is_open, eye.line))
            filming.cancel()
        return said, frames.count, camera.times_opened

    return clock.run(look())


def test_a_picture_that_stands_still_is_a_camera_that_fails() -> None:
    said, frames, opened = watch(black, 10.0)
    assert said[1] == (True, "a camera")
    assert [is_open for is_open, _ in said[3:]] == [False] * (len(said) - 3)
    assert all("stands still" in line and "plug it in again" in line for _, line in said[3:])
    assert frames <= STILL_S / PERIOD_S + 2  # and none when it is opened again, though that is tried
    assert opened >= 4


def test_when_the_picture_changes_again_all_is_well() -> None:
    said, _, _ = watch(lambda time_s: black(time_s) if 2.0 < time_s < 6.0 else noise(time_s), 16.0)
    assert said[3][0]
    assert not any(is_open for is_open, _ in said[7:12])
    assert all(is_open for is_open, _ in said[-8:])


def test_the_least_noise_is_a_camera_that_works() -> None:
    said, frames, opened = watch(noise, 10.0)
    assert all(is_open for is_open, _ in said)
    assert frames >= 10.0 / PERIOD_S - 2 and opened == 1


@pytest.mark.parametrize(
    ("view", "still_s"), [(lambda _time_s: np.zeros((0, 0, 3), np.uint8), STILL_S), (black, None)]
)
def test_no_pictures_and_films_are_not_judged(view: View, still_s: float | None) -> None:
    said, _, opened = watch(view, 30.0, still_s)
    assert all(is_open for is_open, _ in said) and opened == 1


def test_how_long_depends_on_what_it_is() -> None:
    assert most_still_s(None) == most_still_s("0") == STILL_S
    assert most_still_s("http://phone.local:8080/video") == STREAM_STILL_S
    assert most_still_s("stills/anna.mp4") is None
