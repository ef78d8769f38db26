"""The page's server: what it lets in, what it hands out, and what it does with a slow or rude viewer."""

import asyncio
import io
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from agent import remote as remote_module
from agent.events import Box, Bus, Doing, Face, Health, Inbox, Lock, Order, PlannerStatus, Reply, Sight
from agent.remote import MAX_VIEWERS, Remote, Sources, Standing, scene_of
from agent.viewing import ORDERS_AT_ONCE
from drivers.body import load
from drivers.camera import Frame
from drivers.errors import DeviceError
from drivers.urdf import urdf

WEB = Path(remote_module.__file__).with_name("web")
PICTURE = np.full((48, 64, 3), 128, np.uint8)


class House:
    """Sources that a test fills, the server on them, and a client."""

    def __init__(self) -> None:
        self.stops: list[str] = []
        self.stopped = asyncio.Event()
        self.releases = 0
        self.release_fails = False
        self.release_hangs = False
        self.sources = Sources(
            bus=Bus(),
            pose=lambda: (0.1, 0.2, 0.3, 0.4),
            people=lambda: (Standing(name="Anna", x_m=1.0, y_m=0.0, z_m=1.6, yaw_rad=3.1),),
            scene=scene_of(load()),
            urdf=urdf(load()),
            stop=self.stop,
            release=self.release,
        )
        self.remote = Remote(self.sources, port=0, say_timeout_s=0.2)
        self.client: aiohttp.ClientSession

    def stop(self, who: str) -> None:
        self.stops.append(who)
        self.stopped.set()

    async def release(self) -> None:
        if self.release_hangs:
            await asyncio.Event().wait()
        if self.release_fails:
            raise DeviceError("head: no answer; check the cable")
        self.releases += 1

    def url(self, path: str) -> str:
        return self.remote.url + path

    def show(self, index: int, image: Any = PICTURE) -> None:
        now_s = asyncio.get_running_loop().time()
        self.sources.bus.frames.put(Frame(image=image, time_s=now_s, index=index))

    @asynccontextmanager
    async def viewer(self, **options: Any) -> AsyncIterator["Viewer"]:
        async with self.client.ws_connect(self.url("ws"), max_msg_size=0, **options) as connection:
            yield Viewer(connection)


class Viewer:
    """A browser's end of the websocket."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection

    async def send(self, **message: object) -> None:
        await self.connection.send_str(json.dumps(message))

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; pictures are kept apart as kind "picture"."""
        async with asyncio.timeout(2.0):
            while True:
                message = await self.connection.receive()
                if message.type == aiohttp.WSMsgType.BINARY:
                    (length,) = struct.unpack_from("<I", message.data)
                    head: dict[str, Any] = json.loads(message.data[4 : 4 + length])
                    assert message.data[4 + length :][:2] == b"\xff\xd8", "a JPEG follows the head"
                    if kind == "picture":
                        return head
                    continue
                assert message.type == aiohttp.WSMsgType.TEXT, message
                decoded: dict[str, Any] = json.loads(message.data)
                if decoded["type"] == kind:
                    return decoded

    async def has(self, kind: str, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self.next(kind)
        except TimeoutError:
            return False
        return True


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    async with house.remote, aiohttp.ClientSession() as house.client:
        serving = asyncio.ensure_future(house.remote.serve())
        yield house
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def test_the_page_is_small_and_asks_nobody_else() -> None:
    files = {path.name: path.read_text() for path in WEB.iterdir()}
    assert sum(len(text.encode()) for text in files.values()) <= 100_000
    for name, text in files.items():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)[a-z]", text), name
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text, name


