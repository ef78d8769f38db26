"""People in a room: they walk around things and each other, sit, speak, come and go, the same whenever asked."""

import math
from itertools import pairwise
from pathlib import Path

import pytest

from sim.paths import PERSON_RADIUS_M, Ground, ground_for
from sim.people import NAMES
from sim.places import PLACES, room_of
from sim.room import Footprint
from sim.scenario import Scenario, load
from sim.speech import SMALL_TALK
from sim.timeline import saying_s
from sim.world import World

HEAD = (
    'name = "scene"\nabout = "A test."\nduration_s = 60.0\n{more}\n[robot]\nposition_m = [0.0, 0.0, 0.75]\n'
)
CROWD = """
[[person]]
name = "Anna"
spots_m = [[1.5, 1.2], [2.6, -1.2], [-0.8, 1.0]]
pause_s = [0.0, 1.0]
talks = 1.0
[[person]]
name = "Ben"
spots_m = [[2.6, 1.0], [1.2, -1.4]]
pause_s = [0.0, 1.0]
pace_m_s = 1.5
[[person]]
name = "Chidi"
starts_m = [3.0, -0.9]
does = [
  { at_s = 1.0, what = "walk", to_m = [1.0, 0.9], pace_m_s = 3.0 },
  { at_s = 6.0, what = "sit", on = "sofa" },
  { at_s = 20.0, what = "stand" },
  { at_s = 22.0, what = "leave" },
  { at_s = 35.0, what = "enter", to_m = [2.0, 0.0] },
]
[[person]]
name = "Emi"
starts_m = [0.9, -0.8]
does = [ { at_s = 2.0, what = "leave" }, { at_s = 9.0, what = "enter", to_m = [2.4, 0.3] } ]
[[pet]]
kind = "cat"
spots_m = [[0.7, 0.0], [-0.7, 0.1], [2.0, 0.5]]
pause_s = [0.0, 1.0]
"""


def scene(folder: Path, text: str, more: str = "") -> Scenario:
    file = folder / "scene.toml"
    file.write_text(HEAD.format(more=more) + text)
    return load(str(file), NAMES)


def does(steps: str, name: str = "Anna") -> str:
    return f'[[person]]\nname = "{name}"\nstarts_m = [1.5, 0.3]\ndoes = [{steps}]\n'


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_walks_through_anything_or_anybody(tmp_path: Path, seed: int) -> None:
    world = World(scene(tmp_path, CROWD), seed)
    ground = ground_for(room_of("living-room"))
    doorway_m = -PLACES["living-room"].doors[0].inside_m[1] - 0.1
    nearest_m = math.inf
    before: dict[str, tuple[float, float]] = {}
    for time_s in (step / 20 for step in range(60 * 20)):
        actors = world.actors(time_s)
        for place, actor in enumerate(actors):
            x, y, _ = actor.position_m
            in_doorway = abs(y) > doorway_m
            assert actor.sitting > 0.0 or in_doorway or ground.is_free(x, y), (time_s, actor)
            for other in actors[:place]:
                nearest_m = min(nearest_m, math.dist(actor.position_m[:2], other.position_m[:2]))
            if actor.name in before:
                assert math.dist(before[actor.name], (x, y)) < 3.1 / 20
        before = {actor.name: (actor.position_m[0], actor.position_m[1]) for actor in actors}
    assert nearest_m > 0.4


def test_any_order_of_asking_gives_the_same(tmp_path: Path) -> None:
    scenario = scene(tmp_path, CROWD)
    times = [0.0, 0.03, 1.0, 7.77, 29.99, 30.0, 31.2, 59.3, 75.0]
    forward, backward, fresh = World(scenario, 3), World(scenario, 3), World(scenario, 3)
    there = [(forward.actors(t), forward.pets(t), forward.speech(t, t + 2)) for t in times]
    back = [(backward.actors(t), backward.pets(t), backward.speech(t, t + 2)) for t in reversed(times)]
    assert there == back[::-1]
    assert fresh.actors(7.77) == there[3][0]
    assert World(scenario, 4).actors(7.77) != there[3][0]


def test_a_scripted_walk_arrives_and_the_head_leads(tmp_path: Path) -> None:
    walk = '{ at_s = 1.0, what = "look", at = "away" }, { at_s = 4.0, what = "look", at = "robot" }'
    world = World(scene(tmp_path, does(walk + ', { at_s = 8.0, what = "walk", to_m = [2.4, -1.0] }')), 1)
    turning = world.actors(4.3)[0]
    goal = math.atan2(-0.3, -1.5)
    assert abs(_gap(turning.yaw_rad, goal)) < abs(_gap(turning.body_yaw_rad, goal)) - 0.2
    (there,) = world.actors(15.0)
    assert math.dist(there.position_m[:2], (2.4, -1.0)) < 0.06
    heights = {round(world.actors(8.0 + k / 20)[0].position_m[2], 3) for k in range(20)}
    assert len(heights) > 5  # the gait bobs


