"""How hard the joints may move without tipping the robot over, from the masses in the body file.

The board holds limits per joint, and nothing stops all joints from being at their limits at once. The cap is
therefore a box: whatever combination of angles, velocities and accelerations lies inside it, the robot stands.

The robot stands as long as the zero-moment point, where the ground's force may be thought to act without a moment
along the ground, lies inside the polygon it stands on (M. Vukobratović and B. Borovac, "Zero-Moment Point: thirty
five years of its life", 2004). With masses m at c, moving with acceleration a, and spin L, the ground supplies

    F = Σ m (a + g)    M = Σ c × m (a + g) + dL/dt    zmp = (−M_y, M_x) / F_z

For an edge of the polygon with inward normal n at distance −d from the origin, K = n·(−M_y, M_x) − d·F_z tells how
far the robot is from turning over it. Gravity's part of K holds it down; the part of the motion is asked for
TIP_SAFETY times over. For one mass m at height h and offset x on a foot of mass m_b and radius r this is the
familiar a ≤ g (m (r − x) + m_b r) / (m h) / TIP_SAFETY.
"""

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drivers.body import ACCELERATION_MARGIN, VELOCITY_MARGIN, Body, Matrix

GRAVITY_M_S2 = 9.81
TIP_SAFETY = (
    2.0  # of what the planner asks for; ACCELERATION_MARGIN is taken from it where the board's lines are
)
BOARD_SAFETY = TIP_SAFETY / ACCELERATION_MARGIN
SEARCH = ((5, 0.25), (3, 0.5), (3, 0.5), (3, 0.5))  # poses a joint; the next round's share of the range

Array = NDArray[np.float64]


def zmp_margin(
    body: Body,
    positions_rad: tuple[float, ...],
    velocities_rad_s: tuple[float, ...],
    accelerations_rad_s2: tuple[float, ...],
    base_acceleration_m_s2: tuple[float, float] = (0.0, 0.0),
    base_turn_rad_s: float = 0.0,
    base_turn_rad_s2: float = 0.0,
) -> float:
    """How far inside the support polygon the zero-moment point lies, in metres; negative: the robot tips.

    −inf when the ground would have to pull. The base's acceleration is along x and y. No safety factor.
    """
    return float(
        zmp_margins(
            body,
            np.array([positions_rad]),
            np.array([velocities_rad_s]),
            np.array([accelerations_rad_s2]),
            np.array([[*base_acceleration_m_s2, base_turn_rad_s, base_turn_rad_s2]]),
        )[0]
    )


def zmp_margins(body: Body, positions: Array, velocities: Array, accelerations: Array, base: Array) -> Array:
    """`zmp_margin` of many cases at once: one row a case, one column a joint.

    The base's columns: acceleration along x and y, turn rate, and the turn rate's change.
    """
    load = _load(body, positions, velocities, accelerations, base, GRAVITY_M_S2)
    least = (load @ support_edges(body).T).min(axis=1)
    margins = np.full(len(load), -np.inf)
    np.divide(least, load[:, 2], out=margins, where=load[:, 2] > 0.0)
    return margins


@lru_cache(maxsize=8)  # a sweep asks for the same body at each run, and each time costs 0.1 s
def acceleration_limits(body: Body) -> tuple[float, ...]:
    """What the planner may ask of each joint in rad/s²: the body's own wishes, all times one factor up to 1.

    With all joints at the board's limits (these times ACCELERATION_MARGIN, velocities times VELOCITY_MARGIN) in the
    worst directions, in any pose, and the base accelerating and turning at its own limits, the robot stands
    BOARD_SAFETY times over. All zeros: its velocities or its weight alone tip it.
    """
    low = np.array([joint.min_rad for joint in body.joint])
    high = np.array([joint.max_rad for joint in body.joint])
    middle, half = (low + high) / 2, (high - low) / 2
    factor = 1.0
    for count, closer in SEARCH:
        steps = np.array(list(itertools.product(np.linspace(-1.0, 1.0, count), repeat=len(middle))))
        poses = np.clip(middle + steps * half, low, high)
        factors = _factors(body, poses)
        worst = int(np.argmin(factors))
        factor = min(factor, float(factors[worst]))
        middle, half = poses[worst], half * closer
    return tuple(joint.max_acceleration_rad_s2 * max(factor, 0.0) for joint in body.joint)


