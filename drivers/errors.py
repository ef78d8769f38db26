"""What can go wrong, as a tree.

RobotError
├── ConfigError          a file, option or name is wrong; the person has to change it
├── DeviceError          a device is missing, busy, gone or sends nothing
│   └── LinkError        … and it is the serial link
│       ├── LinkLost     the port vanished
│       ├── LinkTimeout  no answer in time
│       └── ProtocolError  an answer that makes no sense, or another version's
├── Refused              a limit or a rule said no: normal, goes back as an answer
└── PlanError            a sentence or plan that cannot be understood

Every message says what was wrong, where, and what to do, in one line.
"""

import asyncio


class RobotError(Exception):
    """Base of all errors that a person may see without a traceback."""


class ConfigError(RobotError):
    """A file, option or name is wrong; the person has to change it."""


class DeviceError(RobotError):
    """A device is missing, busy, gone or sends nothing."""


class LinkError(DeviceError):
    """The serial link to a board failed."""


class LinkLost(LinkError):
    """The port vanished or was closed from the other side."""


class LinkTimeout(LinkError):
    """The board did not answer in time."""


class ProtocolError(LinkError):
    """The board answered something that makes no sense, or speaks another version."""


class Refused(RobotError):
    """A limit or a rule said no. Normal: it goes back to whoever asked, as an answer."""


class PlanError(RobotError):
    """A sentence or a plan that cannot be understood."""


def expected(group: BaseExceptionGroup[BaseException]) -> RobotError | None:
    """The first error of a group in which nothing but RobotErrors ended tasks; None if there was a bug."""
    known, bugs = group.split(RobotError)
    if bugs is not None or known is None:
        return None
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, RobotError)
    return first


def heed_cancellation() -> None:
    """Raise CancelledError if this task was told to end; for loops that catch errors and try again.

    Python 3.11's TaskGroup loses a cancellation that meets an error of one of its tasks.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def not_installed(need: str, extra: str) -> ConfigError:
    """What to raise where a package of an extra is missing; `need` is like "bus servos need rustypot"."""
    return ConfigError(
        f"{need}, which is not installed; run `.venv/bin/pip install -e '.[{extra}]'` in Nod's folder"
    )


def without_login(address: str) -> str:
    """An address as it may be shown: without who logs in there and with what; a stream's query may hold a key too."""
    if "://" not in address:
        return address
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
