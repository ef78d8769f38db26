"""What a base on wheels feels and sees: bumpers, cliffs, lidar."""

import asyncio
import math

import numpy as np
import pytest

from sim import clock
from sim.floor import ORIGIN, Bump, Disc, Pose, legs_of
from sim.lidar import Lidar, LidarSpec, Scan
from sim.people import Actor
from sim.room import Block, Room, flat, living_room
from sim.touch import RELEASE_S, Bumper, CliffSensors, drop_m

PERFECT = LidarSpec(noise_m=0.0, noise_share=0.0, lost_share=0.0, lost_grazing_share=0.0)
FLOOR = Block(name="floor", centre_m=(0.0, 0.0, -0.05), size_m=(6.0, 6.0, 0.1))
TABLE = Block(name="table", centre_m=(0.0, 0.0, 0.72), size_m=(1.2, 0.8, 0.04))
POST = Block(name="post", centre_m=(2.0, 0.0, 0.5), size_m=(0.2, 0.2, 1.0))
PLAIN = Room(boxes=(FLOOR, TABLE, POST), table_m=(0.0, 0.0, 0.74))


def scan(
    room: Room, pose: Pose = ORIGIN, discs: tuple[Disc, ...] = (), spec: LidarSpec = PERFECT, seed: int = 1
) -> Scan:
    return Lidar(room, lambda _: pose, lambda _: discs, seed, spec).scan(1.0)


def test_a_post_ahead_is_where_it_stands_and_a_table_top_above_the_beam_is_not_seen() -> None:
    seen = scan(PLAIN)
    assert seen.has_echo[0] and seen.range_m[0] == pytest.approx(1.9)
    assert not seen.has_echo[90] and seen.range_m[90] == 0.0  # nothing to the left for eight metres
    turned = scan(PLAIN, Pose(x_m=0.0, y_m=0.0, yaw_rad=-math.pi / 2))
    assert turned.range_m[90] == pytest.approx(1.9)  # now it is on the left
    assert scan(PLAIN, spec=LidarSpec(height_m=0.72)).range_m[0] == 0.0  # within the table's top: too near


def test_every_beam_meets_a_turned_box_on_its_edge() -> None:
    box = Block(name="box", centre_m=(1.5, 0.7, 0.5), size_m=(0.6, 0.3, 1.0), yaw_rad=0.7)
    seen = scan(Room(boxes=(box,), table_m=(0.0, 0.0, 0.0)))
    hits = np.flatnonzero(seen.has_echo)
    assert len(hits) > 10
    bearings = 2 * np.pi * hits / 360
    x, y = np.cos(bearings) * seen.range_m[hits] - 1.5, np.sin(bearings) * seen.range_m[hits] - 0.7
    along, across = np.cos(0.7) * x + np.sin(0.7) * y, np.cos(0.7) * y - np.sin(0.7) * x
    on_edge = np.maximum(np.abs(along) / 0.3, np.abs(across) / 0.15)
    assert on_edge == pytest.approx(1.0)


def test_legs_are_seen_and_hide_what_stands_behind() -> None:
    person = Actor(name="Anna", position_m=(1.2, 0.0, 1.6), yaw_rad=math.pi, body_yaw_rad=math.pi)
    legs = legs_of(person)
    seen = scan(PLAIN, discs=legs)
    for leg in legs:
        beam = round(math.degrees(math.atan2(leg.y_m, leg.x_m))) % 360
        away = math.hypot(leg.x_m, leg.y_m)
        assert seen.range_m[beam] == pytest.approx(away - leg.radius_m, abs=0.005)
    assert seen.range_m[0] == pytest.approx(1.9)  # between the legs


def test_a_turning_base_sees_the_room_bent() -> None:
    still = scan(PLAIN)
    turning = Lidar(PLAIN, lambda t: Pose(yaw_rad=t), lambda _: (), 1, PERFECT).scan(0.0)
    assert np.flatnonzero(still.has_echo)[0] == 0
    assert turning.has_echo[4] and not still.has_echo[4]  # a tenth of a radian behind at the turn's beginning


