"""Recording: what goes in comes out, files stay bounded, and a full disk ends nothing but the recording."""

import errno
import json
import logging
import os
import resource
from pathlib import Path

import msgspec
import numpy as np
import pytest
from mcap.reader import make_reader

from agent import events
from agent.events import CHANNELS, Bus, Sight, rounded
from agent.gaze import GazeState, LockOnto
from agent.glance import CallGlance, Glance, packed, unpacked
from agent.nod import NodState, start
from agent.record import Kept, LogTap, Recorder
from agent.record_files import About, Attachment, Row, files_in
from agent.record_format import TYPES, Audio, Crowd, Picture, schema_of
from agent.recording import Recording
from agent.video import LOW, decode
from agent.viewing import Standing
from drivers.audio import Sound
from drivers.camera import Frame, lens_for
from drivers.errors import ConfigError
from sim import clock

POSE = events.HeadPose(pitch_rad=0.1, yaw_rad=-0.2, roll_rad=0.3)
FACE = events.Face(
    track=3,
    box=events.Box(10.0, 20.5, 30.25, 40.0),
    score=0.987,
    landmarks=np.zeros((468, 3), np.float32),
    pose=POSE,
    distance_m=1.25,
    embedding=np.linspace(-0.4, 0.4, 128, dtype=np.float32),
)
SIGHT = rounded(Sight(time_s=1.0, frame=7, faces=(FACE,)))
VALUES: dict[str, object] = {
    "glance": Glance(
        time_s=1.0,
        count=4,
        dt_s=0.05,
        angles_rad=(0.1, 0.2),
        lens=lens_for(640, 480),
        command=LockOnto(place="left"),
        state=packed(GazeState()),
    ),
    "sight": SIGHT,
    "lock": events.Lock(phase="locked", face=0, reason="sure"),
    "aim": events.Aim(time_s=1.0, point_m=(1.0, 0.5, 0.25)),
    "call_glance": CallGlance(time_s=1.0, count=1, dt_s=0.05, state=packed(start())),
    "call_sight": SIGHT,
    "nod": events.NodSignal(time_s=1.0, pose=POSE, confidence=0.5),
    "gesture": events.Gesture(time_s=1.0, kind="yes", confidence=0.75),
    "set_point": events.SetPoint(time_s=1.0, position_rad=(0.1, 0.2), velocity_rad_s=(0.0, -0.5)),
    "pose": events.Pose(time_s=1.0, position_rad=(0.1, 0.2)),
    "people": Crowd(time_s=1.0, people=(Standing(name="Anna", x_m=1.0, y_m=0.0, z_m=1.6, yaw_rad=3.0),)),
    "doing": events.Doing(what="Looking.", why="you asked"),
    "planner": events.PlannerStatus(state="ready"),
    "health": events.Health(link="up", is_link_up=True, camera="gone", is_camera_up=False),
    "orders": events.Order(id="1", text="nod", source="page", time_s=1.0),
    "reply": events.Reply(order_id="1", kind="answer", text="yes", last=True),
}
SOUND = Sound(samples=np.arange(-50, 50, dtype=np.int16), time_s=1.0, rate_hz=16000)


def frame(number: int = 0, time_s: float = 1.0) -> Frame:
    image = np.full((480, 640, 3), 40, np.uint8)
    image[100:200, 10 * number : 10 * number + 100] = (10, 200, 30)
    return Frame(image=image, time_s=time_s, index=number)


def _noise(number: int) -> events.Doing:
    """Something that does not pack."""
    return events.Doing(what=np.random.default_rng(number).bytes(30_000).hex(), why="")


def test_every_channel_of_the_table_comes_back_as_it_went_in(tmp_path: Path) -> None:
    async def put() -> None:
        bus = Bus()
        with Recorder(file) as recorder:
            recorder.listen(bus)
            for channel in CHANNELS:
                value = VALUES.get(channel.name) or (SOUND if channel.name == "sound" else frame())
                inbox_or_latest = getattr(bus, channel.name)
                inbox_or_latest.put(value)

    file = tmp_path / "all.mcap"
    clock.run(put())
    with Recording(file) as recording:
        read = {message.channel: message.value for message in recording.messages()}
        assert recording.is_whole and not [note for note in recording.notes if "left out" in note]
    assert set(read) == {channel.name for channel in CHANNELS} == set(TYPES) - {"log"}
    for name, value in VALUES.items():
        if name in ("sight", "call_sight"):
            continue
        assert read[name] == value, name
    for name in ("sight", "call_sight"):
        sight = read[name]
        assert isinstance(sight, Sight)
        (face,) = sight.faces
        assert face.embedding is not None and FACE.embedding is not None and face.landmarks is None
        assert np.array_equal(face.embedding, SIGHT.faces[0].embedding)  # type: ignore[arg-type]
        plain = msgspec.structs.replace(face, embedding=None)
        assert plain == msgspec.structs.replace(SIGHT.faces[0], embedding=None, landmarks=None)
    sound = read["sound"]
    assert isinstance(sound, Audio) and sound.data == SOUND.samples.tobytes() and sound.sample_rate == 16000
    picture = read["frames"]
    assert isinstance(picture, Picture) and (picture.width_px, picture.height_px) == (640, 480)
    (shown,) = decode([picture.data])
    assert shown is not None and shown.shape == (240, 320, 3)
    assert np.abs(shown.astype(int) - frame().image[::2, ::2].astype(int)).mean() < 4


