"""A film of a rehearsal: what the robot sees, with its lock, beside the room from outside with the robot in it."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import cv2
import msgspec
import numpy as np

from agent.events import Lock, Sight
from agent.rehearsal import Rehearsal, Truth
from agent.video import FilmFile
from drivers.body import Matrix
from drivers.camera import Image
from drivers.errors import ConfigError, DeviceError

RATE_HZ = 20
TRUTHS_A_FRAME = 100 // RATE_HZ
WIDTH_PX, HEIGHT_PX = 640, 480  # of each half
BAR_PX = 28  # below both, for words
LOCK_BGR, FACE_BGR, INK_BGR = (87, 200, 255), (200, 200, 200), (240, 240, 240)
TEXT = (cv2.FONT_HERSHEY_SIMPLEX, 0.45)


class _Shot(msgspec.Struct, frozen=True, kw_only=True):
    """All that one frame shows."""

    truth: Truth
    base_pose: Matrix
    image: Image | None  # None: to be drawn
    sight: Sight | None
    lock: Lock | None
    words: str


class Film:
    """A witness that films to an MP4 file. Use it as a context; the file is there when it ends without an error.

    In real time frames that would come too late are filled up with the one before; in virtual time the robot waits.
    """

    def __init__(self, path: Path, *, is_real: bool = False) -> None:
        self._path = path
        self._is_real = is_real
        self._part = path.with_name(f"{path.name}.part")
        self._drawing: Future[Image] | None = None
        self._owed = 0  # frames since the last one that was drawn
        self._truths = 0

    def __enter__(self) -> "Film":
        """Open the file. Raises ConfigError if it cannot be written."""
        if self._path.suffix.lower() != ".mp4":
            raise ConfigError(f"--video {self._path}: a film is an .mp4 file")
        try:
            self._part.open("wb").close()
        except OSError as exc:
            raise ConfigError(f"{self._path}: cannot be written ({exc.strerror}); name another file") from exc
        try:
            self._file = FilmFile(self._part, 2 * WIDTH_PX, HEIGHT_PX + BAR_PX, RATE_HZ)
        except DeviceError:
            self._part.unlink()
            raise
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="film")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file. Raises DeviceError if it is cut short."""
        is_whole = False
        try:
            if kind is None:
                self._write()
                self._file.close()
                is_whole = True
        except DeviceError as error:
            raise DeviceError(
                f"{self._path}: the film could not be written whole; is the disk full?"
            ) from error
        finally:
            self._thread.shutdown()
            if is_whole:
                self._part.replace(self._path)
            else:
                self._part.unlink(missing_ok=True)

    def begin(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._overview = rehearsal.overview()

    def see(self, truth: Truth) -> None:
        self._truths += 1
        if self._truths % TRUTHS_A_FRAME != 1:
            return
        if self._drawing is not None and self._is_real and not self._drawing.done():
            self._owed += 1
            return
        self._write()
        self._owed = 1
        self._drawing = self._thread.submit(self._draw, self._shot(truth))

    def _write(self) -> None:
        """The frame that is being drawn, as often as it is due."""
        if self._drawing is None:
            return
        image = self._drawing.result()
        for _ in range(self._owed):
            self._file.write(image)
        self._drawing = None

    def _shot(self, truth: Truth) -> _Shot:
        rehearsal, bus = self._rehearsal, self._rehearsal.app.bus
        lock, frame = bus.lock.get(), bus.frames.get()
        has_pictures = rehearsal.stage.fidelity == "pixels"
        scenario, elapsed_s = rehearsal.stage.scenario.name, truth.time_s - rehearsal.start_s
        words = (
            f"{scenario}   {elapsed_s:6.2f} s   {lock.phase}: {lock.reason}" if lock is not None else scenario
        )
        return _Shot(
            truth=truth,
            base_pose=rehearsal.stage.plant.base_pose,  # which is at the truth's time
            image=frame.image if has_pictures and frame is not None else None,
            sight=bus.sight.get(),
            lock=lock,
            words=words,
        )

    def _draw(self, shot: _Shot) -> Image:
        """In the film's own thread."""
        stage, truth = self._rehearsal.stage, shot.truth
        actors, light = stage.drawn(truth.time_s), stage.light_at(truth.time_s)
        robot = shot.base_pose, truth.angles_rad
        seen = self._overview.robot_view(*robot, actors, light) if shot.image is None else shot.image
        left = (
            cv2.resize(seen, (WIDTH_PX, HEIGHT_PX))
            if seen.shape[:2] != (HEIGHT_PX, WIDTH_PX)
            else seen.copy()
        )
        _mark(left, shot, seen.shape[1])
        both = np.hstack([left, self._overview.draw(*robot, actors, light)])
        bar = np.zeros((BAR_PX, 2 * WIDTH_PX, 3), dtype=np.uint8)
        plain = shot.words.encode("ascii", "replace").decode()  # OpenCV's letters are ASCII
        cv2.putText(bar, plain, (8, 19), *TEXT, INK_BGR, 1, cv2.LINE_AA)
        return np.vstack([both, bar])


def _mark(image: Image, shot: _Shot, width_px: int) -> None:
    """The faces that were found, and the one that is held on to."""
    if shot.sight is None:
        return
    scale = WIDTH_PX / width_px
    for place, face in enumerate(shot.sight.faces):
        is_held = shot.lock is not None and shot.lock.face == place
        corner = (round(face.box.x_px * scale), round(face.box.y_px * scale))
        other = (
            round((face.box.x_px + face.box.width_px) * scale),
            round((face.box.y_px + face.box.height_px) * scale),
        )
        cv2.rectangle(
            image, corner, other, LOCK_BGR if is_held else FACE_BGR, 3 if is_held else 1, cv2.LINE_AA
        )
