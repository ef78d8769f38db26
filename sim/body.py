"""The simulated arm: servos that follow pulses with delay, limited rate and limited acceleration.

A light model for long runs. It has no gravity, backlash or tipping.
"""

from collections import deque

from drivers.body import Body, PwmServo

STEP_S = 0.002
DEAD_S = 0.015  # a hobby servo's controller samples the pulse and switches its bridge this much later
STIFFNESS_PER_S = 30.0  # natural frequency of the closed loop, in rad/s; critically damped
RATE_HEADROOM = 1.5  # the motors can do half more than body.toml allows


class Servos:
    """Joint angles driven by pulses. `advance` integrates up to a time; detached servos hold still."""

    def __init__(self, body: Body, time_s: float = 0.0) -> None:
        self._body = body
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
            most = joint.max_acceleration_rad_s2 * 4 * RATE_HEADROOM
            speed += min(max(pull, -most), most) * STEP_S
            fastest = joint.max_velocity_rad_s * RATE_HEADROOM
            speed = min(max(speed, -fastest), fastest)
            self._speed_rad_s[place] = speed
            self._angle_rad[place] += speed * STEP_S
