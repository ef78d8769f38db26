"""Building an image with make, and what a port is set to when it is opened."""

import asyncio
import os
import termios
from pathlib import Path

import msgspec
import pytest

from agent import flash
from agent.flash import Kind
from drivers.errors import ConfigError
from drivers.link import SerialStream

SHELL = Kind(image="chip/nod.hex", compiler="sh", headers="/etc/passwd", packages=("gcc-avr", "avr-libc"))


def makefile(folder: Path, text: str) -> Path:
    (folder / "Makefile").write_text(text)
    return folder


def test_the_image_is_made(tmp_path: Path) -> None:
    folder = makefile(tmp_path, "chip:\n\tmkdir -p build/chip\n\techo :00000001FF >build/chip/nod.hex\n")
    assert flash.build("chip", SHELL, folder, is_agreed=False).read_text() == ":00000001FF\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("all:\n\ttrue\n", "this version of Nod has no firmware for chip; give an image of your own"),
        ("chip:\n\techo 'core.c:7: error: no such thing'; false\n", "failed: core.c:7: error: no such thing"),
        ("chip:\n\ttrue\n", "`make -C firmware chip` failed: it made no image"),
    ],
)
def test_what_cannot_be_made(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flash.build("chip", SHELL, makefile(tmp_path, text), is_agreed=False)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_compiler_that_is_not_there(tmp_path: Path) -> None:
    kind = msgspec.structs.replace(SHELL, headers=str(tmp_path / "none.h"))
    with pytest.raises(ConfigError, match=r"run `sudo apt install gcc-avr avr-libc`"):
        flash.build("chip", kind, makefile(tmp_path, "chip:\n\ttrue\n"), is_agreed=False)


def test_a_port_that_is_closed_does_not_reset_the_board() -> None:
    async def scene() -> int:
        near, far = os.openpty()
        stream = SerialStream(os.ttyname(far))
        flags = int(termios.tcgetattr(far)[2])
        await stream.aclose()
        os.close(near)
        os.close(far)
        return flags

    assert not asyncio.run(scene()) & termios.HUPCL
