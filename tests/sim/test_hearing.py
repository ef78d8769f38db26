"""What is said in a scenario, in its recording: at its time, louder when nearer, and only if it is asked for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import app, rehearsal
from agent.__main__ import main
from agent.config import Config, ModelConfig
from agent.events import SetPoint
from agent.record_format import Audio
from agent.recording import Recording
from drivers.errors import ConfigError
from sim import voices
from sim.voices import RATE_HZ

CONFIG = Config(model=ModelConfig(enabled=False))
TEXT = "The kettle whistles."
SAID_S, SAYING_S, SECONDS = 1.5, 1.0, 2.8


def scenario(folder: Path, x_m: float, name: str = "Ben") -> app.Options:
    """Somebody so far ahead of the robot speaks once."""
    file = folder / f"{name}-{x_m:g}.toml"
    file.write_text(
        f"""
name = "speaks"
about = "{name} says one sentence."
duration_s = 10.0
[robot]
position_m = [0.0, 0.0, 0.75]
[[person]]
name = "{name}"
starts_m = [{x_m}, 0.2]
does = [{{ at_s = {SAID_S}, what = "say", text = "{TEXT}" }}]
"""
    )
    return app.Options(scenario=str(file), fidelity="landmarks", has_sound=True)


def play(options: app.Options, file: Path) -> Path:
    rehearsal.simulate(CONFIG, options, SECONDS, file)
    return file


def sound(file: Path) -> NDArray[np.float64]:
    """All samples, from the scenario's start."""
    with Recording(file) as recording:
        parts = [message.value for message in recording.messages({"sound"})]
    assert all(isinstance(part, Audio) and part.sample_rate == RATE_HZ for part in parts)
    return np.concatenate(
        [np.frombuffer(part.data, "<i2").astype(np.float64) for part in parts if isinstance(part, Audio)]
    )


def motion(file: Path) -> NDArray[np.float64]:
    """All set-points, one row each."""
    with Recording(file) as recording:
        points = [message.value for message in recording.messages({"set_point"})]
    return np.array([point.position_rad for point in points if isinstance(point, SetPoint)])


def level(samples: NDArray[np.float64], from_s: float, to_s: float) -> float:
    return float(np.sqrt(np.mean(samples[round(from_s * RATE_HZ) : round(to_s * RATE_HZ)] ** 2)))


def test_a_sentence_is_heard_at_its_time_and_louder_when_nearer(tmp_path: Path) -> None:
    near, far = (sound(play(scenario(tmp_path, x_m), tmp_path / f"{x_m}.mcap")) for x_m in (1.0, 3.4))
    for heard in (near, far):
        assert SECONDS - 0.1 < len(heard) / RATE_HZ <= SECONDS
    during, before = level(near, SAID_S, SAID_S + SAYING_S), level(near, SAID_S - 0.4, SAID_S)
    print(f"before {before:.0f}, near {during:.0f}, far {level(far, SAID_S, SAID_S + SAYING_S):.0f}")
    assert during > 4 * before
    # 1.3 and not 3.4 as in the open: what the walls send back is as loud everywhere.
    assert during > 1.3 * level(far, SAID_S, SAID_S + SAYING_S)
    # The words as flite speaks them, found again in the room's echo at the time that the scenario gives.
    words = voices.speak("Ben", TEXT)[: round(SAYING_S * RATE_HZ)]
    size = len(near) + len(words)
    likeness = np.fft.irfft(np.fft.rfft(near, size) * np.conj(np.fft.rfft(words, size)), size)
    assert np.argmax(np.abs(likeness)) / RATE_HZ == pytest.approx(SAID_S + 1.0 / 343, abs=0.01)


def test_listening_changes_nothing_else_and_the_same_seed_sounds_the_same(tmp_path: Path) -> None:
    options = scenario(tmp_path, 1.5)
    first, again = (play(options, tmp_path / f"{name}.mcap").read_bytes() for name in ("first", "again"))
    assert first == again
    deaf = app.Options(scenario=options.scenario, fidelity="landmarks")
    play(deaf, tmp_path / "deaf.mcap")
    # But for the last digits: the clock of virtual time adds up more and other steps.
    heard, unheard = motion(tmp_path / "first.mcap"), motion(tmp_path / "deaf.mcap")
    assert heard.shape == unheard.shape and np.ptp(heard, axis=0).max() > 0.1
    assert np.allclose(heard, unheard, atol=1e-3)


def test_nobody_speaks_where_nobody_listens(tmp_path: Path) -> None:
    options = scenario(tmp_path, 1.5, "Anna")
    made = voices.speak.cache_info().misses
    play(app.Options(scenario=options.scenario, fidelity="landmarks"), tmp_path / "deaf.mcap")
    rehearsal.simulate(CONFIG, options, SECONDS, None)  # nothing is recorded, so nothing taps the sound
    assert voices.speak.cache_info().misses == made
    with Recording(tmp_path / "deaf.mcap") as recording:
        assert "sound" not in {message.channel for message in recording.messages()}


def test_what_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "two-ask-at-once", "--sound"]) == 2
    assert "--record FILE" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("flite") is None
    with pytest.raises(ConfigError, match="apt install flite"):
        play(scenario(tmp_path, 1.5), tmp_path / "never.mcap")
    assert not (tmp_path / "never.mcap").exists()
