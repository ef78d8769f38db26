"""A simulated serial line before a lock-step board: bytes take their time, come late, and lose bits by chance."""

import asyncio
import random
from collections import deque

from drivers.errors import LinkLost
from drivers.link import BAUD
from sim.board import LockstepBoard

BYTE_S = 10 / BAUD  # start, eight bits, stop


class Noise:
    """Flips each bit with a chance, by drawing how many bits pass until the next one."""

    def __init__(self, bit_error_rate: float, random_: random.Random) -> None:
        self._rate = bit_error_rate
        self._random = random_
        self._left = self._gap()

    def over(self, data: bytes) -> bytes:
        """What arrives of these bytes."""
        if self._left >= 8 * len(data):
            self._left -= 8 * len(data)
            return data
        wrong = bytearray(data)
        while self._left < 8 * len(data):
            wrong[self._left // 8] ^= 1 << self._left % 8
            self._left += 1 + self._gap()
        self._left -= 8 * len(data)
        return bytes(wrong)

    def _gap(self) -> int:
        return int(self._random.expovariate(self._rate)) if self._rate else 1 << 62


class _Way:
    """One direction: when the line is free again, and the noise on it."""

    def __init__(self, bit_error_rate: float, late_s: float, random_: random.Random) -> None:
        self._noise = Noise(bit_error_rate, random_)
        self._late_s = late_s
        self._random = random_
        self._free_s = 0.0

    def pass_on(self, data: bytes, now_s: float) -> tuple[float, bytes]:
        """When the last of these bytes is there, and what has become of them."""
        self._free_s = max(now_s + self._random.uniform(0.0, self._late_s), self._free_s) + len(data) * BYTE_S
        return self._free_s, self._noise.over(data)


class SimulatedLine:
    """A `ByteStream` between a driver and a lock-step board. `late_s`: an adapter waits up to so long with bytes.

    Use it as a context, in virtual time.
    """

    name = "simulated line"

    def __init__(
        self, board: LockstepBoard, seed: int, bit_error_rate: float = 0.0, late_s: float = 0.0
    ) -> None:
        self._board = board
        self._out = _Way(bit_error_rate, late_s, random.Random(f"{seed} out"))
        self._back = _Way(bit_error_rate, late_s, random.Random(f"{seed} back"))
        self._arrived: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SimulatedLine":
        self._pump = asyncio.get_running_loop().create_task(self._listen(), name="simulated line")
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._pump is not None
        self._pump.cancel()
        await asyncio.wait((self._pump,))

    async def read(self) -> bytes:
        while not self._arrived:
            self._ready.clear()
            await self._ready.wait()
            if self._pump is not None and self._pump.done():
                raise LinkLost(f"{self.name}: the board is gone")
        return self._arrived.popleft()

    def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due_s, data = self._out.pass_on(data, loop.time())
        loop.call_at(due_s, self._board.write, data)

    async def aclose(self) -> None: ...

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                due_s, data = self._back.pass_on(await self._board.read(), loop.time())
                loop.call_at(due_s, self._deliver, data)
        finally:
            self._ready.set()

    def _deliver(self, data: bytes) -> None:
        self._arrived.append(data)
        self._ready.set()
