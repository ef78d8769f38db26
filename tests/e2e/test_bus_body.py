"""The whole robot on simulated bus servos, in real time."""

import asyncio

import pytest

from agent import rehearsal
from agent.app import App, Options, devices
from agent.config import Config, HeadConfig, ModelConfig, MqttConfig
from drivers.body import FOLDER
from drivers.errors import ConfigError

CONFIG = Config(
    head=HeadConfig(body=str(FOLDER / "tabletop_bus.toml")),
    model=ModelConfig(enabled=False),
    mqtt=MqttConfig(enabled=False),
)
OPTIONS = Options(has_page=False)


@pytest.mark.e2e
async def test_it_nods_stops_and_goes_on() -> None:
    async with devices(CONFIG, OPTIONS, is_virtual=False) as parts:
        app = App(CONFIG, OPTIONS, parts)
        stage = parts.stage
        assert stage is not None
        tilt = parts.body.index("tilt")

        async def swing_rad(seconds: float) -> float:
            """How far the tilt truly went to and fro in this time."""
            seen = []
            for _ in range(round(seconds / 0.02)):
                await asyncio.sleep(0.02)
                seen.append(stage.angles_rad[tilt])
            return max(seen) - min(seen)

        async with asyncio.TaskGroup() as group:
            robot = group.create_task(app.run())
            await asyncio.sleep(4.0)
            assert app.arm.is_connected
            app.bus.orders.put(app.order("nod", "sim"))
            assert await swing_rad(3.0) > 0.1
            assert app.arm.line == "simulated bus servos"
            app.arm.emergency_stop("the test")
            await asyncio.sleep(0.2)
            assert await swing_rad(1.0) == 0.0
            await app.arm.release()
            app.bus.orders.put(app.order("nod", "sim"))
            assert await swing_rad(4.0) > 0.1
            robot.cancel()


def test_virtual_time_says_that_it_cannot() -> None:
    with pytest.raises(ConfigError, match="real time only.*--body"):
        rehearsal.simulate(CONFIG, OPTIONS, 1.0, None)
