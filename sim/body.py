"""The simulated arm: servos that follow pulses with delay, limited rate and limited torque.

A light model for long runs. It has no gravity, backlash or tipping; `sim.mujoco_body` has.
"""

from collections import deque

import numpy as np

from drivers.body import Body, PwmServo, forward

STEP_S = 0.002
DEAD_S = 0.015  # a hobby servo's controller samples the pulse and switches its bridge this much later
STIFFNESS_PER_S = 30.0  # natural frequency of the closed loop, in rad/s; critically damped
RATE_HEADROOM = 1.5  # the motors turn half faster than the body's file allows
ROTOR_KG_M2 = 1e-3  # a hobby servo's rotor, seen through its gears


class Servos:
    """Joint angles driven by pulses. `advance` integrates up to a time; detached servos hold still."""

    def __init__(self, body: Body, time_s: float = 0.0) -> None:
        self._body = body
        self._strength_rad_s2 = _strengths(body)
        self._time_s = time_s
        self._angle_rad = list(body.rest_rad)
        self._speed_rad_s = [0.0] * len(body.joint)
        self._target_rad = list(body.rest_rad)
        self._pending: deque[tuple[float, tuple[int, ...]]] = deque()

    @property
    def angles_rad(self) -> tuple[float, ...]:
        return tuple(self._angle_rad)

    def pulse(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        """Hand over one PWM frame, microseconds a channel, 0 for no pulse. Acts after the dead time."""
        self._pending.append((time_s + DEAD_S, pulse_us))

    def advance(self, now_s: float) -> None:
        """Integrate up to a time; earlier times are ignored."""
        while self._time_s + STEP_S <= now_s:
            self._time_s += STEP_S
            while self._pending and self._pending[0][0] <= self._time_s:
                self._aim(self._pending.popleft()[1])
            self._move()

    def _aim(self, pulse_us: tuple[int, ...]) -> None:
        for place, (joint, pulse) in enumerate(zip(self._body.joint, pulse_us, strict=False)):
            if pulse and isinstance(joint.servo, PwmServo):
                self._target_rad[place] = (pulse - joint.servo.centre_us) / joint.servo.per_rad_us
            else:
                self._target_rad[place] = self._angle_rad[place]

    def _move(self) -> None:
        for place, joint in enumerate(self._body.joint):
            gap = self._target_rad[place] - self._angle_rad[place]
            speed = self._speed_rad_s[place]
            pull = STIFFNESS_PER_S**2 * gap - 2 * STIFFNESS_PER_S * speed
            most = self._strength_rad_s2[place]
            speed += min(max(pull, -most), most) * STEP_S
            fastest = joint.max_velocity_rad_s * RATE_HEADROOM
            speed = min(max(speed, -fastest), fastest)
            self._speed_rad_s[place] = speed
            self._angle_rad[place] += speed * STEP_S


def _strengths(body: Body) -> tuple[float, ...]:
    """What each servo's torque does to all that it moves, in rad/s², in the rest pose."""
    poses = forward(body, body.rest_rad)[:-1]
    strengths = []
    for place, joint in enumerate(body.joint):
        axis = poses[place][:3, "xyz".index(joint.axis)]
        inertia = ROTOR_KG_M2
        for other, pose in zip(body.joint[place:], poses[place:], strict=True):
            lever = np.cross(axis, (pose @ (*other.link.centre_m, 1.0))[:3] - poses[place][:3, 3])
            own = axis @ pose[:3, :3]
            inertia += other.link.mass_kg * float(lever @ lever) + float(own**2 @ other.link.inertia_kg_m2)
        strengths.append(joint.max_torque_nm / inertia)
    return tuple(strengths)
