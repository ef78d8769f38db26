"""A recording on the page: played, held, taken to any moment; what was seen and said then is what is shown."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest

from agent.events import Doing, Order, Pose, Reply
from agent.player import Player, view
from agent.record import Recorder
from agent.record_files import About, Attachment
from agent.recording import Recording
from agent.remote import Remote, scene_of
from drivers.body import load
from drivers.camera import Frame
from drivers.errors import ConfigError

BEGINS_S, LASTS_S, RATE_HZ = 100.0, 60.0, 10


def level(time_s: float) -> int:
    """How bright the picture was at a time."""
    return 20 + round(3 * (time_s - BEGINS_S))


def record(file: Path, about: About | None = None) -> None:
    scene = msgspec.json.encode(scene_of(load()))
    attachments = (Attachment(name="scene.json", media_type="application/json", data=scene),)
    with Recorder(file, about or About(attachments=attachments)) as recorder:
        for k in range(round(LASTS_S * RATE_HZ)):
            time_s = BEGINS_S + k / RATE_HZ
            angles_rad = (math.sin(time_s), 0.0, 0.0, 0.0)
            recorder.write("pose", Pose(time_s=time_s, position_rad=angles_rad), time_s)
            image = np.full((48, 64, 3), level(time_s), np.uint8)
            recorder.write("frames", Frame(image=image, time_s=time_s, index=k), time_s)
            if k == 200:
                recorder.write("orders", Order(id="a", text="nod twice", source="sim", time_s=time_s), time_s)
                recorder.write("doing", Doing(what="nodding", why="you asked"), time_s)
            if k == 250:
                recorder.write("reply", Reply(order_id="a", kind="answer", text="nodded", last=True), time_s)


class Watcher:
    """A page that looks at what it is sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, **message: Any) -> None:
        await self._socket.send_json(message)

    async def next(self, kind: str) -> dict[str, Any]:
        async for message in self._socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                said: dict[str, Any] = message.json()
                if said["type"] == kind:
                    return said
        raise AssertionError("the server hung up")

    async def pose_near(self, time_s: float) -> None:
        """Wait for the pose of that moment."""
        async with asyncio.timeout(20):
            while abs((await self.next("pose"))["joints_rad"][0] - math.sin(time_s)) > 0.06:
                pass


@pytest.fixture
async def watcher(tmp_path: Path) -> AsyncIterator[Watcher]:
    file = tmp_path / "x.mcap"
    record(file)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view(file, 0, url.set_result))
        async with aiohttp.ClientSession() as session, session.ws_connect(await url + "ws") as socket:
            yield Watcher(socket)
        task.cancel()


async def test_it_shows_the_moment_that_was_asked_for(watcher: Watcher) -> None:
    hello = await watcher.next("hello")
    assert hello["tape"] == {"name": "x.mcap", "start_s": 100.0, "end_s": pytest.approx(159.9)}
    await watcher.send(type="play", rate=0)
    await watcher.send(type="seek", time_s=122.0)
    while [line["type"] for line in hello["history"]] != ["order"]:
        hello = await watcher.next("hello")
    assert hello["history"][0]["text"] == "nod twice"
    await watcher.pose_near(122.0)
    clock = await watcher.next("clock")
    assert (clock["time_s"], clock["rate"]) == (122.0, 0)
    state = await watcher.next("state")
    while state["doing"] is None:
        state = await watcher.next("state")
    assert state["doing"]["what"] == "nodding"


async def test_it_plays_on_and_back_and_says_what_was_said(watcher: Watcher) -> None:
    await watcher.send(type="seek", time_s=124.0)
    await watcher.send(type="play", rate=8)
    assert (await watcher.next("reply"))["text"] == "nodded"
    await watcher.pose_near(128.0)
    await watcher.send(type="seek", time_s=1e9)
    async with asyncio.timeout(20):
        while (await watcher.next("clock"))["time_s"] < 159.8:
            pass
    await watcher.send(type="play", rate=1)  # at the end: it begins anew
    async with asyncio.timeout(20):
        while not 100.0 <= (await watcher.next("clock"))["time_s"] < 110.0:
            pass


async def test_nothing_can_be_asked_of_it(watcher: Watcher) -> None:
    await watcher.send(type="stop")
    assert (await watcher.next("error"))["text"] == "this is a recording; nothing moves"
    await watcher.send(type="say", text="nod")
    assert (await watcher.next("error"))["text"] == "this is a recording; it takes no orders"


async def test_the_picture_is_that_of_the_moment(tmp_path: Path) -> None:
    file = tmp_path / "x.mcap"
    record(file)
    with Recording(file) as recording:
        player = Player(recording)
        player.rate = 0.0
        async with Remote(player.sources, 0) as remote, asyncio.TaskGroup() as group:
            task = group.create_task(player.run(remote))
            frames = player.sources.bus.frames
            for time_s in (105.0, 151.0, 133.5):
                seen = frames.count
                player.seek(time_s)
                async with asyncio.timeout(20):
                    shown = await frames.after(seen)
                    while abs(float(shown.image.mean()) - level(time_s)) > 4:
                        shown = await frames.after(frames.count)
                assert shown.image.shape == (48, 64, 3)
            task.cancel()


def test_what_cannot_be_shown_is_refused_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "x.mcap"
    record(file, About())
    with pytest.raises(ConfigError, match="its start, with room and body, is missing; it can't be shown"):
        asyncio.run(view(file, 0, print))
