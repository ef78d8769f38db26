"""The doctor: one line for each thing, and what to do about what is bad."""

from pathlib import Path

import pytest

from agent import doctor, local, weights
from agent.config import CameraConfig, Config, HeadConfig
from agent.doctor import Finding


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def finding(what: str, config: Config | None = None) -> Finding:
    found = [finding for finding in doctor.examine(config or Config()) if finding.what == what]
    assert len(found) == 1
    return found[0]


def test_everything_is_looked_at_once_and_in_one_line() -> None:
    findings = doctor.examine(Config())
    names = [finding.what for finding in findings]
    assert len(set(names)) == len(names)
    assert {"disk", "firmware", "body", "camera", "port", "running"} < set(names)
    assert all(finding.says and "\n" not in finding.says for finding in findings)


def test_weights_that_are_missing_or_cut_off() -> None:
    assert not finding("weights face_landmark").is_well
    weight = weights.WEIGHTS["face_landmark"]
    weights.folder().mkdir(parents=True)
    (weights.folder() / weight.file_name).write_bytes(b"half")
    said = finding("weights face_landmark")
    assert not said.is_well and "has 4 bytes" in said.says


def test_a_body_file_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "body.toml"
    path.write_text("name = 3")
    said = finding("body", Config(head=HeadConfig(body=str(path))))
    assert not said.is_well and str(path) in said.says


@pytest.mark.parametrize("source", ["250", "no-such-film.mkv"])
def test_a_camera_that_is_not_there(source: str) -> None:
    said = finding("camera", Config(camera=CameraConfig(source=source)))
    assert not said.is_well and source in said.says


def test_a_camera_that_is_there(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"")
    assert finding("camera", Config(camera=CameraConfig(source=str(film)))).is_well
    assert "simulated" in finding("camera").says


def test_a_port_that_is_not_there() -> None:
    said = finding("port", Config(head=HeadConfig(port="/dev/ttyNONE")))
    assert not said.is_well and "is it plugged in?" in said.says


def test_who_runs_and_not_who_died(tmp_path: Path) -> None:
    assert finding("running").says == "no robot runs now"
    with local.alone("ann"):
        (tmp_path / "state" / "nod" / "dead.json").write_text("{}")
        assert finding("running").says == "ann"


def test_a_state_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    said = finding("running")
    assert not said.is_well and "XDG_STATE_HOME" in said.says
