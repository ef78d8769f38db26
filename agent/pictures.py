"""The pictures of a recording, out of the packets in which it keeps them."""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from agent.record_format import Picture
from agent.recording import Message
from agent.video import decode, key_size
from drivers.camera import Image


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a recording; `image` is None where it can't be made of what is there."""

    picture: Picture
    image: Image | None


def with_images(messages: Iterable[Message]) -> Iterator[Message]:
    """The same messages in the same order, `Shown` in place of each `Picture`.

    A picture needs those before it back to a key picture, and they are decoded together: messages are held back
    for as long as that takes, which is `Quality.key_s`. Raises DeviceError when there is no ffmpeg.
    """
    held: deque[Message] = deque()
    groups: dict[str, list[Picture]] = {}
    made: dict[str, deque[Image | None]] = {}

    def finish(channel: str) -> None:
        group = groups.pop(channel, [])
        made.setdefault(channel, deque()).extend(decode([picture.data for picture in group]))

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
        if isinstance(message.value, Picture):
            if key_size(message.value.data) is not None:
                finish(message.channel)
            groups.setdefault(message.channel, []).append(message.value)
        held.append(message)
        yield from release()
    for channel in tuple(groups):
        finish(channel)
    yield from release()
