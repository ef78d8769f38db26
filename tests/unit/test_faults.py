"""Faults in scenario files: what cannot be is one clear line."""

import asyncio
from pathlib import Path

import pytest

from agent import app
from agent.config import Config, ModelConfig
from drivers.errors import ConfigError
from sim import clock
from sim.people import NAMES
from sim.scenario import load

BASE = """
name = "faulty"
about = "Nobody is in the room."
duration_s = 20.0
[robot]
position_m = [0.0, 0.0, 0.75]
"""


def fault(what: str, at_s: float = 5.0, more: str = "for_s = 2.0") -> str:
    return f"\n[[fault]]\nwhat = '{what}'\nat_s = {at_s}\n{more}\n"


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (fault("link-cutt"), "did you mean `link-cut`?"),
        (fault("link-cut", more=""), "for_s"),
        (fault("link-cut", more="for_s = 2.0\nlight = 0.1"), "light"),
        (fault("link-noise", more="for_s = 2.0\nbit_error_rate = 2.0"), "bit_error_rate"),
        (fault("clock-jump", more="by_s = nan"), "by_s"),
        (fault("host-stall", 9.0) + fault("link-cut", 5.0), "order of their at_s"),
        (fault("link-cut", 25.0), "after the end at 20 s"),
        (fault("link-cut", 5.0) + fault("link-noise", 6.0), "begins while link-cut lasts, until 7 s"),
        (fault("call-gone"), "call-gone needs a [caller]"),
    ],
)
def test_a_fault_that_cannot_be_is_one_line(tmp_path: Path, faults: str, says: str) -> None:
    file = tmp_path / "scene.toml"
    file.write_text(BASE + faults)
    with pytest.raises(ConfigError) as caught:
        load(str(file), NAMES)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "is_virtual", "says"),
    [("broker-dead", True, "broker-dead needs --real"), ("clock-jump", False, "virtual time")],
)
def test_a_fault_on_what_is_not_there_is_one_line(
    tmp_path: Path, name: str, is_virtual: bool, says: str
) -> None:
    file = tmp_path / "scene.toml"
    file.write_text(BASE + fault(name, more="by_s = 2.0" if name == "clock-jump" else "for_s = 2.0"))

    async def load_devices() -> None:
        config = Config(model=ModelConfig(enabled=False))
        async with app.devices(config, app.Options(scenario=str(file), fidelity="landmarks"), is_virtual):
            pass

    with pytest.raises(ConfigError, match=says):
        if is_virtual:
            clock.run(load_devices())
        else:
            asyncio.run(load_devices())
