"""The pictures of a recording, out of the packets in which it keeps them."""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from agent.record_format import Picture
from agent.recording import Message
from agent.video import LOW, decode, key_size
from drivers.camera import Image

LEAD_S = 2 * LOW.key_s  # read before a moment: within it comes a picture that needs no other
MOST_S = 1.25 * LOW.key_s  # a little more than from key picture to key picture
MOST_PICTURES = 120


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a recording; `image` is None where it can't be made of what is there."""

    picture: Picture
    image: Image | None


class _Group:
    """A key picture and those that need it: which were decoded, and which wait for it, since when."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.waiting: list[bytes] = []
        self.since_s = 0.0


def with_images(messages: Iterable[Message]) -> Iterator[Message]:
    """The same messages in the same order, `Shown` in place of each `Picture`.

    A picture needs those before it back to a key picture, and they are decoded together: messages are held back for
    up to MOST_S, or MOST_PICTURES of a camera. Raises DeviceError when there is no ffmpeg.
    """
    held: deque[Message] = deque()
    groups: dict[str, _Group] = {}
    made: dict[str, deque[Image | None]] = {}

    def finish(channel: str) -> None:
        group = groups[channel]
        images = decode([*group.shown, *group.waiting])
        made.setdefault(channel, deque()).extend(images[len(group.shown) :])
        group.shown += group.waiting
        group.waiting = []

    def release() -> Iterator[Message]:
        while held:
            message = held[0]
            if isinstance(message.value, Picture):
                if not made.get(message.channel):
                    return
                shown = Shown(picture=message.value, image=made[message.channel].popleft())
                message = msgspec.structs.replace(message, value=shown)
            held.popleft()
            yield message

    for message in messages:
        for channel, group in groups.items():
            if group.waiting and (
                message.time_s > group.since_s + MOST_S or len(group.waiting) >= MOST_PICTURES
            ):
                finish(channel)
        if isinstance(message.value, Picture):
            channel, data = message.channel, message.value.data
            if channel not in groups or key_size(data) is not None:
                if channel in groups:
                    finish(channel)
                groups[channel] = _Group()
            group = groups[channel]
            if not group.waiting:
                group.since_s = message.time_s
            group.waiting.append(data)
        held.append(message)
        yield from release()
    for channel in groups:
        finish(channel)
    yield from release()
