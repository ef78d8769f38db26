"""What stands in a recording: a topic for each channel, its type as JSON schema, and values as JSON.

Pictures and sound have the schemas that Foxglove shows, by its names; the fields beyond those are Nod's own.
Embeddings are 16-bit floats in base64; landmarks are left out, because all that is decided from them is there.
"""

import base64
from typing import Any

import msgspec
import numpy as np

from agent import events
from agent.glance import CallGlance, Glance
from agent.viewing import Standing
from drivers.audio import Sound
from drivers.camera import Frame

FORMAT = 1  # of the recording; a higher one is read as far as it is known
NANOSECONDS = 1_000_000_000
VIDEO = "vp9"  # what `agent.video` makes
FRAME_IDS = {"frames": "camera", "call_frames": "call"}  # which camera it is, in Foxglove's words
SEEN_IN = {"sight": "frames", "call_sight": "call_frames"}  # in which pictures
TIME_DIGITS = 6
JOINT_DIGITS, SPEED_DIGITS, HEAD_DIGITS, POINT_DIGITS = 4, 3, 5, 4  # of radians, rad/s, radians, metres

# Fields that were called otherwise once: (type, old name) → today's.
RENAMED: dict[tuple[str, str], str] = {}


class Stamp(msgspec.Struct, frozen=True):
    """Foxglove's time."""

    sec: int
    nsec: int


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One packet of a camera's pictures (foxglove.CompressedVideo). The size is the camera's, not the packet's."""

    timestamp: Stamp
    frame_id: str
    data: bytes
    format: str
    index: int = 0
    width_px: int = 0
    height_px: int = 0


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of sound (foxglove.RawAudio)."""

    timestamp: Stamp
    data: bytes
    format: str
    sample_rate: int
    number_of_channels: int


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the robot's program said (foxglove.Log). `level` counts from 1, debug, to 5, fatal."""

    timestamp: Stamp
    level: int
    message: str
    name: str
    file: str
    line: int


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody in a simulated room."""

    time_s: float
    people: tuple[Standing, ...]


TYPES: dict[str, type] = {
    "frames": Picture,
    "glance": Glance,
    "sight": events.Sight,
    "lock": events.Lock,
    "aim": events.Aim,
    "call_frames": Picture,
    "call_glance": CallGlance,
    "call_sight": events.Sight,
    "nod": events.NodSignal,
    "gesture": events.Gesture,
    "set_point": events.SetPoint,
    "pose": events.Pose,
    "sound": Audio,
    "doing": events.Doing,
    "planner": events.PlannerStatus,
    "health": events.Health,
    "orders": events.Order,
    "reply": events.Reply,
    "people": Crowd,
    "log": LogLine,
}
"""The type of each channel. Others may be recorded too; they are read as plain JSON."""

_FOXGLOVE: dict[type, str] = {
    Picture: "foxglove.CompressedVideo",
    Audio: "foxglove.RawAudio",
    LogLine: "foxglove.Log",
}


def stamp(time_s: float) -> int:
    """A time in nanoseconds, as MCAP has it."""
    return max(round(time_s * NANOSECONDS), 0)


def stamped(time_s: float) -> Stamp:
    """A time as Foxglove has it."""
    return Stamp(*divmod(stamp(time_s), NANOSECONDS))


def audio_of(sound: Sound) -> Audio:
    """A stretch of sound as it is recorded."""
    return Audio(
        timestamp=stamped(sound.time_s),
        data=sound.samples.astype("<i2").tobytes(),
        format="pcm-s16",
        sample_rate=sound.rate_hz,
        number_of_channels=1,
    )


def picture_of(channel: str, packet: bytes, frame: Frame, size_px: tuple[int, int]) -> Picture:
    """A camera's frame as it is recorded, with its packet and the width and height of what vision saw."""
    width_px, height_px = size_px
    return Picture(
        timestamp=stamped(frame.time_s),
        frame_id=FRAME_IDS[channel],
        data=packet,
        format=VIDEO,
        index=frame.index,
        width_px=width_px,
        height_px=height_px,
    )


