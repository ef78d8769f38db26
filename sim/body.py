"""The simulated body: hobby servos on links that weigh, on a stand that can tip or roll.

A light model for long runs, a millisecond of work for a second; `sim.mujoco_body` is the same body in MuJoCo. Both
obey one law of the servo, whose numbers stand here. It is an analogue servo's: the bridge drives in proportion to
the error, takes back in proportion to the speed, and a motor's own voltage works against it:

    torque = clip(stall · supply · (error − lead · speed) / BAND_RAD, ± stall · supply) − stall / NO_LOAD · speed

On a ramp the shaft then lags lead + BAND_RAD / NO_LOAD_RAD_S = .067 s behind, whatever hangs on it; the dead time
and the wait for the next pulse make it the .09 s that `servo_lag_s` of the body files says. A load makes it droop
by BAND_RAD · load / stall.
"""

import math
import random
from collections import deque
from typing import Protocol

import msgspec
import numpy as np

from drivers.balance import support_edges
from drivers.body import Body, Matrix, PwmServo, Wheels, rotation, transform
from drivers.errors import ConfigError
from sim import dynamics, wheels
from sim.dynamics import STEP_S, Law, Links, Motion, steps_until
from sim.wheels import WOOD, Surface

DEAD_S = 0.015  # a hobby servo's controller samples the pulse and switches its bridge this much later
BAND_RAD = 0.08  # a servo pushes with all it has from this error on
NO_LOAD_RAD_S = 7.0  # .15 s for 60°, what hobby servos of 10 to 20 kg·cm do
ROTOR_KG_M2 = 1e-3  # a hobby servo's rotor, seen through its gears
AMPERES_PER_NM = 2.5  # what a stalled servo takes
SUPPLY_V = 6.0
LIMP_SHARE = 0.6  # of the supply; below, a servo's own controller resets
FALLEN_RAD = 0.5  # no stand comes back from there
ZERO_ERROR_RAD, GAIN_ERROR = 0.02, 0.02  # one sigma of a servo that was put on its spline by hand


class Servos(msgspec.Struct, frozen=True, kw_only=True):
    """What of the law differs from servo to servo; the defaults are a hobby servo's."""

    lead_s: float = 0.0553  # of the speed it takes back; makes the lag what the robot was tuned to
    dead_rad: float = 0.005  # three microseconds of pulse: a smaller error is not answered
    friction: float = 0.06  # of the gears, as a share of the stall torque; holds what the dead band lets go
    backlash_rad: float = 0.008  # from one side of the gears to the other
    supply_ohm: float = 0.08  # of the supply, its wires and its plugs

    @property
    def sag_per_nm(self) -> float:
        """The share of the supply that a newton metre costs."""
        return AMPERES_PER_NM * self.supply_ohm / SUPPLY_V


HOBBY = Servos()
HARDEST = Servos(lead_s=0.0, dead_rad=0.0, friction=0.0, backlash_rad=0.0, supply_ohm=0.0)
"""Takes nothing back and loses nothing: the worst for the stand."""


