"""The simulated body in MuJoCo: the same pulses and the same servos as in `sim.body`, but it stands by contact.

Needs the extra `mujoco`. The robot is built from its body file alone and stands free on a plane.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from drivers.balance import GRAVITY_M_S2
from drivers.body import Body, Foot, Matrix, Wheels
from sim.body import (
    BAND_RAD,
    FALLEN_RAD,
    HOBBY,
    LIMP_SHARE,
    NO_LOAD_RAD_S,
    ROTOR_KG_M2,
    Imperfection,
    Pulses,
    Servos,
    checked_share,
)
from sim.compiled import compiled
from sim.dynamics import MOTOR_DRAG_NM_S, MOTOR_KG_M2, MOTOR_NM, MOTOR_NM_S, Law, Reals, steps_until
from sim.wheels import WOOD, Surface, wheel_speeds

# MuJoCo's: with half the time constant of its contacts (.02 s) it still solves them, and its motors are implicit.
# All the times that others look at, of pulses, truths and cameras, are multiples.
STEP_S = 0.005
LOOK_STEPS = 4  # how often gears, supply and tilt are looked at: MuJoCo's own steps go by so many at once
WHEEL_MASS_KG = 0.02  # each; taken from the base's
CASTER_RADIUS_M = 0.01
AXES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}


class _Servos(NamedTuple):
    """What the servos' law reads and writes, one row a joint; all but the last three are MuJoCo's own numbers."""

    joint_rad: Reals
    target_rad: Reals
    force_nm: Reals
    range_nm: Reals  # columns least, most
    gain: Reals
    bias: Reals  # columns constant, by place, by speed
    shown_rad: Reals  # the links, behind the gears' backlash
    stall_nm: Reals
    is_driven: NDArray[np.bool_]


class MujocoBody:
    """A body under MuJoCo's physics; see `sim.body.Plant`. Backlash and the supply's sag act every 20 ms."""

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
        self.model = mujoco.MjModel.from_xml_string(mjcf(body, surface, servos))
        self.data = mujoco.MjData(self.model)
        self._pulses = Pulses(body, Imperfection(count, seed), time_s, STEP_S)
        self._start_s, self._steps = time_s, 0
        first = int(self.model.joint(body.joint[0].name).qposadr[0])
        # Views into MuJoCo's own numbers: to ask for one costs a microsecond.
        self._servos = _Servos(
            joint_rad=self.data.qpos[first : first + count],
            target_rad=self.data.ctrl[:count],
            force_nm=self.data.actuator_force[:count],
            range_nm=self.model.actuator_forcerange[:count],
            gain=self.model.actuator_gainprm[:count, 0],
            bias=self.model.actuator_biasprm[:count, :3],
            shown_rad=np.array(body.rest_rad, np.float64),
            stall_nm=np.array([joint.max_torque_nm for joint in body.joint]),
            is_driven=np.zeros(count, np.bool_),
        )
        self._law = Law(STEP_S, BAND_RAD, servos.lead_s, servos.dead_rad, servos.sag_per_nm, LIMP_SHARE)
        self._half_rad = servos.backlash_rad / 2
        self._place_m, self._turn = self.data.body("base").xpos, self.data.body("base").xmat
        self._least_upright = 1.0  # cosine of the base's tilt
        self._given_supply = 1.0
        self._servos.joint_rad[:] = self._servos.target_rad[:] = body.rest_rad
        # Nothing is asked for yet; this and the look load the machine code, for which the first step could not wait.
        _aim(self._servos, self._law, self._given_supply, np.full(count, math.nan))
        mujoco.mj_forward(self.model, self.data)
        self._look()

    @property
    def angles_rad(self) -> tuple[float, ...]:
        shown_rad = self._servos.shown_rad.copy()
        _pull(shown_rad, self._servos.joint_rad, self._half_rad)
        return tuple(shown_rad.tolist())

    @property
    def tilt_rad(self) -> float:
        return math.acos(min(float(self._turn[8]), 1.0))

    @property
    def is_fallen(self) -> bool:
        return self.tilt_rad > FALLEN_RAD

    @property
    def base_pose(self) -> Matrix:
        pose: Matrix = np.eye(4)
        pose[:3, :3] = self._turn.reshape(3, 3)
        pose[:3, 3] = self._place_m
        return pose

    def take_most_tilt(self) -> float:
        """The most tilt since the last call, in radians."""
        most_rad = math.acos(min(self._least_upright, 1.0))
        self._least_upright = 1.0
        return most_rad

    def stand_up(self) -> None:
        """Put it back on its foot, in the middle and at rest, with its joints as they are."""
        angles = self._servos.joint_rad.copy()
        self.data.qpos[:] = self.model.qpos0
        self._servos.joint_rad[:] = angles
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def pulse(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        self._pulses.add(time_s, pulse_us)

    def drive(self, speed_m_s: float, turn_rad_s: float = 0.0) -> None:
        if isinstance(self._body.base, Wheels):
            self.data.ctrl[len(self._body.joint) :] = wheel_speeds(self._body.base, speed_m_s, turn_rad_s)

    def brown_out(self, share: float) -> None:
        self._given_supply = checked_share(share)

    def advance(self, now_s: float) -> None:
        until = steps_until(now_s, self._start_s, STEP_S)
        frames = self._pulses.take(until)
        while self._steps < until:
            while frames and frames[0][0] <= self._steps:
                _aim(self._servos, self._law, self._given_supply, np.array(frames.pop(0)[1]))
            if self._steps % LOOK_STEPS == 0:
                self._look()
            ahead = min(until, (self._steps // LOOK_STEPS + 1) * LOOK_STEPS)
            if frames:
                ahead = min(ahead, frames[0][0])
            mujoco.mj_step(self.model, self.data, ahead - self._steps)
            self._steps = ahead
        self._least_upright = min(self._least_upright, float(self._turn[8]))

    def stand_still(self, seconds: float) -> None:
        self._start_s += seconds
        self._pulses.stand_still(seconds)

    def _look(self) -> None:
        self._least_upright = min(self._least_upright, float(self._turn[8]))
        _pull(self._servos.shown_rad, self._servos.joint_rad, self._half_rad)
        _power(self._servos, self._law, self._given_supply)


@compiled
def _pull(shown_rad: Reals, joint_rad: Reals, half_rad: float) -> None:
    """Links go along with their shafts as far as the gears' backlash, half of it to each side, does not let them."""
    for i in range(len(shown_rad)):
        shown_rad[i] = min(max(shown_rad[i], joint_rad[i] - half_rad), joint_rad[i] + half_rad)


