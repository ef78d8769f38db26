"""A report to be sent to somebody who helps: the last minute, the versions, the configuration, how it is.

Nobody is to be recognised in it unless the owner says so. Faces in pictures are blurred where they were seen, the
blurred pictures are searched once more, and one in which a face can still be found is left out. Sound, the numbers
that a face is known by, and the simulated people's names are left out or replaced.
"""

import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.blur import FaceBlur, FaceSearch
from agent.config import Config, without_secrets
from agent.doctor import Finding
from agent.events import Box, Doing, Health, Order, Reply, Sight
from agent.glance import CallGlance, Glance
from agent.origin import versions
from agent.pictures import LEAD_S, Shown, with_images
from agent.record_files import About, Attachment, Reel, files_in
from agent.record_format import FRAME_IDS, SEEN_IN, TYPES, Audio, Crowd, LogLine, Picture, picture_of
from agent.recording import Message, Recording
from agent.video import FULL, Encoder
from drivers.camera import Frame, Image
from drivers.errors import ConfigError

ATTACHMENTS = ("body.toml", "body.urdf", "scene.json")
ABOUT = """A report of a Nod robot, made by `nod report`.

recording.mcap  the last {seconds:.0f} s; look at it with Foxglove, or decide it again with `nod replay`
log.txt         what its program said in that time
health.json     how it was at the end
doctor.json     what `nod doctor` finds on this machine
config.json     nod.toml, without names and passwords in addresses
versions.json   of what made the recording, and of what made this report

{privacy}
"""


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner lets out."""

    has_faces: bool = False
    has_voices: bool = False
    has_names: bool = False


class Packed(msgspec.Struct, kw_only=True):
    """What went into a report."""

    seconds: float = 0.0
    pictures: int = 0
    pictures_left_out: int = 0
    messages: int = 0
    notes: list[str] = []


def newest(folder: Path) -> list[Path]:
    """The files of the robot's last run, the oldest first. Raises ConfigError if there are none."""
    files = files_in(folder)
    if not files:
        raise ConfigError(f"{folder}: there is no recording yet; let the robot run first, or name a file")
    run = files[-1].name.rpartition("-")[0]
    return [file for file in files if file.name.rpartition("-")[0] == run]


