"""A report holds what helps, and nobody whom one could recognise."""

import json
import stat
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent import weights
from agent.__main__ import main
from agent.config import CameraConfig, Config, MqttConfig
from agent.events import Doing, Health, Order, Sight
from agent.pictures import Shown, with_images
from agent.record import Kept, Recorder
from agent.record_files import About
from agent.record_format import Crowd, LogLine, stamped
from agent.recording import Recording
from agent.report import Keep, Packed, newest, pack
from agent.video import FULL
from agent.viewing import Standing
from agent.vision import Vision, VisionConfig
from drivers.audio import Sound
from drivers.camera import Frame, Image, Lens
from drivers.errors import ConfigError

PAIR = "head-pose-face-detection-female-and-male.gif"
FRAMES = 16
RATE_HZ = 12.5
SECRET = Config(
    mqtt=MqttConfig(url="mqtt://ann:hunter2@house:1883"),
    camera=CameraConfig(source="rtsp://ann:hunter2@door/stream?key=hunter2"),
)


@pytest.fixture
def seeing() -> None:
    if weights.missing(("face_detection", "face_landmark")):
        pytest.skip("the weights of vision are not on this machine; `./nod run` fetches them")


def _lens(image: Image) -> Lens:
    height_px, width_px = image.shape[:2]
    return Lens(width_px=width_px, height_px=height_px, focal_px=width_px / 1.2)


def _record_film(film: Path, target: Path, *, blind_after: int) -> None:
    """Two people on film, with what vision sees; after some frames it sees nobody, though they are still there."""
    capture = cv2.VideoCapture(str(film))
    vision: Vision | None = None
    with Recorder(target, kept=Kept(quality=FULL)) as recorder:
        for number in range(FRAMES):
            image = np.asarray(capture.read()[1], np.uint8)
            vision = vision or Vision(_lens(image))
            time_s = number / RATE_HZ
            sight = vision.see(image, time_s, number)
            if number >= blind_after:
                sight = Sight(time_s=time_s, frame=number, faces=())
            recorder.write("frames", Frame(image=image, time_s=time_s, index=number), time_s)
            recorder.write("sight", sight, time_s)


def _pack(file: Path, keep: Keep, tmp_path: Path, seconds: float = 60.0) -> tuple[Path, Packed]:
    target = tmp_path / "report.zip"
    packed = pack([file], seconds, keep, target, SECRET, [])
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "report")
    return tmp_path / "report" / "recording.mcap", packed


def _faces(recording: Path) -> tuple[int, int]:
    """How many pictures a recording has, and how many faces vision finds in them."""
    vision, pictures, faces = None, 0, 0
    with Recording(recording) as opened:
        for message in with_images(opened.messages(["frames"])):
            assert isinstance(message.value, Shown) and message.value.image is not None
            image = message.value.image
            vision = vision or Vision(_lens(image), config=VisionConfig(detect_every=1))
            found = vision.see(image, message.time_s, message.value.picture.index).faces
            pictures, faces = pictures + 1, faces + len(found)
    return pictures, faces


@pytest.mark.parametrize("blind_after", [10, pytest.param(FRAMES, marks=pytest.mark.e2e)])
def test_vision_finds_no_face_in_a_report_even_where_the_robot_missed_some(
    seeing: None, shared_dir: Path, tmp_path: Path, blind_after: int
) -> None:
    film = tmp_path / "film.mcap"
    _record_film(shared_dir / "clips" / PAIR, film, blind_after=blind_after)
    assert _faces(film)[1] > FRAMES  # two people in nearly every picture
    report, packed = _pack(film, Keep(), tmp_path)
    pictures, faces = _faces(report)
    assert faces == 0
    assert pictures + packed.pictures_left_out == FRAMES and pictures > FRAMES * 0.8
    with Recording(report) as recording:
        sights = [message.value for message in recording.messages(["sight"])]
    assert len(sights) == FRAMES
    for sight in sights:
        assert isinstance(sight, Sight)
        assert all(face.embedding is None and face.landmarks is None for face in sight.faces)


