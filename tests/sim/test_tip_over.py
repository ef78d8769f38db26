"""Tip-over, judged by another's physics: random motions at the board's limits, through the true firmware core.

Knots at full acceleration go to the core in lock step, its pulses to servos in MuJoCo, and the robot stands free
on a plane. With the cap no foot or wheel may rise by a degree; without it some must, or the test shows nothing.
"""

import itertools
import math
from collections.abc import Iterator

import msgspec
import mujoco
import numpy as np
import pytest

from drivers import messages, wire
from drivers.balance import GRAVITY_M_S2, Array, zmp_margin, zmp_margins
from drivers.body import FOLDER, Body, forward, inset_m, load, read
from drivers.head import limits_of
from drivers.messages import Reason, State
from drivers.urdf import urdf
from sim.board import Core
from sim.body import HARDEST
from sim.mujoco_body import MujocoBody, mjcf

NAMES = ["tabletop", "wheeled"]
BOTH = pytest.mark.parametrize("name", NAMES)
PERIOD_US = 10_000
AHEAD_US = 40_000
PERIOD_S = PERIOD_US * 1e-6
AT_THE_LIMIT = 0.999  # of the board's acceleration: what is left is the wire's rounding
MOST_TILT_RAD = math.radians(1.0)
FALLEN_RAD = math.radians(20.0)
# Without the cap. The wheeled base rolls away under the arm's push: at its full weight it lifts by .7° at most.
BOLD_WEIGHT = {"tabletop": 1.0, "wheeled": 0.6}
DRIVE_M_S = 0.3  # top speed of the wheels in these motions


class Told(msgspec.Struct):
    """What came of a run."""

    most_tilt_rad: list[float] = msgspec.field(default_factory=list)  # one a motion
    accepted: int = 0
    refused: int = 0
    sent: int = 0
    full: int = 0  # joint periods at full acceleration, of `sent` times joints
    least_margin_m: float = math.inf  # of the zero-moment point of what was commanded

    @property
    def lifted(self) -> int:
        return sum(tilt > MOST_TILT_RAD for tilt in self.most_tilt_rad)

    def says(self, what: str) -> str:
        worst = math.degrees(max(self.most_tilt_rad))
        return (
            f"{what}: {len(self.most_tilt_rad)} motions, {self.sent} knots, {self.refused} refused; "
            f"more than 1° in {self.lifted}, most {worst:.2f}°; "
            f"zero-moment point {self.least_margin_m * 1e3:.0f} mm inside at the least"
        )


