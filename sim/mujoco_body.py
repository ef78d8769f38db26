"""The simulated body in MuJoCo: the same pulses as in `sim.body`, but it weighs, slips and can tip over.

Needs the extra `mujoco`. The robot is built from its body file alone and stands free on a plane.
"""

import math
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Iterable

import mujoco
import numpy as np

from drivers.body import Body, Foot, PwmServo, Wheels
from sim.body import DEAD_S, ROTOR_KG_M2

STEP_S = 0.002
PROPORTIONAL_BAND_RAD = 0.08  # a servo pushes with all it has from this error on
NO_LOAD_RAD_S = 7.0  # .15 s for 60°, what hobby servos of 10 to 20 kg·cm do
FRICTION = 0.8  # rubber on wood
WHEEL_WIDTH_M = 0.025
WHEEL_MASS_KG = 0.02  # each; taken from the base's
CASTER_RADIUS_M = 0.01
AXES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}


class MujocoBody:
    """A body under physics. `advance` integrates up to a time; detached servos go limp."""

    def __init__(self, body: Body, time_s: float = 0.0) -> None:
        self._body = body
        self._start_s = time_s
        self.model = mujoco.MjModel.from_xml_string(mjcf(body))
        self.data = mujoco.MjData(self.model)
        self._pending: deque[tuple[float, tuple[int, ...]]] = deque()
        self._joints = np.array([self.model.joint(joint.name).qposadr[0] for joint in body.joint])
        self.data.qpos[self._joints] = self.data.ctrl[: len(body.joint)] = body.rest_rad
        mujoco.mj_forward(self.model, self.data)
        self._upright = self.data.body("base").xmat[8:]  # a view: cosine of the base's tilt
        self._least_upright = 1.0

    @property
    def angles_rad(self) -> tuple[float, ...]:
        return tuple(float(angle) for angle in self.data.qpos[self._joints])

    @property
    def tilt_rad(self) -> float:
        """Of the base against the ground, at this moment."""
        return math.acos(min(float(self._upright[0]), 1.0))

    def take_most_tilt(self) -> float:
        """The most tilt since the last call, in radians."""
        most_rad = math.acos(min(self._least_upright, 1.0))
        self._least_upright = 1.0
        return most_rad

    def stand_up(self) -> None:
        """Put it back on its foot, in the middle and at rest, with its joints as they are."""
        angles = self.data.qpos[self._joints].copy()
        self.data.qpos[:] = self.model.qpos0
        self.data.qpos[self._joints] = angles
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def pulse(self, time_s: float, pulse_us: tuple[int, ...]) -> None:
        """Hand over one PWM frame, microseconds a channel, 0 for no pulse. Acts after the dead time."""
        self._pending.append((time_s + DEAD_S, pulse_us))

    def drive(self, speed_m_s: float, turn_rad_s: float = 0.0) -> None:
        """Turn the wheels: forwards and to the left. Nothing to a body on a foot."""
        base = self._body.base
        if isinstance(base, Wheels):
            apart_m_s = turn_rad_s * base.track_m / 2
            wheels = (speed_m_s - apart_m_s, speed_m_s + apart_m_s)
            self.data.ctrl[len(self._body.joint) :] = np.array(wheels) / base.wheel_radius_m

    def advance(self, now_s: float) -> None:
        """Integrate up to a time; earlier times are ignored."""
        while self._start_s + self.data.time + STEP_S <= now_s + 1e-9:
            while self._pending and self._pending[0][0] <= self._start_s + self.data.time:
                self._aim(self._pending.popleft()[1])
            mujoco.mj_step(self.model, self.data)
            self._least_upright = min(self._least_upright, float(self._upright[0]))

    def _aim(self, pulse_us: tuple[int, ...]) -> None:
        for place, (joint, pulse) in enumerate(zip(self._body.joint, pulse_us, strict=False)):
            is_limp = not pulse or not isinstance(joint.servo, PwmServo)
            strength_nm = 0.0 if is_limp else joint.max_torque_nm
            self.model.actuator_forcerange[place] = (-strength_nm, strength_nm)
            if pulse and isinstance(joint.servo, PwmServo):
                self.data.ctrl[place] = (pulse - joint.servo.centre_us) / joint.servo.per_rad_us


def mjcf(body: Body) -> str:
    """The robot as MuJoCo's own XML: `base` free on a plane, its joints and servos in the body's order."""
    root = ET.Element("mujoco", model=body.name)
    ET.SubElement(root, "compiler", angle="radian", inertiafromgeom="false")
    ET.SubElement(
        root, "option", timestep=f"{STEP_S:g}", integrator="implicitfast", cone="elliptic", impratio="10"
    )
    world = ET.SubElement(root, "worldbody")
    ET.SubElement(
        world, "geom", type="plane", size="5 5 0.1", friction=f"{FRICTION:g}", contype="1", conaffinity="2"
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
                ET.SubElement(wheel, "joint", name=name, axis="0 1 0", armature="1e-4", damping="0.001")
                _add_contact(
                    wheel,
                    "cylinder",
                    (base.wheel_radius_m, WHEEL_WIDTH_M / 2),
                    (0.0, 0.0, 0.0),
                    quat="1 1 0 0",
                )
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
        )
        ET.SubElement(
            actuators,
            "position",
            joint=joint.name,
            kp=f"{torque / PROPORTIONAL_BAND_RAD:.9g}",
            forcerange=_spaced((-torque, torque)),
        )
    if isinstance(base, Wheels):
        for name in ("left", "right"):
            ET.SubElement(actuators, "velocity", joint=name, kv="0.5", forcerange="-1 1")
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
        friction=f"{FRICTION:g}",
        contype="2",
        conaffinity="1",
        attrib=more,
    )


def _spaced(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)
