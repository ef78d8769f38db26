"""A recording decided again: the same code decides the same, other thresholds do not."""

import json
from pathlib import Path

import msgspec
import pytest

from agent import app, glance, rehearsal
from agent.__main__ import main
from agent.config import Config, ModelConfig
from agent.events import Lock
from agent.nod import NodConfig
from agent.record import Recorder
from agent.record_files import About, Attachment
from agent.recording import Recording
from agent.replay import Thresholds, replay
from agent.suspects import GazeConfig
from drivers.errors import ConfigError

SECONDS = 7.0
CONFIG = Config(model=ModelConfig(enabled=False))
OPTIONS = app.Options(seed=3, fidelity="landmarks")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds of the living room, with the states written down every two."""
    file = tmp_path_factory.mktemp("replay") / "x.mcap"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glance, "STATE_PERIOD_S", 2.0)
        rehearsal.simulate(CONFIG, OPTIONS, SECONDS, file)
    return file


def test_the_same_code_decides_the_same(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recorded), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["differences"] == []
    assert (
        min(outcome["compared"][name] for name in ("lock", "nod")) > 100 and outcome["compared"]["aim"] > 50
    )
    assert main(["replay", str(recorded)]) == 0
    assert "0 decisions differ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("thresholds", "channel"),
    [
        (Thresholds(gaze=GazeConfig(choose_s=3.0)), "lock"),
        (Thresholds(nod=NodConfig(stick_rad=0.1)), "nod"),
    ],
)
def test_other_thresholds_decide_otherwise(recorded: Path, thresholds: Thresholds, channel: str) -> None:
    with Recording(recorded) as recording:
        outcome = replay(recording, thresholds)
    assert {channel} <= {difference.channel for difference in outcome.differences} <= {channel, "aim"}


def _copy(source: Path, target: Path, from_s: float, *, has_body: bool = True) -> None:
    """A recording that begins later."""
    with Recording(source) as recording:
        body = recording.attachment("body.toml")
        assert body is not None
        attachments = (Attachment(name="body.toml", media_type="", data=body),) if has_body else ()
        with Recorder(target, About(attachments=attachments)) as recorder:
            for message in recording.messages(from_s=from_s):
                if not message.channel.endswith("frames"):
                    recorder.write(message.channel, message.value, message.time_s)


def test_from_the_middle_it_begins_at_the_next_state(recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "late.mcap"
    _copy(recorded, file, 2.5)
    with Recording(recorded) as whole, Recording(file) as late:
        everything, rest = replay(whole), replay(late)
    assert rest.differences == []
    share = rest.compared["lock"] / everything.compared["lock"]
    assert 0.3 < share < (SECONDS - 2.5) / SECONDS


def test_a_decision_that_was_another_is_shown(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "changed.mcap"
    with Recording(recorded) as recording:
        data = recording.attachment("body.toml")
        assert data is not None
        about = About(attachments=(Attachment(name="body.toml", media_type="", data=data),))
        with Recorder(file, about) as recorder:
            for message in recording.messages(("glance", "sight", "lock", "aim")):
                value = message.value
                if isinstance(value, Lock) and 4.0 < message.time_s < 4.1:
                    value = msgspec.structs.replace(value, reason="a whim")
                recorder.write(message.channel, value, message.time_s)
    assert main(["replay", str(file)]) == 1
    said = capsys.readouterr().out
    assert "a whim" in said and "decisions differ; compared" in said


def test_what_cannot_be_replayed_is_said_in_a_line(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bodiless.mcap"
    _copy(recorded, file, 0.0, has_body=False)
    assert main(["replay", str(file)]) == 2
    assert "body, is missing" in capsys.readouterr().err
    _copy(recorded, file, SECONDS + 1.0)
    with Recording(file) as recording, pytest.raises(ConfigError, match="no decision"):
        replay(recording)
    assert main(["replay", str(tmp_path / "none.mcap")]) == 2