class Rig:
    """A body under physics, driven by the firmware core."""

    def __init__(self, body: Body, seed: int) -> None:
        self.body = body
        self.random = np.random.default_rng(seed)
        self.physics = MujocoBody(body, servos=HARDEST)
        self.core = Core()
        self.told = Told()
        self.now_us = 0
        self.position = np.array(body.rest_rad)
        self.velocity = np.zeros(len(body.joint))
        self.limits = [limits_of(place, joint) for place, joint in enumerate(body.joint)]
        self.most_velocity = np.array([limits.velocity_mrad_s for limits in self.limits]) * 1e-3
        self.most = np.array([limits.acceleration_mrad_s2 for limits in self.limits]) * 1e-3 * AT_THE_LIMIT
        self.low = np.array([joint.min_rad for joint in body.joint])
        self.high = np.array([joint.max_rad for joint in body.joint])
        self.corner = np.ones(len(body.joint))
        self._decoder = wire.Decoder()
        self._before: messages.SetPoint | None = None
        self._status: messages.Status | None = None
        self._numbers = itertools.count()
        self._drive_m_s, self._turn_rad_s, self._ways = 0.0, 0.0, np.ones(2)
        self._base_moves = np.zeros(4)
        self._counted = (0, 0)
        self._moments: list[Array] = []  # angles, velocities, accelerations and the base's, one row a period
        self.ask(messages.Hello(table_hash=messages.TABLE_HASH, session=9))
        self.enable()

    def enable(self) -> None:
        for limits in self.limits:
            self.ask(limits)
        self.ask(messages.Enable(joint_count=len(self.limits), pulse_period_us=20_000))

    def ask(self, message: messages.Message) -> None:
        number = next(self._numbers)
        self.core.receive(wire.encode(message, number % 256), self.now_us)
        answers = [frame.message for frame in self._decoder.feed(self.core.transmit())]
        results = [answer for answer in answers if isinstance(answer, messages.Result)]
        assert isinstance(message, messages.Hello) or [r.reason for r in results] == [Reason.NONE]

    def pass_time(self) -> None:
        """One period of firmware and physics."""
        self.now_us += PERIOD_US
        for time_us, pulse_us in self.core.advance(self.now_us):
            self.physics.pulse(time_us * 1e-6, pulse_us[: len(self.limits)])
        for frame in self._decoder.feed(self.core.transmit()):
            if isinstance(frame.message, messages.Status):
                self._status = frame.message
        self._drive()
        self.physics.advance(self.now_us * 1e-6)

    def _drive(self) -> None:
        """Wheels: to and fro and round about, both at their limits."""
        base = self.body.base
        if self.random.random() < 0.03:
            self._ways = self.random.choice([-1.0, 1.0], 2)
        across_m_s2 = self._drive_m_s * self._turn_rad_s
        along_m_s2 = math.sqrt(max(base.max_acceleration_m_s2**2 - across_m_s2**2, 0.0)) * self._ways[0]
        speed_m_s = min(max(self._drive_m_s + along_m_s2 * PERIOD_S, -DRIVE_M_S), DRIVE_M_S)
        turn_rad_s = self._turn_rad_s + base.max_turn_rad_s2 * self._ways[1] * PERIOD_S
        turn_rad_s = min(max(turn_rad_s, -base.max_turn_rad_s), base.max_turn_rad_s)
        along_m_s2, turn_rad_s2 = speed_m_s - self._drive_m_s, turn_rad_s - self._turn_rad_s
        self._base_moves = np.array([along_m_s2 / PERIOD_S, across_m_s2, turn_rad_s, turn_rad_s2 / PERIOD_S])
        self._drive_m_s, self._turn_rad_s = speed_m_s, turn_rad_s
        self.physics.drive(speed_m_s, turn_rad_s)

    def push(self, wanted: Array) -> None:
        """One knot on: each joint at full acceleration the wanted way, or braking where it would leave its limits."""
        top = AT_THE_LIMIT * self.most_velocity
        faster = np.clip(self.velocity + wanted * self.most * PERIOD_S, -top, top)
        way = self.position + (self.velocity + faster) / 2 * PERIOD_S
        stop = way + faster * (np.abs(faster) / self.most + PERIOD_S) / 2  # braking takes whole periods
        slower = self.velocity - np.clip(self.velocity, -self.most * PERIOD_S, self.most * PERIOD_S)
        velocity = np.where((stop < self.low) | (stop > self.high), slower, faster)
        self.told.full += int((np.abs(velocity - self.velocity) > 0.99 * self.most * PERIOD_S).sum())
        acceleration = (velocity - self.velocity) / PERIOD_S
        self._moments.append(np.concatenate([self.position, self.velocity, acceleration, self._base_moves]))
        self.position = self.position + (self.velocity + velocity) / 2 * PERIOD_S
        self.velocity = velocity
        self._send()
        self.pass_time()

    def worst_signs(self) -> Array:
        """Of all full accelerations, the one that brings the zero-moment point nearest to the edge from here."""
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(self.limits))))
        position, velocity = (
            np.broadcast_to(vector, signs.shape) for vector in (self.position, self.velocity)
        )
        margins = zmp_margins(self.body, position, velocity, signs * self.most, np.zeros((len(signs), 4)))
        worst: Array = signs[int(np.argmin(margins))]
        return worst

    def _send(self) -> None:
        position, velocity = [0] * 4, [0] * 4
        for place in range(len(self.limits)):
            position[place] = round(float(self.position[place]) * 1e6)
            velocity[place] = round(float(self.velocity[place]) * 1e3)
        time_us = self.now_us + AHEAD_US
        positions = (position[0], position[1], position[2], position[3])
        velocities = (velocity[0], velocity[1], velocity[2], velocity[3])
        before = self._before
        point = messages.SetPoint(
            time_us=time_us,
            position_urad=positions,
            velocity_mrad_s=velocities,
            previous_time_us=before.time_us if before else time_us,
            previous_position_urad=before.position_urad if before else positions,
            previous_velocity_mrad_s=before.velocity_mrad_s if before else velocities,
        )
        self.core.receive(wire.encode(point), self.now_us)
        self._before = point
        self.told.sent += 1

    def fall_silent(self) -> None:
        """Send nothing until the board has braked by itself, and go on from the pose that it reports."""
        for _ in range(200):
            self.pass_time()
            if self._status is not None and self._status.state == State.HOLDING:
                break
        assert self._status is not None and self._status.state == State.HOLDING
        self._take_pose()

    def stop(self, token: int) -> None:
        """Emergency stop, and its release when the robot has come to rest."""
        self.core.receive(wire.encode(messages.Stop(token=token)), self.now_us)
        for _ in range(60):
            self.pass_time()
        assert self._status is not None and self._status.state == State.STOPPED
        self.ask(messages.Release(token=token))
        self.enable()
        for _ in range(4):
            self.pass_time()
        self._take_pose()

    def _take_pose(self) -> None:
        assert self._status is not None
        self.position = np.array(self._status.position_urad[: len(self.limits)]) * 1e-6
        self.velocity = np.zeros(len(self.limits))
        self._before = None
        self._send()  # a first knot that stands: a curve from rest into motion would swing back before
        self.pass_time()

    def note(self) -> None:
        """The end of one motion."""
        self.told.most_tilt_rad.append(self.physics.take_most_tilt())
        if self.physics.tilt_rad > FALLEN_RAD:
            self.physics.stand_up()
        count = len(self.limits)
        margins = zmp_margins(
            self.body, *np.split(np.array(self._moments), [count, 2 * count, 3 * count], axis=1)
        )
        self.told.least_margin_m = min(self.told.least_margin_m, float(margins.min()))
        self._moments.clear()
        assert self._status is not None
        before = self._counted
        self._counted = (self._status.accepted, self._status.refused)
        self.told.accepted += (self._counted[0] - before[0]) % 65536
        self.told.refused += (self._counted[1] - before[1]) % 65536


