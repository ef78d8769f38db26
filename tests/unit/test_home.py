"""MQTT's loop: an end is an end, also when it meets a broken line."""

import asyncio
import socket

import pytest

from agent.events import Bus, Order
from agent.home import Address, Home, serve_broker
from drivers.errors import DeviceError


def _order(text: str) -> Order:
    return Order(id="1", text=text, source="mqtt", time_s=0.0)


@pytest.mark.parametrize("turns", range(0, 12))
async def test_it_ends_when_the_line_breaks_at_the_same_moment(turns: int) -> None:
    """A TaskGroup of Python 3.11 loses a cancellation that meets an error; the loop must not go on for ever."""
    writers: list[asyncio.StreamWriter] = []
    subscribed = asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await reader.read(1024)
            writer.write(b"\x20\x02\x00\x00")  # CONNACK
            await reader.read(1024)  # it subscribes
            subscribed.set()
            while await reader.read(1024):
                pass
        except ConnectionError:
            pass

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    home = Home("test", Address(host="127.0.0.1", port=port), Bus(), _order)
    serving = asyncio.ensure_future(home.serve())
    async with asyncio.timeout(5.0):
        await subscribed.wait()
        writers[0].transport.abort()
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    server.close()
    await server.wait_closed()


async def test_a_taken_port_says_what_to_set() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DeviceError, match="mqtt.url"):
            await serve_broker(taken.getsockname()[1])
