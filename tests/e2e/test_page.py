"""The page in a real browser, fed with moving sources: what a person sees, types and presses."""

import asyncio
import math
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from agent.events import Box, Bus, Doing, Face, Health, Lock, PlannerStatus, Reply, Sight
from agent.remote import Remote, Sources, Standing, scene_of
from drivers.body import load
from drivers.camera import Frame
from drivers.urdf import urdf

pytestmark = pytest.mark.e2e
expect.set_options(timeout=15_000)  # says that it hangs; a busy machine takes its time

PHONE = ViewportSize(width=390, height=844)
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking"]
NASTY = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


class Show:
    """A robot that is all surface: it moves, sees two faces and remembers what was asked of it."""

    def __init__(self) -> None:
        self.stopped_by = ""
        self.stopped_s = 0.0
        self.planner = PlannerStatus(state="preparing", progress=0.43)
        self.sources = Sources(
            bus=Bus(),
            pose=self.pose,
            people=lambda: (Standing(name="Anna", x_m=1.4, y_m=0.3, z_m=1.6, yaw_rad=math.pi),),
            scene=scene_of(load()),
            urdf=urdf(load()),
            stop=self.stop,
            release=self.release,
        )

    def pose(self) -> tuple[float, ...]:
        time_s = asyncio.get_running_loop().time()
        return (0.5 * math.sin(time_s), 0.0, 0.3 * math.sin(2 * time_s), 0.0)

    def stop(self, who: str) -> None:
        self.stopped_by = who
        self.stopped_s = asyncio.get_running_loop().time()

    async def release(self) -> None:
        self.stopped_by = ""

    async def play(self) -> None:
        """Thirty pictures a second, for ever."""
        loop = asyncio.get_running_loop()
        slope = np.linspace(40, 200, 640, dtype=np.uint8)
        picture = np.repeat(np.repeat(slope[None, :, None], 480, axis=0), 3, axis=2)
        index = 0
        while True:
            now_s = loop.time()
            image = np.ascontiguousarray(np.roll(picture, index * 4, axis=1))
            self.sources.bus.frames.put(Frame(image=image, time_s=now_s, index=index))
            self.sources.bus.call_frames.put(Frame(image=image[::2, ::2], time_s=now_s, index=index))
            faces = (
                Face(track=1, box=Box(100, 120, 90, 110), score=1.0, distance_m=1.2),
                Face(track=2, box=Box(400, 140, 80, 100), score=1.0),
            )
            self.sources.bus.sight.put(Sight(time_s=now_s, frame=index, faces=faces))
            self.sources.bus.lock.put(Lock(phase="locked", face=0, reason="the nearest when I woke"))
            self.sources.bus.doing.put(
                Doing(what="looking at the person on the left", why="you asked for it")
            )
            self.sources.bus.planner.put(self.planner)
            self.sources.bus.health.put(
                Health(
                    link="test board",
                    is_link_up=True,
                    camera="test film",
                    is_camera_up=True,
                    is_stopped=bool(self.stopped_by),
                    stopped_by=self.stopped_by,
                    frames_hz=30.0,
                )
            )
            index += 1
            await asyncio.sleep(1 / 30)


@pytest.fixture
async def show() -> Show:
    return Show()