def test_turns_are_smooth(tmp_path: Path) -> None:
    world = World(scene(tmp_path, CROWD), 1)
    for name in ("Anna", "Ben"):
        yaws = [
            next(actor.yaw_rad for actor in world.actors(step / 50) if actor.name == name)
            for step in range(50 * 30)
        ]
        assert max(abs(_gap(a, b)) for a, b in pairwise(yaws)) < 8.0 / 50  # rad: eight a second at most


def test_sitting_down_lowers_the_eyes_and_standing_up_lifts_them(tmp_path: Path) -> None:
    steps = '{ at_s = 1.0, what = "sit", on = "sofa" }, { at_s = 15.0, what = "stand" }'
    world = World(scene(tmp_path, does(steps)), 1)
    (before,), (seated,), (after,) = world.actors(0.5), world.actors(14.0), world.actors(17.0)
    seat = PLACES["living-room"].seat("sofa")
    assert (before.sitting, seated.sitting, after.sitting) == (0.0, 1.0, 0.0)
    assert 1.0 < seated.position_m[2] < 1.35 < before.position_m[2]
    assert math.dist(seated.position_m[:2], seat.at_m) < 0.01
    assert abs(_gap(seated.body_yaw_rad, seat.yaw_rad)) < 0.25
    assert after.position_m[2] == pytest.approx(before.position_m[2], abs=0.02)


def test_who_leaves_is_gone_until_they_enter(tmp_path: Path) -> None:
    steps = '{ at_s = 1.0, what = "leave" }, { at_s = 20.0, what = "enter", to_m = [2.0, 0.0] }'
    world = World(scene(tmp_path, does(steps)), 1)
    here = [len(world.actors(float(time_s))) for time_s in range(40)]
    assert here[:2] == [1, 1] and here[15:20] == [0] * 5 and here[30:] == [1] * 10
    leaves_at = max(k for k in range(20 * 15) if world.actors(k / 20))
    assert world.actors(leaves_at / 20)[0].position_m[1] < -2.9  # behind the wall


@pytest.mark.parametrize(
    ("step", "angle"),
    [('what = "nod", times = 2', "pitch_rad"), ('what = "shake"', "yaw_rad"), ('what = "tilt"', "roll_rad")],
)
def test_gestures_turn_the_head(tmp_path: Path, step: str, angle: str) -> None:
    still = World(scene(tmp_path, does("")), 1)
    moved = World(scene(tmp_path, does("{ at_s = 2.0, " + step + " }")), 1)
    gaps = {
        name: max(
            abs(getattr(still.actors(k / 20)[0], name) - getattr(moved.actors(k / 20)[0], name))
            for k in range(40, 90)
        )
        for name in ("pitch_rad", "yaw_rad", "roll_rad")
    }
    assert gaps[angle] > 0.2
    assert all(gap == 0.0 for name, gap in gaps.items() if name != angle)


def test_looks_go_where_they_are_told(tmp_path: Path) -> None:
    steps = (
        '{ at_s = 1.0, what = "look", at = "Ben" }, { at_s = 5.0, what = "look", bearing_rad = 1.0 },'
        '{ at_s = 9.0, what = "turn-away" }'
    )
    other = '[[person]]\nname = "Ben"\nstarts_m = [1.5, -1.2]\n'
    world = World(scene(tmp_path, does(steps) + other), 1)
    for time_s, goal in ((4.5, -math.pi / 2), (8.5, 1.0), (14.0, math.atan2(0.3, 1.5))):
        anna = world.actors(time_s)[0]
        assert abs(_gap(anna.yaw_rad, goal)) < 0.1
        assert abs(_gap(anna.body_yaw_rad, goal)) < 0.5


def test_lips_move_only_while_a_sentence_is_heard(tmp_path: Path) -> None:
    steps = '{ at_s = 2.0, what = "say", text = "look at me" }, { at_s = 5.0, what = "talk", for_s = 6.0 }'
    world = World(scene(tmp_path, does(steps)), 1)
    speech = world.speech(0.0, 60.0)
    assert (speech[0].start_s, speech[0].text) == (2.0, "look at me")
    assert len(speech) > 2 and all(said.text in SMALL_TALK for said in speech[1:])
    assert speech[-1].start_s + saying_s(speech[-1].text) <= 11.0
    assert 1.4 < speech[0].position_m[2] < 1.6
    parts = [world.speech(k * 0.04, (k + 1) * 0.04) for k in range(400)]
    assert sum(parts, ()) == speech  # each sentence once, however time is cut
    for step in range(20 * 15):
        time_s = step / 20
        is_heard = any(0 <= time_s - said.start_s < saying_s(said.text) for said in speech)
        assert is_heard or world.actors(time_s)[0].mouth == 0.0
    assert max(world.actors(2.0 + k / 20)[0].mouth for k in range(12)) > 0.3


