"""Body files: what ships is right, and what is wrong is refused with its line."""

import re
from pathlib import Path

import pytest

from drivers.body import DEFAULT_BODY, FOLDER, PwmServo, Sts3215Servo, Xl330Servo, inset_m, load, read
from drivers.errors import ConfigError

WHEELED = FOLDER / "wheeled.toml"


def refused(folder: Path, text: str) -> str:
    file = folder / "body.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    said = str(caught.value)
    assert said.startswith(f"{file}:") and "\n" not in said
    return said.removeprefix(f"{file}:")


def line_number(text: str, line: str) -> int:
    return text[: text.index(line)].count("\n") + 1


@pytest.mark.parametrize("name", ["tabletop", "wheeled"])
def test_the_bodies_that_ship(name: str) -> None:
    body = load(FOLDER / f"{name}.toml")
    assert body.name == name
    assert [joint.name for joint in body.joint] == ["yaw", "lift", "tilt", "roll"]
    assert inset_m(body.base.support_m, 0.0, 0.0) > 0.05


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("radius_m = 0.11", "radius_m = nan", "radius_m = nan", "base.radius_m: Expected `float` >= 0.001"),
        ("mass_kg = 0.13", "mass_kg = 1e9", "mass_kg = 1e9", "joint[0].link.mass_kg: Expected `float` <= 50.0"),
        ("radius_m = 0.11", "radus_m = 0.11", "radus_m", "`radus_m`; did you mean `radius_m`?"),
        ("pin = 9", "pni = 9", "servo = { kind", "servo.pni: unknown field `pni`; did you mean `pin`?"),
        ("height_m = 0.03", 'height_m = "low"', "height_m", "base.height_m: Expected `float`, got `str`"),
        ("height_m = 0.03\n", "", "[base]", "base: `height_m` is missing"),
        ('axis = "y"', 'axis = "w"', 'axis = "w"', "joint[1].axis: unknown word `w`; allowed are x, y, z"),
        ("min_rad = -0.5", "min_rad = -3.2", "min_rad = -3.2", "joint[1].min_rad: Expected `float` >= -3.14"),
        ("min_rad = -0.5", "min_rad = 1.5", "min_rad = 1.5", "joint[1].min_rad: must be below max_rad"),
        ("rest_rad = 0.0", "rest_rad = 1.5", "rest_rad = 1.5", "joint[0].rest_rad: must lie within"),
        ('name = "lift"', 'name = "yaw" # 2', 'name = "yaw" # 2', "joint[1].name: two joints share the name"),
        ("pin = 10", "pin = 9, ", "servo = { kind = \"pwm\", pin = 9, ,", None),
        ("pin = 10,", "pin = 9,  ", "pin = 9,  ", "joint[1].servo.pin: two joints share pin 9"),
        ('kind = "pwm", pin = 10', 'kind = "sms", id = 1', '"sms"', "servo.kind: unknown word `sms`"),
        ("pin = 10, centre_us = 1500", "pin = 10, centre_us = 2500", "2500", "joint[1].servo: between"),
        ("pin = 10, centre_us = 1500, per_rad_us = 637.0", "pin = 10, per_rad_us = 0.0", "0.0 }", "per_rad_us: must"),
        ("max_velocity_rad_s = 3.0", "max_velocity_rad_s = inf", "= inf", "max_velocity_rad_s: Expected `float` <= 31"),
        ("pulse_rate_hz = 50.0", "pulse_rate_hz = 400.0", "= 400", "pulse_rate_hz: Expected `float` <= 333"),
        ("name = ", "name ", "name ", "Expected '='"),
    ],
)  # fmt: skip
def test_a_wrong_body_file_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, says: str | None
) -> None:
    text = DEFAULT_BODY.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    said = refused(tmp_path, text)
    assert said.startswith(f"{line_number(text, at)}: ")
    if says is not None:
        assert says in said


def on_a_bus(kind: str) -> str:
    """The tabletop with bus servos in place of hobby servos."""
    ids = iter(range(1, 5))
    text = DEFAULT_BODY.read_text().replace("pulse_rate_hz = 50.0\n", "")
    return re.sub(r"servo = \{.*\}", lambda _: f'servo = {{ kind = "{kind}", id = {next(ids)} }}', text)


@pytest.mark.parametrize(("kind", "servo"), [("sts3215", Sts3215Servo), ("xl330", Xl330Servo)])
def test_bus_servos(tmp_path: Path, kind: str, servo: type[Sts3215Servo | Xl330Servo]) -> None:
    file = tmp_path / "body.toml"
    file.write_text(on_a_bus(kind))
    body = load(file)
    assert [joint.servo for joint in body.joint] == [servo(id=number) for number in range(1, 5)]
    assert body.pulse_rate_hz == 50.0


def test_bus_servos_that_cannot_be(tmp_path: Path) -> None:
    text = on_a_bus("sts3215")
    assert "two joints share id 1" in refused(tmp_path, text.replace("id = 2", "id = 1"))
    assert "it needs" in refused(tmp_path, text.replace("id = 2", "id = 2, zero_steps = 100"))
    assert "is for PWM servos" in refused(tmp_path, "pulse_rate_hz = 50.0\n" + text)
    mixed = text.replace('kind = "sts3215", id = 3', 'kind = "xl330", id = 3')
    said = refused(tmp_path, mixed)
    assert said.startswith(f"{line_number(mixed, 'xl330')}: joint[2].servo.kind: ") and "one kind" in said


def test_a_reversed_servo_needs_the_mirrored_steps(tmp_path: Path) -> None:
    file = tmp_path / "body.toml"
    text = on_a_bus("xl330").replace("id = 2", "id = 2, zero_steps = 400")  # lift: -0.5 to 0.7 rad
    file.write_text(text)
    assert load(file)
    assert "-56 to 726" in refused(
        tmp_path, text.replace("zero_steps = 400", "zero_steps = 400, is_reversed = true")
    )


@pytest.mark.parametrize("casters", ["[[0.13, 0.0]]", "[[-0.13, 0.0]]"])
def test_one_caster_makes_a_triangle_with_the_origin_on_its_edge(tmp_path: Path, casters: str) -> None:
    file = tmp_path / "body.toml"
    file.write_text(re.sub(r"casters_m = .*", f"casters_m = {casters}", WHEELED.read_text()))
    corners = read(file).base.support_m  # `load` finds that it falls onto its free side
    assert len(corners) == 3
    assert inset_m(corners, 0.0, 0.0) == pytest.approx(0.0)
    assert inset_m(corners, float(casters[2:-1].split(",")[0]) / 3, 0.0) > 0.03


@pytest.mark.parametrize("casters", ["[[0.0, 0.0]]", "[[0.0, 0.05]]", "[]"])
def test_wheels_that_enclose_nothing(tmp_path: Path, casters: str) -> None:
    text = re.sub(r"casters_m = .*", f"casters_m = {casters}", WHEELED.read_text())
    said = refused(tmp_path, text)
    assert said.startswith(f"{line_number(text, 'casters_m')}: base.casters_m: ")


def test_a_missing_body_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml.*--body"):
        load(tmp_path / "none.toml")


def test_a_pwm_servo_has_the_common_hobby_pulses() -> None:
    assert PwmServo(pin=9) == PwmServo(pin=9, centre_us=1500, per_rad_us=637.0)
