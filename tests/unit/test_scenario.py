"""Scenario files: what is wrong is one clear line; what ships is well."""

import contextlib
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigError
from sim.people import NAMES
from sim.places import PLACES
from sim.scenario import FOLDER, load, names
from sim.timeline import CallerStep, PersonStep
from sim.world import World

GOOD = (FOLDER / "living-room.toml").read_text()


def test_every_scenario_that_ships_is_well() -> None:
    assert "living-room" in names()
    for name in names():
        assert load(name, NAMES).name == name


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("duration_s = 60.0", "duration_s = nan", "duration_s"),
        ("duration_s = 60.0", "duraton_s = 60.0", "duraton_s"),
        ("duration_s = 60.0", "duration_s = '60'", "duration_s"),
        ('name = "Anna"', 'name = "Nobody"', "nobody is called 'Nobody'"),
        ('name = "Ben"', 'name = "Anna"', "twice"),
        ("at_s = 24.0", "at_s = 2.0", "time runs backwards"),
        ("pause_s = [6.0, 14.0]", "pause_s = [14.0, 6.0]", "smaller number first"),
        ("[robot]", "[robot", "']'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    file = tmp_path / "scene.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(str(file), NAMES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="living-room"):
        load("no-such-room", NAMES)


STEPS = """name = "steps"
about = "Anna does things."
duration_s = 30.0
[robot]
position_m = [0.0, 0.0, 0.75]
[[person]]
name = "Anna"
starts_m = [1.5, 0.3]
does = [
  { at_s = 2.0, what = "walk", to_m = [2.0, 1.0] },
  { at_s = 5.0, what = "sit", on = "sofa" },
  { at_s = 12.0, what = "stand" },
  { at_s = 14.0, what = "look", at = "Ben" },
  { at_s = 16.0, what = "leave" },
  { at_s = 24.0, what = "enter", to_m = [2.0, 1.0], by = "door" },
]
[[person]]
name = "Ben"
spots_m = [[2.0, -0.5]]
[caller]
name = "Emi"
does = [
  { at_s = 3.0, what = "leave" },
  { at_s = 6.0, what = "return" },
  { at_s = 9.0, what = "look", at = "away" },
]
[[pet]]
kind = "cat"
spots_m = [[0.1, 0.1]]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('"Anna"', '"Ana"', 7, "nobody is called 'Ana'; did you mean 'Anna'?"),
        ("starts_m", "stats_m", 8, "did you mean `starts_m`?"),
        ('"walk"', '"wlak"', 10, "did you mean `walk`?"),
        ("to_m = [2.0, 1.0] }", "to_n = [2.0, 1.0] }", 10, "did you mean `to_m`?"),
        ("at_s = 5.0", "at_s = 1.0", 11, "time runs backwards: 1 s comes after 2 s"),
        ("at_s = 24.0", "at_s = 31.0", 15, "comes after the scenario's end at 30 s"),
        ("to_m = [2.0, 1.0] }", "to_m = [4.0, 1.0] }", 10, "nobody can stand at (4, 1): the sofa seat"),
        ("to_m = [2.0, 1.0] }", "to_m = [9.0, 1.0] }", 10, "(9, 1) lies outside the room"),
        ("[1.5, 0.3]", "[0.0, 0.0]", 8, "the table is there"),
        ("[[2.0, -0.5]]", "[[2.0, -0.5], [4.3, -1.5]]", 19, "the shelf is there"),
        ("[[0.1, 0.1]]", "[[0.1, 0.1], [4.2, 0.5]]", 29, "nobody can be at (4.2, 0.5): the sofa"),
        ('"sofa"', '"soffa"', 11, "no seat 'soffa'; did you mean 'sofa'?"),
        ('by = "door"', 'by = "window"', 15, "no door 'window'; doors are door"),
        ('what = "stand"', 'what = "sit", on = "chair"', 12, "Anna sits on the sofa then, and cannot sit"),
        ('what = "sit", on = "sofa"', 'what = "nod"', 12, "Anna is not sitting then, and cannot stand up"),
        ('what = "look", at = "Ben"', 'what = "enter", to_m = [2, 1]', 13, "is in the room already"),
        ('at_s = 24.0, what = "enter", to_m = [2.0, 1.0], by = "door"', 'at_s = 24.0, what = "nod"', 15,
         "Anna is outside then, and cannot nod; enter first"),
        ('at = "Ben"', 'at = "Bem"', 13, "nobody can look at 'Bem'; did you mean 'Ben'?"),
        ('at = "Ben"', 'at = "Ben", bearing_rad = 1.0', 13, "either `at` or `bearing_rad`"),
        ('what = "return"', 'what = "nod"', 24, "Emi is out of the picture, and cannot nod"),
        ('what = "leave" },\n  { at_s = 6.0', 'what = "nod" },\n  { at_s = 6.0', 24, "in the picture already"),
        ('at = "away"', 'at = "Ben"', 25, "allowed are camera, away"),
        ("spots_m = [[2.0, -0.5]]", "spots_m = [[2.0, -0.5]]\nstarts_m = [2, 1]", 20, "Ben wanders by `spots_m`"),
        ("spots_m = [[2.0, -0.5]]", "", 17, "Ben is nowhere"),
        ("duration_s = 30.0", "duration_s = 30.0\nlight = [{ at_s = 40.0, level = 1.0 }]", 4, "after the scenario"),
        ("duration_s = 30.0", "duration_s = 30.0\nroom = 'flatt'", 4, "did you mean `flat`?"),
        ("[[pet]]", "[expect]\nnever_locked_onto = ['Hans']\n[[pet]]", 28, "'Hans' is not in the room"),
        ("[[pet]]", "[expect]\nlocked_onto_at = [{at_s = 3, names = ['Benn']}]\n[[pet]]", 28, "mean 'Ben'?"),
        ("[[pet]]", "[[pet]]\npause_s = [3.0, 1.0]", 28, "smaller number first"),
    ],
)  # fmt: skip
def test_a_step_that_makes_no_sense_is_named_by_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    file = tmp_path / "scene.toml"
    file.write_text(STEPS)
    load(str(file), NAMES)  # well as it stands
    assert old in STEPS
    file.write_text(STEPS.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(str(file), NAMES)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["\0.toml", "no/such.toml", "..", ""])
def test_no_file_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError):
        load(name, NAMES)


PIECES = re.findall(r"[A-Za-z_-]+|[0-9.]+|\s+|.", STEPS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(PIECES) - 1),
            st.sampled_from(PIECES)
            | st.sampled_from(["nan", "inf", "-1", "1e9", "[]", "{}", "''", "\0", "[["]),
        ),
        max_size=4,
    )
)
@settings(max_examples=150, deadline=None)
def test_a_mutated_scenario_loads_and_plays_or_is_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str]]
) -> None:
    pieces = list(PIECES)
    for place, piece in changes:
        pieces[place] = piece
    file = tmp_path_factory.getbasetemp() / "mutated.toml"
    file.write_text("".join(pieces))
    with contextlib.suppress(ConfigError):
        world = World(load(str(file), NAMES), 1)
        world.actors(1.0)
        world.speech(0.0, 1.0)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_config_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError):  # no such bytes are a whole scenario
        load(str(file), NAMES)


def test_the_pages_examples_are_scenarios(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 4
    loaded = []
    for text in examples:
        file = tmp_path / "example.toml"
        file.write_text(text)
        loaded.append(load(str(file), NAMES))
    words = {str(kind.__struct_config__.tag) for kind in get_args(PersonStep | CallerStep)}
    shown = {
        str(step.__struct_config__.tag)
        for scenario in loaded
        for steps in (
            [part.does for part in scenario.person] + [scenario.caller.does if scenario.caller else ()]
        )
        for step in steps
    }
    assert shown == words  # the page shows every word there is


def test_the_page_names_the_rooms_seats_and_doors() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    for room, places in PLACES.items():
        seats = ", ".join(f"`{seat.name}`" for seat in places.seats)
        doors = ", ".join(f"`{door.name}`" for door in places.doors)
        assert f"| `{room}` | {seats} | {doors} |" in page
