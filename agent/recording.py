"""Reading recordings: message after message, in the order in which they were written, however large the file.

A file that was cut off, or damaged in places, is read as far as that goes, and says so. With the index at the
end only the parts asked for are read; without it everything before them as well.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

import msgspec
import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Attachment, Channel, Chunk, ChunkIndex, Metadata
from mcap.stream_reader import MAGIC_SIZE, breakup_chunk, read_magic

from agent.record_format import FORMAT, NANOSECONDS, decode, stamp
from drivers.errors import ConfigError

HEAD_BYTES = 9  # of every record: what it is, and its length
FOOTER_BYTES = 29  # the last record, before the magic bytes
MOST_RECORD_BYTES = 256 * 1024 * 1024  # larger ones are damage, or made to fill the memory
MOST_CHUNK_BYTES = 64 * 1024 * 1024  # unpacked
START_BYTES = 64 * 1024 * 1024  # within which the facts of a file stand

_DAMAGE = (  # all that reading nonsense raises; lz4 says RuntimeError
    McapError,
    ValueError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
    struct.error,
    zstandard.ZstdError,
)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message: its channel's name, the loop time of its measurement, and its value, typed if it is known."""

    channel: str
    time_s: float
    value: object


class Recording:
    """An open recording; use it in a `with`. `notes` says what could not be read, once it was tried."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if it is no recording."""
        self.path = path
        self.notes: list[str] = []
        self.facts: dict[str, str] = {}
        try:
            self._file = path.open("rb")
            self._bytes = path.stat().st_size
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def is_whole(self) -> bool:
        """Whether it was ended properly."""
        return self._index is not None

    def span_s(self) -> tuple[float, float] | None:
        """Time of the first and of the last message, or None if there are none."""
        times = [(chunk.message_start_time, chunk.message_end_time) for chunk in self._times()]
        spans = [span for span in times if span != (0, 0)]  # a part without messages says so
        if not spans:
            return None
        return min(spans)[0] / NANOSECONDS, max(end for _, end in spans) / NANOSECONDS

    def messages(
        self, channels: Collection[str] | None = None, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[Message]:
        """Messages of these channels (all, if None) from one time up to another, both included.

        Times step back by a camera's latency here and there: the order is that of the events.
        """
        puzzling: dict[str, int] = {}
        why = ""
        for raw in self._raw(channels, from_s, to_s):
            assert isinstance(raw.value, bytes)
            try:
                value = decode(raw.channel, raw.value)
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                puzzling[raw.channel], why = puzzling.get(raw.channel, 0) + 1, str(exc)
                continue
            yield Message(channel=raw.channel, time_s=raw.time_s, value=value)
        for channel, count in puzzling.items():
            self._note(f"{count} messages of /{channel} are of another version and were left out ({why})")

    def attachment(self, name: str) -> bytes | None:
        """A file that stands at the start of the recording, such as body.toml."""
        return self._attachments.get(name)

    # the file

    def _begin(self) -> None:
        self._attachments: dict[str, bytes] = {}
        self._index: list[ChunkIndex] | None = None
        self._channels: dict[int, Channel] = {}
        try:
            read_magic(ReadDataStream(io.BytesIO(self._file.read(MAGIC_SIZE))))
        except _DAMAGE as exc:
            raise ConfigError(f"{self.path}: is no recording (MCAP file); give one that Nod made") from exc
        for _, opcode, body in self._records(until=START_BYTES):
            if opcode == Opcode.CHUNK:
                break
            with contextlib.suppress(*_DAMAGE):  # what is missing then is noticed below
                self._take_fact(opcode, body)
        self.notes.clear()
        version = self.facts.get("format", "")
        if version.isdecimal() and int(version) > FORMAT:
            self._note(
                f"it is of a newer version ({version}; this Nod knows {FORMAT}): what is known is read"
            )
        elif self.facts == {}:
            self._note("it says nothing about its origin: not made by Nod, or by a very old one")
        if self._has_index():
            self._file.seek(0)
            with contextlib.suppress(*_DAMAGE):
                summary = SeekingReader(self._file, record_size_limit=MOST_RECORD_BYTES).get_summary()
                if summary is not None and summary.channels and summary.chunk_indexes:
                    self._index, self._channels = summary.chunk_indexes, summary.channels

    def _has_index(self) -> bool:
        """Whether the file ends with an index whose checksum is right (MCAP specification, "Footer")."""
        end = self._bytes - MAGIC_SIZE
        self._file.seek(max(end - FOOTER_BYTES, 0))
        footer = self._file.read(FOOTER_BYTES)
        if len(footer) < FOOTER_BYTES or footer[0] != Opcode.FOOTER:
            return False
        start, _, checksum = struct.unpack_from("<QQI", footer, HEAD_BYTES)
        if not 0 < start < end or end - start > MOST_RECORD_BYTES:
            return False
        self._file.seek(start)
        return zlib.crc32(self._file.read(end - start - 4)) == int(checksum)

    def _take_fact(self, opcode: int, body: ReadDataStream) -> None:
        if opcode == Opcode.METADATA:
            metadata = Metadata.read(body)
            if metadata.name == "nod":
                self.facts = metadata.metadata
        elif opcode == Opcode.ATTACHMENT:
            attachment = Attachment.read(body)
            self._attachments[attachment.name] = attachment.data

    def _raw(
        self, channels: Collection[str] | None, from_s: float | None, to_s: float | None
    ) -> Iterator[Message]:
        """As `messages`, the values still bytes."""
        low = None if from_s is None else stamp(from_s)
        high = None if to_s is None else stamp(to_s)
        known = dict(self._channels)
        for offset, body in self._chunks(low, high):
            try:
                chunk = Chunk.read(body)
                claimed = zstandard.frame_content_size(chunk.data) if chunk.compression == "zstd" else 0
                if max(chunk.uncompressed_size, claimed) > MOST_CHUNK_BYTES:
                    raise ValueError("too large")
                contents = breakup_chunk(chunk, validate_crc=True)
            except _DAMAGE:
                self._note(f"a damaged part at byte {offset:,} was left out")
                continue
            for record in contents:
                if isinstance(record, Channel):
                    known[record.id] = record
                if not isinstance(record, records.Message) or record.channel_id not in known:
                    continue
                channel = known[record.channel_id]
                name = channel.topic.removeprefix("/")
                is_wanted = channel.message_encoding == "json" and (channels is None or name in channels)
                is_within = (low is None or record.log_time >= low) and (
                    high is None or record.log_time <= high
                )
                if is_wanted and is_within:
                    yield Message(channel=name, time_s=record.log_time / NANOSECONDS, value=record.data)

    def _chunks(self, low: int | None, high: int | None) -> Iterator[tuple[int, ReadDataStream]]:
        """Place and content of the parts that hold this time: by the index, else of all up to the file's end."""
        if self._index is None:
            for offset, opcode, body in self._records():
                if opcode == Opcode.CHUNK:
                    yield offset, body
            return
        for place in sorted(self._index, key=lambda chunk: chunk.chunk_start_offset):
            is_before = low is not None and place.message_end_time < low
            is_after = high is not None and place.message_start_time > high
            if is_before or is_after:
                continue
            record = self._record_at(place.chunk_start_offset)
            if record is None:
                return
            yield record[0], record[2]

    def _times(self) -> Iterator[Chunk | ChunkIndex]:
        """What says from when to when a part goes."""
        if self._index is not None:
            yield from self._index
            return
        for _, body in self._chunks(None, None):
            with contextlib.suppress(*_DAMAGE):
                yield Chunk.read(body)

    def _records(self, until: int | None = None) -> Iterator[tuple[int, int, ReadDataStream]]:
        """Place, kind and content of each record; ends where the file does, and notes it if that is too early."""
        offset = MAGIC_SIZE
        while until is None or offset < until:
            record = self._record_at(offset)
            if record is None:
                return
            yield record
            if record[1] in (Opcode.DATA_END, Opcode.FOOTER):
                return
            offset = self._file.tell()

    def _record_at(self, offset: int) -> tuple[int, int, ReadDataStream] | None:
        """Place, kind and content of the record there; None, with a note, if it is cut off."""
        self._file.seek(offset)
        head = self._file.read(HEAD_BYTES)
        length = int.from_bytes(head[1:], "little")
        if len(head) < HEAD_BYTES or offset + HEAD_BYTES + length > self._bytes:
            self._note(f"it was cut off: nothing after byte {offset:,} of {self._bytes:,} can be read")
            return None
        if length > MOST_RECORD_BYTES:
            self._note(f"it is damaged at byte {offset:,}; nothing after that can be read")
            return None
        body = io.BytesIO(self._file.read(length))
        return offset, head[0], ReadDataStream(body)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
