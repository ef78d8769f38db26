"""MQTT: the robot's own topics.

nod/<id>/chat          in   a sentence (text, at most 2,000 bytes)
nod/<id>/stop          in   emergency stop, whatever it says; latched until it is released at the robot
nod/<id>/reply         out  what the robot says, as JSON (agent.events.Reply)
nod/<id>/state         out  what it is doing, as JSON; retained
nod/<id>/availability  out  "online" or "offline"; retained, and the last will
"""

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import msgspec

from agent.config import MqttConfig
from agent.events import Bus, Doing, Health, Lock, Order
from drivers.errors import heed_cancellation
from drivers.mqtt import LOOPBACK, Address, Client, Lost, connect_to

BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between tries to reach the broker
QUIET_TRIES = 2  # a first connection may fail so often unsaid: our own broker starts beside us
STATE_PERIOD_S = 1.0
MAX_CHAT_BYTES = 2000  # a long paragraph; the planner has its own, same limit

log = logging.getLogger(__name__)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What `nod/<id>/state` holds."""

    doing: Doing | None
    lock: Lock | None
    health: Health | None


def address(config: MqttConfig) -> Address:
    """The broker's address: the house's if one is configured, else our own."""
    if config.url is None:
        return Address(host=LOOPBACK, port=config.port)
    parts = urlsplit(config.url)
    is_tls = parts.scheme == "mqtts"
    return Address(
        host=parts.hostname or LOOPBACK,
        port=parts.port or (8883 if is_tls else 1883),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=is_tls,
    )


class Home:
    """The robot on MQTT. Reconnects for ever; announces everything anew each time."""

    def __init__(
        self,
        robot_id: str,
        broker: Address,
        bus: Bus,
        order: Callable[[str], Order],
        stop: Callable[[], None],
    ) -> None:
        self.line = "connecting"
        self._topic = f"nod/{robot_id}"
        self._broker = broker
        self._bus = bus
        self._order = order
        self._stop = stop
        self._replies = bus.replies()

    async def serve(self) -> None:
        """Connect, publish and listen, for ever; a lost broker is said once."""
        tries, is_said = 0, False
        while True:
            try:
                async with connect_to(self._broker, f"{self._topic}/availability") as client:
                    heed_cancellation()  # as in `Client`: here it would leave a connection open
                    self.line, tries, is_said = "connected", 0, False
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._listen(client), name="mqtt-listen")
                        group.create_task(self._tell_state(client), name="mqtt-state")
                        group.create_task(self._tell_replies(client), name="mqtt-replies")
            except* Lost as group_exc:
                line = f"mqtt: no connection to {self._broker} ({group_exc.exceptions[0]})"
                if not is_said and (self.line == "connected" or tries >= QUIET_TRIES):
                    log.error("%s; trying again", line)
                    is_said = True
                self.line = line
            heed_cancellation()
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            tries += 1

    async def _listen(self, client: Client) -> None:
        for word in ("stop", "chat"):
            await client.subscribe(f"{self._topic}/{word}", qos=1)
        await client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)
        log.info("mqtt: connected to %s", self._broker)
        async for message in client.messages:
            if message.retain:
                continue  # from before this robot was here
            if message.topic.matches(f"{self._topic}/stop"):
                self._stop()
                continue
            payload = message.payload
            if not isinstance(payload, bytes) or len(payload) > MAX_CHAT_BYTES:
                log.warning("mqtt: a chat message was no text of at most %d bytes; ignored", MAX_CHAT_BYTES)
                continue
            self._bus.orders.put(self._order(payload.decode("utf-8", "replace")))

    async def _tell_state(self, client: Client) -> None:
        last = b""
        while True:
            state = msgspec.json.encode(
                State(
                    doing=self._bus.doing.get(), lock=self._bus.lock.get(1.0), health=self._bus.health.get()
                )
            )
            if state != last:
                await client.publish(f"{self._topic}/state", state, qos=0, retain=True)
                last = state
            await asyncio.sleep(STATE_PERIOD_S)

    async def _tell_replies(self, client: Client) -> None:
        while True:
            reply = await self._replies.get()
            await client.publish(f"{self._topic}/reply", msgspec.json.encode(reply), qos=1)
