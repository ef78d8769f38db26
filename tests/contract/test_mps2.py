"""The Cortex-M3 image in QEMU: its reset and its watchdog. The contract suite has the rest."""

import asyncio
import re
import socket
from pathlib import Path

import pytest

from drivers.body import load
from drivers.head import Head
from drivers.link import SerialStream
from drivers.messages import ResetCause, State
from sim.board import ProcessBoard
from sim.mps2_board import mps2_command

pytestmark = pytest.mark.e2e
JOINTS = load().joint
PC = 15
CIRCLE_AT = 0x2000_8000  # in RAM that the image does not use
CIRCLE = "fee7"  # a branch to itself


def hang(gdb: Path) -> None:
    """What a bug would do, done by a debugger: the chip runs in a circle from here on."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5.0)
        line.connect(str(gdb))
        assert _asked(line, f"M{CIRCLE_AT:x},2:{CIRCLE}") == "OK"
        registers = _asked(line, "g")
        place = PC * 8  # hexadecimal digits
        changed = registers[:place] + CIRCLE_AT.to_bytes(4, "little").hex() + registers[place + 8 :]
        assert _asked(line, f"G{changed}") == "OK"
        assert _asked(line, "D") == "OK"  # lets go of it, and it runs


def _asked(line: socket.socket, words: str) -> str:
    """The answer to one packet of the debugger's protocol."""
    line.sendall(f"${words}#{sum(words.encode()) % 256:02x}".encode())
    heard = b""
    while (found := re.search(rb"\$([^#T][^#]*)#..", heard)) is None:  # T: it has stopped, as asked by coming
        part = line.recv(4096)
        assert part, f"the debugger's line closed after {heard!r}"
        heard += part
    line.sendall(b"+")
    return found[1].decode()


async def connected(board: ProcessBoard) -> ResetCause | None:
    """Connects, holds, and tells why the board last began anew."""
    head = Head(SerialStream(board.port), JOINTS)
    telemetry = await head.connect()
    assert telemetry.state is State.HOLDING
    await head.aclose()
    return telemetry.reset_cause


async def pulses_after(board: ProcessBoard, seconds: float) -> bool:
    """Whether there are any, that long from now."""
    await asyncio.sleep(seconds)
    board.pulses()
    await asyncio.sleep(0.1)
    frames = board.pulses()
    assert frames
    return any(any(frame.pulse_us) for frame in frames)


def test_a_reset_ends_the_pulses_until_a_new_handshake() -> None:
    async def scene() -> None:
        async with ProcessBoard(len(JOINTS), command=mps2_command()) as board:
            assert await connected(board) is ResetCause.POWER
            assert await pulses_after(board, 0.1)
            board.reset()
            assert not await pulses_after(board, 0.3)
            assert await connected(board) is ResetCause.OTHER
            assert await pulses_after(board, 0.1)

    asyncio.run(scene())


def test_a_hung_chip_is_reset_by_its_watchdog(tmp_path: Path) -> None:
    async def scene() -> None:
        gdb = tmp_path / "gdb"
        async with ProcessBoard(len(JOINTS), command=mps2_command(gdb=str(gdb))) as board:
            assert await connected(board) is ResetCause.POWER
            assert await pulses_after(board, 0.1)
            await asyncio.to_thread(hang, gdb)
            assert not await pulses_after(board, 0.2)
            assert await connected(board) is ResetCause.WATCHDOG

    asyncio.run(scene())
