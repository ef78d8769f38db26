"""Measurements of the running robot, by name: for benchmarks and for the health line."""

from collections import defaultdict, deque
from itertools import islice

import msgspec

KEEP = 20_000  # of each kind; at 100 Hz the last 200 seconds


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number that an issue asks for, out of `n` measurements; `text` says of what, where the name is too short."""

    name: str
    value: float
    unit: str
    n: int
    text: str = ""


class Figures:
    """Newest last, bounded."""

    def __init__(self) -> None:
        self._values: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEEP))

    def note(self, name: str, value: float) -> None:
        """Add one measurement."""
        self._values[name].append(value)

    def get(self, name: str) -> list[float]:
        """All that are kept, oldest first."""
        return list(self._values[name])

    def newest(self, name: str, count: int) -> list[float]:
        """The last `count` of them, newest first; fewer if there are fewer."""
        return list(islice(reversed(self._values[name]), count))

    def last(self, name: str) -> float | None:
        """The newest, if there is one."""
        values = self._values.get(name)
        return values[-1] if values else None

    def clear(self) -> None:
        """Forget all; a benchmark's warm-up is over."""
        self._values.clear()
