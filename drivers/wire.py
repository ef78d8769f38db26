"""Frames: bytes to events and back, without I/O. docs/protocol.md describes them.

A frame is COBS(type, sequence, ack, body, CRC-16/CCITT-FALSE little-endian), then a zero byte.
"""

import binascii

import msgspec

from drivers import messages

HEAD_BYTES = 3
CRC_BYTES = 2
# COBS adds one byte to what is shorter than 254; longer input cannot be a frame and is not kept.
MAX_CODED_BYTES = HEAD_BYTES + messages.MAX_BODY_BYTES + CRC_BYTES + 1

_CODES = [bytes((length + 1,)) for length in range(254)]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame whose checksum, type and length were right."""

    message: messages.Message
    sequence: int
    ack: int


def checksum(data: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode(message: messages.Message, sequence: int = 0, ack: int = 0) -> bytes:
    """A whole frame, ready for the line."""
    plain = bytes((message.TYPE, sequence, ack)) + message.pack()
    plain += checksum(plain).to_bytes(CRC_BYTES, "little")
    return b"".join([piece for part in plain.split(b"\0") for piece in (_CODES[len(part)], part)]) + b"\0"


class Decoder:
    """Takes bytes in pieces of any size and gives the frames in them; counts what it threw away."""

    def __init__(self) -> None:
        self._coded = bytearray()
        self._is_overlong = False
        self.errors = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that these bytes complete. Garbage costs a count in `errors`, never an exception."""
        frames: list[Frame] = []
        *whole, rest = data.split(b"\0")
        for piece in whole:
            self._keep(piece)
            if self._coded or self._is_overlong:  # two zeros in a row are how a sender flushes the line
                frame = None if self._is_overlong else _frame_of(bytes(self._coded))
                if frame is None:
                    self.errors += 1
                else:
                    frames.append(frame)
            self._coded.clear()
            self._is_overlong = False
        self._keep(rest)
        return frames

    def _keep(self, piece: bytes) -> None:
        self._coded += piece
        if len(self._coded) > MAX_CODED_BYTES:
            self._coded.clear()
            self._is_overlong = True


def _frame_of(coded: bytes) -> Frame | None:
    plain = _unstuff(coded)
    if plain is None or len(plain) < HEAD_BYTES + CRC_BYTES:
        return None
    if checksum(plain[:-CRC_BYTES]) != int.from_bytes(plain[-CRC_BYTES:], "little"):
        return None
    kind = messages.BY_TYPE.get(plain[0])
    body = plain[HEAD_BYTES:-CRC_BYTES]
    if kind is None or len(body) != kind.SIZE:
        return None
    return Frame(message=kind.unpack(body), sequence=plain[1], ack=plain[2])


def _unstuff(coded: bytes) -> bytes | None:
    """COBS to plain bytes; None if the codes do not add up."""
    parts: list[bytes] = []
    at = 0
    while at < len(coded):
        end = at + coded[at]
        if end > len(coded):
            return None
        parts.append(coded[at + 1 : end])
        at = end
    return b"\0".join(parts)
