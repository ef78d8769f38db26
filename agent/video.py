"""Pictures as a stream of VP9, one packet a picture, as a recording keeps them.

VP9 by libvpx, one thread: the same pictures give the same bytes. Blocking; call it from one thread.
"""

from fractions import Fraction

import av
import cv2
import msgspec
import numpy as np

from drivers.camera import Image

FORMAT = "vp9"
TICKS_S = 1000  # of the codec's clock, a second
_CPU_USED = "8"  # libvpx's fastest: 3 ms a picture of 320 × 240 on one core


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the pictures is kept. Every `key_s` comes a picture that needs no other."""

    most_width_px: int
    rate_hz: float
    bits_s: int
    key_s: float = 20.0


LOW = Quality(most_width_px=320, rate_hz=4.0, bits_s=10_000)  # who is where, and what happened
FULL = Quality(most_width_px=4096, rate_hz=60.0, bits_s=4_000_000)  # good enough for vision to look again


class Encoder:
    """Pictures of one size in, packets out. A picture of another size begins anew, with a key picture."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self._codec: av.VideoCodecContext | None = None
        self._size = (0, 0)
        self._start_s = 0.0
        self._last = -1
        self._key_s = 0.0

    def encode(self, image: Image, time_s: float) -> bytes:
        """One packet. `image` is H × W × 3 or H × W, uint8; times that don't increase are taken for the next."""
        picture = _fitted(image, self._quality.most_width_px)
        height_px, width_px = picture.shape[:2]
        if self._codec is None or self._size != (width_px, height_px):
            self._begin(width_px, height_px, time_s)
        assert self._codec is not None
        ticks = max(round((time_s - self._start_s) * TICKS_S), self._last + 1)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        frame.pts, frame.time_base = ticks, Fraction(1, TICKS_S)
        if self._last < 0 or time_s >= self._key_s:
            frame.pict_type = av.video.frame.PictureType.I
            self._key_s = time_s + self._quality.key_s
        self._last = ticks
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))

    def _begin(self, width_px: int, height_px: int, time_s: float) -> None:
        codec = av.CodecContext.create("libvpx-vp9", "w")
        assert isinstance(codec, av.VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
        codec.time_base = Fraction(1, TICKS_S)
        codec.framerate = Fraction(round(self._quality.rate_hz))
        codec.bit_rate = self._quality.bits_s
        codec.gop_size = 100_000  # key pictures are asked for by time
        codec.thread_count = 1
        codec.options = {"deadline": "realtime", "cpu-used": _CPU_USED, "lag-in-frames": "0"}
        self._codec, self._size = codec, (width_px, height_px)
        self._start_s, self._last = time_s, -1


class Decoder:
    """Packets in, pictures out. What comes before the first key picture gives none."""

    def __init__(self) -> None:
        self._codec = self._new()

    def decode(self, packet: bytes) -> Image | None:
        """The picture (H × W × 3, blue-green-red), or None if it can't be made of this packet."""
        try:
            frames = self._codec.decode(av.Packet(packet))
        except av.FFmpegError:
            self._codec = self._new()  # it waits for the next key picture
            return None
        return np.asarray(frames[-1].to_ndarray(format="bgr24"), np.uint8) if frames else None

    @staticmethod
    def _new() -> av.VideoCodecContext:
        codec = av.CodecContext.create("vp9", "r")
        assert isinstance(codec, av.VideoCodecContext)
        codec.thread_count = 1
        return codec


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
