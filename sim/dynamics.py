"""Links on a base that stands, rolls or tips: the light body's inner loop, compiled by numba.

Newton's and Euler's equations outwards and inwards (R. Featherstone, "Rigid Body Dynamics Algorithms", 2008,
chapters 5 and 6), in the base's frame. No fast-math and no threads: the same input gives the same bits.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.balance import GRAVITY_M_S2
from sim.compiled import compiled

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Vector = tuple[float, float, float]

STEP_S = 0.002  # of every simulated body but MuJoCo's
MOTOR_NM = 0.3  # each, stalled; what the gears let through
MOTOR_NM_S = 0.2  # torque for each rad/s that a wheel lacks; with the base's weight a lag of 20 ms
MOTOR_KG_M2 = 2e-3  # a rotor through its gears
MOTOR_DRAG_NM_S = 1e-3
ROUNDS = 8  # of the two wheels' forces: each changes the other's slip
LIES_RAD = 1.4  # further it does not turn: the arm and the screen lie on the table

# Places of a servo's numbers, and of the whole body's.
STALL_NM, NO_LOAD_RAD_S, ROTOR_KG_M2, FRICTION_NM, BACKLASH_RAD = range(5)
EDGE, TILT_RAD, TILT_RATE_RAD_S, TILT_PUSH_RAD_S2, SUPPLY, GIVEN_SUPPLY = range(6)
# Of the wheels' state: pose, speed along, turn rate, the wheels' speeds, the last accelerations, the wheels' turns.
(
    X_M, Y_M, YAW_RAD, SPEED_M_S, TURN_RAD_S, LEFT_RAD_S, RIGHT_RAD_S, PUSH_M_S2, SWING_RAD_S2, LEFT_RAD, RIGHT_RAD
) = range(11)  # fmt: skip
STATES = 11
# Of what it rolls on: wheel, track, mass, inertia about the upright axis, traction a wheel in N, drag in N.
RADIUS_M, TRACK_M, MASS_KG, INERTIA_KG_M2, GRIP_N, DRAG_N = range(6)


def steps_until(now_s: float, start_s: float, step_s: float = STEP_S) -> int:
    """How many whole steps have passed; a time that is a step's own but for rounding has it."""
    return math.floor((now_s - start_s) / step_s + 1e-6)


class Links(NamedTuple):
    """What hangs together, one row a joint; the edges of the polygon it stands on, one row each."""

    axis: Whole
    offset_m: Reals
    centre_m: Reals
    mass_kg: Reals
    inertia_kg_m2: Reals
    servo: Reals  # columns STALL_NM …
    base_mass_kg: float
    base_centre_m: Vector
    base_inertia_kg_m2: Vector
    edge: Reals  # inward normal, minus its distance from the origin


class Law(NamedTuple):
    """The servo's law, see `sim.body`."""

    step_s: float
    band_rad: float
    lead_s: float
    dead_rad: float
    sag_per_nm: float
    limp_share: float


class Motion(NamedTuple):
    """What changes, in place."""

    angle_rad: Reals  # the servo's shaft
    speed_rad_s: Reals
    shown_rad: Reals  # the link, behind the backlash
    target_rad: Reals  # nan: no pulse
    is_resting: NDArray[np.bool_]  # the error at the last pulse was inside the dead band
    torque_nm: Reals
    whole: Reals  # EDGE …
    wheels: Reals  # X_M …


class _Scratch(NamedTuple):
    """Of each link, one row; vectors in the base's frame."""

    turn: Reals  # its own axes, one after the other
    place: Reals  # of its joint
    axis: Reals
    centre: Reals
    force: Reals
    swirl: Reals


@compiled
def _row(rows: Reals, i: int) -> Vector:
    return rows[i, 0], rows[i, 1], rows[i, 2]


@compiled
def _put(rows: Reals, i: int, a: Vector) -> None:
    rows[i, 0], rows[i, 1], rows[i, 2] = a


@compiled
def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@compiled
def _more(a: Vector, weight: float, b: Vector) -> Vector:
    """a + weight · b."""
    return a[0] + weight * b[0], a[1] + weight * b[1], a[2] + weight * b[2]


@compiled
def _carried(push: Vector, spin: Vector, rate: Vector, arm: Vector) -> Vector:
    """Acceleration at the end of an arm on a link that turns."""
    return _more(_more(push, 1.0, _cross(rate, arm)), 1.0, _cross(spin, _cross(spin, arm)))


