"""The thread, end to end in real time: `nod run` as a process, its board on a pty, MQTT, the model, a browser."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest
from playwright.async_api import ViewportSize, async_playwright, expect

pytestmark = pytest.mark.e2e

START_S = 60.0
MODEL_S = 120.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking"]
ORDER = "look at the person on the left, then nod twice"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int) -> None:
    """Wait until something listens on a port of this machine."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                await writer.wait_closed()
                return


class Running:
    """A robot's process and how to reach it."""

    def __init__(self, url: str, mqtt_port: int, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.mqtt_port = mqtt_port
        self.process = process

    async def state(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}api/state") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def until(self, what: str, seconds: float, is_so: Any) -> dict[str, Any]:
        """Poll the state until it is so."""
        state: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    state = await self.state()
                    if is_so(state):
                        return state
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{what} did not come within {seconds:g} s; the state was {state}") from None


@pytest.fixture
async def robot(tmp_path: Path) -> AsyncIterator[Running]:
    mqtt_port = free_port()
    config = tmp_path / "nod.toml"
    config.write_text(f"name = 'thread'\n[mqtt]\nport = {mqtt_port}\n[page]\nport = {free_port()}\n")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "run", "--json", "--config", str(config), "--seed", "1"),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(START_S):
            assert process.stdout is not None
            url = json.loads(await process.stdout.readline())["url"]
        yield Running(url, mqtt_port, process)
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_sentence_on_the_page_moves_the_body_and_the_picture(robot: Running, tmp_path: Path) -> None:
    await robot.until("the model", MODEL_S, lambda state: state["planner"]["state"] == "ready")
    await robot.until("a lock", 20.0, lambda state: state["lock"] and state["lock"]["phase"] == "locked")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = await browser.new_page(viewport=ViewportSize(width=1280, height=800))
        outside: list[str] = []
        page.on("request", lambda request: None if robot.url in request.url else outside.append(request.url))
        await page.goto(robot.url)
        await expect(page.get_by_text("connected", exact=True)).to_be_visible()
        await page.get_by_role("textbox").fill(ORDER)
        await page.keyboard.press("Enter")
        tilts = []
        for _ in range(70):
            tilts.append((await robot.state())["pose_rad"][2])
            await asyncio.sleep(0.1)
        for written in ("look left", "nod 2"):  # the plan, step by step, as the model wrote it
            await expect(page.get_by_text(written).last).to_be_visible()
        picture = Path(os.environ.get("NOD_PICTURES", str(tmp_path))) / "page.png"
        await page.screenshot(path=picture)
        await page.get_by_role("button", name="stop").first.click()
        await robot.until("the stop", 2.0, lambda state: state["health"]["is_stopped"])
        still = (await robot.state())["pose_rad"]
        await asyncio.sleep(0.7)
        assert (await robot.state())["pose_rad"] == pytest.approx(still, abs=1e-6)
        await browser.close()
    print(f"tilt from {min(tilts):.2f} to {max(tilts):.2f} rad; picture in {picture}")
    assert max(tilts) - min(tilts) > 0.15
    assert outside == []


async def test_mqtt_takes_orders_and_tells_what_it_does(robot: Running) -> None:
    await listening(robot.mqtt_port)
    async with aiomqtt.Client("127.0.0.1", robot.mqtt_port) as client:
        await client.subscribe("nod/thread/#", qos=1)
        seen: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                if "nod/thread/availability" not in seen and str(message.topic) == "nod/thread/availability":
                    await client.publish("nod/thread/chat", "nod twice", qos=1)
                seen[str(message.topic)] = message.payload.decode()
                if json.loads(seen.get("nod/thread/reply", "{}")).get("last"):
                    break
    assert seen["nod/thread/availability"] == "online"
    assert json.loads(seen["nod/thread/state"])["health"]["is_link_up"] in (True, False)
    assert json.loads(seen["nod/thread/reply"])["kind"] != "error"


async def test_a_vanished_robot_is_announced_by_its_last_will(tmp_path: Path) -> None:
    """With a broker of the house's own (mosquitto), which outlives the robot."""
    port = free_port()
    broker = await asyncio.create_subprocess_exec(
        "/usr/sbin/mosquitto",
        "-p",
        str(port),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    config = tmp_path / "nod.toml"
    config.write_text(f"name = 'will'\n[mqtt]\nurl = 'mqtt://127.0.0.1:{port}'\n[model]\nenabled = false\n")
    command = (sys.executable, "-m", "agent", "run", "--headless", "--config", str(config))
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        words = []
        await listening(port)
        async with asyncio.timeout(60), aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("nod/will/availability", qos=1)
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                words.append(message.payload.decode())
                if words[-1] == "online":
                    process.kill()
                elif "online" in words:
                    break
        assert words[-2:] == ["online", "offline"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        broker.terminate()
        await broker.wait()
