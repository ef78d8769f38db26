"""A person at a terminal: lines, questions, a progress bar, and keys that work without Enter."""

import asyncio
import os
import re
import shutil
import signal
import sys
import termios
import tty
from types import TracebackType

from agent.events import Inbox

BAR = 30  # characters
ESCAPE_S = 0.05  # a lone Esc is told from an arrow by nothing following it within this time
KEYS_KEPT = 64

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])")
_BEGUN = re.compile(rb"\x1b(?:\[[0-9;]*|O)?$")
_NAMES = {
    b"\x1b[D": "left",
    b"\x1bOD": "left",
    b"\x1b[C": "right",
    b"\x1bOC": "right",
    b"\x1b[1;2D": "shift-left",
    b"\x1b[1;2C": "shift-right",
    b"\x1b": "escape",
    b" ": "space",
    b"\r": "enter",
    b"\n": "enter",
}


def is_there() -> bool:
    """Whether a person can be asked: both directions are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """One line beside the output, for what must be seen."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def ask(question: str) -> bool | None:
    """Yes or no, no unless said otherwise; None when there is nobody to ask."""
    if not is_there():
        return None
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    # An event loop that waits here for the answer would keep Ctrl-C for later.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)


class Progress:
    """What is being done and how far it is: a bar on a terminal, elsewhere one line for each thing done."""

    def __init__(self) -> None:
        self._what = self._line = ""

    def show(self, what: str, share: float) -> None:
        """`share` runs from 0 to 1."""
        if not sys.stdout.isatty():
            if what != self._what:
                say(f"  {what}")
        else:
            full = round(min(max(share, 0.0), 1.0) * BAR)
            line = f"  {what:10} [{'#' * full}{' ' * (BAR - full)}] {share:4.0%}"
            if line != self._line:
                sys.stdout.write(("\r" if self._what in ("", what) else "\n") + line)
                sys.stdout.flush()
            self._line = line
        self._what = what

    def close(self) -> None:
        """Leave the bar's line."""
        if self._what and sys.stdout.isatty():
            say("")
        self._what = ""


class Status:
    """One line that is written over, with lines that stay above it."""

    def __init__(self) -> None:
        self._line = ""

    def show(self, line: str) -> None:
        """Replace the line, if it is another."""
        line = line[: shutil.get_terminal_size().columns - 1]
        if line != self._line:
            sys.stdout.write(f"\r\x1b[K{line}")
            sys.stdout.flush()
        self._line = line

    def say(self, line: str) -> None:
        """Leave the line as it is and go on below it."""
        say(f"\n{line}" if self._line else line)
        self._line = ""

    def close(self) -> None:
        """Leave the line."""
        if self._line:
            say("")
        self._line = ""


def split_keys(data: bytes) -> tuple[list[str], bytes]:
    """The names of the keys in what a terminal sent, and the beginning of one that is not whole yet."""
    keys: list[str] = []
    while data and not _BEGUN.match(data):
        sequence = _SEQUENCE.match(data)
        size = sequence.end() if sequence else 1
        part, data = data[:size], data[size:]
        keys.append(_NAMES.get(part) or ("unknown" if sequence else part.decode("ascii", "replace")))
    return keys, data


class Keys:
    """Keys as they are pressed, while it is entered; the terminal is put back as it was."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._inbox: Inbox[str] = Inbox(KEYS_KEPT, "newest")
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._before: list[int | list[bytes | int]] = []

    async def __aenter__(self) -> "Keys":
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd, termios.TCSADRAIN)  # Ctrl-C stays a signal
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self._fd)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    async def get(self) -> str:
        """Wait for the next key; `hangup` when the terminal is gone."""
        return await self._inbox.get()

    def take(self) -> str | None:
        """The next key, if one was pressed."""
        return self._inbox.take()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 256)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._inbox.put("hangup")
            return
        if self._timer is not None:
            self._timer.cancel()
        keys, self._rest = split_keys(self._rest + data)
        for key in keys:
            self._inbox.put(key)
        if self._rest:
            self._timer = asyncio.get_running_loop().call_later(ESCAPE_S, self._give_up)

    def _give_up(self) -> None:
        """What began like an arrow was Esc, and perhaps other keys after it."""
        keys = ["escape", *(chr(byte) for byte in self._rest[1:])]
        self._rest = b""
        for key in keys:
            self._inbox.put(key)