def wishes(rig: Rig) -> Iterator[Array]:
    """Signs of acceleration, one a period, for one motion of .3 to .7 s."""
    random, count = rig.random, len(rig.limits)
    periods = int(random.integers(30, 70))
    if random.random() < 0.25:
        rig.corner = random.choice(
            [-1.0, 1.0], count
        )  # where the arm drifts to, so that every far pose is met
    kind = random.choice(["together", "each", "worst", "worst"])
    signs = random.choice([-1.0, 1.0], count)
    beat = int(random.integers(4, 20))  # 2.5 to 12 changes of sign a second: the robot rocks at some of them
    phase = random.integers(0, 2 * beat, count) if kind == "each" else np.zeros(count, int)
    for period in range(periods):
        if kind == "worst":
            if period % (2 * beat) == 0:
                signs = rig.worst_signs()
            yield signs if period % (2 * beat) < beat else -signs
            continue
        if ((period + phase) % beat == 0).any():
            fresh = np.where(random.random(count) < 0.6, rig.corner, random.choice([-1.0, 0.0, 1.0], count))
            signs = np.where((period + phase) % beat == 0, fresh, signs)
        yield signs


def play(body: Body, motions: int, seed: int = 1) -> Told:
    """Random motions one after the other; they end in a reversal, in a stop, or in silence."""
    rig = Rig(body, seed)
    for _ in range(motions):
        for wanted in wishes(rig):
            rig.push(wanted)
        ending = rig.random.random()
        if ending < 0.3:
            while np.abs(rig.velocity).max() > 1e-6:
                rig.push(-np.clip(rig.velocity / (rig.most * PERIOD_S), -1.0, 1.0))
        elif ending < 0.6:
            rig.fall_silent()
        rig.note()
    return rig.told


def stops(body: Body, count: int, seed: int = 1) -> Told:
    """Emergency stops while all joints move at full speed."""
    rig = Rig(body, seed)
    for number in range(1, count + 1):
        ways = rig.random.choice([-1.0, 1.0], len(rig.limits))
        for _ in range(60):
            rig.push(-ways)
        for period in range(60):
            rig.push(ways)
            if (
                period > 5
                and (np.abs(rig.velocity) > 0.9 * rig.most_velocity).sum() > rig.random.random() * 4
            ):
                break
        rig.physics.take_most_tilt()
        rig.stop(number)
        rig.note()
    return rig.told