@compiled
def _swirl(x: Vector, y: Vector, z: Vector, inertia: Vector, spin: Vector, rate: Vector) -> Vector:
    """Moment that keeps a link with these own axes turning about its centre: dL/dt."""
    zero = (0.0, 0.0, 0.0)
    spun = _more(zero, inertia[0] * _dot(x, spin), x)
    spun = _more(_more(spun, inertia[1] * _dot(y, spin), y), inertia[2] * _dot(z, spin), z)
    faster = _more(zero, inertia[0] * _dot(x, rate), x)
    faster = _more(_more(faster, inertia[1] * _dot(y, rate), y), inertia[2] * _dot(z, rate), z)
    return _more(faster, 1.0, _cross(spin, spun))


@compiled
def _outwards(
    links: Links, angle: Reals, speed: Reals, faster: Reals, push: Vector, spin: Vector, rate: Vector, s: _Scratch
) -> tuple[Vector, Vector]:  # fmt: skip
    """What each link's motion takes: its force and swirl, in the base's frame; the load on the ground in all."""
    x, y, z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)  # the link's own axes
    place = zero = (0.0, 0.0, 0.0)
    own = links.base_centre_m
    force = _more(zero, links.base_mass_kg, _carried(push, spin, rate, own))
    moment = _more(_swirl(x, y, z, links.base_inertia_kg_m2, spin, rate), 1.0, _cross(own, force))
    for i in range(links.axis.shape[0]):
        a, b, c = _row(links.offset_m, i)
        arm = _more(_more(_more(zero, a, x), b, y), c, z)
        push = _carried(push, spin, rate, arm)
        place = _more(place, 1.0, arm)
        cos, sin = np.cos(angle[i]), np.sin(angle[i])
        if links.axis[i] == 0:
            axis = x
            y, z = _more(_more(zero, cos, y), sin, z), _more(_more(zero, cos, z), -sin, y)
        elif links.axis[i] == 1:
            axis = y
            z, x = _more(_more(zero, cos, z), sin, x), _more(_more(zero, cos, x), -sin, z)
        else:
            axis = z
            x, y = _more(_more(zero, cos, x), sin, y), _more(_more(zero, cos, y), -sin, x)
        rate = _more(_more(rate, faster[i], axis), speed[i], _cross(spin, axis))
        spin = _more(spin, speed[i], axis)
        a, b, c = _row(links.centre_m, i)
        arm = _more(_more(_more(zero, a, x), b, y), c, z)
        centre = _more(place, 1.0, arm)
        own_force = _more(zero, links.mass_kg[i], _carried(push, spin, rate, arm))
        swirl = _swirl(x, y, z, _row(links.inertia_kg_m2, i), spin, rate)
        force = _more(force, 1.0, own_force)
        moment = _more(_more(moment, 1.0, swirl), 1.0, _cross(centre, own_force))
        for k in range(3):
            s.turn[i, k], s.turn[i, 3 + k], s.turn[i, 6 + k] = x[k], y[k], z[k]
        _put(s.place, i, place)
        _put(s.axis, i, axis)
        _put(s.centre, i, centre)
        _put(s.force, i, own_force)
        _put(s.swirl, i, swirl)
    return force, moment


@compiled
def _along(turn: Reals, k: int, axis: Vector) -> Vector:
    """An axis in link k's own frame."""
    return (
        turn[k, 0] * axis[0] + turn[k, 1] * axis[1] + turn[k, 2] * axis[2],
        turn[k, 3] * axis[0] + turn[k, 4] * axis[1] + turn[k, 5] * axis[2],
        turn[k, 6] * axis[0] + turn[k, 7] * axis[1] + turn[k, 8] * axis[2],
    )


@compiled
def _shared(
    links: Links, k: int, s: _Scratch, one: Vector, one_at: Vector, two: Vector, two_at: Vector
) -> float:
    """What link k's inertia makes of turns about two axes through two places."""
    centre = _row(s.centre, k)
    lever_one = _cross(one, _more(centre, -1.0, one_at))
    lever_two = _cross(two, _more(centre, -1.0, two_at))
    a, b = _along(s.turn, k, one), _along(s.turn, k, two)
    total: float = _dot(lever_one, lever_two) * links.mass_kg[k]
    for d in range(3):
        total += links.inertia_kg_m2[k, d] * a[d] * b[d]
    return total


@compiled
def _inertia(links: Links, s: _Scratch, out: Reals) -> None:
    """The joints' mass matrix, rotors included."""
    count = links.axis.shape[0]
    for i in range(count):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, count):
                one, two = _row(s.axis, i), _row(s.axis, j)
                total += _shared(links, k, s, one, _row(s.place, i), two, _row(s.place, j))
            out[i, j] = out[j, i] = total
        out[i, i] += links.servo[i, ROTOR_KG_M2]


@compiled
def _solve(matrix: Reals, right: Reals) -> None:
    """Overwrite `right` with the solution for a symmetric positive matrix, by Cholesky's method in place."""
    count = right.shape[0]
    for i in range(count):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
    for i in range(count):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(count - 1, -1, -1):
        for k in range(i + 1, count):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]