async def test_files_come_with_a_strict_policy(house: House) -> None:
    for name, kind in (("", "text/html"), ("app.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        async with house.client.get(house.url(name)) as answer:
            assert answer.status == 200
            assert answer.content_type == kind
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
    for name in ("remote.py", "..%2fremote.py", "%2e%2e/remote.py", "etc/passwd", "ws/x"):
        async with house.client.get(house.url(name)) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8321"}, 403),
        ({"Host": "["}, 403),
        ({"Host": "user@evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "[::1]:8321", "Origin": "http://[::1]:8321"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9001"}, 403),
    ],
)
async def test_only_this_machines_own_page_may_ask(
    house: House, headers: dict[str, str], status: int
) -> None:
    async with house.client.post(house.url("api/stop"), headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json())["ok"] == (status == 200)
    assert len(house.stops) == (status == 200)
    if status == 403 and "Sec-Fetch-Site" not in headers:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with house.viewer(headers=headers):
                pass


async def test_an_order_goes_in_and_its_replies_come_out(house: House) -> None:
    async with house.viewer() as viewer, house.viewer() as other:
        hello = await viewer.next("hello")
        assert hello["history"] == []
        assert hello["scene"]["screen_m"] == [0.24, 0.16]
        await viewer.send(type="say", text=" nod <b>twice</b> ")
        order = await house.sources.bus.orders.get()
        assert (order.text, order.source) == ("nod <b>twice</b>", "page")
        house.remote.tell(Reply(order_id=order.id, kind="answer", text="done", last=True))
        for page in (viewer, other):
            assert (await page.next("order"))["text"] == "nod <b>twice</b>"
            assert (await page.next("reply"))["text"] == "done"
    async with house.viewer() as late:
        assert [line["type"] for line in (await late.next("hello"))["history"]] == ["order", "reply"]


async def test_a_stop_never_waits_behind_a_release(house: House) -> None:
    house.release_hangs = True
    async with house.viewer() as viewer:
        await viewer.send(type="release")
        await viewer.send(type="stop")
        async with asyncio.timeout(1.0):  # a release may take five seconds
            await house.stopped.wait()


async def test_stop_and_release(house: House) -> None:
    async with house.viewer() as viewer:
        await viewer.send(type="stop")
        await house.stopped.wait()
        async with house.client.post(house.url("api/release")) as answer:
            assert answer.status == 200
        house.release_fails = True
        await viewer.send(type="release")
        assert "check the cable" in (await viewer.next("error"))["text"]
    async with house.client.post(house.url("api/release")) as answer:
        assert answer.status == 503
    assert house.stops == ["page"] and house.releases == 1


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type":"dance"}',
        '{"type":"say"}',
        '{"type":"say","text":7}',
        '{"type":"say","text":"\\ud800"}',
        '{"type":"drawn","stream":"attic"}',
        '{"type":"stop","x":' + "[" * 100_000 + "}",
        '{"type":"say","text":"' + "a" * 1_000_000 + '"}',
        '{"type":"say","text":"  "}',
        b"\x00\xff" * 100,
    ],
    ids=lambda garbage: repr(garbage[:36]),
)
async def test_garbage_gets_one_line_and_the_connection_lives(house: House, garbage: str | bytes) -> None:
    async with house.viewer() as viewer:
        if isinstance(garbage, bytes):
            await viewer.connection.send_bytes(garbage)
        else:
            await viewer.connection.send_str(garbage)
        text = (await viewer.next("error"))["text"]
        assert "\n" not in text and len(text) < 300
        assert not await viewer.has("error", within_s=0.05)
        await viewer.send(type="say", text="nod")
        assert (await house.sources.bus.orders.get()).text == "nod"
    assert house.stops == []


async def test_a_flood_is_held_back_but_a_stop_in_it_is_not(house: House) -> None:
    async with house.viewer() as viewer:
        for _ in range(300):
            await viewer.send(type="say", text="nod")
        await viewer.send(type="stop")
        async with asyncio.timeout(2.0):
            await house.stopped.wait()
    sent_on = house.sources.bus.orders.dropped
    while await _next_order(house.sources.bus.orders) is not None:
        sent_on += 1
    assert 1 <= sent_on <= ORDERS_AT_ONCE + 8


