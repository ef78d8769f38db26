"""`nod body`: what a body file says, for a person and for other programs."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.body_sheet import cap_line
from agent.config import Config
from agent.doctor import examine
from drivers.body import DEFAULT_BODY, FOLDER, load, read


def test_the_table_names_every_joint_with_what_it_asks_and_gets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["body"]) == 0
    lines = capsys.readouterr().out.splitlines()
    asked, body = read(DEFAULT_BODY), load()
    for wish, joint in zip(asked.joint, body.joint, strict=True):
        (row,) = [line for line in lines if line.startswith(f"{joint.name} ")]
        assert f"{wish.max_acceleration_rad_s2:.1f} rad/s²" in row
        assert f"{joint.max_acceleration_rad_s2:.1f} rad/s²" in row
    assert "nearest edge is 11.0 cm" in lines[1]
    assert "joints accelerate at 16% of what the servos can" in lines[2]


def test_the_doctor_says_what_the_cap_takes() -> None:
    (finding,) = [finding for finding in examine(Config()) if finding.what == "body"]
    assert finding.says == "tabletop, 4 joints; " + cap_line(read(DEFAULT_BODY), load())
    assert cap_line(load(), load()) == "stands whatever its servos do"


def test_the_urdf_has_the_whole_mass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["body", str(FOLDER / "wheeled.toml"), "--urdf"]) == 0
    robot = ET.fromstring(capsys.readouterr().out)
    body = load(FOLDER / "wheeled.toml")
    masses = [float(mass.attrib["value"]) for mass in robot.iter("mass")]
    assert sum(masses) == pytest.approx(body.base.mass_kg + sum(joint.link.mass_kg for joint in body.joint))
    assert [joint.attrib["name"] for joint in robot.iter("joint")] == [
        "yaw",
        "lift",
        "tilt",
        "roll",
        "camera_mount",
    ]


def test_a_wrong_file_ends_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "body.toml"
    file.write_text(DEFAULT_BODY.read_text().replace("max_rad = 1.4", "max_rad = 14", 1))
    line = file.read_text().splitlines().index("max_rad = 14") + 1
    assert main(["body", str(file)]) == 2
    assert capsys.readouterr().err.startswith(
        f"nod: {file}:{line}: joint[0].max_rad: Expected `float` <= 3.14"
    )
