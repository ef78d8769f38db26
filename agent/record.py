"""Recording: every message that the table of channels marks, as JSON in an MCAP file that Foxglove opens."""

from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from mcap.writer import CompressionType, Writer

from agent.events import Bus
from drivers.errors import ConfigError

NANOSECONDS = 1_000_000_000


class Recorder:
    """Writes what goes through a bus. Times are loop times; the bytes depend on nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channels: dict[str, int] = {}

    def __enter__(self) -> "Recorder":
        """Open the file. Raises ConfigError if it cannot be written."""
        try:
            self._file = self._path.open("wb")
        except OSError as exc:
            raise ConfigError(f"{self._path}: cannot be written ({exc.strerror}); name another file") from exc
        self._writer = Writer(self._file, compression=CompressionType.LZ4)
        self._writer.start(profile="", library="nod")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.finish()
        self._file.close()

    def listen(self, bus: Bus) -> None:
        """Record everything that is put on this bus from now on."""
        bus.tap(self.write)

    def write(self, channel: str, value: object, time_s: float) -> None:
        """Record a value on a channel, measured at a loop time."""
        if channel not in self._channels:
            schema = self._writer.register_schema(
                name=type(value).__name__, encoding="jsonschema", data=b"{}"
            )
            self._channels[channel] = self._writer.register_channel(
                topic=f"/{channel}", message_encoding="json", schema_id=schema
            )
        stamp = max(round(time_s * NANOSECONDS), 0)
        data = msgspec.json.encode(value, enc_hook=_plain)
        self._writer.add_message(self._channels[channel], log_time=stamp, publish_time=stamp, data=data)


def _plain(value: Any) -> object:
    """Embeddings as lists; landmarks are left out, because all that is decided from them is recorded."""
    return None if value.ndim > 1 else [round(float(number), 4) for number in value.ravel()]