@compiled
def _aim(servos: _Servos, law: Law, given_supply: float, wanted_rad: Reals) -> None:
    """One frame of pulses, nan for none."""
    for i in range(len(wanted_rad)):
        has_pulse = not np.isnan(wanted_rad[i])
        servos.is_driven[i] = has_pulse and not abs(wanted_rad[i] - servos.joint_rad[i]) < law.dead_rad
        if has_pulse:
            servos.target_rad[i] = wanted_rad[i]
    _power(servos, law, given_supply)


@compiled
def _power(servos: _Servos, law: Law, given_supply: float) -> None:
    """What the supply leaves the servos: the range of their force gain · target + bias · (1, place, speed)."""
    drawn_nm = 0.0
    for i in range(len(servos.stall_nm)):
        drawn_nm += abs(servos.force_nm[i])
    supply = given_supply * max(1.0 - law.sag_per_nm * drawn_nm, 0.0)
    for i in range(len(servos.stall_nm)):
        most_nm = servos.stall_nm[i] * supply if servos.is_driven[i] and supply >= law.limp_share else 0.0
        servos.range_nm[i, 0], servos.range_nm[i, 1] = -most_nm, most_nm
        stiff = servos.stall_nm[i] * (supply / law.band_rad)
        servos.gain[i], servos.bias[i, 1], servos.bias[i, 2] = stiff, -stiff, -stiff * law.lead_s


