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
) -> float:
    """How far inside the support polygon the zero-moment point lies, in metres; negative: the robot tips.

    −inf when the ground would have to pull. No safety factor.
    """
    return float(
        zmp_margins(
            body,
            np.array([positions_rad]),
            np.array([velocities_rad_s]),
            np.array([accelerations_rad_s2]),
            np.array([base_acceleration_m_s2]),
        )[0]
    )


def zmp_margins(body: Body, positions: Array, velocities: Array, accelerations: Array, base: Array) -> Array:
    """`zmp_margin` of many cases at once: one row a case, one column a joint, two of the base's acceleration."""
    load = _load(body, positions, velocities, accelerations, base, GRAVITY_M_S2)
    least = (load @ _edges(body).T).min(axis=1)
    margins = np.full(len(load), -np.inf)
    np.divide(least, load[:, 2], out=margins, where=load[:, 2] > 0.0)
    return margins


def acceleration_limits(body: Body) -> tuple[float, ...]:
    """What the planner may ask of each joint in rad/s²: the body's own wishes, all times one factor up to 1.

    With all joints at the board's limits (these times ACCELERATION_MARGIN, velocities times VELOCITY_MARGIN) in the
    worst directions, in any pose, and the base accelerating at its own limit, the robot stands BOARD_SAFETY times
    over. All zeros: its velocities or its weight alone tip it.
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
    velocity = VELOCITY_MARGIN * np.array([joint.max_velocity_rad_s for joint in body.joint])
    acceleration = ACCELERATION_MARGIN * np.array([joint.max_acceleration_rad_s2 for joint in body.joint])
    pairs = list(itertools.combinations(range(count), 2))
    # The load is linear in accelerations and quadratic in velocities: these cases hold all of it.
    still, no_base = np.zeros(count), np.zeros(2)
    one = np.eye(count)
    cases = [(still, still, no_base, GRAVITY_M_S2)]
    cases += [(still, one[j] * acceleration[j], no_base, 0.0) for j in range(count)]
    cases += [(still, still, np.eye(2)[axis], 0.0) for axis in range(2)]
    cases += [(one[j] * velocity[j], still, no_base, 0.0) for j in range(count)]
    cases += [(one[j] * velocity[j] + one[k] * velocity[k], still, no_base, 0.0) for j, k in pairs]
    repeat = len(poses)
    load = _load(
        body,
        np.tile(poses, (len(cases), 1)),
        np.repeat([case[0] for case in cases], repeat, axis=0),
        np.repeat([case[1] for case in cases], repeat, axis=0),
        np.repeat([case[2] for case in cases], repeat, axis=0),
        np.repeat([case[3] for case in cases], repeat),
    ).reshape(len(cases), repeat, 3)
    parts = np.split(load @ _edges(body).T, np.cumsum([1, count, 2, count]))  # each: cases, poses, edges
    weight, joints, base, squares, products = parts
    # Every velocity term at its own worst: no combination of signs is worse, though some may be milder.
    spin = np.minimum(squares, 0.0).sum(axis=0)
    for (j, k), product in zip(pairs, products, strict=True):
        spin -= np.abs(product - squares[j] - squares[k])
    drive = -np.hypot(base[0], base[1]) * body.base.max_acceleration_m_s2
    room = weight[0] / BOARD_SAFETY + spin + drive
    asked = np.abs(joints).sum(axis=0)
    factors: Array = (room / np.maximum(asked, 1e-12)).min(axis=1)
    return factors


def _edges(body: Body) -> Array:
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
    place, spin, spin_rate = np.zeros((cases, 3)), np.zeros((cases, 3)), np.zeros((cases, 3))
    push = np.column_stack(
        [base, np.broadcast_to(gravity, cases)]
    )  # of the origin, gravity as a push upwards
    load = _moment(np.broadcast_to(np.array(body.base.centre_m), (cases, 3)), body.base.mass_kg * push)
    for number, joint in enumerate(body.joint):
        arm = turn @ np.array(joint.offset_m)
        push = push + np.cross(spin_rate, arm) + np.cross(spin, np.cross(spin, arm))
        place = place + arm
        axis = turn[:, :, "xyz".index(joint.axis)]
        rate = velocities[:, number, None]
        spin_rate = spin_rate + accelerations[:, number, None] * axis + np.cross(spin, rate * axis)
        spin = spin + rate * axis
        turn = turn @ _turns(joint.axis, positions[:, number])
        link = joint.link
        arm = turn @ np.array(link.centre_m)
        centre_push = push + np.cross(spin_rate, arm) + np.cross(spin, np.cross(spin, arm))
        load = load + _moment(place + arm, link.mass_kg * centre_push)
        inertia = turn * np.array(link.inertia_kg_m2)[None, None, :] @ turn.transpose(0, 2, 1)
        swirl = np.einsum("nij,nj->ni", inertia, spin_rate)
        swirl += np.cross(spin, np.einsum("nij,nj->ni", inertia, spin))
        load = load + np.column_stack([-swirl[:, 1], swirl[:, 0], np.zeros(cases)])
    return load


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