def test_states_come_back_with_every_digit() -> None:
    state = msgspec.structs.replace(start(), clock_s=0.1 + 0.2)
    again = unpacked(packed(state), NodState)
    assert again == state
    assert unpacked(b"\x81\xa1x\x01" + packed(state), GazeState) is None


def test_the_schemas_are_what_foxglove_reads(tmp_path: Path) -> None:
    wanted = {
        "foxglove.CompressedVideo": {"timestamp", "frame_id", "data", "format"},
        "foxglove.RawAudio": {"timestamp", "data", "format", "sample_rate", "number_of_channels"},
        "foxglove.Log": {"timestamp", "level", "message", "name", "file", "line"},
    }
    file = tmp_path / "all.mcap"
    with Recorder(file) as recorder:
        recorder.write("frames", frame(), 1.0)
        recorder.write("sound", SOUND, 1.0)
        for name, value in VALUES.items():
            recorder.write(name, value, 1.0)
        with LogTap(recorder, lambda: 1.0):
            logging.getLogger("agent.x").warning("%d things", 3)
    with file.open("rb") as opened:
        rows = list(make_reader(opened, validate_crcs=True).iter_messages())
    assert len(rows) == len(VALUES) + 3
    for schema, channel, message in rows:
        assert schema is not None and schema.encoding == "jsonschema" and channel.message_encoding == "json"
        rules = json.loads(schema.data)
        assert b"$ref" not in schema.data and b"anyOf" not in schema.data
        _check(rules, json.loads(message.data), schema.name)
        missing = wanted.pop(schema.name, set()) - set(rules["properties"])
        assert not missing
        if schema.name.startswith("foxglove."):
            assert set(rules["properties"]["timestamp"]["properties"]) == {"sec", "nsec"}
            assert rules["properties"].get("data", {}).get("contentEncoding", "base64") == "base64"
    assert not wanted


def _check(rules: dict[str, object], value: object, where: str) -> None:
    """The value is what its schema says; null stands for absent."""
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    kind = rules["type"]
    assert isinstance(kind, str)
    if value is None:
        return
    assert isinstance(value, int | float) if kind == "number" else isinstance(value, kinds[kind]), where
    if isinstance(value, dict):
        properties = rules["properties"]
        assert isinstance(properties, dict)
        for name, part in value.items():
            if name != "type" or name in properties:  # a union's tag is in no field
                _check(properties[name], part, f"{where}.{name}")
    if isinstance(value, list):
        items = rules["items"]
        assert isinstance(items, dict)
        for part in value:
            _check(items, part, where)


def test_each_type_has_a_schema() -> None:
    for kind in TYPES.values():
        assert json.loads(schema_of(kind))["type"] == "object"


def test_a_row_of_files_keeps_to_its_bound_and_loses_the_oldest(tmp_path: Path) -> None:
    keep = 4_500_000
    row = Row(tmp_path, "20260131T120000Z", keep)
    about = About(facts={"format": "1"}, attachments=(Attachment(name="a", media_type="b", data=b"c"),))
    most = 0
    with Recorder(row, about) as recorder:
        for number in range(220):
            recorder.write("doing", _noise(number), number / 10)
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    files = files_in(tmp_path)
    assert most <= keep
    assert len(files) > 3 and files[0].name != "20260131T120000Z-0001.mcap"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(path.stat().st_size <= 1_048_576 for path in files)
    times = []
    for path in files:
        with Recording(path) as recording:
            assert recording.is_whole and recording.facts == {"format": "1"}
            assert recording.attachment("a") == b"c"
            times += [message.time_s for message in recording.messages()]
    assert times == [number / 10 for number in range(220)][-len(times) :]


