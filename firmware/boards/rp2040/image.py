"""The last steps to a flash image: the second stage's checksum, and the file that a Pico takes as a USB drive.

python image.py seal STAGE SEALED     pads the second stage to 252 bytes and adds its CRC-32
python image.py uf2 IMAGE UF2         packs an image of the flash
"""

import struct
import sys
from pathlib import Path

STAGE_BYTES = 256
CRC_BYTES = 4
FLASH_START = 0x10000000

# github.com/microsoft/uf2
UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UF2_END = 0x0AB16F30
UF2_HAS_FAMILY = 0x2000
UF2_RP2040 = 0xE48BFF56
UF2_PAYLOAD_BYTES = 256
UF2_ROOM_BYTES = 476


def crc32(data: bytes) -> int:
    """As the ROM counts it: polynomial 0x04C11DB7, highest bit first, from all ones, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    return crc


def seal(stage: bytes) -> bytes:
    """The second stage, padded and with its checksum."""
    room = STAGE_BYTES - CRC_BYTES
    if len(stage) > room:
        raise SystemExit(f"the second stage has {len(stage)} bytes; the ROM takes {room}")
    padded = stage.ljust(room, b"\0")
    return padded + struct.pack("<I", crc32(padded))


def uf2(image: bytes) -> bytes:
    """An image of the flash as UF2 blocks."""
    count = -(-len(image) // UF2_PAYLOAD_BYTES)
    blocks = []
    for number in range(count):
        start = number * UF2_PAYLOAD_BYTES
        head = struct.pack(
            "<8I",
            *UF2_MAGIC,
            UF2_HAS_FAMILY,
            FLASH_START + start,
            UF2_PAYLOAD_BYTES,
            number,
            count,
            UF2_RP2040,
        )
        payload = image[start : start + UF2_PAYLOAD_BYTES].ljust(UF2_ROOM_BYTES, b"\0")
        blocks.append(head + payload + struct.pack("<I", UF2_END))
    return b"".join(blocks)


def main() -> None:
    match sys.argv[1:]:
        case ["seal", source, target]:
            Path(target).write_bytes(seal(Path(source).read_bytes()))
        case ["uf2", source, target]:
            Path(target).write_bytes(uf2(Path(source).read_bytes()))
        case _:
            raise SystemExit("usage: image.py seal|uf2 SOURCE TARGET")


if __name__ == "__main__":
    main()
