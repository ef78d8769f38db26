"""A whole stand-in: people in a room, a camera on an arm whose servos follow the true firmware's pulses.

The board is either the firmware as a library, stepped with the loop's clock (virtual time), or the firmware
as a process on a pty (real time); everything behind it is the same. In a board's place there may be simulated
bus servos, which turn their joints themselves.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from drivers.body import Body, Matrix, camera_pose, rotation, transform
from drivers.camera import Image, Lens, lens_for
from drivers.errors import not_installed
from sim.board import Board, LockstepBoard, PwmFrame
from sim.body import LightBody, Plant
from sim.bus_servo import ServoBus
from sim.camera import SimCamera
from sim.landmarks import Instant, Landmarks
from sim.microphone import Acoustics, Place, SimMicrophone, Utterance
from sim.people import Actor
from sim.render import Renderer, portrait_pose
from sim.room import ROOMS, Room
from sim.scenario import Scenario
from sim.sensor import Imager
from sim.sightlines import blocks_of
from sim.truth import TRUTH_OFFSET_S, TRUTH_S, Truth
from sim.voices import CHILD_EYES_BELOW_M, speak
from sim.world import CALLER_DISTANCE_M, World

WIDTH_PX, HEIGHT_PX = 640, 480
RATE_HZ = 20.0  # of both cameras; drawing and seeing five people at thirty would fill a whole core
CALL_VIEW_RAD = 0.9  # a laptop's camera, across
FACE_RADIUS_M = 0.11  # from the middle of a face to its edge
EYES_TO_MIDDLE_M = 0.04  # the middle of a face lies this far below the eyes
POSES_KEPT = 30  # frames whose camera pose is remembered, for judging
STEP_S = 0.01  # how often the board gets to speak; a report comes this much late at most
PLANT_EVERY = 5  # of those: how often the body is brought up to date though nobody looks

Fidelity = Literal["pixels", "landmarks"]
"""Whether the cameras draw pictures, or an error model says what vision would have seen in them."""

Physics = Literal["light", "mujoco"]
"""What moves the body: `sim.body`'s own equations, or MuJoCo with contact."""


def plant_of(physics: Physics) -> Callable[[Body, float], Plant]:
    """How to make a body of this depth. Raises ConfigError without MuJoCo, which is an extra."""
    if physics == "light":
        return LightBody
    try:
        from sim.mujoco_body import MujocoBody  # not at the top: few have it
    except ImportError as exc:
        raise not_installed("--physics mujoco needs MuJoCo", "mujoco") from exc
    return MujocoBody


