"""Films through OpenCvCamera: their pace, their end, their damage."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.camera import OpenCvCamera, lens_for
from drivers.errors import DeviceError

RATE_HZ = 20.0
FRAMES = 10


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Half a second in which the picture gets brighter with each frame."""
    path = tmp_path / "brighter.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, (160, 120))
    for number in range(FRAMES):
        writer.write(np.full((120, 160, 3), 20 * number + 10, np.uint8))
    writer.release()
    return str(path)


def number_of(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    """Which frame of the film this is, by its brightness."""
    return round((float(image.mean()) - 10) / 20)


async def test_a_film_plays_at_its_pace_and_over_and_over(film: str) -> None:
    loop = asyncio.get_running_loop()
    frames = []
    opening_s = loop.time()
    async with OpenCvCamera(film) as camera:
        assert (camera.lens.width_px, camera.lens.height_px) == (160, 120)
        open_s = loop.time()
        for _ in range(15):
            asked_s = loop.time()
            frames.append(await camera.read())
            # Not behind what was due when it was asked for, and not ahead of what is due now, however late that is.
            due, due_now = (asked_s - open_s) * RATE_HZ, 1 + (loop.time() - opening_s) * RATE_HZ
            assert due - 0.01 < frames[-1].index <= due_now + 0.01
    times = [frame.time_s for frame in frames]
    assert all(before < after for before, after in zip(times, times[1:], strict=False))
    assert all(before.index < after.index for before, after in zip(frames, frames[1:], strict=False))
    assert {number_of(frame.image) for frame in frames} <= set(range(FRAMES))
    numbers = [number_of(frame.image) for frame in frames]
    assert any(after < before for before, after in zip(numbers, numbers[1:], strict=False))


async def test_a_late_reader_gets_the_frame_that_is_due(film: str) -> None:
    async with OpenCvCamera(film) as camera:
        first = await camera.read()
        await asyncio.sleep(6.5 / RATE_HZ)
        late = await camera.read()
        after = await camera.read()
    assert late.index - first.index >= 6
    assert number_of(late.image) - number_of(first.image) >= 6
    assert 0 < after.index - late.index <= 2


async def test_a_film_may_be_entered_again_at_once(film: str) -> None:
    camera = OpenCvCamera(film)
    for _ in range(20):  # the end of one entry once closed the next one's film
        async with camera:
            assert (await camera.read()).image.shape == (120, 160, 3)


async def test_a_film_that_was_cut_off_plays_as_far_as_it_goes(film: str, tmp_path: Path) -> None:
    whole = _bytes(film)
    async with OpenCvCamera(_file(tmp_path, "cut.avi", whole[: len(whole) * 4 // 5])) as camera:
        numbers = [number_of((await camera.read()).image) for _ in range(12)]
    assert max(numbers) < FRAMES - 1
    assert min(numbers) >= 0


@pytest.mark.parametrize(
    "content, says",
    [(b"a letter, not a film", "no film"), (b"", "no film"), (bytes(4096), "no film"), (None, "no file")],
)
async def test_what_is_no_film_is_an_error_of_one_line(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = str(tmp_path / "none.mkv") if content is None else _file(tmp_path, "odd.mkv", content)
    with pytest.raises(DeviceError, match=says) as caught:
        async with OpenCvCamera(path):
            pass
    assert "\n" not in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize("number", ["7", "256", "9" * 30])
async def test_a_camera_that_is_not_there(number: str) -> None:
    if Path(f"/dev/video{number}").exists():  # noqa: ASYNC240
        pytest.skip("this machine has a camera of that number")
    with pytest.raises(DeviceError, match="/dev/video"):
        async with OpenCvCamera(number):
            pass


async def test_a_stream_from_nobody() -> None:
    with pytest.raises(DeviceError, match="check its address"):
        async with OpenCvCamera("http://127.0.0.1:9/nobody"):
            pass


def test_a_lens_sees_its_field_of_view() -> None:
    lens = lens_for(640, 480, np.pi / 2)
    assert lens.focal_px == pytest.approx(320)


def _bytes(path: str) -> bytes:
    return Path(path).read_bytes()


def _file(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)