@pytest.fixture
async def remote(show: Show) -> AsyncIterator[Remote]:
    async with Remote(show.sources, port=0) as remote:
        tasks = [asyncio.ensure_future(remote.serve()), asyncio.ensure_future(show.play())]
        yield remote
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine; `apt install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, remote: Remote) -> AsyncIterator[Page]:
    """The page with its first picture shown; every complaint of the browser fails the test."""
    context = await browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    page = await context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(remote.url)
    await page.wait_for_selector("html[data-pictures]", timeout=10_000)
    yield page
    assert complaints == []
    assert all(url.startswith((remote.url, "data:", "blob:")) for url in asked), asked
    await context.close()


async def pictures(page: Page) -> int:
    return int(await page.evaluate("document.documentElement.dataset.pictures"))


async def test_it_shows_what_the_robot_sees_does_and_is(page: Page, tmp_path: Path) -> None:
    await expect(page.locator("#what")).to_have_text("looking at the person on the left")
    await expect(page.locator("#why")).to_have_text("you asked for it")
    await expect(page.locator("#lock")).to_have_text("the nearest when I woke")
    await expect(page.locator("#planner-text")).to_have_text("planner: being prepared 43 %")
    await expect(page.locator("#planner-bar")).to_be_visible()
    await expect(page.locator("#call")).to_be_visible()
    await expect(page.locator("#names span")).to_have_text("Anna")
    shot = tmp_path / "page.png"
    await page.screenshot(path=shot)
    assert shot.stat().st_size > 20_000
    # The stop button and the line to type in are on a phone's screen without scrolling.
    for name in ("#stop", "#text", "#camera", "#view"):
        box = await page.locator(name).bounding_box()
        assert box is not None and 0 <= box["y"] and box["y"] + box["height"] <= PHONE["height"], name


async def test_pictures_flow_and_the_marks_are_in_them(page: Page) -> None:
    before, start_s = await pictures(page), asyncio.get_running_loop().time()
    await asyncio.sleep(2.0)
    rate_hz = (await pictures(page) - before) / (asyncio.get_running_loop().time() - start_s)
    assert rate_hz >= 15, f"{rate_hz:.1f} pictures/s"
    pixel = (
        "(([x, y]) => [...document.querySelector('#camera').getContext('2d').getImageData(x, y, 1, 1).data])"
    )
    locked: list[Any] = await page.evaluate(f"{pixel}([100, 175])")
    other: list[Any] = await page.evaluate(f"{pixel}([400, 190])")
    assert locked[0] > 200 and locked[2] < 150, "the locked person's box is golden"
    assert min(other[:3]) > 180, "another's is white"


async def test_an_order_reaches_the_robot_and_its_plan_ticks_off(
    page: Page, show: Show, remote: Remote
) -> None:
    await page.fill("#text", "look left, then nod twice")
    await page.press("#text", "Enter")
    async with asyncio.timeout(10.0):
        order = await show.sources.bus.orders.get()
    assert order.text == "look left, then nod twice"
    await expect(page.locator("#lines .order")).to_have_text("look left, then nod twice")
    remote.tell(Reply(order_id=order.id, kind="plan", text='look left; say "a; b"; nod 2'))
    await expect(page.locator(".plan span")).to_have_text(["look left", 'say "a; b"', "nod 2"])
    assert await page.locator(".plan span.done").count() == 0
    remote.tell(Reply(order_id=order.id, kind="step", text="look left: I look at Anna"))
    await expect(page.locator(".plan span.done")).to_have_text(["look left I look at Anna"])
    remote.tell(Reply(order_id=order.id, kind="error", text="nobody is there", last=True))
    await expect(page.locator(".plan span.dropped")).to_have_text(['say "a; b"', "nod 2"])
    await expect(page.locator("#lines .error")).to_have_text("nobody is there")


async def test_what_is_written_stays_text(page: Page, show: Show, remote: Remote) -> None:
    await page.fill("#text", NASTY)
    await page.press("#text", "Enter")
    await expect(page.locator("#lines .order")).to_have_text(NASTY)
    for kind in ("answer", "plan", "step", "error"):
        remote.tell(Reply(order_id="x", kind=kind, text=NASTY))
    show.planner = PlannerStatus(state="failed", note=NASTY)
    await expect(page.locator("#lines .error")).to_have_text(NASTY)
    await expect(page.locator("#planner-text")).to_contain_text(NASTY)
    assert await page.title() == "Nod"
    assert await page.locator("#lines img, #lines script, #planner img").count() == 0


@pytest.mark.parametrize("how", ["tap", "Escape"])
async def test_stop_arrives_before_what_is_said_after_it_and_latches(
    page: Page, show: Show, how: str
) -> None:
    loop = asyncio.get_running_loop()
    box = await page.locator("#stop").bounding_box()
    assert box is not None
    pressed_s = loop.time()
    if how == "tap":  # where the button is, without the driver's own waiting for a still page
        await page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    else:
        await page.press("#text", "Escape")
    await page.fill("#text", "nod")
    await page.press("#text", "Enter")
    async with asyncio.timeout(10.0):
        order = await show.sources.bus.orders.get()
    assert show.stopped_by == "page"
    assert show.stopped_s <= order.time_s
    print(f"stop by {how}: {1e3 * (show.stopped_s - pressed_s):.0f} ms from the press, browser and all")
    await expect(page.locator("#stopped")).to_contain_text("Hands clear? Then release it.")
    await expect(page.locator("#stop")).to_contain_text("STOPPED")
    await page.tap("#release")
    await expect(page.locator("#stopped")).to_be_hidden()
    assert show.stopped_by == ""


async def test_a_megabyte_is_answered_with_a_line(page: Page, show: Show) -> None:
    for length in (5_000, 1_000_000):
        await page.evaluate(
            "length => { document.querySelector('#text').value = 'a'.repeat(length);"
            " document.querySelector('#say').requestSubmit(); }",
            length,
        )
        await expect(page.locator("#lines .error").last).to_contain_text(f"{length} characters")
    assert show.stopped_by == ""
    await page.fill("#text", "nod")
    await page.press("#text", "Enter")
    async with asyncio.timeout(10.0):
        assert (await show.sources.bus.orders.get()).text == "nod"


async def test_a_lost_robot_is_said_and_found_again(browser: Browser, show: Show) -> None:
    # Errors on the console are expected here: the browser reports each connection that fails.
    playing = asyncio.ensure_future(show.play())
    async with Remote(show.sources, port=0) as first:
        serving = asyncio.ensure_future(first.serve())
        page = await browser.new_page()
        await page.goto(first.url)
        await page.wait_for_selector("html[data-pictures]")
        serving.cancel()
    await expect(page.locator("#connection")).to_have_text("no connection")
    await expect(page.locator("#no-picture")).to_be_visible()
    await page.fill("#text", "nod")
    await page.press("#text", "Enter")
    await expect(page.locator("#lines .error")).to_contain_text("Not sent")
    assert await page.input_value("#text") == "nod"
    await page.click("#stop")
    await expect(page.locator("#lines .error").last).to_contain_text("the stop did not arrive")
    async with Remote(show.sources, port=first.port) as second:
        serving_again = asyncio.ensure_future(second.serve())
        await expect(page.locator("#connection")).to_have_text("connected", timeout=10_000)
        await expect(page.locator("#no-picture")).to_be_hidden()
        await page.close()
        serving_again.cancel()
    playing.cancel()
    await asyncio.gather(serving, serving_again, playing, return_exceptions=True)


async def test_without_webgl_the_page_says_so(remote: Remote) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine; `apt install chromium`")
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-3d-apis", "--disable-background-networking"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        page = await browser.new_page()
        await page.goto(remote.url)
        await page.wait_for_selector("html[data-pictures]")
        await expect(page.locator("#view-note")).to_contain_text("no WebGL")
        await browser.close()
