"""Layers of intent → one set-point every 10 ms, inside the limits of velocity, acceleration and jerk.

From the top: hold (safety) silences all below it; a skill's gesture, mimicry of the caller and idle life are
offsets; gaze is the pose they are added to. The sum goes through `ruckig`, under the tip-over cap, so that
whatever the layers ask for, the arm moves smoothly; a stopped gesture stops smoothly too.
"""

import math
from typing import Literal

import msgspec
from ruckig import InputParameter, OutputParameter, Result, Ruckig, RuckigError, Synchronization

from agent.body import Point, aim
from agent.config import IdleDial
from agent.events import HeadPose
from drivers.body import Body
from drivers.errors import Refused

PERIOD_S = 0.01
GAZE_TAU_S = 0.06  # smooths the pixels' jitter; a third of what a person notices as lag
GAZE_DEADBAND_RAD = 0.009  # half a degree: a still person's face box wanders by less
PURSUE_RAD = 0.002  # once moving, follow until this close
LIFT_SHARE = 0.35  # of a target's height above the level look, taken by the arm's lift
MIMIC_GAIN = {"tilt": 1.0, "yaw": 0.6, "roll": 0.9}  # the caller's yaw also means "looks at another window"
GESTURE_S = {"nod": 0.85, "shake": 0.8, "tilt": 1.4}  # one repetition
GESTURE_RAD = {"nod": 0.22, "shake": 0.28, "tilt": 0.22}
GESTURE_JOINT = {"nod": "tilt", "shake": "yaw", "tilt": "roll"}
IDLE_RAD = {"off": 0.0, "low": 0.006, "full": 0.015}
IDLE_PERIOD_S = 5.0  # slow breath

GestureKind = Literal["nod", "shake", "tilt"]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A gesture that is being made."""

    kind: GestureKind
    times: int
    elapsed_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return self.times * GESTURE_S[self.kind]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where the set-point is and what is under way."""

    position_rad: tuple[float, ...]
    velocity_rad_s: tuple[float, ...]
    acceleration_rad_s2: tuple[float, ...]
    gaze_rad: tuple[float, ...]
    looked_at_m: Point | None = None  # the last point, and the pose that looks at it
    looking_rad: tuple[float, ...] = ()
    pursuing: bool = False
    offset_rad: tuple[float, ...] | None = None
    act: Act | None = None
    age_s: float = 0.0


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What the layers want in this tick."""

    look_at_m: Point | None = None  # in the base frame; None keeps the last gaze
    mimic: HeadPose | None = None
    idle: IdleDial = "low"
    hold: bool = False
    rest: bool = False
    begin: Act | None = None


class Trajectory:
    """Ruckig behind a function: state and target in, the state one period later out."""

    def __init__(self, body: Body) -> None:
        dofs = len(body.joint)
        self._otg = Ruckig(dofs, PERIOD_S)
        self._input = InputParameter(dofs)
        # Joints that wait for each other gain nothing here, and ruckig now and then finds no common time.
        self._input.synchronization = Synchronization.No
        self._input.target_acceleration = [0.0] * dofs
        self._input.max_velocity = [joint.max_velocity_rad_s for joint in body.joint]
        # Under the tip-over cap.
        self._input.max_acceleration = [joint.max_acceleration_rad_s2 for joint in body.joint]
        self._input.max_jerk = [joint.max_jerk_rad_s3 for joint in body.joint]
        self._output = OutputParameter(dofs)

    def step(
        self, state: State, target_rad: list[float], target_velocity_rad_s: list[float]
    ) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Position, velocity and acceleration after one period."""
        given = self._input
        given.current_position = state.position_rad
        given.current_velocity = state.velocity_rad_s
        given.current_acceleration = state.acceleration_rad_s2
        given.target_position = target_rad
        given.target_velocity = target_velocity_rad_s
        try:
            result = self._otg.update(given, self._output)
        except RuckigError as exc:
            line = str(exc).strip().partition("\n")[0]
            raise Refused(f"motion: no trajectory ({line}); the arm begins anew from its pose") from exc
        if result not in (Result.Working, Result.Finished):
            raise Refused(
                f"motion: no trajectory within the limits ({result}); the arm begins anew from its pose"
            )
        out = self._output
        return tuple(out.new_position), tuple(out.new_velocity), tuple(out.new_acceleration)


def start(pose_rad: tuple[float, ...]) -> State:
    """At rest in a pose that was read back from the board."""
    still = (0.0,) * len(pose_rad)
    return State(position_rad=pose_rad, velocity_rad_s=still, acceleration_rad_s2=still, gaze_rad=pose_rad)


