"""The far side of two servo protocols: bytes in, requests out; answers to bytes. Knows no servo and no port.

Feetech's is `FF FF id length instruction … checksum`; Dynamixel 2.0 is `FF FF FD 00 id length instruction …
CRC-16`, with a byte stuffed behind every FF FF FD. What makes no sense is skipped byte by byte.
"""

import enum
from typing import Protocol

import msgspec

BROADCAST = 0xFE
MOST_BYTES = 250  # of a packet: the longest that four servos need has 40


class Instruction(enum.IntEnum):
    """What a host can ask, in both protocols alike."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class Ping(msgspec.Struct, frozen=True):
    """Is anybody there?"""

    id: int


class Read(msgspec.Struct, frozen=True):
    """Bytes of some servos' registers, answered in this order."""

    ids: tuple[int, ...]
    address: int
    size: int


class Write(msgspec.Struct, frozen=True):
    """Bytes for one servo's registers."""

    id: int
    address: int
    data: bytes
    is_answered: bool


class Strange(msgspec.Struct, frozen=True):
    """A whole packet with an instruction that nobody knows, or too short for its own."""

    id: int


Request = Ping | Read | Write | Strange


class Wire(Protocol):
    """One of the two protocols, with what has come of a packet so far."""

    strange_error: int  # what a servo answers to what it does not know

    def feed(self, data: bytes) -> list[Request]:
        """Requests completed by these bytes."""
        ...

    def forget(self) -> None:
        """The line was quiet: half a packet is none."""
        ...

    def answer(self, id_: int, error: int, data: bytes = b"") -> bytes:
        """A servo's answer."""
        ...


class FeetechWire:
    """Feetech's protocol, as the STS series speaks it."""

    strange_error = 0x40

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        waiting, requests = self._waiting, list[Request]()
        waiting += data
        while len(waiting) >= 4:
            size = waiting[3] + 4
            if waiting[:2] != b"\xff\xff" or waiting[2] == 0xFF or not 6 <= size <= MOST_BYTES:
                del waiting[0]
                continue
            if len(waiting) < size:
                break
            packet = bytes(waiting[:size])
            if _checksum(packet[2:-1]) != packet[-1]:
                del waiting[0]
                continue
            del waiting[:size]
            requests += _request(packet[2], packet[4], packet[5:-1], 1)
        return requests

    def forget(self) -> None:
        self._waiting.clear()

    def answer(self, id_: int, error: int, data: bytes = b"") -> bytes:
        body = bytes((id_, len(data) + 2, error)) + data
        return b"\xff\xff" + body + bytes((_checksum(body),))


class DynamixelWire:
    """Dynamixel protocol 2.0."""

    strange_error = 2
    _HEADER = b"\xff\xff\xfd\x00"

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        waiting, requests = self._waiting, list[Request]()
        waiting += data
        while len(waiting) >= 7:
            size = int.from_bytes(waiting[5:7], "little") + 7
            if waiting[:4] != self._HEADER or not 10 <= size <= MOST_BYTES:
                del waiting[0]
                continue
            if len(waiting) < size:
                break
            packet = bytes(waiting[:size])
            if crc16(packet[:-2]) != int.from_bytes(packet[-2:], "little"):
                del waiting[0]
                continue
            del waiting[:size]
            parameters = packet[8:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            requests += _request(packet[4], packet[7], parameters, 2)
        return requests

    def forget(self) -> None:
        self._waiting.clear()

    def answer(self, id_: int, error: int, data: bytes = b"") -> bytes:
        body = bytes((error,)) + data
        body = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet = self._HEADER + bytes((id_,)) + (len(body) + 3).to_bytes(2, "little") + b"\x55" + body
        return packet + crc16(packet).to_bytes(2, "little")


def _request(id_: int, instruction: int, rest: bytes, width: int) -> list[Request]:
    """A packet's meaning; addresses and lengths take `width` bytes."""
    address = int.from_bytes(rest[:width], "little")
    size = int.from_bytes(rest[width : 2 * width], "little")
    is_complete = len(rest) >= 2 * width
    match instruction:
        case Instruction.PING:
            return [Ping(id_)]
        case Instruction.READ if is_complete:
            return [Read((id_,), address, size)]
        case Instruction.WRITE if len(rest) > width:
            return [Write(id_, address, rest[width:], id_ != BROADCAST)]
        case Instruction.SYNC_READ if is_complete:
            return [Read(tuple(rest[2 * width :]), address, size)]
        case Instruction.SYNC_WRITE if is_complete and size > 0:
            parts = [rest[at : at + size + 1] for at in range(2 * width, len(rest), size + 1)]
            return [
                Write(part[0], address, part[1:], is_answered=False)
                for part in parts
                if len(part) == size + 1
            ]
        case _:
            return [Strange(id_)]


def _checksum(body: bytes) -> int:
    return ~sum(body) & 0xFF


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, start 0, as Dynamixel 2.0 has it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc
