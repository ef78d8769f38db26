"""The running robots of this machine: one of each name, and how other commands reach them."""

import contextlib
import fcntl
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.config import state_dir
from drivers.errors import ConfigError, DeviceError

if TYPE_CHECKING:  # `nod stop` must not wait for what the other words need
    from agent.events import Reply

SAY_TIMEOUT_S = 150.0  # longer than the page's server waits for the last reply
POST_TIMEOUT_S = 6.0


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the name. Raises DeviceError when a robot of this name runs already."""
    path = state_dir() / f"{name}.lock"
    try:
        lock = path.open("a+")
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise DeviceError(
                f"a robot named {name!r} runs already on this machine; stop it, or start another with --name"
            ) from exc
        yield


@contextlib.contextmanager
def announce(name: str, url: str) -> Iterator[None]:
    """Leave word of where it listens, for as long as the robot runs. Raises ConfigError if that fails."""
    path = state_dir() / f"{name}.json"
    try:
        path.write_text(json.dumps({"url": url, "process": os.getpid()}))
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running() -> tuple[str, ...]:
    """The names of the robots that run now; one that died and left its word behind is none of them."""
    return tuple(sorted(path.stem for path in state_dir().glob("*.lock") if _is_held(path)))


def say(name: str, text: str) -> "tuple[Reply, ...]":
    """Give the running robot an order and wait for its last reply. Raises DeviceError, ConfigError."""
    from agent.events import Reply

    class Replies(msgspec.Struct):
        replies: tuple[Reply, ...] = ()

    answer = _request(name, "say", {"text": text}, SAY_TIMEOUT_S)
    try:
        decoded = msgspec.json.decode(answer, type=Replies)
    except msgspec.DecodeError as exc:
        raise DeviceError(
            f"the robot {name!r} answered something else than replies: {answer[:80]!r}"
        ) from exc
    return decoded.replies


def post(name: str, word: str) -> str:
    """Ask the running robot to stop or to be released; what it answers."""
    return _request(name, word, {}, POST_TIMEOUT_S).decode()


def _request(name: str, word: str, body: dict[str, str], timeout_s: float) -> bytes:
    path = state_dir() / f"{name}.json"
    try:
        url = json.loads(path.read_text())["url"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DeviceError(f"no robot named {name!r} runs on this machine; start it with ./nod run") from exc
    request = urllib.request.Request(
        f"{url}api/{word}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            answer: bytes = response.read()
            return answer
    except urllib.error.HTTPError as exc:
        raise DeviceError(f"the robot {name!r} says: {_line(exc.read())}") from exc
    except (OSError, TimeoutError) as exc:
        raise DeviceError(f"the robot {name!r} does not answer at {url}; is it still running?") from exc


def _line(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _is_held(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it went away meanwhile, or is somebody else's
        return False
    return False


def _unwritable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot be written ({exc.strerror}); make room there, or set XDG_STATE_HOME to another folder"
    )