def pack(
    files: Sequence[Path],
    seconds: float,
    keep: Keep,
    target: Path,
    config: Config,
    findings: Sequence[Finding],
) -> Packed:
    """Write the report. Raises ConfigError when there is nothing to pack or the target can't be written."""
    packed = Packed()
    with tempfile.TemporaryDirectory(prefix="nod-report-") as name:
        folder = Path(name)
        facts, log, health = _write_recording(files, seconds, keep, folder / "recording.mcap", packed)
        encode = msgspec.json.encode
        texts = {
            "log.txt": "".join(log).encode(),
            "health.json": msgspec.json.format(encode(health)),
            "doctor.json": msgspec.json.format(encode(list(findings))),
            "config.json": msgspec.json.format(encode(without_secrets(config))),
            "versions.json": msgspec.json.format(encode({"recording": facts, "report": versions()})),
            "README.txt": ABOUT.format(seconds=packed.seconds, privacy=_privacy(keep, packed)).encode(),
        }
        try:
            number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(number, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(folder / "recording.mcap", "recording.mcap")
                for text_name, data in texts.items():
                    archive.writestr(text_name, _homeless(data))
        except OSError as exc:
            raise ConfigError(f"{target}: cannot be written ({exc.strerror}); name another file") from exc
    return packed


def _write_recording(
    files: Sequence[Path], seconds: float, keep: Keep, target: Path, packed: Packed
) -> tuple[dict[str, str], list[str], Health | None]:
    """The part of the recording that goes out; returns what it says of itself, its log and the last health."""
    log: list[str] = []
    health: Health | None = None
    facts, about, end_s = _last(files)
    from_s = end_s - seconds
    filter_ = _Filter(keep, from_s)
    reel = Reel(target, about)
    first_s = end_s
    for message in with_images(_messages(files, from_s - LEAD_S, packed)):
        for out in filter_.take(message):
            first_s = min(first_s, out.time_s)
            packed.messages += 1
            packed.pictures += isinstance(out.value, Picture)
            reel.write(out.channel, out.value, out.time_s)
            if isinstance(out.value, LogLine):
                log.append(f"{out.time_s:10.3f} {out.value.name}: {out.value.message}\n")
            if isinstance(out.value, Health):
                health = out.value
    reel.close()
    packed.seconds = end_s - first_s
    packed.pictures_left_out = filter_.left_out
    packed.notes += filter_.notes
    return facts, log, health


def _last(files: Sequence[Path]) -> tuple[dict[str, str], About, float]:
    """What the newest file that holds anything says of itself, and when it ends."""
    for file in reversed(files):
        with Recording(file) as recording:
            span_s = recording.span_s()
            if span_s is None:
                continue
            attachments = [(name, recording.attachment(name)) for name in ATTACHMENTS]
            about = About(
                facts={name: _homeless(text.encode()).decode() for name, text in recording.facts.items()},
                attachments=tuple(
                    Attachment(name=name, media_type="", data=data) for name, data in attachments if data
                ),
            )
            return about.facts, about, span_s[1]
    raise ConfigError(f"{files[-1]}: it holds no messages; there is nothing to report")


def _messages(files: Sequence[Path], from_s: float, packed: Packed) -> Iterator[Message]:
    """Messages from then on, out of as many files as that takes."""
    wanted: list[Path] = []
    for file in reversed(files):
        wanted.insert(0, file)
        with Recording(file) as recording:
            span_s = recording.span_s()
        if span_s is not None and span_s[0] <= from_s:
            break
    for file in wanted:
        with Recording(file) as recording:
            yield from recording.messages(from_s=from_s)
            packed.notes += recording.notes


class _Filter:
    """Takes out of messages what may not go out."""

    def __init__(self, keep: Keep, from_s: float) -> None:
        self.left_out = 0
        self.notes: list[str] = []
        self._keep = keep
        self._from_s = from_s
        self._names: dict[str, str] = {}
        self._search: FaceSearch | None = None
        self._cameras = {camera: _Camera(camera) for camera in FRAME_IDS}
        if not keep.has_faces:
            try:
                self._search = FaceSearch()
            except ConfigError as exc:
                self.notes.append(
                    f"pictures were left out, because nothing can look for faces in them: {exc}"
                )

    def take(self, message: Message) -> list[Message]:
        """What goes out now: pictures wait for the sight that says where their faces are."""
        value: object = message.value
        out: list[Message] = []
        match value:
            case Shown():
                return self._picture(self._cameras[message.channel], value, message.time_s)
            case Sight() if not self._keep.has_faces:
                out = self._see(self._cameras[SEEN_IN[message.channel]], value)
                faces = tuple(
                    msgspec.structs.replace(face, landmarks=None, embedding=None) for face in value.faces
                )
                value = msgspec.structs.replace(value, faces=faces)
            case Glance() | CallGlance() if not self._keep.has_faces:
                value = msgspec.structs.replace(value, state=None)  # it holds the looks of those it knows
            case Audio() if not self._keep.has_voices:
                return []
            case Crowd() if not self._keep.has_names:
                people = tuple(
                    msgspec.structs.replace(one, name=self._alias(one.name)) for one in value.people
                )
                value = msgspec.structs.replace(value, people=people)
            case Order() | Reply() if not self._keep.has_names:
                value = msgspec.structs.replace(value, text=self._nameless(value.text))
            case Doing() if not self._keep.has_names:
                value = Doing(what=value.what, why=self._nameless(value.why))
            case LogLine():
                text = _homeless(value.message.encode()).decode()
                value = msgspec.structs.replace(value, message=text)
            case _:
                pass
        if message.channel not in TYPES or message.time_s < self._from_s:
            return out  # what isn't known may hold anything
        return [*out, msgspec.structs.replace(message, value=value)]

    def _picture(self, camera: "_Camera", shown: Shown, time_s: float) -> list[Message]:
        picture, image = shown.picture, shown.image
        if image is None:
            return []
        camera.scale = image.shape[1] / max(picture.width_px, 1)
        camera.sizes[picture.index] = (picture.width_px, picture.height_px)
        frame = Frame(image=image, time_s=time_s, index=picture.index)
        if self._keep.has_faces:
            return self._out(camera, frame, image)
        camera.blur.hold(frame)
        self.left_out += time_s >= self._from_s  # until it is let out
        return []

    def _see(self, camera: "_Camera", sight: Sight) -> list[Message]:
        """Let out the pictures whose faces are known now, if nobody is to be found in them any more."""
        out: list[Message] = []
        small = tuple(
            msgspec.structs.replace(face, box=_scaled(face.box, camera.scale)) for face in sight.faces
        )
        for frame in camera.blur.see(msgspec.structs.replace(sight, faces=small)):
            image = self._search.cover(frame.image) if self._search is not None else None
            if image is not None and frame.time_s >= self._from_s:
                self.left_out -= 1
                out += self._out(camera, frame, image)
        return out

    def _out(self, camera: "_Camera", frame: Frame, image: Image) -> list[Message]:
        size_px = camera.sizes.pop(frame.index)
        if frame.time_s < self._from_s:
            return []
        picture = picture_of(camera.name, camera.encoder.encode(image), frame, size_px)
        return [Message(channel=camera.name, time_s=frame.time_s, value=picture)]

    def _alias(self, name: str) -> str:
        return self._names.setdefault(name, f"person {len(self._names) + 1}")

    def _nameless(self, text: str) -> str:
        for name, alias in self._names.items():
            text = text.replace(name, alias).replace(name.lower(), alias)
        return text


class _Camera:
    """One camera's pictures between the recording and the report."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.encoder = Encoder(FULL)
        self.blur = FaceBlur()
        self.scale = 1.0
        self.sizes: dict[int, tuple[int, int]] = {}


def _scaled(box: Box, scale: float) -> Box:
    return Box(scale * box.x_px, scale * box.y_px, scale * box.width_px, scale * box.height_px)


def _homeless(data: bytes) -> bytes:
    """Without the owner's name in paths."""
    return data.replace(str(Path.home()).encode(), b"~")


def _privacy(keep: Keep, packed: Packed) -> str:
    kept = [
        name
        for name, is_kept in (
            ("faces", keep.has_faces),
            ("voices", keep.has_voices),
            ("names", keep.has_names),
        )
        if is_kept
    ]
    lines = [
        f"In it, as its owner wished: {', '.join(kept)}."
        if kept
        else "Faces and voices were taken out, and the names of simulated people; other names may stand in texts."
    ]
    if packed.pictures_left_out:
        lines.append(
            f"{packed.pictures_left_out} pictures were left out: it was not sure whose faces are in them."
        )
    lines.append(
        "What was typed or said to the robot is in it as text. Look through it before you pass it on."
    )
    return "\n".join([*lines, *packed.notes])
