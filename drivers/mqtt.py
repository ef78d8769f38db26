"""MQTT: connections to a broker, and a broker of one's own for a house that has none."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import aiomqtt
import msgspec
from amqtt.broker import Broker
from amqtt.errors import AMQTTError

from drivers.errors import DeviceError, heed_cancellation

KEEPALIVE_S = 10  # so that the last will is published within 15 s of a vanished robot
LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 50

Lost = aiomqtt.MqttError


class Client(aiomqtt.Client):
    """aiomqtt's, whose calls wait by `asyncio.wait_for`: Python 3.11's loses a cancellation that meets the answer."""

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        answer = await super().subscribe(*args, **kwargs)
        heed_cancellation()
        return answer

    async def publish(self, *args: Any, **kwargs: Any) -> None:
        await super().publish(*args, **kwargs)
        heed_cancellation()


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    is_tls: bool = False

    def __str__(self) -> str:
        return f"{'mqtts' if self.is_tls else 'mqtt'}://{self.host}:{self.port}"


def connect_to(broker: Address, availability: str) -> Client:
    """A connection to enter; it raises Lost when there is none, and whenever it breaks.

    When it breaks, the broker says "offline" on the topic `availability`, retained.
    """
    return Client(
        broker.host,
        broker.port,
        username=broker.user,
        password=broker.password,
        tls_context=ssl.create_default_context() if broker.is_tls else None,
        keepalive=KEEPALIVE_S,
        will=aiomqtt.Will(availability, "offline", qos=1, retain=True),
    )


async def serve_broker(port: int) -> None:
    """Run the embedded broker, reachable from this machine only, until cancelled.

    Raises DeviceError when the port is taken.
    """
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as exc:
            raise DeviceError(
                f"mqtt: port {port} is taken; if that is the house's broker, set mqtt.url in nod.toml to it, "
                "else choose another mqtt.port"
            ) from exc
    broker = Broker(
        {
            "listeners": {
                "default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}", "max_connections": MAX_CONNECTIONS}
            },
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        await broker.start()
    except AMQTTError as exc:
        raise DeviceError(
            f"mqtt: the embedded broker did not start ({exc}); choose another mqtt.port"
        ) from exc
    try:
        await asyncio.Event().wait()
    finally:
        await broker.shutdown()
