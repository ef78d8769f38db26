"""nod.toml: typos, wrong types and impossible numbers are one clear line each."""

from pathlib import Path

import pytest

from agent import config
from drivers.errors import ConfigError


def test_no_file_means_all_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.load() == config.Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[motion]\nidel = 'low'", "idel"),
        ("[motion]\nidle = 'wild'", "wild"),
        ("[camera]\nlatency_s = nan", "latency_s"),
        ("[camera]\nlatency_s = inf", "latency_s"),
        ("[page]\nport = 99999", "port"),
        ("[page]\nport = '80'", "port"),
        ("name = 'Two Words'", "name"),
        ("[mqtt]\nurl = 'http://house'", "mqtt://"),
        ("[mqtt]\nurl = 'mqtt://house:port'", "mqtt://"),
        ("[motion", "']'"),
        ("\x00", "line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "nod.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "nod.toml"
    file.write_bytes(b"name = '\xff\xfe'")
    with pytest.raises(ConfigError, match="nod.toml"):
        config.load(file)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml")


def test_the_command_line_meets_the_same_bounds() -> None:
    with pytest.raises(ConfigError, match="command line.*name"):
        config.check(config.Config(name="../evil"), "command line")