def encode(value: object) -> bytes:
    """A message as JSON, its numbers without the digits that mean nothing."""
    match value:
        case events.SetPoint():
            value = events.SetPoint(
                time_s=round(value.time_s, TIME_DIGITS),
                position_rad=_short(value.position_rad, JOINT_DIGITS),
                velocity_rad_s=_short(value.velocity_rad_s, SPEED_DIGITS),
            )
        case events.Pose():
            value = events.Pose(
                time_s=round(value.time_s, TIME_DIGITS),
                position_rad=_short(value.position_rad, JOINT_DIGITS),
            )
        case events.Aim():
            x_m, y_m, z_m = _short(value.point_m, POINT_DIGITS)
            value = events.Aim(time_s=round(value.time_s, TIME_DIGITS), point_m=(x_m, y_m, z_m))
        case events.NodSignal():
            pitch_rad, yaw_rad, roll_rad = _short(msgspec.structs.astuple(value.pose), HEAD_DIGITS)
            value = events.NodSignal(
                time_s=round(value.time_s, TIME_DIGITS),
                pose=events.HeadPose(pitch_rad=pitch_rad, yaw_rad=yaw_rad, roll_rad=roll_rad),
                confidence=round(value.confidence, POINT_DIGITS),
            )
        case events.Sight() | Glance() | CallGlance():
            value = msgspec.structs.replace(value, time_s=round(value.time_s, TIME_DIGITS))
        case _:
            pass
    return msgspec.json.encode(value, enc_hook=_from_array)


def decode(channel: str, data: bytes) -> object:
    """The message again, as the channel's type or as plain JSON where the channel isn't known.

    What an older version lacked gets its default, and what a newer one added is left out. Raises
    msgspec.DecodeError for what can't be understood.
    """
    kind = TYPES.get(channel)
    if kind is None:
        return msgspec.json.decode(data)
    old = {old: new for (name, old), new in RENAMED.items() if name == kind.__name__}
    if old:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        data = msgspec.json.encode({old.get(name, name): value for name, value in fields.items()})
    return msgspec.json.decode(data, type=kind, dec_hook=_to_array)


def schema_name(kind: type) -> str:
    """What a type is called in a recording."""
    return _FOXGLOVE.get(kind, kind.__name__)


def schema_of(kind: type) -> bytes:
    """A type as JSON schema in the words that Foxglove reads: objects within objects, no references, no choices."""
    schema = msgspec.json.schema(kind, schema_hook=_array_schema)
    return msgspec.json.encode({"title": schema_name(kind), **_plain(schema, schema.get("$defs", {}))})


def _plain(part: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """One part of a schema with what it refers to put in its place. Of choices all fields are named."""
    if "$ref" in part:
        return _plain(parts[part["$ref"].rsplit("/", 1)[1]], parts)
    if "anyOf" in part:
        choices = [_plain(choice, parts) for choice in part["anyOf"] if choice != {"type": "null"}]
        properties = {name: one for choice in choices for name, one in choice.get("properties", {}).items()}
        return {**choices[0], "properties": properties, "required": []} if properties else choices[0]
    plain: dict[str, Any] = {
        key: part[key] for key in ("type", "contentEncoding", "description", "required") if key in part
    }
    if "properties" in part:
        plain["properties"] = {name: _plain(one, parts) for name, one in part["properties"].items()}
    if plain.get("type") == "array":
        given = part.get("items") or (part.get("prefixItems") or [{}])[0]
        plain["items"] = _plain(given, parts) if given else {"type": "number"}
    if "type" not in plain:  # words out of a list, or one constant
        plain["type"] = "string"
    return plain


def _array_schema(kind: type) -> dict[str, Any]:
    return {"type": "string", "contentEncoding": "base64"}


def _short(numbers: tuple[float, ...], digits: int) -> tuple[float, ...]:
    return tuple(round(float(number), digits) for number in numbers)


def _from_array(value: Any) -> object:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a recording has no form for {type(value).__name__}")
    return None if value.ndim > 1 else base64.b64encode(value.astype("<f2").tobytes()).decode()


def _to_array(kind: type, value: Any) -> object:
    return np.frombuffer(base64.b64decode(value), "<f2").astype(np.float32)
