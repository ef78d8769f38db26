"""`nod calibrate`: a joint's zero and limits, found by moving it with keys, written into the body file.

The board keeps one zero throughout, the file's; what the keys mark are pulses, which no later mark shifts. Only
at the end, with the file written, does the board take the new zero, at a pulse that stays the same.
"""

import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent import terminal
from agent.config import Config, config_dir
from agent.glide import Mover, Serving
from drivers import body as bodies
from drivers import toml_edit
from drivers.body import Body, Joint, PwmServo
from drivers.errors import ConfigError, Refused
from drivers.head import Head
from drivers.link import ByteStream

SERVO_MIN_US, SERVO_MAX_US = 500, 2500  # what hobby servos take without running into their own stops
COARSE_US, FINE_US = 10.0, 1.0  # for one press of a key
AHEAD_US = 30.0  # so far may keys run ahead of the servo: it stops as soon as they do
DIGITS = 4  # of an angle in the file: a tenth of a milliradian, less than a microsecond of pulse

# What a positive angle does, and a negative one, for a joint about each axis.
WAYS = {
    "x": ("to the robot's right", "to the robot's left"),
    "y": ("down (or forward)", "up (or back)"),
    "z": ("to the robot's left", "to the robot's right"),
}
STEPS_US = {
    "left": -COARSE_US,
    "right": COARSE_US,
    "shift-left": -FINE_US,
    "shift-right": FINE_US,
    ",": -FINE_US,
    ".": FINE_US,
}
MARKS = {"z": "zero_us", "[": "low_us", "]": "high_us"}
LEGEND = (
    "  arrows   move: left arrow {left}, right arrow {right}\n"
    "  , .      the same, finer (as shift and arrows)\n"
    "  z        this is zero        [ ]   this is the lower, the upper limit\n"
    "  space    emergency stop      r     release it\n"
    "  s        save and end        q     end without saving (as Esc, Ctrl-C)"
)


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What was found so far, as pulses; a limit that was not marked keeps the angle that the file has."""

    zero_us: float
    low_us: float | None = None
    high_us: float | None = None


def widened(joint: Joint) -> Joint:
    """The joint with all the room that its servo's pulses leave, for looking for its limits."""
    servo = pwm(joint)
    ends = sorted((pulse - servo.centre_us) / servo.per_rad_us for pulse in (SERVO_MIN_US, SERVO_MAX_US))
    return msgspec.structs.replace(
        joint,
        min_rad=min(joint.min_rad, max(ends[0], -math.pi)),
        max_rad=max(joint.max_rad, min(ends[1], math.pi)),
    )


def pwm(joint: Joint) -> PwmServo:
    """The joint's servo. Raises ConfigError for one on a bus."""
    if not isinstance(joint.servo, PwmServo):
        raise ConfigError(
            f"joint {joint.name!r} has a bus servo ({joint.servo.__struct_config__.tag}); "
            "only PWM servos can be calibrated"
        )
    return joint.servo


def calibrated(joint: Joint, marks: Marks) -> Joint:
    """The joint by these marks: whole microseconds, and angles counted from the new zero."""
    servo = pwm(joint)
    centre_us = round(marks.zero_us)

    def angle(pulse_us: float | None, unmarked_rad: float) -> float:
        return unmarked_rad if pulse_us is None else round((pulse_us - centre_us) / servo.per_rad_us, DIGITS)

    return msgspec.structs.replace(
        joint,
        min_rad=angle(marks.low_us, joint.min_rad),
        max_rad=angle(marks.high_us, joint.max_rad),
        servo=msgspec.structs.replace(servo, centre_us=centre_us),
    )


def source_of(body_option: str | None, config: Config) -> tuple[Path, Path]:
    """The body file to read and the one to write; the packaged one is never written, a copy is.

    Raises ConfigError when the copy would replace one that is there.
    """
    copy = config_dir() / "body.toml"
    named = body_option or config.head.body
    if named is None and copy.exists():
        return copy, copy
    path = Path(named) if named else bodies.DEFAULT_BODY
    if path.resolve().parent != bodies.FOLDER.resolve():
        return path, path
    if copy.exists():
        raise ConfigError(f"{copy}: is there already; calibrate it with --body {copy}, or move it away")
    return path, copy


def save(source: Path, target: Path, place: int, joint: Joint) -> None:
    """Write the joint's zero and limits, and nothing else. Raises ConfigError, and then nothing has changed."""
    here = ("joint", place)
    try:
        text = source.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{source}: cannot be read again ({exc})") from exc
    old = bodies.read(source).joint[place]
    wanted: dict[tuple[str | int, ...], int | float] = {}
    if pwm(joint).centre_us != pwm(old).centre_us:
        wanted[(*here, "servo", "centre_us")] = pwm(joint).centre_us
    if joint.min_rad != old.min_rad:
        wanted[(*here, "min_rad")] = joint.min_rad
    if joint.max_rad != old.max_rad:
        wanted[(*here, "max_rad")] = joint.max_rad
    new = toml_edit.edited(text, wanted)
    bodies.decode(str(target), new.encode())  # the whole file, judged as the robot will judge it
    toml_edit.replace_file(target, new)


def saved_line(target: Path, joint: Joint, config: Config) -> str:
    """What was written, and what a person has to do for it to be used."""
    line = (
        f"saved in {target}: {joint.name} zero {pwm(joint).centre_us} µs, "
        f"{joint.min_rad:g} to {joint.max_rad:g} rad"
    )
    if config.head.body is None or Path(config.head.body).resolve() != target.resolve():
        line += f'\nto use it, write into {config_dir() / "nod.toml"}:\n  [head]\n  body = "{target}"'
    return line


