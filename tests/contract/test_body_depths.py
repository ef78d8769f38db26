"""One contract, two depths: the light body and MuJoCo's move alike under the same pulses, within a stated error.

Stated: joints within RMS_RAD, settled within SETTLE_S of each other; the same verdict on whether the base lifts;
wheels within PLACE_SHARE of the way and TURN_SHARE of the turn, SLIP_SHARE of the way while they spin.
"""

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.body import FOLDER, Body, PwmServo, forward, load
from drivers.errors import ConfigError
from sim.body import BAND_RAD, HARDEST, HOBBY, LightBody, Plant
from sim.mujoco_body import MujocoBody
from sim.wheels import CARPET, WOOD

FRAME_S = 0.02
RMS_RAD = math.radians(1.0)
LIMP_RMS_RAD = math.radians(2.0)  # falling by one's own weight, two kinds of dry friction part sooner
SETTLE_S = 0.03
SETTLED_RAD = math.radians(1.0)
LIFTS_RAD = math.radians(1.0)
PLACE_SHARE, TURN_SHARE = 0.03, 0.05
SLIP_SHARE = 0.25  # of the way made while wheels spin; how much of the weight they bear is each depth's guess
NAMES = ["tabletop", "wheeled"]
BOTH = pytest.mark.parametrize("name", NAMES)

Wish = Callable[[float], tuple[float, ...] | None]
Reals = NDArray[np.float64]


def pulses(body: Body, angles: tuple[float, ...] | None) -> tuple[int, ...]:
    if angles is None:
        return (0,) * len(body.joint)
    told = []
    for joint, angle in zip(body.joint, angles, strict=True):
        assert isinstance(joint.servo, PwmServo)
        told.append(round(joint.servo.centre_us + joint.servo.per_rad_us * angle))
    return tuple(told)


def play(plant: Plant, body: Body, wish: Wish, seconds: float) -> tuple[Reals, float]:
    """The links' angles each 10 ms, and the most tilt."""
    path, most = [], 0.0
    for frame in range(round(seconds / FRAME_S)):
        time_s = frame * FRAME_S
        plant.pulse(time_s, pulses(body, wish(time_s)))
        for later_s in (FRAME_S / 2, FRAME_S):
            plant.advance(time_s + later_s)
            path.append(plant.angles_rad)
            most = max(most, plant.tilt_rad)
    return np.array(path), most


def step(time_s: float) -> tuple[float, ...]:
    return (0.4, 0.2, 0.3, -0.2)


def sine(time_s: float) -> tuple[float, ...]:
    return tuple(a * math.sin(f * time_s) for a, f in ((0.5, 2.0), (0.2, 1.5), (0.3, 4.0), (0.2, 3.0)))


def sweep(time_s: float) -> tuple[float, ...]:
    """Each joint at the most that its file allows, to near its end."""
    return tuple(min(v * time_s, end) for v, end in ((3.0, 1.2), (1.5, 0.6), (4.0, 0.8), (3.0, 0.4)))


def stop(time_s: float) -> tuple[float, ...]:
    """As by an emergency stop: pulses freeze in full motion."""
    return sweep(min(time_s, 0.1))


def limp(time_s: float) -> tuple[float, ...] | None:
    return (0.0, 0.5, 0.3, 0.0) if time_s < 1.0 else None


MOTIONS: list[tuple[Wish, float]] = [
    (step, RMS_RAD),
    (sine, RMS_RAD),
    (sweep, RMS_RAD),
    (stop, RMS_RAD),
    (limp, LIMP_RMS_RAD),
]


@BOTH
@pytest.mark.parametrize("wish, most_rad", MOTIONS, ids=[wish.__name__ for wish, _ in MOTIONS])
def test_joints_move_alike(name: str, wish: Wish, most_rad: float) -> None:
    body = load(FOLDER / f"{name}.toml")
    light, _ = play(LightBody(body), body, wish, 2.0)
    deep, _ = play(MujocoBody(body), body, wish, 2.0)
    apart = np.sqrt(((light - deep) ** 2).mean(axis=0))
    print(f"{name} {wish.__name__}: {np.degrees(apart).round(2)}° rms apart")
    assert apart.max() < most_rad
    assert np.abs(light - light[0]).max() > 0.05  # something moved
    if wish is step:
        assert np.abs(_settled_s(light) - _settled_s(deep)).max() <= SETTLE_S


def _settled_s(path: Reals) -> Reals:
    """When each joint came to stay near its last angle."""
    away = np.abs(path - path[-1]) > SETTLED_RAD
    last = len(path) - np.argmax(away[::-1], axis=0)
    settled: Reals = last * FRAME_S / 2
    return settled


