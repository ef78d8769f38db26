"""Two driven wheels that slip: motors, traction, odometry from the wheels' turns, and what it bumps into.

The step itself is `sim.dynamics.roll`, which the light body has in its own loop too. `Base` is the wheels alone,
among furniture: what a driver of the base will stand on. Room frame, as `sim.room`.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from drivers.balance import GRAVITY_M_S2
from drivers.body import Body, Wheels, forward
from drivers.errors import ConfigError
from sim.dynamics import (
    LEFT_RAD,
    RIGHT_RAD,
    SPEED_M_S,
    STATES,
    TURN_RAD_S,
    X_M,
    Y_M,
    YAW_RAD,
    Reals,
    roll,
)
from sim.floor import ORIGIN, Bump, Disc, Pose, way_off, way_out
from sim.room import Footprint

STEP_S = 0.002
WHEELS_SHARE = 0.45  # of the weight is what slipping wheels bear in MuJoCo; the casters bear the rest
ENCODER_TICKS = 1440  # a turn of the wheel


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """What is under the wheels."""

    friction: float
    rolling: float  # resistance for each newton of weight


WOOD = Surface(friction=0.8, rolling=0.0)  # rubber on wood; MuJoCo's plane has no rolling resistance either
CARPET = Surface(friction=0.5, rolling=0.04)


def rolling_of(body: Body, wheels: Wheels, surface: Surface) -> Reals:
    """The numbers that `roll` takes, for a body whose arm stands at rest."""
    mass, upright = wheels.mass_kg, wheels.inertia_kg_m2[2]
    for joint, pose in zip(body.joint, forward(body, body.rest_rad), strict=False):
        x, y, _ = (pose @ (*joint.link.centre_m, 1.0))[:3]
        mass += joint.link.mass_kg
        upright += joint.link.mass_kg * (x * x + y * y) + joint.link.inertia_kg_m2[2]
    weight = mass * GRAVITY_M_S2
    grip = surface.friction * WHEELS_SHARE * weight / 2
    return np.array(
        [wheels.wheel_radius_m, wheels.track_m, mass, upright, grip, surface.rolling * weight], np.float64
    )


def wheel_speeds(wheels: Wheels, speed_m_s: float, turn_rad_s: float) -> tuple[float, float]:
    """Left and right in rad/s, for driving forwards and turning to the left."""
    apart_m_s = turn_rad_s * wheels.track_m / 2
    return (speed_m_s - apart_m_s) / wheels.wheel_radius_m, (speed_m_s + apart_m_s) / wheels.wheel_radius_m


class Odometry:
    """Where a base believes that it is, from its encoders: exact without slip, else it drifts from the truth."""

    def __init__(self, wheels: Wheels, ticks_per_turn: int = ENCODER_TICKS) -> None:
        self._wheels = wheels
        self._ticks_per_rad = ticks_per_turn / (2 * math.pi)
        self._seen = (0, 0)
        self.pose = Pose()

    def see(self, left_rad: float, right_rad: float) -> Pose:
        """Take in how far the wheels have turned since the beginning."""
        ticks = (math.floor(left_rad * self._ticks_per_rad), math.floor(right_rad * self._ticks_per_rad))
        per_tick_m = self._wheels.wheel_radius_m / self._ticks_per_rad
        left_m, right_m = ((now - then) * per_tick_m for now, then in zip(ticks, self._seen, strict=True))
        self._seen = ticks
        turn = (right_m - left_m) / self._wheels.track_m
        middle, way_m = self.pose.yaw_rad + turn / 2, (left_m + right_m) / 2
        self.pose = Pose(
            x_m=self.pose.x_m + way_m * math.cos(middle),
            y_m=self.pose.y_m + way_m * math.sin(middle),
            yaw_rad=self.pose.yaw_rad + turn,
        )
        return self.pose


class Base:
    """The wheeled base alone, among furniture. `advance` integrates up to a time."""

    def __init__(
        self,
        body: Body,
        surface: Surface = WOOD,
        footprints: Sequence[Footprint] = (),
        start: Pose = ORIGIN,
        time_s: float = 0.0,
    ) -> None:
        """Raises ConfigError for a body that stands on a foot."""
        if not isinstance(body.base, Wheels):
            raise ConfigError(f"body {body.name!r} stands on a foot and cannot drive; give one with wheels")
        self._wheels = body.base
        self._rolling = rolling_of(body, body.base, surface)
        self._footprints = tuple(footprints)
        self.discs: tuple[Disc, ...] = ()  # what moves: legs, pets; put anew as they do
        self._wanted = np.zeros(2)
        self._state = np.zeros(STATES)
        self._state[[X_M, Y_M, YAW_RAD]] = start.x_m, start.y_m, start.yaw_rad
        self._start_s, self._steps = time_s, 0
        self.odometry = Odometry(body.base)
        self.bump: Bump | None = None  # what it touches now

    @property
    def pose(self) -> Pose:
        """Where it truly is."""
        x, y, yaw = self._state[[X_M, Y_M, YAW_RAD]]
        return Pose(x_m=float(x), y_m=float(y), yaw_rad=float(yaw))

    @property
    def speed_m_s(self) -> float:
        return float(self._state[SPEED_M_S])

    @property
    def turn_rad_s(self) -> float:
        return float(self._state[TURN_RAD_S])

    def drive(self, speed_m_s: float, turn_rad_s: float = 0.0) -> None:
        """Turn the wheels: forwards and to the left, within what the body's file allows of turning."""
        self._wanted[:] = wheel_speeds(self._wheels, speed_m_s, turn_rad_s)

    def advance(self, now_s: float) -> None:
        """Integrate up to a time; earlier times are ignored."""
        until = math.floor((now_s - self._start_s) / STEP_S + 1e-6)
        while self._steps < until:
            self._steps += 1
            roll(self._state, self._rolling, self._wanted, STEP_S)
            self._touch()
        self.odometry.see(float(self._state[LEFT_RAD]), float(self._state[RIGHT_RAD]))

    def _touch(self) -> None:
        """What it drives into stops it; along that it scrapes."""
        self.bump = None
        x, y, yaw = (float(number) for number in self._state[[X_M, Y_M, YAW_RAD]])
        radius_m = self._wheels.outline_radius_m
        things: tuple[Footprint | Disc, ...] = (*self._footprints, *self.discs)
        for thing in things:
            if isinstance(thing, Disc):
                away = way_off(thing, x, y, radius_m)
            else:
                away = way_out(thing, x, y, radius_m)
            if away is None:
                continue
            x, y = x + away[0], y + away[1]
            into = math.atan2(-away[1], -away[0]) - yaw
            into = math.atan2(math.sin(into), math.cos(into))
            speed = float(self._state[SPEED_M_S]) * math.cos(into)
            if speed > 0.0:  # only backwards is left
                self._state[SPEED_M_S] -= speed * math.cos(into)
            if self.bump is None or speed > self.bump.speed_m_s:
                self.bump = Bump(bearing_rad=into, speed_m_s=max(speed, 0.0))
        self._state[[X_M, Y_M]] = x, y
