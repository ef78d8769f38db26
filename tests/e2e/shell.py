"""Starts the true program as a terminal would, and hears what it says."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from agent.config import cache_dir

ROOT = Path(__file__).resolve().parents[2]
COME_S = 20.0  # until a line is there, on a machine that does other things as well
END_S = 3.0
WELL = {signal.SIGTERM: (0,), signal.SIGINT: (0, 130)}  # exit codes; a shell takes both for an end by Ctrl-C
# Everything the robot may say on a terminal; the last is a library's, once.
SAID = re.compile(
    r"(INFO|WARNING|ERROR) \S|nod: \S|nod runs without a page|\{\"url\"|INFO: Created TensorFlow"
)


class Running:
    """A `nod` of its own, started as a terminal would, and what it has said so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip())

    async def hear(self, *fragments: str) -> None:
        """Wait until each of these has been said."""
        try:
            async with asyncio.timeout(COME_S):
                while not all(self.said(text) for text in fragments):  # noqa: ASYNC110  lines come from outside
                    assert not self._reader.done(), self.lines
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{fragments} was not said, but {self.lines}")

    def said(self, fragment: str) -> list[str]:
        return [line for line in self.lines if fragment in line]

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the whole group, as a terminal does; the exit code. Fails when it takes too long."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, number)
        try:
            async with asyncio.timeout(END_S):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            pytest.fail(f"it had not ended {END_S:g} s after signal {number}: {self.lines}")
        await self._reader
        strange = [line for line in self.lines if not SAID.match(line)]
        assert not strange, strange
        assert self.process.returncode is not None
        return self.process.returncode

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def stop_reading(self) -> None:
        await self.process.wait()
        await self._reader

    @property
    def url(self) -> str:
        return str(json.loads(self.said('{"url"')[0])["url"])


class Shell:
    """Starts `nod` with folders of its own, and leaves none running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(cache_dir().parent),
        }
        self._started: list[Running] = []

    async def start(self, *words: str, terminal: int | None = None, **environment: str) -> Running:
        """Start it; `terminal` is the far end of a pseudo-terminal on which a person types."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", *words),
            cwd=ROOT,
            stdin=DEVNULL if terminal is None else terminal,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self.environment, **environment},
            start_new_session=True,
            preexec_fn=None if terminal is None else _take_terminal,
        )
        self._started.append(Running(process))
        return self._started[-1]

    async def robot(self, name: str, *words: str, has_page: bool = False) -> Running:
        """A robot without model and MQTT."""
        page = ("--json",) if has_page else ("--headless",)
        return await self.start("run", "--no-model", "--no-mqtt", "--name", name, *page, *words)

    async def result(self, *words: str, **environment: str) -> tuple[int, list[str]]:
        """Run a command to its end: its exit code and what it said."""
        running = await self.start(*words, terminal=None, **environment)
        async with asyncio.timeout(COME_S):
            await running.stop_reading()
        assert running.process.returncode is not None
        return running.process.returncode, running.lines

    async def close(self) -> None:
        for running in self._started:
            running.kill()
            await running.stop_reading()


def _take_terminal() -> None:
    """In the new process: its input is the terminal in front of which it runs."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
