"""Pictures as a stream of VP9, one packet a picture, as a recording keeps them.

VP9 by ffmpeg, a program of its own beside us: what it is made of is under licences that a part of this package
could not have. One thread: the same pictures give the same bytes. All calls block; one thread for each object.
"""

import os
import select
import shutil
import struct
import subprocess
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import msgspec
import numpy as np

from drivers.camera import Image
from drivers.errors import DeviceError

NO_PROGRAM = "video: ffmpeg cannot be started ({}); install the package ffmpeg"
PATIENCE_S = 5.0  # for one picture, on a machine that is busy
SHARED = ("-hide_banner", "-loglevel", "quiet", "-threads", "1", "-probesize", "32", "-analyzeduration", "0")
MOST_SIDE_PX = 4096  # of a picture; larger ones are damage, or made to fill the memory
_CPU_USED = "8"  # libvpx's fastest: 3 ms a picture of 320 × 240 on one core

# IVF: a head of 32 bytes, and before each packet its length and number.
IVF_HEAD = struct.Struct("<4sHH4sHHIIIxxxx")
IVF_PACKET = struct.Struct("<IQ")


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the pictures is kept. Every `key_s` comes a picture that needs no other."""

    most_width_px: int
    rate_hz: float
    bits_s: int
    key_s: float = 20.0


LOW = Quality(most_width_px=320, rate_hz=4.0, bits_s=10_000)  # who is where, and what happened
FULL = Quality(
    most_width_px=4096, rate_hz=30.0, bits_s=4_000_000, key_s=2.0
)  # good enough for vision to look again


class Encoder:
    """Pictures of one size in, packets out. A picture of another size begins anew, with a key picture."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self._program: _Program | None = None
        self._size = (0, 0)

    def encode(self, image: Image) -> bytes:
        """One packet. `image` is H × W × 3 or H × W, uint8. Raises DeviceError when ffmpeg fails."""
        picture = _fitted(image, self._quality.most_width_px)
        height_px, width_px = picture.shape[:2]
        if self._program is None or self._size != (width_px, height_px):
            self._program, self._size = self._begin(width_px, height_px), (width_px, height_px)
            self._program.write(picture.data)
            self._program.read(IVF_HEAD.size)
        else:
            self._program.write(picture.data)
        length, _ = IVF_PACKET.unpack(self._program.read(IVF_PACKET.size))
        return self._program.read(length)

    def _begin(self, width_px: int, height_px: int) -> "_Program":
        quality = self._quality
        codec = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-b:v", str(quality.bits_s), "-threads", "1")
        hurry = ("-deadline", "realtime", "-cpu-used", _CPU_USED, "-lag-in-frames", "0")
        key = ("-g", str(round(quality.key_s * quality.rate_hz)))
        made = ("-fps_mode", "passthrough", "-flush_packets", "1", "-fflags", "+bitexact", "-f", "ivf")
        return _Program(*_raw(width_px, height_px, quality.rate_hz), *codec, *hurry, *key, *made, "pipe:1")


def decode(packets: Sequence[bytes]) -> list[Image | None]:
    """The picture (H × W × 3, blue-green-red) of each packet of a key picture and those that need it.

    None from the first one on that can't be made. Raises DeviceError when there is no ffmpeg.
    """
    size = key_size(packets[0]) if packets else None
    if size is None or max(size) > MOST_SIDE_PX:
        return [None] * len(packets)
    wide, high = size
    stream = IVF_HEAD.pack(b"DKIF", 0, IVF_HEAD.size, b"VP90", wide, high, 1000, 1, len(packets))
    stream += b"".join(IVF_PACKET.pack(len(part), k) + part for k, part in enumerate(packets))
    strict = ("-xerror", "-err_detect", "explode")
    made = ("-fps_mode", "passthrough", "-pix_fmt", "bgr24", "-f", "rawvideo")
    words = (*strict, "-f", "ivf", "-i", "pipe:0", *made, "pipe:1")
    try:
        data = subprocess.run(
            _command(*words), input=stream, capture_output=True, timeout=12 * PATIENCE_S
        ).stdout
    except subprocess.TimeoutExpired:
        return [None] * len(packets)
    except OSError as exc:
        raise DeviceError(NO_PROGRAM.format(exc)) from exc
    count = len(data) // (wide * high * 3)
    pictures = np.frombuffer(data[: count * wide * high * 3], np.uint8).reshape(count, high, wide, 3)
    return [*pictures[: len(packets)], *[None] * (len(packets) - count)]