def mjcf(body: Body, surface: Surface = WOOD, servos: Servos = HOBBY) -> str:
    """The robot as MuJoCo's own XML: `base` free on a plane, its joints and servos in the body's order."""
    root = ET.Element("mujoco", model=body.name)
    ET.SubElement(root, "compiler", angle="radian", inertiafromgeom="false")
    option = ET.SubElement(
        root, "option", timestep=f"{STEP_S:g}", integrator="implicitfast", cone="elliptic", impratio="10"
    )
    ET.SubElement(option, "flag", island="disable")  # there is one robot; to look for more costs a tenth
    world = ET.SubElement(root, "worldbody")
    ET.SubElement(
        world,
        "geom",
        type="plane",
        size="5 5 0.1",
        friction=f"{surface.friction:g}",
        condim="1",  # of a pair the larger counts: casters slide on it, all else rubs
        contype="1",
        conaffinity="2",
    )
    parent = ET.SubElement(world, "body", name="base")
    ET.SubElement(parent, "freejoint", name="ground")
    actuators = ET.SubElement(root, "actuator")
    base = body.base
    match base:
        case Foot():
            _add_inertial(parent, base.mass_kg, base.centre_m, base.inertia_kg_m2)
            half = base.height_m / 2
            _add_contact(parent, "cylinder", (base.radius_m, half), (0.0, 0.0, half))
        case Wheels():
            mass_kg = base.mass_kg - 2 * WHEEL_MASS_KG
            weight = GRAVITY_M_S2 * (base.mass_kg + sum(joint.link.mass_kg for joint in body.joint))
            drag_nm = surface.rolling * weight * base.wheel_radius_m / 2
            _add_inertial(parent, mass_kg, base.centre_m, base.inertia_kg_m2)
            for x_m, y_m in base.casters_m:
                place = (x_m, y_m, CASTER_RADIUS_M)
                _add_contact(parent, "sphere", (CASTER_RADIUS_M,), place, condim="1")
            for side, name in ((1, "left"), (-1, "right")):
                wheel = ET.SubElement(
                    parent,
                    "body",
                    name=name,
                    pos=_spaced((0.0, side * base.track_m / 2, base.wheel_radius_m)),
                )
                _add_inertial(wheel, WHEEL_MASS_KG, (0.0, 0.0, 0.0), (1e-5, 2e-5, 1e-5))
                ET.SubElement(
                    wheel,
                    "joint",
                    name=name,
                    axis="0 1 0",
                    armature=f"{MOTOR_KG_M2:g}",
                    damping=f"{MOTOR_DRAG_NM_S:g}",
                    frictionloss=f"{drag_nm:.9g}",
                )
                # A tyre's crown: it touches in a point. A cylinder's edge would rub in every turn.
                _add_contact(wheel, "sphere", (base.wheel_radius_m,), (0.0, 0.0, 0.0))
    for joint in body.joint:
        parent = ET.SubElement(parent, "body", name=f"{joint.name}_link", pos=_spaced(joint.offset_m))
        _add_inertial(parent, joint.link.mass_kg, joint.link.centre_m, joint.link.inertia_kg_m2)
        torque = joint.max_torque_nm
        # A motor's own voltage takes torque away in proportion to its speed: none is left at the no-load speed.
        damping = torque / NO_LOAD_RAD_S
        ET.SubElement(
            parent,
            "joint",
            name=joint.name,
            axis=AXES[joint.axis],
            armature=f"{ROTOR_KG_M2:g}",
            damping=f"{damping:.9g}",
            frictionloss=f"{servos.friction * torque:.9g}",
        )
        ET.SubElement(
            actuators,
            "position",
            joint=joint.name,
            kp=f"{torque / BAND_RAD:.9g}",
            kv=f"{torque / BAND_RAD * servos.lead_s:.9g}",  # these two as long as the supply is whole
            forcerange=_spaced((-torque, torque)),
        )
    if isinstance(base, Wheels):
        for name in ("left", "right"):
            ET.SubElement(
                actuators,
                "velocity",
                joint=name,
                kv=f"{MOTOR_NM_S:g}",
                forcerange=_spaced((-MOTOR_NM, MOTOR_NM)),
            )
    ET.SubElement(parent, "site", name="camera", pos=_spaced(body.camera.offset_m))
    return ET.tostring(root, encoding="unicode")


def _add_inertial(
    element: ET.Element, mass_kg: float, centre_m: Iterable[float], inertia_kg_m2: Iterable[float]
) -> None:
    ET.SubElement(
        element, "inertial", mass=f"{mass_kg:.9g}", pos=_spaced(centre_m), diaginertia=_spaced(inertia_kg_m2)
    )


def _add_contact(
    element: ET.Element, shape: str, size_m: Iterable[float], place_m: Iterable[float], **more: str
) -> None:
    ET.SubElement(
        element,
        "geom",
        type=shape,
        size=_spaced(size_m),
        pos=_spaced(place_m),
        friction="0.1",  # of a pair the larger counts, and that is the ground's
        contype="2",
        conaffinity="1",
        attrib=more,
    )


def _spaced(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)
