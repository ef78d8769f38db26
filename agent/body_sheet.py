"""A body file as a person reads it: joints, limits, and what balance takes from them."""

import math
from pathlib import Path

from drivers import body as bodies
from drivers.body import Body, PwmServo, Servo, Wheels, inset_m


def sheet(path: Path) -> str:
    """A few lines and a table. Raises ConfigError for a file that is wrong."""
    asked, body = bodies.read(path), bodies.load(path)
    base, radius_m = body.base, inset_m(body.base.support_m, 0.0, 0.0)
    mass_kg = base.mass_kg + sum(joint.link.mass_kg for joint in body.joint)
    lines = [
        f"{body.name} ({path})",
        f"{mass_kg:.2f} kg, {base.mass_kg:g} of them in the {'base' if isinstance(base, Wheels) else 'foot'}, "
        f"whose nearest edge is {radius_m * 100:.1f} cm from the middle",
        cap_line(asked, body),
        "",
        f"{'joint':10}{'servo':12}{'from':>7}{'to':>7}{'rest':>7}{'speed':>10}{'servo can':>13}{'allowed':>13}",
    ]
    for wish, joint in zip(asked.joint, body.joint, strict=True):
        low, high, rest = (f"{math.degrees(a):.0f}°" for a in (joint.min_rad, joint.max_rad, joint.rest_rad))
        lines.append(
            f"{joint.name:10}{_outlet(joint.servo):12}{low:>7}{high:>7}{rest:>7}"
            f"{math.degrees(joint.max_velocity_rad_s):>7.0f}°/s"
            f"{wish.max_acceleration_rad_s2:>7.1f} rad/s²{joint.max_acceleration_rad_s2:>7.1f} rad/s²"
        )
    return "\n".join(lines)


def cap_line(asked: Body, allowed: Body) -> str:
    """What the tip-over cap takes, in words."""
    share = 1 - allowed.joint[0].max_acceleration_rad_s2 / asked.joint[0].max_acceleration_rad_s2
    if share < 1e-6:
        return "stands whatever its servos do"
    return f"lest it tips over, joints accelerate at {1 - share:.0%} of what the servos can"


def _outlet(servo: Servo) -> str:
    if isinstance(servo, PwmServo):
        return f"pin {servo.pin}"
    return f"{type(servo).__name__.removesuffix('Servo').upper()} {servo.id}"
