"""The files of a recording: one that a person named, or a row of bounded ones of which the oldest goes first.

Every file begins with what is needed to understand it alone. All raise OSError when the disk will take no more.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from mcap.writer import CompressionType, Writer

from agent.record_format import encode, schema_name, schema_of, stamp

CHUNK_BYTES = 256 * 1024  # before it is packed: a few seconds, which is what a power cut costs
SPARE_BYTES = 2 * CHUNK_BYTES  # for the chunk that is being filled, and the index at the end
FILES = 32  # of which a full row consists
LEAST_FREE_BYTES = 1_000_000_000  # left to everything else on that disk

_NAME = re.compile(r"\d{8}T\d{6}Z-\d{4,}\.mcap")


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file within the recording."""

    name: str
    media_type: str
    data: bytes


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at the start of each file."""

    facts: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()


class Reel:
    """One file being written. `bytes` is what lies on the disk."""

    def __init__(self, path: Path, about: About, *, is_new: bool = True) -> None:
        """Make it, readable by its owner only; a file of that name is an error if it has to be new."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if is_new else os.O_TRUNC)
        self._file = _Output(os.open(path, flags, 0o600))
        self._channels: dict[str, int] = {}
        self._schemas: dict[type, int] = {}
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        try:
            self._writer.start(profile="", library="nod")
            self._writer.add_metadata("nod", about.facts)
            for one in about.attachments:
                self._writer.add_attachment(0, 0, one.name, one.media_type, one.data)
        except BaseException:
            self._file.close()
            raise

    @property
    def bytes(self) -> int:
        return self._file.written

    def write(self, channel: str, value: object, time_s: float) -> None:
        """Add one message."""
        id = self._channels.get(channel)
        if id is None:
            id = self._channels[channel] = self._writer.register_channel(
                topic=f"/{channel}", message_encoding="json", schema_id=self._schema(type(value))
            )
        time = stamp(time_s)
        self._writer.add_message(id, log_time=time, publish_time=time, data=encode(value))

    def close(self) -> None:
        """Write the index and let go of the file."""
        try:
            self._writer.finish()
        finally:
            self._file.close()

    def drop(self) -> None:
        """Let go of the file as it is; what lies on the disk stays readable."""
        self._file.close()

    def _schema(self, kind: type) -> int:
        if kind not in self._schemas:
            self._schemas[kind] = self._writer.register_schema(
                name=schema_name(kind), encoding="jsonschema", data=schema_of(kind)
            )
        return self._schemas[kind]


class Row:
    """Files of bounded size in a folder, named by when the robot started and a number; the oldest go first."""

    def __init__(
        self,
        folder: Path,
        started: str,
        keep_bytes: int,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """`started` is like 20260131T120000Z."""
        self._folder = folder
        self._started = started
        self._keep_bytes = keep_bytes
        self._file_bytes = max(keep_bytes // FILES, 2 * SPARE_BYTES)
        self._free_bytes = free_bytes
        self._number = 0

    def next(self, about: About) -> Reel:
        """Begin the next file, after making room for it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = files_in(self._folder)
        sizes = {path: path.stat().st_size for path in files}
        while files and sum(sizes.values()) + self._file_bytes > self._keep_bytes:
            oldest = files.pop(0)
            oldest.unlink(missing_ok=True)
            del sizes[oldest]
        self.check_room()
        self._number += 1
        return Reel(self._folder / f"{self._started}-{self._number:04}.mcap", about)

    def is_full(self, reel: Reel) -> bool:
        """Whether this file has to end."""
        return reel.bytes + SPARE_BYTES > self._file_bytes

    def check_room(self) -> None:
        """Raise OSError when the disk has less free space than others need."""
        if self._free_bytes(self._folder) < LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"less than {LEAST_FREE_BYTES / 1e9:g} GB is free")


class Single:
    """The one file that a person named, as large as it gets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_begun = False

    def next(self, about: About) -> Reel:
        """Begin it, over what was there. There is no second one: it would be written over the first."""
        if self._has_begun:
            raise OSError(errno.ENOSPC, "the disk was full")
        self._has_begun = True
        return Reel(self._path, about, is_new=False)

    def is_full(self, reel: Reel) -> bool:
        """Never."""
        return False

    def check_room(self) -> None:
        """Whether there is room, the disk will say."""


def files_in(folder: Path) -> list[Path]:
    """The recordings in a folder, the oldest first."""
    return sorted(path for path in folder.glob("*.mcap") if _NAME.fullmatch(path.name))


class _Output:
    """A file for the writer: every byte is counted and on the disk at once, or it raises OSError."""

    def __init__(self, number: int) -> None:
        self.written = 0
        self._number: int | None = number

    def write(self, data: bytes) -> int:
        assert self._number is not None
        view = memoryview(data)
        while view:
            count = os.write(self._number, view)
            view = view[count:]
            self.written += count
        return len(data)

    def tell(self) -> int:
        return self.written

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)