@BOTH
def test_the_cap_and_mujoco_agree_on_where_the_zero_moment_point_is(name: str) -> None:
    """MuJoCo's inverse dynamics of the same file: the force and moment that the ground has to supply."""
    body = load(FOLDER / f"{name}.toml")
    model = mujoco.MjModel.from_xml_string(mjcf(body))
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    model.opt.gravity[2] = -GRAVITY_M_S2
    data = mujoco.MjData(model)
    places = np.array([model.joint(joint.name).qposadr[0] for joint in body.joint])
    degrees = np.array([model.joint(joint.name).dofadr[0] for joint in body.joint])
    random = np.random.default_rng(2)
    for _ in range(200):
        angles = random.uniform([j.min_rad for j in body.joint], [j.max_rad for j in body.joint])
        rates, pushes, base = random.uniform(-4, 4, 4), random.uniform(-40, 40, 4), random.uniform(-2, 2, 4)
        data.qpos[places], data.qvel[degrees] = angles, rates
        data.qvel[5], data.qacc[5] = base[2:]
        data.qacc[:2], data.qacc[degrees] = base[:2], pushes
        mujoco.mj_inverse(model, data)
        _, _, force_z, moment_x, moment_y, _ = data.qfrc_inverse[:6]
        expected = inset_m(body.base.support_m, -moment_y / force_z, moment_x / force_z)
        margin = zmp_margin(body, tuple(angles), tuple(rates), tuple(pushes), (base[0], base[1]), *base[2:])
        assert margin == pytest.approx(expected, abs=1e-4)


@BOTH
def test_mujoco_reads_the_urdf_and_finds_every_link_where_we_do(name: str) -> None:
    body = load(FOLDER / f"{name}.toml")
    kept = urdf(body).replace("<link", '<mujoco><compiler fusestatic="false"/></mujoco><link', 1)
    model = mujoco.MjModel.from_xml_string(kept)
    assert [model.joint(place).name for place in range(model.njnt)] == [joint.name for joint in body.joint]
    limits = [(joint.min_rad, joint.max_rad) for joint in body.joint]
    assert model.jnt_range == pytest.approx(np.array(limits), abs=1e-8)
    masses = [model.body(f"{joint.name}_link").mass[0] for joint in body.joint]
    assert masses == pytest.approx([joint.link.mass_kg for joint in body.joint])
    data = mujoco.MjData(model)
    random = np.random.default_rng(3)
    worst = 0.0
    for _ in range(200):
        data.qpos[:] = random.uniform(*zip(*limits, strict=True))
        mujoco.mj_kinematics(model, data)
        names = [*(f"{joint.name}_link" for joint in body.joint), "camera"]
        for link, pose in zip(names, forward(body, tuple(data.qpos)), strict=True):
            worst = max(worst, float(np.abs(data.body(link).xpos - pose[:3, 3]).max()))
            worst = max(worst, float(np.abs(data.body(link).xmat.reshape(3, 3) - pose[:3, :3]).max()))
    print(f"{name}: 200 poses, the URDF's links in MuJoCo differ by at most {worst:.1e}")
    assert worst < 1e-6


@BOTH
def test_servos_reach_what_the_pulses_say(name: str) -> None:
    """Else nothing would tip because nothing moves."""
    rig = Rig(load(FOLDER / f"{name}.toml"), seed=4)
    for _ in range(5):
        for wanted in wishes(rig):
            rig.push(wanted)
        rig.fall_silent()
        for _ in range(30):
            rig.pass_time()
        assert rig.physics.angles_rad == pytest.approx(rig.position, abs=0.06)  # a servo's droop under load


def judge(name: str, motions: int, bold_motions: int, stop_count: int) -> None:
    path = FOLDER / f"{name}.toml"
    capped = play(load(path), motions)
    body = read(path)
    base = msgspec.structs.replace(body.base, mass_kg=body.base.mass_kg * BOLD_WEIGHT[name])
    bold = play(msgspec.structs.replace(body, base=base), bold_motions)
    stopped = stops(load(path), stop_count)
    print(capped.says(f"{name}, with the cap"))
    print(bold.says(f"{name}, without the cap, as hard as its servos can, base at {BOLD_WEIGHT[name]:.0%}"))
    print(stopped.says(f"{name}, with the cap, emergency stops at full speed"))
    for told in (capped, bold, stopped):
        assert told.refused == 0 and abs(told.accepted - told.sent) <= 4  # these are what the board lets pass
    assert capped.full > 0.5 * capped.sent * 4  # joint periods
    assert capped.least_margin_m > 0.0 > bold.least_margin_m
    assert capped.lifted == 0
    assert bold.lifted > 0
    assert stopped.lifted == 0


@BOTH
def test_with_the_cap_nothing_lifts_and_without_it_something_does(name: str) -> None:
    judge(name, motions=20, bold_motions=60, stop_count=4)


@pytest.mark.e2e
@BOTH
def test_thousands_of_motions(name: str) -> None:
    judge(name, motions=2000, bold_motions=500, stop_count=200)