def test_noise_and_losses_are_what_the_sheet_says_and_the_seeds_own() -> None:
    room = living_room()
    start = Pose(x_m=1.5)
    truth = scan(room, start)
    spec = LidarSpec(lost_share=0.05)
    lidar = Lidar(room, lambda _: start, lambda _: (), 3, spec)
    scans = [lidar.scan(float(turn)) for turn in range(40)]
    both = truth.has_echo & np.array([s.has_echo for s in scans])
    errors = np.array([s.range_m - truth.range_m for s in scans])[both]
    expected = spec.noise_m + spec.noise_share * np.broadcast_to(truth.range_m, both.shape)[both].mean()
    assert errors.std() == pytest.approx(expected, rel=0.2)
    lost = 1 - np.mean([s.has_echo[truth.has_echo].mean() for s in scans])
    assert 0.04 < lost < 0.15
    again, other = (scan(room, start, spec=spec, seed=seed) for seed in (3, 4))
    assert (again.range_m == scan(room, start, spec=spec, seed=3).range_m).all()
    assert (again.range_m != other.range_m).any()


def test_in_a_flat_every_beam_ends_at_a_wall_or_a_door() -> None:
    seen = scan(flat(), Pose(x_m=1.5))
    assert seen.has_echo.mean() > 0.9


def test_a_scan_comes_late_and_a_turn_each_tenth_of_a_second() -> None:
    async def read() -> list[tuple[float, float]]:
        lidar = Lidar(PLAIN, lambda _: Pose(), lambda _: (), 1)
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(3):
            turn = await lidar.read()
            times.append((turn.time_s, loop.time()))
        await asyncio.sleep(1.0)
        times.append(((await lidar.read()).time_s, loop.time()))
        return times

    times = clock.run(read())
    assert [end for end, _ in times[:3]] == pytest.approx([0.1, 0.2, 0.3])
    assert all(now - end == pytest.approx(LidarSpec().latency_s) for end, now in times)
    assert times[3][0] == pytest.approx(1.3, abs=0.11)  # old turns are gone


def test_the_table_ends_and_a_cliff_sensor_sees_it_in_time() -> None:
    sensors = CliffSensors(((0.1, 0.05), (0.1, -0.05), (-0.1, 0.0)), seed=1)
    assert sensors.look(PLAIN, Pose(x_m=0.3), 0.74) == (False, False, False)
    assert sensors.look(PLAIN, Pose(x_m=0.53), 0.74) == (True, True, False)
    assert sensors.look(PLAIN, Pose(x_m=0.53, yaw_rad=math.pi / 2), 0.74) == (False, False, False)
    assert sensors.look(PLAIN, Pose(x_m=1.5), 0.0) == (False, False, False)
    assert drop_m(PLAIN, 0.0, 0.0, 0.74) == pytest.approx(0.0)
    assert drop_m(PLAIN, 1.0, 0.0, 0.74) == pytest.approx(0.74)
    assert drop_m(PLAIN, 4.0, 0.0, 0.0) is None  # past the floor's edge, as in a stairwell
    assert sensors.look(PLAIN, Pose(x_m=2.95), 0.0) == (True, True, False)


def test_a_rug_is_no_cliff() -> None:
    rug = Block(name="rug", centre_m=(0.0, 1.5, 0.005), size_m=(1.0, 1.0, 0.01))
    room = Room(boxes=(FLOOR, rug), table_m=(0.0, 0.0, 0.0))
    sensors = CliffSensors(((0.1, 0.0),), seed=2)
    for step in range(100):
        assert sensors.look(room, Pose(y_m=1.0 + step * 0.01, yaw_rad=1.5), 0.01) == (False,)


@pytest.mark.parametrize(
    "bearing_rad, closed",
    [(0.0, ("front",)), (0.9, ("left",)), (-0.9, ("right",)), (0.52, ("left", "front")), (3.0, ())],
)
def test_the_bumper_tells_where(bearing_rad: float, closed: tuple[str, ...]) -> None:
    bumper = Bumper()
    assert bumper.feel(Bump(bearing_rad=bearing_rad, speed_m_s=0.1), 1.0) == closed
    assert bumper.feel(None, 1.0 + RELEASE_S / 2) == closed
    assert bumper.feel(None, 1.0 + 2 * RELEASE_S) == ()
    assert bumper.feel(Bump(bearing_rad=bearing_rad, speed_m_s=0.001), 2.0) == ()