class Session:
    """The keys' meaning, between the person and the board."""

    def __init__(
        self, head: Head, body: Body, place: int, keys: terminal.Keys, write: Callable[[Joint], None]
    ) -> None:
        self._head = head
        self._place = place
        self._joint = body.joint[place]
        self._wide = widened(self._joint)
        self._per_rad_us = pwm(self._joint).per_rad_us
        self._keys = keys
        self._write = write
        self._status = terminal.Status()
        self._mover = Mover(head, with_joint(body, place, self._wide))
        self._pulse_us = self._pulse(self._mover.glide.pose_rad[place])  # where the keys have sent it
        self._marks = Marks(zero_us=float(pwm(self._joint).centre_us))

    async def run(self) -> bool:
        """Until it is saved or given up; whether it was saved."""
        try:
            while True:
                self._status.show(self._line())
                key = self._keys.take()
                if key in ("q", "escape", "hangup"):
                    await self._go(min(max(self._angle(), self._joint.min_rad), self._joint.max_rad))
                    return False
                if key == "s" and await self._save():
                    return True
                if key is None:
                    await self._mover.tick()  # all the time, or the board would slow down and park
                else:
                    await self._press(key)
        finally:
            self._status.close()

    def _line(self) -> str:
        found = calibrated(self._joint, self._marks)
        angle_rad = (self._pulse_us - pwm(found).centre_us) / self._per_rad_us
        stopped = "STOPPED, r releases   " if self._head.is_stopped else ""
        return (
            f"{stopped}{self._joint.name} {self._pulse_us:.0f} µs {angle_rad:+.3f} rad   "
            f"zero {pwm(found).centre_us} µs   limits {found.min_rad:+.3f} to {found.max_rad:+.3f}"
        )

    async def _press(self, key: str) -> None:
        if key == "space":
            self._head.stop()
        elif key == "r" and self._head.is_stopped:
            await self._release()
        elif key in STEPS_US:
            self._jog(STEPS_US[key])
        elif key in MARKS:
            await self._go(self._angle())  # what is marked is where it stands, not where it is going
            if not self._head.is_stopped:
                self._marks = msgspec.structs.replace(self._marks, **{MARKS[key]: self._pulse_us})

    def _jog(self, by_us: float) -> None:
        """On by some microseconds, never far ahead of the servo, and within the pulses that it takes."""
        if self._head.is_stopped:
            return
        turn = -1.0 if self._joint.axis == "z" else 1.0  # the left arrow turns left
        wanted = round(self._pulse_us + by_us * turn * math.copysign(1.0, self._per_rad_us))
        here_us = self._pulse(self._mover.glide.pose_rad[self._place])
        ends = sorted((self._pulse(self._wide.min_rad), self._pulse(self._wide.max_rad)))
        low, high = max(ends[0], here_us - AHEAD_US), min(ends[1], here_us + AHEAD_US)
        self._pulse_us = float(min(max(wanted, math.ceil(low)), math.floor(high)))
        self._mover.glide.target_rad[self._place] = self._angle()

    async def _release(self) -> None:
        try:
            await self._head.release()
        except Refused as exc:
            self._status.say(str(exc))
            return
        await self._mover.restart()
        pose_rad = self._mover.glide.pose_rad
        self._mover.glide.target_rad = list(pose_rad)
        self._pulse_us = float(round(self._pulse(pose_rad[self._place])))

    async def _save(self) -> bool:
        found = calibrated(self._joint, self._marks)
        try:
            self._write(found)
        except ConfigError as exc:
            self._status.say(f"not saved: {exc}")
            return False
        centre_us = pwm(found).centre_us
        ends = sorted(centre_us + self._per_rad_us * angle for angle in (found.min_rad, found.max_rad))
        self._pulse_us = min(max(self._pulse_us, ends[0]), ends[1])
        await self._go(self._angle())
        if self._head.is_stopped:
            self._status.say("the board is stopped and keeps the old zero; switch it off and on")
            return True
        pose_rad = (self._pulse_us - centre_us) / self._per_rad_us
        pose_rad = min(max(pose_rad, found.min_rad), found.max_rad)
        await self._head.recalibrate(self._place, found, pose_rad)
        return True

    async def _go(self, angle_rad: float) -> None:
        """Wait until it is there; the space bar stops it on the way."""
        self._mover.glide.target_rad[self._place] = angle_rad
        while not self._mover.glide.is_there and not self._head.is_stopped:
            await self._mover.tick()
            if self._keys.take() == "space":
                self._head.stop()

    def _pulse(self, angle_rad: float) -> float:
        return pwm(self._joint).centre_us + self._per_rad_us * angle_rad

    def _angle(self) -> float:
        return (self._pulse_us - pwm(self._joint).centre_us) / self._per_rad_us


def with_joint(body: Body, place: int, joint: Joint) -> tuple[Joint, ...]:
    """The body's joints with one of them replaced."""
    return (*body.joint[:place], joint, *body.joint[place + 1 :])


async def by_keys(stream: ByteStream, body: Body, place: int, write: Callable[[Joint], None]) -> bool:
    """Move the joint as a person says, who must be at a terminal; whether it was saved.

    Raises LinkError, ConfigError or an exception group of them. The line stays open.
    """
    joint = body.joint[place]
    head = Head(stream, with_joint(body, place, widened(joint)), body.pulse_rate_hz)
    await head.connect()
    plus, minus = WAYS[joint.axis]
    left, right = (plus, minus) if joint.axis == "z" else (minus, plus)
    terminal.say(LEGEND.format(left=left, right=right))
    async with Serving(head), terminal.Keys() as keys:
        return await Session(head, body, place, keys, write).run()
