"""What goes wrong at a person's home: one line that says what to do, no traceback, and the robot goes on.

The true program is started, and judged by its output, its exit code and its page.
"""

import asyncio
import json
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from drivers.link import SerialStream
from sim.board import ProcessBoard
from tests.e2e.shell import COME_S, WELL, Shell

pytestmark = pytest.mark.e2e

JOINTS = 4
ROOT = Path(__file__).resolve().parents[2]


def written(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_wrong_words_and_files_end_with_one_line(shell: Shell) -> None:
    folder = shell.folder
    body = (ROOT / "drivers" / "bodies" / "tabletop.toml").read_text()
    scenario = (ROOT / "sim" / "scenarios" / "living-room.toml").read_text()
    run = ("run", "--headless", "--no-model", "--no-mqtt")
    nowhere = written(folder, "nowhere", "a file where a folder should be")
    cases: list[tuple[tuple[str, ...], int, str]] = [
        ((*run, "--config", written(folder, "typo.toml", 'nmae = "x"')), 2, "unknown field `nmae`"),
        ((*run, "--config", written(folder, "type.toml", '[page]\nport = "x"')), 2, "$.page.port"),
        (
            (*run, "--config", written(folder, "nan.toml", "[camera]\nlatency_s = nan")),
            2,
            "$.camera.latency_s",
        ),
        ((*run, "--config", written(folder, "torn.toml", "x = [")), 2, "torn.toml"),
        ((*run, "--config", written(folder, "noise.toml", b"\xff\xfe\0")), 2, "noise.toml"),
        ((*run, "--config", str(folder / "none.toml")), 2, "cannot be read"),
        (
            (*run, "--body", written(folder, "b1.toml", body.replace("rest_rad = 0.0", "rest_rad = nan", 1))),
            2,
            "rest_rad",
        ),
        ((*run, "--body", written(folder, "b2.toml", body.replace("pin = 9", "pni = 9"))), 2, "`pni`"),
        (
            ("sim", written(folder, "s1.toml", re.sub(r"duration_s = .*", "duration_s = inf", scenario))),
            2,
            "duration_s",
        ),
        (("sim", written(folder, "s2.toml", "nmae = 1")), 2, "`nmae`"),
        (("sim", "nowhere"), 2, "there are: board-restart"),
        (("sim", "living-room", "--record", "/nowhere/x.mcap"), 2, "cannot be written"),
        ((*run, "--name", "a b"), 2, "$.name"),
        ((*run, "--page-port", "0"), 2, "$.page.port"),
        ((*run, "--port", "/dev/ttyNONE"), 2, "--camera 0"),
        (("say", "hello"), 1, "start it with ./nod run"),
        (("stop",), 1, "start it with ./nod run"),
    ]
    gate = asyncio.Semaphore(4)

    async def judge(words: tuple[str, ...], code: int, fragment: str, **environment: str) -> None:
        async with gate:
            result, lines = await shell.result(*words, **environment)
        assert (result, len(lines)) == (code, 1), (words, lines)
        assert lines[0].startswith("nod: ") and fragment in lines[0], (words, lines)

    await asyncio.gather(
        *(judge(*case) for case in cases),
        judge((*run,), 2, "set XDG_STATE_HOME", XDG_STATE_HOME=nowhere),
        judge(("say", "hi"), 2, "set XDG_STATE_HOME", XDG_STATE_HOME=nowhere),
        judge((*run,), 2, "set XDG_STATE_HOME", XDG_STATE_HOME="", HOME="/proc"),
    )


async def test_wrong_numbers_show_the_usage(shell: Shell) -> None:
    code, lines = await shell.result("sim", "living-room", "--seed", "rubbish")
    assert (code, len(lines)) == (2, 1) and "such as 7" in lines[0]
    for words in (("--seconds", "nan"), ("--seconds", "-1"), ("--physics", "bullet")):
        code, lines = await shell.result("sim", "living-room", *words)
        assert code == 2
        assert lines[0].startswith("usage: nod sim") and f"argument {words[0]}" in lines[-1]


async def test_a_camera_that_shows_nothing_is_said_once(shell: Shell, film: str) -> None:
    whole = read(film)
    folder = shell.folder
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases = {
            "7": "camera 7 is missing or busy; see `ls /dev/video*`",
            "99999999999999999999": "numbers end at 255",
            str(folder / "none.mkv"): "there is no file",
            written(folder, "text.mkv", "this is a letter, not a film"): "is no film that OpenCV can read",
            written(folder, "empty.mkv", b""): "is no film that OpenCV can read",
            written(folder, "stub.avi", whole[:300]): "is no film that OpenCV can read",
            f"http://127.0.0.1:{silent.getsockname()[1]}/x": "gives no stream; check its address",
            written(folder, "cut.avi", whole[: len(whole) // 2]): "camera: open",
        }

        async def judge(place: int, source: str, says: str) -> None:
            robot = await shell.robot(f"camera{place}", "--camera", source)
            await robot.hear(says, "head: connected")
            await asyncio.sleep(2.0)  # in which it tries again
            assert await robot.end() == 0
            errors = robot.said("ERROR")
            assert len(errors) == (0 if says == "camera: open" else 1), errors

        for group in (list(cases.items())[:4], list(cases.items())[4:]):
            await asyncio.gather(*(judge(place, *case) for place, case in enumerate(group)))


async def test_a_film_that_is_missing_as_caller_leaves_the_rest(shell: Shell, film: str) -> None:
    robot = await shell.robot("call", "--camera", film, "--call", str(shell.folder / "none.mkv"))
    await robot.hear("there is no file", "camera: open", "head: connected")
    assert await robot.end() == 0
    assert len(robot.said("ERROR")) == 1


async def test_a_port_that_is_missing_or_busy(shell: Shell, film: str) -> None:
    async with ProcessBoard(JOINTS) as board:
        stream = SerialStream(board.port)
        missing = await shell.robot("missing", "--port", "/dev/ttyNONE", "--camera", film)
        busy = await shell.robot("busy", "--port", board.port, "--camera", film)
        await missing.hear("/dev/ttyNONE: no such port; plug the board in", "camera: open")
        await busy.hear(f"{board.port}: busy, another program has it open", "camera: open")
        await stream.aclose()
        await busy.hear("head: connected")
        second = await shell.robot("second", "--port", board.port, "--camera", film)
        await second.hear("busy, another program has it open", "camera: open")
        await asyncio.sleep(1.0)
        assert [await robot.end() for robot in (missing, second, busy)] == [0, 0, 0]
        assert [len(robot.said("ERROR")) for robot in (missing, second, busy)] == [1, 1, 1]


async def test_a_port_that_disappears_and_comes_back(shell: Shell, film: str) -> None:
    plug = shell.folder / "plug"
    async with ProcessBoard(JOINTS) as board:
        plug.symlink_to(board.port)
        robot = await shell.robot("plug", "--port", str(plug), "--camera", film)
        await robot.hear("head: connected")
        board.kill()
        await robot.hear("the port is gone")
        await asyncio.sleep(1.0)
    plug.unlink()
    async with ProcessBoard(JOINTS) as board:
        plug.symlink_to(board.port)
        robot.lines.remove("INFO head: connected")
        await robot.hear("head: connected")
        assert await robot.end() == 0
    assert len(robot.said("the port is gone")) == 1


async def test_a_name_or_a_page_that_is_taken(shell: Shell) -> None:
    first = await shell.robot("twin", has_page=True)
    await first.hear('{"url"')
    code, lines = await shell.result("run", "--no-model", "--no-mqtt", "--headless", "--name", "twin")
    assert (code, len(lines)) == (1, 1)
    assert "start another with --name" in lines[0]
    port = first.url.rstrip("/").rpartition(":")[2]
    code, lines = await shell.result("run", "--no-model", "--no-mqtt", "--name", "other", "--page-port", port)
    assert (code, len(lines)) == (1, 1)
    assert port in lines[0]
    assert await first.end() == 0


async def test_a_model_that_is_no_model(shell: Shell, film: str) -> None:
    for number, content in enumerate((b"GGUF" + bytes(100), b"not a model at all")):
        model = written(shell.folder, f"model{number}.gguf", content)
        config = written(shell.folder, f"model{number}.toml", f'[model]\nfile = "{model}"\n')
        words = ("run", "--no-mqtt", "--json", "--camera", film, "--config", config, "--name", f"m{number}")
        robot = await shell.start(*words)
        await robot.hear('{"url"', "head: connected")
        note = await _planner_fails(robot.url)
        assert Path(model).name in note, note
        code, lines = await shell.result("say", "--name", f"m{number}", "nod once")
        assert code == 0, lines
        assert await robot.end() == 0


async def _planner_fails(url: str) -> str:
    async with aiohttp.ClientSession() as session, asyncio.timeout(COME_S):
        while True:
            async with session.get(f"{url}api/state") as response:
                planner = (await response.json())["planner"]
            if planner is not None and planner["state"] == "failed":
                return str(planner["note"])
            await asyncio.sleep(0.1)


async def test_a_chat_line_of_a_megabyte_and_control_characters(shell: Shell, film: str) -> None:
    robot = await shell.robot("chat", "--camera", film, has_page=True)
    await robot.hear('{"url"', "head: connected")
    async with aiohttp.ClientSession() as session:

        async def say(body: bytes) -> tuple[int, str]:
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{robot.url}api/say", data=body, headers=headers) as response:
                return response.status, await response.text()

        status, text = await say(json.dumps({"text": "x" * 1_000_000}).encode())
        assert status == 413 and "say it shorter" in text and len(text) < 300
        status, text = await say(b'{"text": "\xff\x00"}')
        assert status == 400 and "makes no sense" in text
        status, text = await say(json.dumps({"text": "\x1b[2J\x00\x07\u202e nod"}).encode())
        assert status == 200 and "\\u001b" not in text and "\x1b" not in text
        async with session.ws_connect(f"{robot.url}ws") as page:
            await page.send_str(json.dumps({"type": "say", "text": "y" * 1_000_000}))
            async with asyncio.timeout(COME_S):
                while "say it shorter" not in (line := str((await page.receive()).data)):
                    assert not page.closed
            assert len(line) < 400
        status, text = await say(b'{"text": "stop"}')
        assert status == 200
    assert await robot.end() == 0
    assert not robot.said("ERROR")


async def test_mqtt_to_nobody_and_a_broker_port_that_is_taken(shell: Shell, film: str) -> None:
    nobody = written(shell.folder, "nobody.toml", f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        embedded = written(shell.folder, "embedded.toml", f"[mqtt]\nport = {port}\n")
        robots = [
            await shell.start(
                *("run", "--headless", "--no-model", "--camera", film, "--config", config, "--name", name)
            )
            for name, config in (("nobody", nobody), ("taken", embedded))
        ]
        await robots[0].hear("mqtt: no connection to", "camera: open", "head: connected")
        await robots[1].hear(f"mqtt: port {port} is taken; if that is the house's broker", "camera: open")
        await asyncio.sleep(2.0)
        assert len(robots[0].said("mqtt: ")) == 1
        for robot in robots:
            assert await robot.end() == 0


@pytest.mark.parametrize("number", WELL)
async def test_it_ends_at_once_and_quietly(shell: Shell, number: signal.Signals) -> None:
    config = written(shell.folder, "nod.toml", f"[mqtt]\nport = {free_port()}\n")
    robot = await shell.start("run", "--json", "--config", config, "--name", f"end{number}")
    await robot.hear('{"url"', "head: connected", "mqtt: connected", "camera: open")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{robot.url}ws"):
        assert await robot.end(number) in WELL[number]
    assert not robot.said("ERROR")
    assert not list((shell.folder / "state" / "nod").glob("*.json"))


@pytest.mark.parametrize("number", WELL)
async def test_it_ends_in_the_middle_of_its_start(shell: Shell, number: signal.Signals) -> None:
    robot = await shell.robot(f"start{number}")
    await robot.hear("nod runs without a page")
    assert await robot.end(number) in WELL[number]
    assert not robot.said("ERROR")