class Plant(Protocol):
    """A body behind the pulses, at either depth."""

    @property
    def angles_rad(self) -> tuple[float, ...]:
        """Where the links are."""
        ...

    @property
    def tilt_rad(self) -> float:
        """Of the base against the ground."""
        ...

    @property
    def is_fallen(self) -> bool:
        """Whether it lies, or is about to."""
        ...

    @property
    def base_pose(self) -> Matrix:
        """Of the base frame against where it was put, 4×4."""
        ...

    def pulse(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        """Hand over one PWM frame, microseconds a channel, 0 for no pulse. Acts after the dead time."""
        ...

    def drive(self, speed_m_s: float, turn_rad_s: float = 0.0) -> None:
        """Turn the wheels: forwards and to the left. Nothing to a body on a foot."""
        ...

    def brown_out(self, share: float) -> None:
        """So much of the supply's voltage is left, 0 … 1, from now on. Raises ConfigError for another number."""
        ...

    def advance(self, now_s: float) -> None:
        """Integrate up to a time; earlier times are ignored."""
        ...

    def stand_still(self, seconds: float) -> None:
        """Let no time pass here for so long: the clock is about to leap by that."""
        ...


class Imperfection:
    """What each servo gets wrong, from a seed: where its zero is, and how far it turns for a pulse."""

    def __init__(self, joint_count: int, seed: int | None) -> None:
        source = random.Random(f"{seed} servos")
        is_exact = seed is None
        self.zero_rad = np.array(
            [0.0 if is_exact else source.gauss(0.0, ZERO_ERROR_RAD) for _ in range(joint_count)]
        )
        self.gain = np.array([1.0 if is_exact else source.gauss(1.0, GAIN_ERROR) for _ in range(joint_count)])


class Pulses:
    """Frames on their way: what each asks of each joint, and from which step on it acts."""

    def __init__(
        self, body: Body, imperfection: Imperfection, start_s: float, step_s: float = STEP_S
    ) -> None:
        self._body = body
        self._step_s = step_s
        self._off = imperfection
        self._start_s = start_s
        self._coming: deque[tuple[int, list[float]]] = deque()

    def add(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        """One frame; a joint without a pulse gets nan."""
        wanted = [math.nan] * len(self._body.joint)
        for place, (joint, pulse) in enumerate(zip(self._body.joint, pulse_us, strict=False)):
            if pulse and isinstance(joint.servo, PwmServo):
                angle = (pulse - joint.servo.centre_us) / joint.servo.per_rad_us
                wanted[place] = float(self._off.zero_rad[place] + self._off.gain[place] * angle)
        self._coming.append((math.ceil((time_s + DEAD_S - self._start_s) / self._step_s - 1e-6), wanted))

    def stand_still(self, seconds: float) -> None:
        """What comes after a leap of the clock comes so many seconds later."""
        self._start_s += seconds

    def take(self, before_step: int) -> list[tuple[int, list[float]]]:
        """The frames that act before a step, oldest first."""
        taken = []
        while self._coming and self._coming[0][0] < before_step:
            taken.append(self._coming.popleft())
        return taken


class LightBody:
    """A body under a hand-written physics. With a seed its servos are as imperfect as true ones.

    What it leaves out: the base feels the arm only by tipping, so wheels do not roll away under its push and it tips
    sooner; it lands without bouncing or rocking on; a stand that tips turns about one edge.
    """

    def __init__(
        self,
        body: Body,
        time_s: float = 0.0,
        seed: int | None = None,
        surface: Surface = WOOD,
        servos: Servos = HOBBY,
    ) -> None:
        count = len(body.joint)
        self._body = body
        self._links = links_of(body, servos)
        self._law = Law(STEP_S, BAND_RAD, servos.lead_s, servos.dead_rad, servos.sag_per_nm, LIMP_SHARE)
        self._motion = Motion(
            angle_rad=np.array(body.rest_rad, np.float64),
            speed_rad_s=np.zeros(count),
            shown_rad=np.array(body.rest_rad, np.float64),
            target_rad=np.full(count, math.nan),
            is_resting=np.zeros(count, np.bool_),
            torque_nm=np.zeros(count),
            whole=np.array([-1.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
            wheels=np.zeros(dynamics.STATES),
        )
        base = body.base
        self._rolling = wheels.rolling_of(body, base, surface) if isinstance(base, Wheels) else np.zeros(0)
        self._wanted = np.zeros(2)
        self._pulses = Pulses(body, Imperfection(count, seed), time_s)
        self._start_s, self._steps = time_s, 0
        self._integrate(0, [])  # loads the machine code, for which the first step could not wait

    @property
    def angles_rad(self) -> tuple[float, ...]:
        return tuple(self._motion.shown_rad.tolist())

    @property
    def tilt_rad(self) -> float:
        return float(self._motion.whole[dynamics.TILT_RAD])

    @property
    def is_fallen(self) -> bool:
        return self.tilt_rad > FALLEN_RAD

    @property
    def base_pose(self) -> Matrix:
        x, y, yaw = self._motion.wheels[:3].tolist()
        pose = transform(rotation("z", yaw), (x, y, 0.0))
        edge = int(self._motion.whole[dynamics.EDGE])
        if edge < 0:
            return pose
        a, b, c = self._links.edge[edge].tolist()
        turn, on_edge = _turn((b, -a, 0.0), self.tilt_rad), np.array((-c * a, -c * b, 0.0))
        moved = on_edge - turn @ on_edge
        tipped: Matrix = pose @ transform(turn, (float(moved[0]), float(moved[1]), float(moved[2])))
        return tipped

    def pulse(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        self._pulses.add(time_s, pulse_us)

    def drive(self, speed_m_s: float, turn_rad_s: float = 0.0) -> None:
        if isinstance(self._body.base, Wheels):
            self._wanted[:] = wheels.wheel_speeds(self._body.base, speed_m_s, turn_rad_s)

    def brown_out(self, share: float) -> None:
        self._motion.whole[dynamics.GIVEN_SUPPLY] = checked_share(share)

    def advance(self, now_s: float) -> None:
        until = steps_until(now_s, self._start_s)
        if until <= self._steps:
            return
        self._integrate(until, self._pulses.take(until))
        self._steps = until

    def stand_still(self, seconds: float) -> None:
        self._start_s += seconds
        self._pulses.stand_still(seconds)

    def _integrate(self, until: int, frames: list[tuple[int, list[float]]]) -> None:
        """Steps up to `until`, with the angles asked for at some of them."""
        count = len(self._body.joint)
        steps = np.array([step - self._steps for step, _ in frames], np.int64)
        asked = np.array([angles for _, angles in frames], np.float64).reshape(len(frames), count)
        dynamics.integrate(
            until - self._steps, self._links, self._law, self._motion, steps, asked, self._rolling, self._wanted
        )  # fmt: skip


def checked_share(share: float) -> float:
    """A share of the supply. Raises ConfigError for what is none."""
    if not 0.0 <= share <= 1.0:  # nan is outside too
        raise ConfigError(f"brown-out to {share}: give the share of the supply that is left, 0 to 1")
    return share


def links_of(body: Body, servos: Servos) -> Links:
    """The body in the loop's arrays."""
    joints = body.joint
    servo = [
        (j.max_torque_nm, NO_LOAD_RAD_S, ROTOR_KG_M2, servos.friction * j.max_torque_nm, servos.backlash_rad)
        for j in joints
    ]
    return Links(
        axis=np.array(["xyz".index(joint.axis) for joint in joints], np.int64),
        offset_m=np.array([joint.offset_m for joint in joints], np.float64),
        centre_m=np.array([joint.link.centre_m for joint in joints], np.float64),
        mass_kg=np.array([joint.link.mass_kg for joint in joints], np.float64),
        inertia_kg_m2=np.array([joint.link.inertia_kg_m2 for joint in joints], np.float64),
        servo=np.array(servo, np.float64),
        base_mass_kg=float(body.base.mass_kg),
        base_centre_m=_floats(body.base.centre_m),
        base_inertia_kg_m2=_floats(body.base.inertia_kg_m2),
        edge=support_edges(body),
    )


def _floats(numbers: tuple[float, float, float]) -> tuple[float, float, float]:
    """For numba, which compiles again for whole numbers."""
    x, y, z = numbers
    return float(x), float(y), float(z)


def _turn(axis: tuple[float, float, float], angle_rad: float) -> Matrix:
    """3×3 rotation about a unit axis (Rodrigues)."""
    x, y, z = axis
    across = np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))
    turn: Matrix = np.eye(3) + math.sin(angle_rad) * across + (1 - math.cos(angle_rad)) * across @ across
    return turn