def _factors(body: Body, poses: Array) -> Array:
    """For each pose the factor on all accelerations at which the worst combination just keeps the safety."""
    count = len(body.joint)
    base = body.base
    # A case is a column of velocities, accelerations, the base's four columns, and gravity. The load is linear in
    # all but the velocities and the turn rate, in which it is quadratic: these cases hold all of it.
    rates = np.zeros((count + 1, 2 * count + 5))
    rates[:count, :count] = np.diag([VELOCITY_MARGIN * joint.max_velocity_rad_s for joint in body.joint])
    rates[count, 2 * count + 2] = base.max_turn_rad_s
    pushes = np.zeros((count, 2 * count + 5))
    pushes[:, count : 2 * count] = np.diag(
        [ACCELERATION_MARGIN * joint.max_acceleration_rad_s2 for joint in body.joint]
    )
    rest = np.zeros((4, 2 * count + 5))  # gravity, the base along x and y, its turn
    rest[0, -1] = GRAVITY_M_S2
    rest[1, 2 * count] = rest[2, 2 * count + 1] = base.max_acceleration_m_s2
    rest[3, 2 * count + 3] = base.max_turn_rad_s2
    pairs = list(itertools.combinations(range(count + 1), 2))
    cases = np.concatenate([pushes, rest, rates, [rates[j] + rates[k] for j, k in pairs]])
    many = np.repeat(cases, len(poses), axis=0)
    velocities, accelerations, moves, gravity = np.split(many, [count, 2 * count, 2 * count + 4], axis=1)
    load = _load(body, np.tile(poses, (len(cases), 1)), velocities, accelerations, moves, gravity[:, 0])
    holds = load.reshape(len(cases), len(poses), 3) @ support_edges(body).T  # K, by cases, poses and edges
    joints, (weight, along, across, turn), squares, products = np.split(
        holds, np.cumsum([count, 4, count + 1])
    )
    # Every velocity term at its own worst: no combination of signs is worse, though some may be milder.
    spin = np.minimum(squares, 0.0).sum(axis=0)
    for (j, k), product in zip(pairs, products, strict=True):
        spin -= np.abs(product - squares[j] - squares[k])
    room = weight / BOARD_SAFETY + spin - np.hypot(along, across) - np.abs(turn)
    factors: Array = (room / np.maximum(np.abs(joints).sum(axis=0), 1e-12)).min(axis=1)
    return factors


def support_edges(body: Body) -> Array:
    """One row an edge of the support polygon: times the load it gives K."""
    corners = np.array(body.base.support_m)
    along = np.roll(corners, -1, axis=0) - corners
    inward = np.column_stack([-along[:, 1], along[:, 0]]) / np.linalg.norm(along, axis=1, keepdims=True)
    return np.column_stack([inward, -(inward * corners).sum(axis=1)])


def _load(
    body: Body, positions: Array, velocities: Array, accelerations: Array, base: Array, gravity: Array | float
) -> Array:
    """(−M_y, M_x, F_z) about the base frame's origin, one row a case; inputs are one row a case too.

    The recursion outwards of Newton and Euler: what a link does follows from the link before it.
    """
    cases = len(positions)
    turn: Matrix = np.broadcast_to(np.eye(3), (cases, 3, 3))
    place = np.zeros((cases, 3))
    spin, spin_rate = (base[:, column, None] * (0.0, 0.0, 1.0) for column in (2, 3))
    push = np.column_stack([base[:, :2], np.broadcast_to(gravity, cases)])  # gravity as a push upwards
    arm = np.broadcast_to(np.array(body.base.centre_m), (cases, 3))
    load = _moment(arm, body.base.mass_kg * _pushed(push, spin, spin_rate, arm))
    for number, joint in enumerate(body.joint):
        arm = turn @ np.array(joint.offset_m)
        push = _pushed(push, spin, spin_rate, arm)
        place = place + arm
        axis = turn[:, :, "xyz".index(joint.axis)]
        rate = velocities[:, number, None]
        spin_rate = spin_rate + accelerations[:, number, None] * axis + np.cross(spin, rate * axis)
        spin = spin + rate * axis
        turn = turn @ _turns(joint.axis, positions[:, number])
        link = joint.link
        arm = turn @ np.array(link.centre_m)
        load = load + _moment(place + arm, link.mass_kg * _pushed(push, spin, spin_rate, arm))
        inertia = turn * np.array(link.inertia_kg_m2)[None, None, :] @ turn.transpose(0, 2, 1)
        swirl = np.einsum("nij,nj->ni", inertia, spin_rate)
        swirl += np.cross(spin, np.einsum("nij,nj->ni", inertia, spin))
        load = load + np.column_stack([-swirl[:, 1], swirl[:, 0], np.zeros(cases)])
    return load


def _pushed(push: Array, spin: Array, spin_rate: Array, arm: Array) -> Array:
    """Acceleration at the end of an arm on a link that turns."""
    pushed: Array = push + np.cross(spin_rate, arm) + np.cross(spin, np.cross(spin, arm))
    return pushed


def _moment(place: Array, force: Array) -> Array:
    moment = np.cross(place, force)
    return np.column_stack([-moment[:, 1], moment[:, 0], force[:, 2]])


def _turns(axis: str, angles: Array) -> Array:
    """Rotations about a named axis, one an angle."""
    turns = np.zeros((len(angles), 3, 3))
    x = "xyz".index(axis)
    y, z = (x + 1) % 3, (x + 2) % 3
    cos, sin = np.cos(angles), np.sin(angles)
    turns[:, x, x] = 1.0
    turns[:, y, y] = turns[:, z, z] = cos
    turns[:, z, y], turns[:, y, z] = sin, -sin
    return turns