async def _next_order(orders: Inbox[Order]) -> Order | None:
    try:
        async with asyncio.timeout(0.01):
            return await orders.get()
    except TimeoutError:
        return None


async def test_other_tasks_get_their_turn_in_a_flood(house: House) -> None:
    async with house.viewer() as viewer:
        await viewer.next("hello")
        (seen,) = house.remote._viewers
        for _ in range(3000):
            await viewer.connection.send_str("{}")
        most = before = 0
        async with asyncio.timeout(2.0):
            while seen.ignored < 2900:
                await asyncio.sleep(0)
                most = max(most, seen.ignored - before)
                before = seen.ignored
    assert most <= 2, f"{most} messages were handled in one turn of the loop"


async def test_a_slow_viewer_gets_the_newest_picture_and_no_queue(house: House) -> None:
    async with house.viewer() as viewer:
        await viewer.next("hello")
        for index in range(2):
            house.show(index)
            assert (await viewer.next("picture"))["index"] == index
        for index in range(2, 8):
            house.show(index)
            await asyncio.sleep(0.03)
        assert not await viewer.has("picture", within_s=0.1), "two are under way and not acknowledged"
        house.show(8)
        await viewer.send(type="drawn", stream="camera")
        assert (await viewer.next("picture"))["index"] == 8


async def test_nothing_is_encoded_when_nobody_watches(house: House) -> None:
    encoded = house.remote._camera.pictures
    for index in range(5):
        house.show(index)
        await asyncio.sleep(0.02)
    assert encoded.count == 0
    async with house.viewer() as one, house.viewer() as two:
        for index in range(100, 105):
            house.show(index)
            for viewer in (one, two):
                while (await viewer.next("picture"))["index"] != index:
                    await viewer.send(type="drawn", stream="camera")
                await viewer.send(type="drawn", stream="camera")
    assert encoded.count <= 6, "once for both, not once for each"


async def test_boxes_and_the_lock_come_with_the_picture(house: House) -> None:
    now_s = asyncio.get_running_loop().time()
    faces = tuple(
        Face(track=track, box=Box(10.0 * track, 5, 8, 9), score=0.9, distance_m=1.234) for track in (3, 7)
    )
    house.sources.bus.sight.put(Sight(time_s=now_s, frame=0, faces=faces))
    house.sources.bus.lock.put(Lock(phase="locked", face=1, reason="nearest"))
    async with house.viewer() as viewer:
        await viewer.next("hello")
        house.show(0)
        marks = (await viewer.next("picture"))["marks"]
        assert [(mark["x_px"], mark["is_locked"]) for mark in marks] == [(30, False), (70, True)]
        # The next sight holds them the other way round, and the lock for it has not come yet.
        house.sources.bus.sight.put(Sight(time_s=now_s, frame=1, faces=faces[::-1]))
        house.show(1)
        marks = (await viewer.next("picture"))["marks"]
        assert [(mark["x_px"], mark["is_locked"]) for mark in marks] == [(70, True), (30, False)]
        house.sources.bus.lock.put(Lock(phase="lost", face=5, reason="gone"))
        assert (await viewer.next("state"))["lock"]["reason"] in ("nearest", "gone")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((4, 4, 7), np.uint8),
        np.zeros((4, 4, 3), np.complex128),
        np.zeros(3, np.uint8),
    ],
)
async def test_a_broken_picture_is_left_out(house: House, image: Any) -> None:
    async with house.viewer() as viewer:
        await viewer.next("hello")
        house.show(0, image)
        await asyncio.sleep(0.1)
        house.show(1)
        assert (await viewer.next("picture"))["index"] == 1