def test_a_full_disk_ends_the_recording_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free = 2_000_000_000
    row = Row(tmp_path / "new", "20260131T120000Z", 100_000_000, lambda _: free)
    with Recorder(row) as recorder:
        recorder.write("doing", _noise(0), 0.0)
        assert recorder.line == "recording"
        free = 0
        for number in range(400):
            recorder.write("doing", _noise(number), 1.0)
        assert recorder.line.startswith("stopped")
        recorder.write("doing", _noise(1), 30.0)
        assert recorder.line.startswith("stopped")
        recorder.write("doing", _noise(1), 90.0)
        free = 2_000_000_000
        recorder.write("doing", _noise(2), 151.0)
        assert recorder.line == "recording"
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    times = []
    for path in files_in(tmp_path / "new"):
        with Recording(path) as recording:
            times += [message.time_s for message in recording.messages()]
    assert times[-1] == 151.0


def test_a_file_that_may_grow_no_more_ends_the_recording_not_the_robot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = tmp_path / "x.mcap"
    with Recorder(file) as recorder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        try:
            for number in range(40):
                recorder.write("doing", _noise(number), number / 10)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert recorder.line == f"stopped: {os.strerror(errno.EFBIG)}"
        recorder.write(
            "doing", _noise(40), 1000.0
        )  # tried again later: what there is must not be written over
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    with Recording(file) as recording:
        assert [message.time_s for message in recording.messages()] == [0.0, 0.1, 0.2, 0.3, 0.4]
        assert any("cut off" in note for note in recording.notes)


def test_a_message_without_a_form_is_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "x.mcap"
    with Recorder(file, has_thread=True) as recorder:
        for number in range(3):
            recorder.write("doing", events.Doing(what="\ud800", why=""), number)
            recorder.write("doing", events.Doing(what="well", why=""), number + 0.5)
    assert [record.message.split(" (")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "recording: a message of doing was left out"
    ]
    with Recording(file) as recording:
        assert [message.time_s for message in recording.messages()] == [0.5, 1.5, 2.5]


def test_a_file_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    for file in (tmp_path / "no" / "x.mcap", Path("/dev/full")):
        with pytest.raises(ConfigError, match="cannot be written"), Recorder(file):
            pass


def test_what_is_too_much_for_the_thread_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.record.QUEUE", 50)
    monkeypatch.setattr("agent.record.POLL_S", 0.01)
    row = Row(tmp_path, "20260131T120000Z", 100_000_000, lambda _: 2_000_000_000)
    with Recorder(row, has_thread=True) as recorder:
        for number in range(2000):
            recorder.write("doing", events.Doing(what="a", why=str(number)), number / 100)
    (path,) = files_in(tmp_path)
    with Recording(path) as recording:
        written = len(list(recording.messages()))
    assert recorder.dropped > 0 and written + recorder.dropped == 2000
    assert "dropped" in caplog.text


def test_a_thread_writes_what_is_written_at_once(tmp_path: Path) -> None:
    """The same messages give the same bytes either way."""
    rows = [Row(tmp_path / name, "20260131T120000Z", 100_000_000, lambda _: 10**10) for name in "ab"]
    for row, has_thread in zip(rows, (False, True), strict=True):
        with Recorder(row, kept=Kept(quality=LOW), has_thread=has_thread) as recorder:
            for number in range(40):
                recorder.write("frames", frame(number, number / 20), number / 20)
                recorder.write("sight", msgspec.structs.replace(SIGHT, time_s=number / 20), number / 20)
    (first,), (second,) = files_in(tmp_path / "a"), files_in(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with Recording(first) as recording:
        count = {name: len(list(recording.messages([name]))) for name in ("frames", "sight")}
    assert count == {"frames": 8, "sight": 40}  # four pictures a second


def test_faces_are_blurred_where_the_owner_wants_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sharp = Frame(image=rng.integers(0, 255, (480, 640, 3), np.uint8), time_s=1.0, index=1)
    box = events.Box(250.0, 150.0, 150.0, 200.0)
    sight = Sight(time_s=1.0, frame=1, faces=(msgspec.structs.replace(FACE, box=box),))
    file = tmp_path / "blurred.mcap"
    with Recorder(
        file, kept=Kept(quality=msgspec.structs.replace(LOW, bits_s=500_000), has_blur=True)
    ) as recorder:
        recorder.write("frames", sharp, 1.0)
        recorder.write("sight", sight, 1.0)
        recorder.write("frames", msgspec.structs.replace(sharp, time_s=5.0), 5.0)  # nothing is seen around it
        recorder.write("sight", msgspec.structs.replace(sight, time_s=9.0), 9.0)
    with Recording(file) as recording:
        (message,) = recording.messages(["frames"])
    assert isinstance(message.value, Picture)
    (image,) = decode([message.value.data])
    assert image is not None
    inside, outside = image[80:170, 130:195].astype(float), image[:40, :60].astype(float)
    assert inside.std() < 15 < 20 < outside.std()