class Stage:
    """One scenario, set up. `run` keeps it going beside the robot.

    The scenario's time begins at loop time `start_s`, at which this is made. `witness` is told the truth, each TRUTH_S.
    """

    def __init__(
        self,
        scenario: Scenario,
        body: Body,
        board: Board | ServoBus,
        seed: int,
        fidelity: Fidelity = "pixels",
        plant: Callable[[Body, float], Plant] = LightBody,
    ) -> None:
        self.scenario = scenario
        self.fidelity = fidelity
        self.room: Room = ROOMS[scenario.room]()
        self.world = World(scenario, seed)
        self.board = board
        self.light: float | None = None  # a fault's; else it is the scenario's
        self.witness: Callable[[Truth], None] | None = None
        self._seed = seed
        self._body = body
        self.start_s = asyncio.get_running_loop().time()
        self._told = 0  # truths
        self._frames: deque[PwmFrame] = deque()  # not yet told
        self._pulse_us: tuple[int, ...] = ()
        self.plant = plant(body, self.start_s)
        stand = scenario.robot
        self._base = transform(rotation("z", stand.yaw_rad), stand.position_m)
        self._lens = lens_for(WIDTH_PX, HEIGHT_PX, body.camera.field_of_view_rad)
        self._taken: deque[Instant] = deque(maxlen=POSES_KEPT)

    def camera(self) -> SimCamera:
        """The robot's camera."""
        if self.fidelity == "landmarks":
            return SimCamera(self._lens, RATE_HZ, self._see_nothing, self.scenario.sensor.latency_s)
        names = tuple(part.name for part in self.scenario.person)
        renderer = Renderer(self._lens, self.room, names)
        imager = Imager(self.scenario.sensor, self._lens, f"{self._seed} camera")
        return SimCamera(
            self._lens,
            RATE_HZ,
            lambda time_s: self._view(renderer, imager, time_s),
            self.scenario.sensor.latency_s,
        )

    def call_camera(self) -> SimCamera | None:
        """The camera in front of the caller, if the scenario has one."""
        part, caller = self.scenario.caller, self.world.caller
        if part is None or caller is None:
            return None
        lens = lens_for(WIDTH_PX // 2, HEIGHT_PX // 2, CALL_VIEW_RAD)
        if self.fidelity == "landmarks":
            return SimCamera(lens, RATE_HZ, _no_picture, self.scenario.sensor.latency_s)
        renderer = Renderer(lens, self.room, (part.name,))
        imager = Imager(self.scenario.sensor, lens, f"{self._seed} call")
        return SimCamera(
            lens,
            RATE_HZ,
            lambda time_s: _portrait(renderer, imager, caller.at(time_s - self.start_s), time_s),
            self.scenario.sensor.latency_s,
        )

    def microphone(self) -> SimMicrophone:
        """One ear, at the robot's camera. Raises ConfigError if what speaks, or what echoes, is not installed."""
        return SimMicrophone(
            Acoustics(*self.room.corners_m), self._spoken, self._ear, lambda: self.angles_rad, self._seed
        )

    def landmarks(self, lens: Lens) -> Landmarks:
        """In place of vision for the robot's camera."""
        return Landmarks(lens, self._instant, blocks_of(self.room), self._seed)

    def call_landmarks(self, lens: Lens) -> Landmarks:
        """In place of vision for the camera in front of the caller."""
        caller = self.world.caller
        assert caller is not None

        def instant(time_s: float) -> Instant:
            actor = caller.at(time_s - self.start_s)
            return Instant(time_s, _portrait_pose(actor), (actor,), 1.0)

        return Landmarks(lens, instant, blocks_of(None), self._seed, has_identity=False)

    @property
    def angles_rad(self) -> tuple[float, ...]:
        """Where the joints truly are, now."""
        if isinstance(self.board, ServoBus):
            return self.board.angles_rad
        self._advance(asyncio.get_running_loop().time())
        return self.plant.angles_rad

    def actors(self, time_s: float) -> tuple[Actor, ...]:
        """Everybody in the room."""
        return self.world.actors(time_s - self.start_s)

    def drawn(self, time_s: float) -> tuple[Actor, ...]:
        """All whom a picture shows: everybody in the room, and the pets."""
        return self.actors(time_s) + self._pets(time_s)

    def _pets(self, time_s: float) -> tuple[Actor, ...]:
        return self.world.pets(time_s - self.start_s)

    def light_at(self, time_s: float) -> float:
        """How bright the room is: a fault's light while there is one."""
        return self.world.light(time_s - self.start_s) if self.light is None else self.light

    def person_at(self, time_s: float, x_px: float, y_px: float) -> str | None:
        """Who was truly at a pixel of the frame taken at a time: of those whose face covers it, the foremost."""
        taken = next((taken for taken in self._taken if abs(taken.time_s - time_s) < 1e-6), None)
        if taken is None:
            return None
        pose, focal = taken.camera_pose, self._lens.focal_px
        eyes = np.array([actor.position_m for actor in taken.actors]).reshape(-1, 3)
        faces = (eyes - (0.0, 0.0, EYES_TO_MIDDLE_M) - pose[:3, 3]) @ pose[:3, :3]
        foremost, least_m = None, math.inf
        for actor, (x, y, z) in zip(taken.actors, faces.tolist(), strict=True):
            if x <= 0.1:
                continue
            off_px = math.hypot(WIDTH_PX / 2 - focal * y / x - x_px, HEIGHT_PX / 2 - focal * z / x - y_px)
            if off_px < FACE_RADIUS_M * focal / x and x < least_m:
                foremost, least_m = actor.name, x
        return foremost

    def stand_still(self, seconds: float) -> None:
        """Let no time pass on the board and for the body for so long: the clock is about to leap by that."""
        assert isinstance(self.board, LockstepBoard)
        self._advance(asyncio.get_running_loop().time())
        self.board.stand_still(seconds)
        self.plant.stand_still(seconds)

    async def run(self) -> None:
        """Let the board speak and the body follow, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(PLANT_EVERY):
                await asyncio.sleep(STEP_S)
                if not isinstance(self.board, ServoBus):  # which has the machine's clock
                    self.board.advance(loop.time())
            self._advance(loop.time())

    def _advance(self, now_s: float) -> None:
        """Board first, then the body by the pulses on the way: how often does not change what comes out."""
        if isinstance(self.board, ServoBus):
            return
        self.board.advance(now_s)
        for frame in self.board.pulses():
            self.plant.pulse(frame.time_s, frame.pulse_us)
            self._frames.append(frame)
        while (told_s := self.start_s + self._told * TRUTH_S + TRUTH_OFFSET_S) <= now_s:
            self._told += 1
            self.plant.advance(told_s)
            while self._frames and self._frames[0].time_s <= told_s:
                self._pulse_us = self._frames.popleft().pulse_us
            if self.witness is not None:
                angles_rad = self.plant.angles_rad
                truth = Truth(
                    time_s=told_s,
                    angles_rad=angles_rad,
                    pulse_us=self._pulse_us,
                    tilt_rad=self.plant.tilt_rad,
                )
                self.witness(truth)
        self.plant.advance(now_s)

    def _view(self, renderer: Renderer, imager: Imager, time_s: float) -> Callable[[], Image]:
        """What the robot's camera sees at a time, still to be drawn."""
        taken = self._take(time_s)
        pose, drawn = taken.camera_pose, taken.actors + self._pets(time_s)
        return lambda: imager.develop(renderer.draw(pose, drawn), taken.light, pose, time_s)

    def _see_nothing(self, time_s: float) -> Image:
        self._take(time_s)
        return _no_picture(time_s)

    def _take(self, time_s: float) -> Instant:
        taken = Instant(time_s, self._camera_pose(), self.actors(time_s), self.light_at(time_s))
        self._taken.append(taken)
        return taken

    def _camera_pose(self) -> Matrix:
        angles_rad = self.angles_rad  # first: it brings the plant up to date
        return self._base @ self.plant.base_pose @ camera_pose(self._body, angles_rad)

    def _ear(self) -> Place:
        x, y, z = self._camera_pose()[:3, 3]
        return float(x), float(y), float(z)

    def _spoken(self, from_s: float, to_s: float) -> tuple[Utterance, ...]:
        """What begins to be said in the room between two loop times."""
        children = {part.name for part in self.scenario.person if part.eye_height_m < CHILD_EYES_BELOW_M}
        return tuple(
            Utterance(
                self.start_s + said.start_s,
                partial(speak, said.name, said.text, said.name in children),
                said.position_m,
            )
            for said in self.world.speech(from_s - self.start_s, to_s - self.start_s)
        )

    def _instant(self, time_s: float) -> Instant:
        """What was before the robot's camera at the frame nearest to a time: a latency may have been taken off."""
        taken = min(self._taken, key=lambda taken: abs(taken.time_s - time_s))
        return taken._replace(light=self.scenario.sensor.as_usual(taken.light))


def _no_picture(time_s: float) -> Image:
    """Black but for a corner that is never the same twice, as a true picture's noise is not: no camera hangs."""
    image = np.zeros((12, 16, 3), dtype=np.uint8)
    slot = round(time_s * RATE_HZ)
    image[0, 0] = slot & 255, slot >> 8 & 255, slot >> 16 & 255
    return image


def _portrait(renderer: Renderer, imager: Imager, caller: Actor, time_s: float) -> Callable[[], Image]:
    pose = _portrait_pose(caller)

    def draw() -> Image:
        scene = renderer.draw_portrait(caller, CALLER_DISTANCE_M, aside_m=caller.position_m[1])
        return imager.develop(scene, 1.0, pose, time_s)

    return draw


def _portrait_pose(caller: Actor) -> Matrix:
    return portrait_pose(caller, CALLER_DISTANCE_M, aside_m=caller.position_m[1])
