"""Video in recordings: pictures through ffmpeg and back, damage, and an ffmpeg that dies or hangs."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent import video
from agent.events import Doing
from agent.pictures import MOST_S, Shown, with_images
from agent.record_format import Picture, stamped
from agent.recording import Message
from agent.video import FULL, LOW, Encoder, decode, key_size
from drivers.camera import Image
from drivers.errors import DeviceError

RUBBISH = b"\x86" + bytes(30)  # a picture that needs others, and nothing in it


def picture(number: int) -> Image:
    image = np.full((96, 128, 3), 60, np.uint8)
    image[20:60, 5 * number : 5 * number + 40] = (40, 90, 200)
    return image


def packets(count: int) -> list[bytes]:
    encoder = Encoder(FULL)
    return [encoder.encode(picture(number)) for number in range(count)]


def children() -> set[int]:
    said = subprocess.run(["pgrep", "-P", str(os.getpid()), "ffmpeg"], capture_output=True, text=True).stdout
    return {int(word) for word in said.split()}


def test_each_picture_comes_back_as_itself() -> None:
    made = packets(10)
    assert key_size(made[0]) == (128, 96) and not any(map(key_size, made[1:]))
    for number, image in enumerate(decode(made)):
        assert image is not None
        assert np.abs(image.astype(int) - picture(number)).mean() < 4


def test_the_same_pictures_give_the_same_bytes() -> None:
    assert packets(5) == packets(5)


def test_damage_costs_what_follows_until_the_next_key_picture() -> None:
    made = packets(6)
    images = decode([*made[:3], RUBBISH, *made[4:]])
    assert [image is not None for image in images] == [True, True, True, False, False, False]
    assert decode(made[1:]) == [None] * 5
    assert decode([]) == []
    assert decode([bytes([0x82, 0x49, 0x83, 0x42]) + b"\xff" * 20]) == [None], "65,536 pixels wide"


def test_an_ffmpeg_that_dies_is_an_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    encoder = Encoder(LOW)
    encoder.encode(picture(0))
    (program,) = children() - before
    os.kill(program, signal.SIGKILL)
    with pytest.raises(DeviceError, match="ffmpeg has ended"):
        for number in range(3):
            encoder.encode(picture(number))
    encoder = Encoder(FULL)
    encoder.encode(large := np.zeros((960, 1280, 3), np.uint8))
    (program,) = children() - before - {program}
    os.kill(program, signal.SIGSTOP)
    monkeypatch.setattr(video, "PATIENCE_S", 0.2)
    with pytest.raises(DeviceError, match=r"ffmpeg took nothing for 0\.2 s"):
        encoder.encode(large)
    del encoder
    assert children() == before


def messages(silent_s: float) -> Iterator[Message]:
    """Two pictures, then a camera that gives no more while others go on."""
    for number, data in enumerate(packets(2)):
        value = Picture(timestamp=stamped(0.0), frame_id="camera", data=data, format="vp9")
        yield Message(channel="frames", time_s=number / 4, value=value)
    for number in range(round(10 * silent_s)):
        yield Message(channel="doing", time_s=1 + number / 10, value=Doing(what=str(number), why=""))


def test_a_camera_that_falls_silent_holds_back_no_more_than_its_last_stretch() -> None:
    read = 0

    def counted() -> Iterator[Message]:
        nonlocal read
        for message in messages(200.0):
            read += 1
            yield message

    shown = with_images(counted())
    first = next(shown)
    assert isinstance(first.value, Shown) and first.value.image is not None
    assert read < 10 * (MOST_S + 2)
    assert len(list(shown)) == 2001


def test_without_ffmpeg_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> str:
        return str(tmp_path / "ffmpeg")

    monkeypatch.setattr(video, "_ffmpeg", nothing)
    with pytest.raises(DeviceError, match="install the package ffmpeg"):
        Encoder(LOW).encode(picture(0))
    with pytest.raises(DeviceError, match="install the package ffmpeg"):
        decode([b"\x82\x49\x83\x42\x00\x13\xf0\x0e\xf6\x10"])