@pytest.mark.parametrize("depth", [LightBody, MujocoBody])
def test_a_ramp_is_followed_with_the_lag_that_the_body_file_says(
    depth: Callable[[Body, float], Plant],
) -> None:
    body = load()
    yaw = body.index("yaw")
    speed = 0.8
    path, _ = play(depth(body, 0.0), body, lambda time_s: (speed * time_s - 1.0, 0.0, 0.0, 0.0), 2.2)
    times = FRAME_S / 2 * np.arange(1, len(path) + 1)
    lag_s = ((speed * times - 1.0 - path[:, yaw]) / speed)[120:].mean()
    # Friction and half the backlash are lag too, at so low a speed.
    dry_s = (HOBBY.friction * BAND_RAD + HOBBY.backlash_rad / 2) / speed
    print(f"{depth.__name__}: {lag_s * 1e3:.0f} ms behind a ramp, {dry_s * 1e3:.0f} of them dry")
    assert lag_s - dry_s == pytest.approx(body.servo_lag_s, abs=0.015)


@pytest.mark.parametrize("share, is_held", [(0.75, True), (0.5, False)])
def test_a_dip_of_the_supply_makes_an_arm_sag_or_fall(share: float, is_held: bool) -> None:
    body = load()
    lift = body.index("lift")
    lean = (0.0, 0.5, 0.0, 0.0)
    ends = []
    for depth in (LightBody, MujocoBody):
        plant: Plant = depth(body)
        before = play(plant, body, lambda _: lean, 1.5)[0][-1, lift]
        plant.brown_out(share)
        for frame in range(25):
            plant.pulse(1.5 + frame * FRAME_S, pulses(body, lean))
        plant.advance(2.0)
        after = plant.angles_rad[lift]
        assert (after - before < 0.05) == is_held
        ends.append(after - before)
        if not is_held:
            plant.brown_out(1.0)
            plant.pulse(2.0, pulses(body, body.rest_rad))
            plant.advance(3.5)
            assert abs(plant.angles_rad[lift]) < 0.05  # it comes back
    print(f"supply {share}: the lift sinks by {np.degrees(ends).round(2)}°")
    if is_held:
        assert ends[0] == pytest.approx(ends[1], abs=RMS_RAD)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_no_share_of_a_supply(share: float) -> None:
    for depth in (LightBody, MujocoBody):
        with pytest.raises(ConfigError, match="0 to 1"):
            depth(load()).brown_out(share)


def dare(time_s: float) -> tuple[float, ...]:
    """Leans right out, then throws all of it back: hobby servos can."""
    way = 1.0 if time_s < 0.4 else -1.0
    return (0.0, 0.7 if way > 0 else -0.5, 0.9 * way, 0.0)


def shake(time_s: float) -> tuple[float, ...]:
    return (0.0, 0.0, 0.0, 0.5 if int(time_s / 0.3) % 2 else -0.5)


@pytest.mark.parametrize(
    "name, foot, wish, lifts",
    [
        ("tabletop", 1.0, sine, False),
        ("tabletop", 1.0, shake, False),
        ("tabletop", 1.0, dare, True),
        ("tabletop", 0.5, shake, False),
        ("tabletop", 0.5, dare, True),
        ("wheeled", 1.0, shake, False),
        ("wheeled", 1.0, sine, False),
        ("wheeled", 0.5, dare, True),
        ("wheeled", 0.3, dare, True),
    ],
)
def test_the_same_temptations_lift_the_base(name: str, foot: float, wish: Wish, lifts: bool) -> None:
    """By servos that take nothing back; a foot of less weight than the file says tips sooner."""
    body = load(FOLDER / f"{name}.toml")
    base = msgspec.structs.replace(body.base, mass_kg=body.base.mass_kg * foot)
    body = msgspec.structs.replace(body, base=base)
    _, light = play(LightBody(body, servos=HARDEST), body, wish, 1.5)
    _, deep = play(MujocoBody(body, servos=HARDEST), body, wish, 1.5)
    print(
        f"{name} at {foot} of its weight, {wish.__name__}: {math.degrees(light):.1f}° {math.degrees(deep):.1f}°"
    )
    assert (light > LIFTS_RAD, deep > LIFTS_RAD) == (lifts, lifts)


@pytest.mark.parametrize("depth", [LightBody, MujocoBody])
def test_what_tips_over_lies_and_its_camera_with_it(depth: Callable[..., Plant]) -> None:
    body = load()
    body = msgspec.structs.replace(body, base=msgspec.structs.replace(body.base, mass_kg=0.81))
    plant = depth(body, servos=HARDEST)
    assert np.allclose(plant.base_pose, np.eye(4), atol=1e-3)
    play(plant, body, dare, 3.0)
    assert plant.is_fallen
    assert math.acos(plant.base_pose[2, 2]) == pytest.approx(plant.tilt_rad, abs=1e-6)
    upright = forward(body, plant.angles_rad)[-1]
    assert (plant.base_pose @ upright)[2, 3] < upright[2, 3] - 0.1


