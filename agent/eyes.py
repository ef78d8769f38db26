"""The loops that see: cameras → frames → faces → whom to look at, and the caller's head → the nod signal.

A camera that fails is said once and opened again; until then nothing new is seen, so nothing is chased. One that
gives the same picture again and again has failed too: the robot would follow a face that can never reach the middle.
"""

import asyncio
import logging
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, TypeVarTuple

import msgspec
import numpy as np

from agent import gaze, nod
from agent.body import PoseHistory, pixel_to_point, view_shift
from agent.events import Aim, Bus, Face, HeadPose, Latest, Lock, Sight, rounded
from agent.figures import Figures
from agent.glance import CallGlance, Glance, Snapshots
from drivers.body import Body, Matrix, camera_pose
from drivers.camera import STILL_S, Camera, Frame, Image, Lens
from drivers.errors import DeviceError

GRAIN_PX = 16  # one pixel in so many, each way, tells two pictures apart: a thousand of a webcam's
LEAST_ALIKE = 10  # pictures that must be the same: one that is given twice after a stall is no failure
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between tries to open a camera; five seconds is what a person waits
ASSUMED_DISTANCE_M = 1.5  # of a face whose size says nothing yet
FAR_M = 3.0  # where the point is put that stands for a direction
ANGLE_DIGITS = 6  # of radians: a recording holds what was decided on, and no noise below it
DT_DIGITS = 6  # of seconds
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
DIRECTIONS_RAD = {"ahead": (0.0, 0.0), "up": (0.0, -0.4), "down": (0.0, 0.4), "away": (0.9, 0.1)}


class Sees(Protocol):
    """Finds and follows the faces of one camera, frame after frame; `agent.vision.Vision` says how."""

    def see(
        self,
        image: Image,
        time_s: float,
        frame: int,
        wanted: Set[int] | None = None,
        shift: Matrix | None = None,
    ) -> Sight: ...


class Seeing(msgspec.Struct, frozen=True, kw_only=True):
    """How to get what sees for a camera with a lens, and whether its work would hold up the loop."""

    make: Callable[[Lens], Sees]
    needs_thread: bool = True


class Eye:
    """One camera: opens it, keeps it open, and knows its lens and its state.

    `still_s` is how long its pictures may be alike (`drivers.camera.most_still_s`); None: for ever.
    """

    def __init__(
        self,
        name: str,
        camera: Camera,
        frames: Latest[Frame],
        description: str,
        latency_s: float = 0.0,
        still_s: float | None = STILL_S,
    ) -> None:
        self.line = "opening"
        self.is_open = False
        self._name = name
        self._description = description
        self._camera = camera
        self._frames = frames
        self._latency_s = latency_s
        self.still_s = still_s
        self._grain: Image | None = None
        self._changed_s = 0.0
        self._alike = 0  # pictures since then
        self._log = logging.getLogger(f"{__name__}.{name}")

    @property
    def lens(self) -> Lens:
        return self._camera.lens

    async def film(self) -> None:
        """Put frame after frame on the bus, for ever; each carries the time at which it was taken."""
        tries = 0
        while True:
            try:
                async with self._camera:
                    while True:
                        frame = await self._camera.read()
                        self._need_change(frame)
                        if not self.is_open:
                            self._log.info("%s: open", self._name)
                            self.line, self.is_open, tries = self._description, True, 0
                        taken_s = frame.time_s - self._latency_s
                        self._frames.put(msgspec.structs.replace(frame, time_s=taken_s), taken_s)
            except DeviceError as exc:
                if self.line != str(exc):
                    self._log.error("%s", exc)
                self.line, self.is_open = str(exc), False
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            tries += 1

    def _need_change(self, frame: Frame) -> None:
        """Raise DeviceError if the picture has stood still for too long, also since before it was opened again."""
        if self.still_s is None or frame.image.size == 0:
            return
        grain = frame.image[::GRAIN_PX, ::GRAIN_PX]
        if self._grain is None or not np.array_equal(grain, self._grain):
            self._grain, self._changed_s, self._alike = grain.copy(), frame.time_s, 0
            return
        self._alike += 1
        if self._alike >= LEAST_ALIKE and frame.time_s - self._changed_s > self.still_s:
            raise DeviceError(
                f"{self._name}: the picture stands still; see that nothing covers it, or plug it in again"
            )


