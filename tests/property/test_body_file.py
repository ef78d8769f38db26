"""A calibration written into any body file: what it says is there, and every comment and every other value too."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import calibrate
from agent.calibrate import Marks
from drivers import body as bodies
from drivers.body import PwmServo
from drivers.errors import ConfigError
from drivers.toml_edit import edited

PACKAGED = (bodies.DEFAULT_BODY, bodies.FOLDER / "wheeled.toml")
ANGLES = st.floats(-3.14, 3.14)
COMMENTS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=20)
KEYS = ("min_rad", "max_rad")
# The number of a `key = number` line, or of that key within a line's braces.
NUMBER = r"(?<=\b{key} = )[-+0-9.e]+"


def commented(text: str, comments: list[str]) -> str:
    """The file with other comments at its ends of lines."""
    lines = text.splitlines()
    return "".join(f"{line} # {comments[n % len(comments)]}\n" for n, line in enumerate(lines))


@given(
    path=st.sampled_from(PACKAGED),
    comments=st.lists(COMMENTS, min_size=1, max_size=5),
    values=st.tuples(ANGLES, ANGLES),
    centre_us=st.integers(500, 2500),
    place=st.integers(0, 10),
    has_centre=st.booleans(),
)
def test_any_numbers_in_any_joint(
    path: Path, comments: list[str], values: tuple[float, float], centre_us: int, place: int, has_centre: bool
) -> None:
    text = commented(path.read_text(), comments)
    if not has_centre:
        text = re.sub(r", centre_us = \d+", "", text)
    before = tomllib.loads(text)
    place %= len(before["joint"])
    is_pwm = before["joint"][place]["servo"]["kind"] == "pwm"
    wanted: dict[tuple[str | int, ...], int | float] = {
        ("joint", place, key): value for key, value in zip(KEYS, values, strict=True)
    }
    if is_pwm:
        wanted["joint", place, "servo", "centre_us"] = centre_us
    after = edited(text, wanted)
    for key, value in zip(KEYS, values, strict=True):
        before["joint"][place][key] = value
    if is_pwm:
        before["joint"][place]["servo"]["centre_us"] = centre_us
    assert tomllib.loads(after) == before
    lines = list(zip(text.splitlines(), after.splitlines(), strict=True))
    assert sum(old != new for old, new in lines) <= 3
    for old, new in lines:
        assert old.partition(" # ")[2] == new.partition(" # ")[2]
        if old != new:
            assert any(
                re.sub(NUMBER.format(key=key), "", new, count=1)
                in (
                    re.sub(NUMBER.format(key=key), "", old, count=1),
                    old.replace(" }", ", centre_us =  }", 1),
                )
                for key in (*KEYS, "centre_us")
            )


@given(
    zero_us=st.floats(500, 2500),
    low_us=st.none() | st.floats(400, 2600),
    high_us=st.none() | st.floats(400, 2600),
    place=st.integers(0, 3),
)
def test_what_is_saved_is_what_was_marked_or_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    zero_us: float,
    low_us: float | None,
    high_us: float | None,
    place: int,
) -> None:
    target = tmp_path_factory.getbasetemp() / "saved.toml"
    target.unlink(missing_ok=True)
    old = bodies.read()
    found = calibrate.calibrated(old.joint[place], Marks(zero_us=zero_us, low_us=low_us, high_us=high_us))
    try:
        calibrate.save(bodies.DEFAULT_BODY, target, place, found)
    except ConfigError:
        assert not target.exists()
        return
    new = bodies.read(target)
    servo = new.joint[place].servo
    assert isinstance(servo, PwmServo)
    for mark, angle in ((low_us, new.joint[place].min_rad), (high_us, new.joint[place].max_rad)):
        if mark is not None:  # half a microsecond of the zero, and the file's last digit
            assert abs(servo.centre_us + servo.per_rad_us * angle - mark) <= 0.5 + 0.04
    joints = list(new.joint)
    joints[place] = msgspec.structs.replace(
        joints[place],
        min_rad=old.joint[place].min_rad,
        max_rad=old.joint[place].max_rad,
        servo=old.joint[place].servo,
    )
    assert msgspec.structs.replace(new, joint=tuple(joints)) == old