def key_size(packet: bytes) -> tuple[int, int] | None:
    """Width and height of a key picture; None for other packets (VP9 bitstream, "uncompressed header")."""
    bits = int.from_bytes(packet[:12].ljust(12, b"\0"))

    def take(at: int, count: int) -> int:
        return (bits >> (96 - at - count)) & ((1 << count) - 1)

    # Marker 2, profile 0, nothing shown again, a key picture; then how errors are borne, and the sync code.
    if take(0, 2) != 2 or take(2, 2) != 0 or take(4, 1) or take(5, 1) or take(8, 24) != 0x498342:
        return None
    # Colour space (3 bits) and range (1), both sides less one.
    return take(36, 16) + 1, take(52, 16) + 1


class FilmFile:
    """An MP4 file that any browser plays (H.264), of pictures at a steady rate."""

    def __init__(self, path: Path, width_px: int, height_px: int, rate_hz: float) -> None:
        """Both sides are even. Raises DeviceError when there is no ffmpeg."""
        codec = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p")
        made = ("-movflags", "+faststart", "-f", "mp4", "-y", str(path))
        self._program = _Program(*_raw(width_px, height_px, rate_hz), *codec, *made)

    def write(self, image: Image) -> None:
        """One picture more. Raises DeviceError if no more can be written."""
        self._program.write(np.ascontiguousarray(image).data)

    def close(self) -> None:
        """Write the file's end. Raises DeviceError if it is not whole."""
        self._program.finish()


class _Program:
    """ffmpeg between two pipes. It ends with this object."""

    def __init__(self, *words: str) -> None:
        """Raises DeviceError if it isn't there."""
        try:
            self._process = subprocess.Popen(
                _command(*words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the robot, which closes what it records
            )
        except OSError as exc:
            raise DeviceError(NO_PROGRAM.format(exc)) from exc
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        weakref.finalize(self, _end, self._process)

    def write(self, data: bytes | memoryview) -> None:
        """All of it. Raises DeviceError if the program has ended, or takes nothing for too long."""
        assert self._process.stdin is not None
        number = self._process.stdin.fileno()
        view = memoryview(data).cast("B")
        try:
            while view:
                if not select.select([], [number], [], PATIENCE_S)[1]:
                    raise DeviceError(f"video: ffmpeg took nothing for {PATIENCE_S:g} s")
                view = view[os.write(number, view) :]
        except OSError as exc:
            raise DeviceError("video: ffmpeg has ended") from exc

    def finish(self) -> None:
        """Nothing more comes; wait for its end. Raises DeviceError if that is not a good one."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as exc:
            raise DeviceError(f"video: ffmpeg did not end within {PATIENCE_S:g} s") from exc
        if code:
            raise DeviceError(f"video: ffmpeg failed ({code})")

    def read(self, count: int) -> bytes:
        """So many bytes. Raises DeviceError if the program has ended or says nothing for too long."""
        assert self._process.stdout is not None
        got = bytearray()
        while len(got) < count:
            if not select.select([self._process.stdout], [], [], PATIENCE_S)[0]:
                raise DeviceError(f"video: ffmpeg said nothing for {PATIENCE_S:g} s")
            some = self._process.stdout.read(count - len(got))
            if not some:
                raise DeviceError("video: ffmpeg has ended")
            got += some
        return bytes(got)


def _raw(width_px: int, height_px: int, rate_hz: float) -> tuple[str, ...]:
    """How pictures come in."""
    size, rate = f"{width_px}x{height_px}", f"{rate_hz:g}"
    return ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", rate, "-i", "pipe:0")


def _command(*words: str) -> list[str]:
    return [_ffmpeg(), *SHARED, *words]


@cache
def _ffmpeg() -> str:
    """The package's own, or the system's."""
    own = sorted(Path(imageio_ffmpeg.__file__).parent.glob("binaries/ffmpeg-*"))
    found = str(own[0]) if own else shutil.which("ffmpeg")
    if found is None:
        raise DeviceError(NO_PROGRAM.format("it is not there"))
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    process.wait()


def _fitted(image: Image, most_width_px: int) -> Image:
    """The picture in three channels, even sides, and no wider than that."""
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    height_px, width_px = image.shape[:2]
    scale = min(1.0, most_width_px / width_px)
    wide, high = max(round(width_px * scale / 2) * 2, 2), max(round(height_px * scale / 2) * 2, 2)
    if (wide, high) != (width_px, height_px):
        image = np.asarray(cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image)