def step(state: State, intent: Intent, body: Body, trajectory: Trajectory) -> State:
    """One period on: the new state, whose position and velocity are the set-point."""
    act = intent.begin or state.act
    if intent.hold or intent.rest:
        act = None
    looking = _looking(state, intent, body)
    gaze, pursuing = _gaze(state, intent, body, looking)
    offset = [0.0] * len(body.joint)
    if not intent.hold and not intent.rest:
        _add_mimic(offset, intent.mimic, body)
        _add_act(offset, act, body)
        offset[body.index("lift")] += IDLE_RAD[intent.idle] * math.sin(
            2 * math.pi * state.age_s / IDLE_PERIOD_S
        )
    target, velocity = [], []
    before = state.offset_rad or offset
    for joint, base, added, old in zip(body.joint, gaze, offset, before, strict=True):
        wanted = base + added
        inside = min(max(wanted, joint.min_rad), joint.max_rad)
        rate = (added - old) / PERIOD_S if inside == wanted else 0.0
        most = 0.9 * joint.max_velocity_rad_s
        target.append(inside)
        velocity.append(min(max(rate, -most), most))
    if intent.hold:
        target, velocity = _braking_point(state, body), [0.0] * len(target)
    position, speed, acceleration = trajectory.step(state, target, velocity)
    if act is not None:
        act = msgspec.structs.replace(act, elapsed_s=act.elapsed_s + PERIOD_S)
        act = act if act.elapsed_s < act.duration_s else None
    return State(
        position_rad=tuple(
            min(max(p, j.min_rad), j.max_rad) for p, j in zip(position, body.joint, strict=True)
        ),
        velocity_rad_s=speed,
        acceleration_rad_s2=acceleration,
        gaze_rad=tuple(state.position_rad) if intent.hold else gaze,
        looked_at_m=intent.look_at_m or state.looked_at_m,
        looking_rad=looking,
        pursuing=pursuing,
        offset_rad=None if intent.hold else tuple(offset),
        act=act,
        age_s=state.age_s + PERIOD_S,
    )


def _looking(state: State, intent: Intent, body: Body) -> tuple[float, ...]:
    """The pose that looks at the point; a point stays for several ticks, and aiming is dear."""
    if intent.look_at_m is None or intent.look_at_m == state.looked_at_m:
        return state.looking_rad
    lift = body.joint[body.index("lift")]
    x, y, z = intent.look_at_m
    height_rad = math.atan2(z - 0.4, math.hypot(x, y))
    lift_rad = min(max(lift.rest_rad - LIFT_SHARE * height_rad, lift.min_rad), lift.max_rad)
    return aim(body, intent.look_at_m, lift_rad)


def _gaze(
    state: State, intent: Intent, body: Body, looking: tuple[float, ...]
) -> tuple[tuple[float, ...], bool]:
    """Smoothed joint angles of the gaze layer, and whether it is chasing a target."""
    if intent.rest:
        return body.rest_rad, False
    if intent.look_at_m is None or intent.hold:
        return state.gaze_rad, False
    furthest = max(abs(w - g) for w, g in zip(looking, state.gaze_rad, strict=True))
    pursuing = furthest > (PURSUE_RAD if state.pursuing else GAZE_DEADBAND_RAD)
    if not pursuing:
        return state.gaze_rad, False
    share = 1 - math.exp(-PERIOD_S / GAZE_TAU_S)
    return tuple(g + share * (w - g) for w, g in zip(looking, state.gaze_rad, strict=True)), True


def _add_mimic(offset: list[float], pose: HeadPose | None, body: Body) -> None:
    if pose is None:
        return
    asked = {"tilt": pose.pitch_rad, "yaw": pose.yaw_rad, "roll": pose.roll_rad}
    for name, angle in asked.items():
        offset[body.index(name)] += MIMIC_GAIN[name] * angle


def _add_act(offset: list[float], act: Act | None, body: Body) -> None:
    """A nod dips and comes back, a shake goes both ways, a tilt leans and holds; all start and end at zero."""
    if act is None:
        return
    cycles = act.elapsed_s / GESTURE_S[act.kind]
    height = GESTURE_RAD[act.kind]
    if act.kind == "nod":
        share = (1 - math.cos(2 * math.pi * cycles)) / 2
    elif act.kind == "shake":
        edge = min(1.0, 4 * cycles, 4 * (act.times - cycles))
        share = edge * math.sin(2 * math.pi * cycles)
    else:
        side = -1.0 if int(cycles) % 2 else 1.0
        share = side * math.sin(math.pi * (cycles % 1)) ** 0.5
    offset[body.index(GESTURE_JOINT[act.kind])] += height * share


def _braking_point(state: State, body: Body) -> list[float]:
    """Where the arm can come to rest: ahead of where it is, by what braking takes at full deceleration."""
    return [
        min(max(p + v * abs(v) / (2 * j.max_acceleration_rad_s2), j.min_rad), j.max_rad)
        for p, v, j in zip(state.position_rad, state.velocity_rad_s, body.joint, strict=True)
    ]
