"""MQTT: the embedded broker's port, and the addresses that nod.toml may name."""

import socket

import pytest

from agent.config import MqttConfig
from agent.home import address
from drivers.errors import DeviceError
from drivers.mqtt import Address, serve_broker


async def test_a_taken_port_says_what_to_set() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DeviceError, match="mqtt.url"):
            await serve_broker(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MqttConfig(port=1999), Address(host="127.0.0.1", port=1999)),
        (MqttConfig(url="mqtt://house"), Address(host="house", port=1883)),
        (MqttConfig(url="mqtts://house"), Address(host="house", port=8883, is_tls=True)),
        (
            MqttConfig(url="mqtt://ann:p%40ss@10.0.0.2:1884"),
            Address(host="10.0.0.2", port=1884, user="ann", password="p@ss"),
        ),
    ],
)
def test_the_address_is_ones_own_or_the_houses(config: MqttConfig, expected: Address) -> None:
    assert address(config) == expected
    assert "p@ss" not in str(address(config))  # what is logged