@pytest.mark.e2e
def test_faces_go_out_only_when_the_owner_says_so(seeing: None, shared_dir: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mcap"
    _record_film(shared_dir / "clips" / PAIR, film, blind_after=FRAMES)
    report, _ = _pack(film, Keep(has_faces=True), tmp_path)
    pictures, faces = _faces(report)
    assert pictures == FRAMES and faces > FRAMES


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Ninety seconds with sound, names, a log and a channel that this version does not know."""
    file = tmp_path / "20260131T120000Z-0001.mcap"
    standing = Standing(name="Anna", x_m=1.0, y_m=0.0, z_m=1.6, yaw_rad=3.0)
    with Recorder(file, About(facts={"format": "1", "folder": f"{Path.home()}/x"})) as recorder:
        for second in range(91):
            time_s = float(second)
            recorder.write("people", Crowd(time_s=time_s, people=(standing,)), time_s)
            sound = Sound(samples=np.ones(1600, np.int16), time_s=time_s, rate_hz=16000)
            recorder.write("sound", sound, time_s)
            recorder.write("truth", Doing(what="Anna", why=""), time_s)
            recorder.write("doing", Doing(what="Saying hello.", why="“hello Anna”"), time_s)
        recorder.write("orders", Order(id="1", text="say hello to anna", source="cli", time_s=90.0), 90.0)
        line = LogLine(
            timestamp=stamped(90.0), level=2, message=f"{Path.home()}/y", name="agent.x", file="x.py", line=1
        )
        recorder.write("log", line, 90.0)
        health = Health(link="up", is_link_up=True, camera="gone", is_camera_up=False)
        recorder.write("health", health, 90.0)
    return file


def test_voices_names_and_secrets_stay_at_home(talk: Path, tmp_path: Path) -> None:
    report, packed = _pack(talk, Keep(), tmp_path)
    assert packed.seconds == pytest.approx(60.0, abs=1.0)
    with Recording(report) as recording:
        messages = list(recording.messages())
        assert recording.is_whole and recording.facts["folder"] == "~/x"
    channels = {message.channel for message in messages}
    assert channels == {"people", "doing", "orders", "log", "health"}
    assert min(message.time_s for message in messages) == 30.0
    everything = repr(messages)
    assert "nna" not in everything and "person 1" in everything
    for file in report.parent.iterdir():
        text = file.read_bytes()
        assert b"hunter2" not in text and b"ann:" not in text
        assert str(Path.home()).encode() + b"/" not in text
    assert json.loads((report.parent / "health.json").read_bytes())["camera"] == "gone"
    assert "agent.x: ~/y" in (report.parent / "log.txt").read_text()
    config = json.loads((report.parent / "config.json").read_bytes())
    assert config["mqtt"]["url"] == "mqtt://house:1883"
    assert config["camera"]["source"] == "rtsp://door/stream"


def test_voices_and_names_go_out_only_when_the_owner_says_so(talk: Path, tmp_path: Path) -> None:
    report, _ = _pack(talk, Keep(has_voices=True, has_names=True), tmp_path)
    with Recording(report) as recording:
        messages = list(recording.messages())
    assert "sound" in {message.channel for message in messages} and "Anna" in repr(messages)


def test_it_takes_the_newest_run_and_what_came_before_in_it(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["report"]) == 2
    assert "there is no recording yet" in capsys.readouterr().err
    folder = tmp_path / "nod" / "recordings" / "nod"
    folder.mkdir(parents=True)
    for name in ("20250101T000000Z-0001", "20260131T120000Z-0001"):
        (folder / f"{name}.mcap").write_bytes(talk.read_bytes())
    second = folder / "20260131T120000Z-0002.mcap"
    with Recorder(second) as recorder:
        recorder.write("doing", Doing(what="a", why="b"), 95.0)
    assert newest(folder) == [folder / "20260131T120000Z-0001.mcap", second]
    target = tmp_path / "r.zip"
    assert main(["report", "--minutes", "0.5", "--output", str(target)]) == 0
    assert "30 s" in capsys.readouterr().out
    assert main(["report", "--output", str(tmp_path / "no" / "r.zip")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_empty_recording_is_nothing_to_report(tmp_path: Path) -> None:
    file = tmp_path / "x.mcap"
    with Recorder(file):
        pass
    with pytest.raises(ConfigError, match="no messages"):
        pack([file], 60.0, Keep(), tmp_path / "r.zip", Config(), [])