DRIVES = {
    "straight": (WOOD, 0.3, 0.0),
    "turn": (WOOD, 0.0, 0.8),
    "arc": (WOOD, 0.3, 0.6),
    "carpet": (CARPET, 0.3, 0.3),
}


@pytest.mark.parametrize("what", DRIVES)
def test_wheels_roll_alike(what: str) -> None:
    body = load(FOLDER / "wheeled.toml")
    surface, speed, turn = DRIVES[what]
    poses = []
    for depth in (LightBody, MujocoBody):
        plant: Plant = depth(body, surface=surface)
        for frame in range(100):
            share = min(frame / 40, 1.0)
            plant.drive(speed * share, turn * share)
            plant.pulse(frame * FRAME_S, pulses(body, body.rest_rad))
            plant.advance((frame + 1) * FRAME_S)
        pose = plant.base_pose
        poses.append((pose[0, 3], pose[1, 3], math.atan2(pose[1, 0], pose[0, 0])))
    (x, y, yaw), (deep_x, deep_y, deep_yaw) = poses
    way_m, turned_rad = max(speed * 1.6, 0.1), max(turn * 1.6, 0.2)
    print(f"{what}: {np.round(poses, 3).tolist()}")
    assert math.hypot(x, y) + abs(yaw) > 0.4
    assert math.hypot(x - deep_x, y - deep_y) < PLACE_SHARE * way_m
    assert abs(yaw - deep_yaw) < TURN_SHARE * turned_rad


def test_wheels_slip_alike_when_asked_for_more_than_they_grip() -> None:
    """Full speed at once: wheels spin, and the base picks up speed by their traction alone."""
    body = load(FOLDER / "wheeled.toml")
    ways = []
    for depth in (LightBody, MujocoBody):
        plant: Plant = depth(body, surface=CARPET)
        plant.pulse(0.0, pulses(body, body.rest_rad))
        plant.advance(0.1)
        plant.drive(1.5)
        plant.advance(0.4)
        ways.append(plant.base_pose[0, 3])
    print(f"slip: {np.round(ways, 4)} m in .3 s, {1.5 * 0.3:.2f} m without")
    assert max(ways) < 0.6 * 1.5 * 0.3
    assert ways[0] == pytest.approx(ways[1], rel=SLIP_SHARE)


def test_servos_from_one_seed_err_alike_and_from_none_not_at_all() -> None:
    body = load()
    ends = {}
    for depth in (LightBody, MujocoBody):
        for seed in (None, 1, 2):
            path, _ = play(depth(body, seed=seed), body, step, 1.0)
            ends[depth, seed] = path[-1]
    for seed in (None, 1, 2):
        assert ends[LightBody, seed] == pytest.approx(ends[MujocoBody, seed], abs=RMS_RAD)
    assert np.abs(ends[LightBody, 1] - ends[LightBody, None]).max() > 0.005
    assert np.abs(ends[LightBody, 1] - ends[LightBody, 2]).max() > 0.005


@pytest.mark.parametrize("depth", [LightBody, MujocoBody])
def test_how_often_one_looks_changes_nothing(depth: Callable[[Body, float], Plant]) -> None:
    body = load()
    ends = []
    for looks in (1, 7):
        plant = depth(body, 0.0)
        for frame in range(40):
            time_s = frame * FRAME_S
            plant.pulse(time_s, pulses(body, sine(time_s)))
            for look in range(looks):
                plant.advance(time_s + FRAME_S * (look + 1) / looks)
        ends.append(plant.angles_rad)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("depth", [LightBody, MujocoBody])
def test_a_leap_of_the_clock_moves_nothing(depth: Callable[[Body, float], Plant]) -> None:
    """As `nod sim clock-jump` makes it; the board stands still too, so no pulse comes meanwhile."""
    body = load()
    ends = []
    for leap_s in (0.0, 60.0):
        plant = depth(body, 0.0)
        for frame in range(40):
            if frame == 20:
                plant.stand_still(leap_s)
            now_s = frame * FRAME_S + (leap_s if frame >= 20 else 0.0)
            plant.pulse(now_s, pulses(body, sine(frame * FRAME_S)))
            plant.advance(now_s + FRAME_S)
        ends.append(plant.angles_rad)
    assert ends[0] == ends[1]
