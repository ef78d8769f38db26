"""The cable between a host and a simulated board: it can be pulled, put back, and flip bits.

One carries bytes to a board in lock step, the other from a pseudo-terminal of its own to a board's.
"""

import asyncio
import os
import pty
import random
import tty
from typing import Protocol

from sim.board import LockstepBoard, ProcessBoard
from sim.line import Noise

READ_BYTES = 4096


class Cable(Protocol):
    """What a fault of the link needs."""

    @property
    def is_out(self) -> bool:
        """Whether it is pulled."""
        ...

    def pull(self) -> None:
        """Pull it: no byte passes any more, and who reads is told."""
        ...

    def plug(self) -> None:
        """Put it back."""
        ...

    def garble(self, bit_error_rate: float) -> None:
        """Flip each bit with this chance from now on, both ways."""
        ...


class _Noises:
    """The noise of both directions; none by default."""

    def __init__(self, seed: int) -> None:
        self._out_random = random.Random(f"{seed} cable out")
        self._back_random = random.Random(f"{seed} cable back")
        self.garble(0.0)

    def garble(self, bit_error_rate: float) -> None:
        self.out = Noise(bit_error_rate, self._out_random)
        self.back = Noise(bit_error_rate, self._back_random)


class LockstepCable:
    """A `ByteStream` between a driver and a board in lock step. Bytes take no time."""

    name = "simulated board"

    def __init__(self, board: LockstepBoard, seed: int) -> None:
        self._board = board
        self._noises = _Noises(seed)
        self._is_out = False

    @property
    def is_out(self) -> bool:
        return self._is_out

    def pull(self) -> None:
        self._is_out = True
        self._board.cut()

    def plug(self) -> None:
        self._is_out = False
        self._board.plug()

    def garble(self, bit_error_rate: float) -> None:
        self._noises.garble(bit_error_rate)

    async def read(self) -> bytes:
        return self._noises.back.over(await self._board.read())

    def write(self, data: bytes) -> None:
        self._board.write(self._noises.out.over(data))

    async def aclose(self) -> None:
        await self._board.aclose()


class PtyCable:
    """A pseudo-terminal in front of a board's own; `port` is what a driver opens. Use it as a context."""

    def __init__(self, board: ProcessBoard, seed: int) -> None:
        self._board = board
        self._noises = _Noises(seed)
        self._near = self._far = self._to_board = -1
        self.port = ""

    @property
    def is_out(self) -> bool:
        return self._near < 0

    async def __aenter__(self) -> "PtyCable":
        self.plug()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if not self.is_out:
            self.pull()

    def pull(self) -> None:
        loop = asyncio.get_running_loop()
        for fd in (self._near, self._to_board):
            loop.remove_reader(fd)
        for fd in (self._near, self._far, self._to_board):
            os.close(fd)
        self._near = -1

    def plug(self) -> None:
        self._near, self._far = pty.openpty()
        tty.setraw(self._far)
        self.port = os.ttyname(self._far)
        self._to_board = os.open(self._board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.set_blocking(self._near, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, lambda: _pass(self._near, self._to_board, self._noises.out))
        loop.add_reader(self._to_board, lambda: _pass(self._to_board, self._near, self._noises.back))

    def garble(self, bit_error_rate: float) -> None:
        self._noises.garble(bit_error_rate)


def _pass(source: int, sink: int, noise: Noise) -> None:
    try:
        os.write(sink, noise.over(os.read(source, READ_BYTES)))
    except BlockingIOError:
        pass  # full: a cable keeps nothing