@compiled
def _tip(links: Links, s: _Scratch, force: Vector, moment: Vector, whole: Reals, step_s: float) -> None:
    """Over the edge that the ground would have to pull at, as a pendulum that stands on it; back, or over."""
    edge = int(whole[EDGE])
    least = 0.0
    for i in range(links.edge.shape[0]):
        hold = -links.edge[i, 0] * moment[1] + links.edge[i, 1] * moment[0] + links.edge[i, 2] * force[2]
        if i == edge or (whole[EDGE] < 0 and hold < least):
            least, edge = hold, i
    if edge < 0:
        return
    a, b, c = _row(links.edge, edge)
    axis, on_edge = (b, -a, 0.0), (-c * a, -c * b, 0.0)  # a positive turn goes outwards
    lever = _cross(axis, _more(links.base_centre_m, -1.0, on_edge))
    own = links.base_inertia_kg_m2
    heavy = links.base_mass_kg * _dot(lever, lever) + own[0] * b * b + own[1] * a * a
    for k in range(links.axis.shape[0]):
        heavy += _shared(links, k, s, axis, on_edge, axis, on_edge)
    # What the ground would have to hold has the tip's own last share in it.
    push = whole[TILT_PUSH_RAD_S2] - least / heavy
    rate = whole[TILT_RATE_RAD_S] + push * step_s
    tilt = whole[TILT_RAD] + rate * step_s
    if tilt <= 0.0:  # it lands flat: foot and table take the blow
        edge, tilt, rate, push = -1, 0.0, 0.0, 0.0
    elif tilt >= LIES_RAD:
        tilt, rate, push = LIES_RAD, 0.0, 0.0
    whole[EDGE], whole[TILT_RAD] = edge, tilt
    whole[TILT_RATE_RAD_S], whole[TILT_PUSH_RAD_S2] = rate, push


@compiled
def _base_motion(links: Links, whole: Reals, wheels: Reals) -> tuple[Vector, Vector, Vector]:
    """The base's acceleration with gravity as a push upwards, its spin, and the spin's change."""
    tilt = whole[TILT_RAD]
    turn_rad_s = wheels[TURN_RAD_S]
    push = (wheels[PUSH_M_S2], wheels[SPEED_M_S] * turn_rad_s, GRAVITY_M_S2 * np.cos(tilt))
    spin, rate = (0.0, 0.0, turn_rad_s), (0.0, 0.0, wheels[SWING_RAD_S2])
    edge = int(whole[EDGE])
    if edge < 0:
        return push, spin, rate
    a, b, c = _row(links.edge, edge)
    axis = (b, -a, 0.0)
    swing = _cross(axis, (c * a, c * b, 0.0))
    push = _more(push, GRAVITY_M_S2 * np.sin(tilt), (a, b, 0.0))
    push = _more(push, whole[TILT_PUSH_RAD_S2], swing)
    push = _more(push, whole[TILT_RATE_RAD_S] ** 2, _cross(axis, swing))
    return push, _more(spin, whole[TILT_RATE_RAD_S], axis), _more(rate, whole[TILT_PUSH_RAD_S2], axis)


@compiled
def roll(state: Reals, rolling: Reals, wanted_rad_s: Reals, step_s: float) -> None:
    """One step of motors, wheels and base. `wanted_rad_s` is what the left and the right wheel shall turn with.

    A wheel grips as long as that takes no more than its traction; else it slips, and pushes with its traction.
    """
    radius, half = rolling[RADIUS_M], rolling[TRACK_M] / 2
    most = step_s * rolling[GRIP_N]
    wheel = state[LEFT_RAD_S : RIGHT_RAD_S + 1]
    heavy = np.zeros(2)  # what a wheel's own motor leaves it to resist with: its law is implicit
    for side in range(2):
        drive = MOTOR_NM_S * (wanted_rad_s[side] - wheel[side])
        heavy[side] = MOTOR_KG_M2 + step_s * MOTOR_DRAG_NM_S
        if abs(drive) < MOTOR_NM:
            heavy[side] += step_s * MOTOR_NM_S
        drive = min(max(drive, -MOTOR_NM), MOTOR_NM) - MOTOR_DRAG_NM_S * wheel[side]
        wheel[side] += step_s * drive / heavy[side]
    before, turned = state[SPEED_M_S], state[TURN_RAD_S]
    drag = step_s * rolling[DRAG_N] / rolling[MASS_KG]
    speed = max(before - drag, 0.0) if before > 0.0 else min(before + drag, 0.0)
    turn = turned
    given = np.zeros(2)  # impulse of each wheel upon the base
    at_base = 1.0 / rolling[MASS_KG] + half * half / rolling[INERTIA_KG_M2]
    for _ in range(ROUNDS):
        for side in range(2):
            way = -half if side == 0 else half
            slip = wheel[side] * radius - (speed + way * turn)
            impulse = given[side] + slip / (radius * radius / heavy[side] + at_base)
            impulse = min(max(impulse, -most), most)
            more = impulse - given[side]
            given[side] = impulse
            speed += more / rolling[MASS_KG]
            turn += more * way / rolling[INERTIA_KG_M2]
            wheel[side] -= more * radius / heavy[side]
    middle = state[YAW_RAD] + turn * step_s / 2
    state[X_M] += speed * np.cos(middle) * step_s
    state[Y_M] += speed * np.sin(middle) * step_s
    state[YAW_RAD] += turn * step_s
    state[SPEED_M_S], state[TURN_RAD_S] = speed, turn
    state[PUSH_M_S2], state[SWING_RAD_S2] = (speed - before) / step_s, (turn - turned) / step_s
    state[LEFT_RAD] += wheel[0] * step_s
    state[RIGHT_RAD] += wheel[1] * step_s


