"""An MQTT broker as a process of its own, to be killed: `python -m sim.broker PORT`."""

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import DEVNULL, Process

from drivers.mqtt import LOOPBACK, serve_broker


class BrokerProcess:
    """A broker on a free port of this machine. Use it as a context."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._process: Process | None = None

    async def __aenter__(self) -> "BrokerProcess":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it; it listens some moments later."""
        command = (sys.executable, "-m", "sim.broker", str(self.port))
        self._process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)

    async def kill(self) -> None:
        """End it with no farewell."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    asyncio.run(serve_broker(int(sys.argv[1])))
