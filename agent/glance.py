"""What the loops that see decided on, beside the sights: with it a recording can be decided again.

The state that a decision began from is written now and then, so that a replay can begin there. It is packed:
read it with the code that wrote it.
"""

from typing import Any, TypeVar

import msgspec
import numpy as np

from agent.gaze import Command, GazeState
from agent.nod import NodState
from drivers.camera import Lens

STATE_PERIOD_S = 30.0  # a replay of a file from the middle of a day begins at most so long after its start

S = TypeVar("S", GazeState, NodState)


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What `gaze.step` was given with the sight of the same time. `count` has no gaps.

    `angles_rad` is where the joints were when the frame was taken; `state` the lock's, already shifted by the
    camera's turn.
    """

    time_s: float
    count: int
    dt_s: float
    angles_rad: tuple[float, ...]
    lens: Lens
    command: Command | None = None
    direction: str | None = None
    state: bytes | None = None


class CallGlance(msgspec.Struct, frozen=True, kw_only=True):
    """What `nod.step` was given with the sight of the same time."""

    time_s: float
    count: int
    dt_s: float
    state: bytes | None = None


class Snapshots:
    """Says when a state is due to be written, the first time at once."""

    def __init__(self) -> None:
        self._due_s: float | None = None

    def take(self, state: GazeState | NodState, time_s: float) -> bytes | None:
        """The packed state if one is due."""
        if self._due_s is not None and time_s < self._due_s:
            return None
        self._due_s = time_s + STATE_PERIOD_S
        return packed(state)


def packed(state: GazeState | NodState) -> bytes:
    """The state as bytes; every number keeps all its digits."""
    return msgspec.msgpack.encode(state, enc_hook=_from_array)


def unpacked(data: bytes, kind: type[S]) -> S | None:
    """The state again, or None if another version wrote it."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_to_array)
    except (msgspec.DecodeError, ValueError, TypeError):
        return None


def _from_array(value: Any) -> object:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a state holds {type(value).__name__}")
    return str(value.dtype), value.shape, value.tobytes()


def _to_array(kind: type, value: Any) -> object:
    name, shape, data = value
    return np.frombuffer(data, dtype=name).reshape(shape)