def test_wanderers_talk_in_pauses(tmp_path: Path) -> None:
    world = World(scene(tmp_path, CROWD.replace("pause_s = [0.0, 1.0]", "pause_s = [5.0, 8.0]")), 1)
    speech = world.speech(0.0, 60.0)
    assert {said.name for said in speech} >= {"Anna"}
    assert all(said.text in SMALL_TALK for said in speech)


def test_what_is_said_is_an_order(tmp_path: Path) -> None:
    order = '[[order]]\nat_s = 3.0\ntext = "nod"\n'
    scenario = scene(tmp_path, does('{ at_s = 2.0, what = "say", text = "look at me" }') + order)
    assert [order.text for order in scenario.orders()] == ["look at me", "nod"]
    assert 2.5 < scenario.orders()[0].at_s < 3.0


def test_light_fades(tmp_path: Path) -> None:
    fading = "light = [{ at_s = 10.0, level = 0.2, over_s = 4.0 }, { at_s = 20.0, level = 1.0 }]"
    world = World(scene(tmp_path, "", fading), 1)
    assert [world.light(t) for t in (0.0, 9.9, 12.0, 15.0, 20.0)] == pytest.approx([1.0, 1.0, 0.6, 0.2, 1.0])
    assert World(scene(tmp_path, "", "light = 0.4"), 1).light(5.0) == 0.4


def test_a_caller_goes_out_of_the_picture_and_comes_back(tmp_path: Path) -> None:
    steps = (
        '{ at_s = 1.0, what = "nod" }, { at_s = 4.0, what = "look", at = "away" }, { at_s = 6.0, what = "leave" },'
        '{ at_s = 9.0, what = "return" }'
    )
    world = World(scene(tmp_path, f'[caller]\nname = "Emi"\ndoes = [{steps}]\n'), 1)
    caller = world.caller
    assert caller is not None
    assert caller.at(1.4).pitch_rad > 0.1 and caller.at(3.0).pitch_rad == 0.0
    assert caller.at(5.0).yaw_rad > 0.7
    assert [round(caller.at(t).position_m[1], 2) for t in (5.9, 8.0, 11.0)] == [0.0, 1.6, 0.0]


def test_a_pet_passes_under_the_table(tmp_path: Path) -> None:
    world = World(scene(tmp_path, CROWD), 1)
    cats = [world.pets(k / 10)[0] for k in range(300)]
    assert any(abs(cat.position_m[0]) < 0.2 and abs(cat.position_m[1]) < 0.5 for cat in cats)
    assert all(cat.kind == "cat" for cat in cats)


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_seat_and_door_can_be_reached(name: str) -> None:
    places, ground = PLACES[name], ground_for(room_of(name))
    start = places.doors[0].inside_m
    for seat in places.seats:
        way = ground.way(start, seat.before_m)
        assert way is not None and way[-1] == seat.before_m
        for a, b in pairwise((start, *way)):
            assert ground.is_clear(a, b)
        blocks = [
            block
            for block in room_of(name).boxes
            if math.dist(block.centre_m[:2], seat.at_m) < max(block.size_m[:2])
            and abs(block.centre_m[2] + block.size_m[2] / 2 - seat.high_m) < 0.09
        ]
        assert blocks  # there is something to sit on
    assert all(ground.is_free(*door.inside_m) for door in places.doors)


def test_the_way_around_a_box_is_the_shortest() -> None:
    box = Footprint(name="box", centre_m=(0.0, 0.0), size_m=(1.0, 2.0), yaw_rad=0.0)
    ground = Ground((box,), PERSON_RADIUS_M)
    way = ground.way((-2.0, 0.2), (2.0, 0.2))
    assert way is not None
    assert [point[1] > 1.0 for point in way] == [True, True, False]
    assert ground.way((-2.0, 0.0), (0.0, 0.0)) is None
    assert ground.name_at(0.6, 0.0) == "box" and ground.name_at(0.8, 0.0) is None


def _gap(a: float, b: float) -> float:
    return (b - a + math.pi) % (2 * math.pi) - math.pi