@compiled
def integrate(
    steps: int, links: Links, law: Law, motion: Motion, frame_step: Whole, frame_rad: Reals,
    rolling: Reals, wanted: Reals,
) -> None:  # fmt: skip
    """So many steps on. Frame k, one angle a joint and nan for no pulse, arrives before step `frame_step[k]`."""
    count = links.axis.shape[0]
    angle, speed, whole = motion.angle_rad, motion.speed_rad_s, motion.whole
    scratch = _Scratch(
        np.zeros((count, 9)), np.zeros((count, 3)), np.zeros((count, 3)), np.zeros((count, 3)),
        np.zeros((count, 3)), np.zeros((count, 3)),
    )  # fmt: skip
    still, before, change = np.zeros(count), np.zeros(count), np.zeros(count)
    matrix, heavy = np.zeros((count, count)), np.zeros(count)
    step_s, frame = law.step_s, 0
    for step in range(steps):
        while frame < frame_step.shape[0] and frame_step[frame] <= step:
            for i in range(count):
                wanted_rad = frame_rad[frame, i]
                motion.target_rad[i] = wanted_rad
                motion.is_resting[i] = abs(wanted_rad - angle[i]) < law.dead_rad
            frame += 1
        drawn = 0.0
        for i in range(count):
            drawn += abs(motion.torque_nm[i])
        whole[SUPPLY] = whole[GIVEN_SUPPLY] * max(1.0 - law.sag_per_nm * drawn, 0.0)
        is_limp = whole[SUPPLY] < law.limp_share
        if rolling.shape[0]:
            roll(motion.wheels, rolling, wanted, step_s)
        push, spin, rate = _base_motion(links, whole, motion.wheels)
        _outwards(links, angle, speed, still, push, spin, rate, scratch)
        _inertia(links, scratch, matrix)
        force = moment = (0.0, 0.0, 0.0)
        for i in range(count - 1, -1, -1):
            own = _row(scratch.force, i)
            force = _more(force, 1.0, own)
            moment = _more(
                _more(moment, 1.0, _row(scratch.swirl, i)), 1.0, _cross(_row(scratch.centre, i), own)
            )
            about = _more(moment, -1.0, _cross(_row(scratch.place, i), force))
            weight = _dot(_row(scratch.axis, i), about)
            stall = links.servo[i, STALL_NM]
            drag = stall / links.servo[i, NO_LOAD_RAD_S]  # a motor's own voltage works against it
            most = stall * whole[SUPPLY]
            drive = 0.0
            heavy[i] = matrix[i, i]
            if not (is_limp or motion.is_resting[i] or np.isnan(motion.target_rad[i])):
                stiff = most / law.band_rad
                drive = stiff * (motion.target_rad[i] - angle[i] - law.lead_s * speed[i])
                if abs(drive) > most:
                    drive = most if drive > 0.0 else -most
                else:
                    matrix[i, i] += step_s * stiff * law.lead_s
            matrix[i, i] += step_s * drag
            motion.torque_nm[i] = drive
            change[i] = step_s * (drive - drag * speed[i] - weight)
        _solve(matrix, change)
        for i in range(count):
            before[i] = speed[i]
            free = speed[i] + change[i]
            held = step_s * links.servo[i, FRICTION_NM] / heavy[i]
            speed[i] = max(free - held, 0.0) if free > 0.0 else min(free + held, 0.0)
            change[i] = (speed[i] - before[i]) / step_s
        force, moment = _outwards(links, angle, before, change, push, spin, rate, scratch)
        _tip(links, scratch, force, moment, whole, step_s)
        for i in range(count):
            angle[i] += speed[i] * step_s
            half = links.servo[i, BACKLASH_RAD] / 2
            motion.shown_rad[i] = min(max(motion.shown_rad[i], angle[i] - half), angle[i] + half)