async def test_a_large_picture_is_scaled_and_says_its_true_size(house: House) -> None:
    async with house.viewer() as viewer:
        await viewer.next("hello")
        house.show(0, np.zeros((2160, 3840, 3), np.uint8))
        head = await viewer.next("picture")
        assert (head["width_px"], head["height_px"]) == (3840, 2160)


async def test_the_body_is_there_for_viewers_of_others(house: House) -> None:
    async with house.client.get(house.url("api/body.urdf")) as answer:
        assert answer.content_type == "application/xml"
        assert '<robot name="tabletop">' in await answer.text()


async def test_state_for_programs(house: House) -> None:
    house.sources.bus.doing.put(Doing(what="looking ahead", why="nobody is here"))
    house.sources.bus.planner.put(PlannerStatus(state="preparing", progress=0.43))
    house.sources.bus.health.put(
        Health(link="lost: unplugged", is_link_up=False, camera="film", is_camera_up=True)
    )
    async with house.client.get(house.url("api/state")) as answer:
        state = await answer.json()
    assert state["doing"]["what"] == "looking ahead"
    assert state["planner"]["progress"] == 0.43
    assert state["health"]["is_link_up"] is False
    assert state["pose_rad"] == [0.1, 0.2, 0.3, 0.4]


async def test_say_waits_for_the_last_reply(house: House) -> None:
    async def answer_orders() -> None:
        order = await house.sources.bus.orders.get()
        for text in ("look left", "nod 2"):
            house.remote.tell(Reply(order_id=order.id, kind="step", text=text))
        house.remote.tell(Reply(order_id="another", kind="answer", text="not for you", last=True))
        house.remote.tell(Reply(order_id=order.id, kind="answer", text="done", last=True))

    answering = asyncio.ensure_future(answer_orders())
    async with house.client.post(house.url("api/say"), json={"text": "look left, then nod"}) as answer:
        assert answer.status == 200
        assert [reply["text"] for reply in (await answer.json())["replies"]] == ["look left", "nod 2", "done"]
    await answering


async def test_say_refuses_what_makes_no_sense(house: House) -> None:
    cases = [
        (b"{", 400),
        (b'{"text": 1}', 400),
        (b"", 400),
        (b'{"text": ""}', 429),
        (json.dumps({"text": "a" * 1_000_000}).encode(), 413),
        (b"a" * 5_000_000, 413),
        (b'{"text": "nobody answers"}', 504),
    ]
    for body, status in cases:
        async with house.client.post(house.url("api/say"), data=io.BytesIO(body)) as answer:
            assert answer.status == status, body[:40]
            error = (await answer.json())["error"]
            assert error and "\n" not in error


async def test_a_full_inbox_is_said(house: House) -> None:
    while house.sources.bus.orders.put(Order(id="x", text="nod", source="sim", time_s=0.0)):
        pass
    async with house.viewer() as viewer:
        await viewer.send(type="say", text="nod")
        assert "too many orders waiting" in (await viewer.next("error"))["text"]


async def test_too_many_viewers_are_told(house: House) -> None:
    connections = [await house.client.ws_connect(house.url("ws")) for _ in range(MAX_VIEWERS)]
    async with house.client.get(house.url("ws")) as answer:
        assert answer.status == 503
        assert "close one" in (await answer.json())["error"]
    for connection in connections:
        await connection.close()


async def test_the_next_free_port_is_taken_unless_one_was_named(house: House) -> None:
    async with Remote(house.sources) as one, Remote(house.sources) as two:
        assert one.port != two.port
        with pytest.raises(DeviceError, match=rf"port {one.port}: .*in use"):
            async with Remote(house.sources, port=one.port):
                pass
    for port in (70_000, -1):
        with pytest.raises(DeviceError, match="65535"):
            async with Remote(house.sources, port=port):
                pass


async def test_only_loopback_is_listened_on(house: House) -> None:
    with socket.socket() as outside:
        outside.bind(("0.0.0.0", 0))  # any address of this machine but loopback would do
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", house.remote.port), timeout=0.5).close()
