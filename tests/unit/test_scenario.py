"""Scenario files: what is wrong is one clear line; what ships is well."""

from pathlib import Path

import pytest

from drivers.errors import ConfigError
from sim.people import NAMES
from sim.scenario import FOLDER, load, names

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