class Watcher:
    """Holds on to one person before the robot's own camera."""

    def __init__(self, body: Body, bus: Bus, pose: PoseHistory, figures: Figures) -> None:
        self._body = body
        self._bus = bus
        self._pose = pose
        self._figures = figures
        self._state = gaze.GazeState()
        self._command: gaze.Command | None = None
        self._direction: str | None = None
        self._seen_from_rad = body.rest_rad  # joint angles at the newest frame
        self._snapshots = Snapshots()

    def lock_on(self, command: gaze.Command) -> None:
        """Hold on to somebody from the next frame on."""
        self._command, self._direction = command, None

    def turn_to(self, direction: str) -> None:
        """Look in a direction (one of DIRECTIONS_RAD) instead of at somebody."""
        self._direction = direction

    @property
    def direction(self) -> str | None:
        return self._direction

    async def watch(self, eye: Eye, seeing: Seeing, thread: ThreadPoolExecutor) -> None:
        """Each newest frame: faces, lock, and the point to look at by the pose at that frame's time."""
        loop = asyncio.get_running_loop()
        sights = _Sights(self._bus.frames, eye, seeing, thread)
        while True:
            frame, sight, dt_s, shift = await sights.next(gaze.wanted(self._state), self._view)
            command, self._command = self._command, None
            if shift is not None:
                self._state = gaze.shifted(self._state, shift)
            glance = Glance(
                time_s=frame.time_s,
                count=self._bus.glance.count,
                dt_s=dt_s,
                angles_rad=self._seen_from_rad,
                lens=eye.lens,
                command=command,
                direction=self._direction,
                state=self._snapshots.take(self._state, frame.time_s),
            )
            self._state, lock = gaze.step(self._state, sight, command, dt_s)
            self._bus.glance.put(glance, frame.time_s)
            self._bus.sight.put(sight, frame.time_s)
            self._bus.lock.put(lock, frame.time_s)
            self._figures.note("frame_to_sight_s", loop.time() - frame.time_s)
            aim = aim_at(self._body, glance, sight, lock)
            if aim is not None:
                self._bus.aim.put(aim, frame.time_s)

    def _view(self, frame: Frame) -> Matrix:
        """Where the camera was when it took a frame."""
        angles = self._pose.at(frame.time_s - self._body.servo_lag_s)
        self._seen_from_rad = tuple(round(angle, ANGLE_DIGITS) for angle in angles)
        return camera_pose(self._body, self._seen_from_rad)


def aim_at(body: Body, glance: Glance, sight: Sight, lock: Lock) -> Aim | None:
    """The point to look at, by the pose at the time of the frame; None while nobody is held on to."""
    if glance.direction is not None:
        yaw_rad, pitch_rad = DIRECTIONS_RAD[glance.direction]
        angles = list(body.rest_rad)
        angles[body.index("yaw")] = yaw_rad
        angles[body.index("tilt")] = pitch_rad
        camera = camera_pose(body, tuple(angles))
        x, y, z = camera[:3, 3] + FAR_M * camera[:3, 0]
        return Aim(time_s=glance.time_s, point_m=(float(x), float(y), float(z)))
    if lock.face is None:
        return None
    face = sight.faces[lock.face]
    distance_m = face.distance_m or ASSUMED_DISTANCE_M
    view = camera_pose(body, glance.angles_rad)
    return Aim(time_s=glance.time_s, point_m=pixel_to_point(glance.lens, view, *_centre(face), distance_m))


async def watch_caller(eye: Eye, bus: Bus, seeing: Seeing, thread: ThreadPoolExecutor) -> None:
    """The caller's film → their head → the nod signal and the gestures they make."""
    state = nod.start()
    snapshots = Snapshots()
    sights = _Sights(bus.call_frames, eye, seeing, thread)
    while True:
        frame, sight, dt_s, _ = await sights.next(frozenset())
        glance = CallGlance(
            time_s=frame.time_s,
            count=bus.call_glance.count,
            dt_s=dt_s,
            state=snapshots.take(state, frame.time_s),
        )
        state, signal, gestures = nod.step(state, caller_pose(sight), frame.time_s, dt_s)
        bus.call_glance.put(glance, frame.time_s)
        bus.call_sight.put(sight, frame.time_s)
        if signal is not None:
            bus.nod.put(signal, frame.time_s)
        for gesture in gestures:
            bus.gesture.put(gesture, frame.time_s)


def caller_pose(sight: Sight) -> HeadPose | None:
    """The head of whoever is nearest to the call's camera."""
    nearest = max(sight.faces, key=lambda face: face.box.width_px, default=None)
    return nearest.pose if nearest else None


class _Sights:
    """Newest frame in, its sight out."""

    def __init__(self, frames: Latest[Frame], eye: Eye, seeing: Seeing, thread: ThreadPoolExecutor) -> None:
        self._frames = frames
        self._eye = eye
        self._seeing = seeing
        self._thread = thread
        self._vision: Sees | None = None
        self._lens: Lens | None = None
        self._seen = 0
        self._last_s: float | None = None
        self._last_pose: Matrix | None = None

    async def next(
        self, wanted: frozenset[int], view: Callable[[Frame], Matrix] | None = None
    ) -> tuple[Frame, Sight, float, Matrix | None]:
        """The newest frame, what is in it, the seconds since the one before, and how the view shifted since.

        `view` tells where the camera was; without it, it is taken to stand still.
        """
        frame = await self._frames.after(self._seen)
        self._seen = self._frames.count
        if self._vision is None or self._lens != self._eye.lens:
            self._lens = self._eye.lens
            self._vision = await self._call(self._seeing.make, self._lens)
        vision, pose, shift = self._vision, None, None
        if view is not None:
            pose = view(frame)
            shift = view_shift(self._lens, self._last_pose, pose) if self._last_pose is not None else None
        self._last_pose = pose
        sight = rounded(await self._call(vision.see, frame.image, frame.time_s, frame.index, wanted, shift))
        dt_s = 0.0 if self._last_s is None else round(max(frame.time_s - self._last_s, 0.0), DT_DIGITS)
        self._last_s = frame.time_s
        return frame, sight, dt_s, shift

    async def _call(self, work: Callable[[*Ts], T], *given: *Ts) -> T:
        if not self._seeing.needs_thread:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)


def _centre(face: Face) -> tuple[float, float]:
    return face.box.x_px + face.box.width_px / 2, face.box.y_px + face.box.height_px / 2
