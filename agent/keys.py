"""The keyboard of the terminal in which the robot runs: Space or Escape is an emergency stop."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_KEYS = b" \x1b"
READ_BYTES = 256
BACKGROUND_S = 1.0  # while another program has the terminal, how long until it is looked at again


def has_terminal() -> bool:
    """Whether a person can press keys here: a terminal, and this program is in front of it."""
    if sys.stdin is None:  # started with its input closed
        return False
    try:
        return os.isatty(sys.stdin.fileno()) and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # closed, or no controlling terminal
        return False


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at each of the stop keys; without a terminal, do nothing. Needs a running loop."""
    if not has_terminal():
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    listener = _Listener(fd, stop)
    tty.setcbreak(fd)  # keys come at once and unseen; Ctrl-C stays what it is
    listener.begin()
    try:
        yield
    finally:
        listener.end()
        if has_terminal():  # from the background, setting a terminal would suspend this process
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Listener:
    """Reads keys whenever there are some and the terminal is ours."""

    def __init__(self, fd: int, stop: Callable[[], None]) -> None:
        self._fd = fd
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._later = None
        self._loop.add_reader(self._fd, self._read)

    def end(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._later is not None:
            self._later.cancel()

    def _read(self) -> None:
        keys = b""
        if has_terminal():
            try:
                keys = os.read(self._fd, READ_BYTES)
            except OSError:
                self.end()  # the terminal was closed; the robot goes on without it
                return
            if not keys:
                self.end()
                return
        else:
            self._loop.remove_reader(self._fd)
            self._later = self._loop.call_later(BACKGROUND_S, self.begin)
        if any(key in STOP_KEYS for key in keys):
            self._stop()
