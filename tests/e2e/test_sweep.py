"""Sweeps as a person starts them, with processes that are killed; a cluster on this machine; a film of a run."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.sweep import LOG, RESULTS
from tests.e2e.shell import ROOT, Running, Shell

pytestmark = pytest.mark.e2e

PLAY_S = 240.0  # for a dozen short runs, on a machine that does other things as well
QUICK = ("--fidelity", "landmarks", "--seconds", "6", "--json")
SEEDS = 8


def results(folder: Path) -> dict[int, dict[str, object]]:
    """What is kept, by seed: all but the time it took."""
    file = folder / RESULTS
    lines = file.read_text().splitlines() if file.exists() else []
    kept: dict[int, dict[str, object]] = {}
    for line in lines:
        result = json.loads(line)
        result.pop("wall_s")
        kept[result["seed"]] = result
    return kept


async def until_some_are_done(running: Running, folder: Path, count: int) -> None:
    async with asyncio.timeout(PLAY_S):
        while len(results(folder)) < count:  # noqa: ASYNC110  another process writes it
            assert running.process.returncode is None, running.lines
            await asyncio.sleep(0.05)


async def ended(running: Running) -> dict[str, object]:
    """The summary that a sweep prints."""
    async with asyncio.timeout(PLAY_S):
        await running.stop_reading()
    summaries = [line for line in running.lines if line.startswith('{"runs"')]
    assert summaries, running.lines
    summary: dict[str, object] = json.loads(summaries[0])
    return summary


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def children(pid: int) -> list[int]:
    """The processes that play: not the one that tidies up after them."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(int(child))
    return found


async def played_by_one(shell: Shell) -> dict[int, dict[str, object]]:
    folder = shell.folder / "alone"
    words = ("--seed", f"1:{SEEDS}", *QUICK, "--jobs", "1", "--out", str(folder))
    await ended(await shell.start("sim", "living-room", *words))
    return results(folder)


@pytest.fixture(scope="module")
def told() -> dict[int, dict[str, object]]:
    """Filled by the first test: what every other way of playing must come to as well."""
    return {}


async def test_two_processes_play_what_one_plays_and_a_killed_one_loses_nothing(
    shell: Shell, told: dict[int, dict[str, object]]
) -> None:
    folder = shell.folder / "out"
    sweep = await shell.start(
        "sim", "living-room", "--seed", f"1:{SEEDS}", *QUICK, "--jobs", "2", "--out", str(folder)
    )
    await until_some_are_done(sweep, folder, 2)
    victims = children(sweep.process.pid)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    summary = await ended(sweep)
    assert (summary["runs"], summary["played"]) == (SEEDS, SEEDS)
    told.update(results(folder))
    assert sorted(told) == list(range(1, SEEDS + 1))
    assert not any(result["trouble"] for result in told.values())
    failed = [result for result in told.values() if result["failures"]]
    assert summary["failed"] == len(failed)
    assert sweep.process.returncode == (1 if failed else 0)
    for result in failed:
        assert (folder / str(result["recording"])).stat().st_size > 10_000

    assert await played_by_one(shell) == told


async def test_a_sweep_that_was_killed_goes_on_where_it_was(shell: Shell) -> None:
    words = ("sim", "living-room", "--seed", f"1:{SEEDS}", *QUICK, "--jobs", "2")
    folder = shell.folder / "state" / "nod" / "sweeps" / "living-room"
    first = await shell.start(*words)
    await until_some_are_done(first, folder, 2)
    orphans = children(first.process.pid)
    first.process.kill()  # it alone: its processes have to notice
    async with asyncio.timeout(PLAY_S):
        while any(map(is_there, orphans)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    before = len(results(folder))
    summary = await ended(await shell.start(*words))
    assert 2 <= before < SEEDS
    assert (summary["runs"], summary["played"]) == (SEEDS, SEEDS - before)
    assert sorted(results(folder)) == list(range(1, SEEDS + 1))
    again = await ended(await shell.start(*words))
    assert again["played"] == 0


async def test_ctrl_c_leaves_what_is_done_and_no_process(shell: Shell) -> None:
    folder = shell.folder / "out"
    sweep = await shell.start("sim", "living-room", "--seed", "1:500", *QUICK, "--out", str(folder))
    await until_some_are_done(sweep, folder, 2)
    workers = children(sweep.process.pid)
    os.killpg(sweep.process.pid, signal.SIGINT)
    async with asyncio.timeout(PLAY_S):
        await sweep.stop_reading()
    assert sweep.process.returncode == 130
    assert not any(map(is_there, workers))
    assert len(results(folder)) >= 2
    assert not any("Traceback" in line for line in sweep.lines), sweep.lines
    assert "Traceback" not in (folder / LOG).read_text()


async def test_what_makes_no_sense_is_one_line(shell: Shell) -> None:
    in_the_way = shell.folder / "file"
    in_the_way.write_text("")
    here = str(in_the_way)
    cases = [
        (("living-room", "--seed", "5:1"), 2, "write 1:5"),
        (("living-room", "nowhere", "--seed", "1:3"), 2, "there are:"),
        (("living-room", "--seed", "1:3", "--video", "x.mp4"), 2, "--video is for one scenario"),
        (("living-room", "--seed", "1:3", "--out", here), 2, "take --out DIR"),
        (("living-room", "--video", "/nowhere/x.mp4"), 2, "cannot be written"),
        (("living-room", "--video", "x.avi"), 2, ".mp4"),
        (("living-room", "--html", "/nowhere/x.html"), 2, "cannot be written"),
        (("living-room", "--seed", "1:3", "--cluster", "house"), 2, "no address like tcp://"),
        (
            ("living-room", "--seed", "1:3", "--cluster", f"tcp://127.0.0.1:{free_port()}"),
            1,
            "no scheduler answers",
        ),
        (("broker-loss", "--seed", "1:3"), 2, "add --real"),
    ]
    for words, code, says in cases:
        returned, lines = await shell.result("sim", *words)
        assert (returned, len(lines)) == (code, 1), (words, lines)
        assert says in lines[0], lines


async def test_scenarios_are_listed_for_programs_too(shell: Shell) -> None:
    _, lines = await shell.result("sim", "--list", "--json")
    listed = {each["name"]: each for each in json.loads(lines[0])}
    assert listed["broker-loss"]["needs_real_time"] and not listed["living-room"]["needs_real_time"]
    assert listed["living-room"]["duration_s"] == 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A scheduler and two workers on loopback."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[Process] = []
        self._folder = folder
        self._all: list[Process] = []

    async def start(self) -> None:
        port = self.address.rsplit(":", 1)[1]
        await self._start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port)
        for number in (1, 2):
            worker = ("distributed.cli.dask_worker", self.address, "--host", "127.0.0.1", "--nthreads", "1")
            name = ("--name", str(number), "--no-nanny", "--local-directory", str(self._folder))
            self.workers.append(await self._start(*worker, *name))

    async def _start(self, module: str, *words: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words, "--no-dashboard"),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        self._all.append(process)
        return process

    async def end(self) -> None:
        for process in self._all:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    pytest.importorskip("distributed")
    made = Cluster(tmp_path)
    await made.start()
    yield made
    await made.end()
    await asyncio.sleep(0)


async def test_a_cluster_comes_to_the_same_though_a_worker_is_killed(
    shell: Shell, cluster: Cluster, told: dict[int, dict[str, object]]
) -> None:
    folder = shell.folder / "out"
    words = ("--cluster", cluster.address, "--out", str(folder))
    sweep = await shell.start("sim", "living-room", "--seed", f"1:{SEEDS}", *QUICK, *words)
    await until_some_are_done(sweep, folder, 2)
    cluster.workers[0].kill()
    summary = await ended(sweep)
    assert (summary["runs"], summary["played"]) == (SEEDS, SEEDS)
    assert results(folder) == (told or await played_by_one(shell))
    for result in results(folder).values():
        if result["recording"]:
            assert (folder / str(result["recording"])).stat().st_size > 10_000


async def test_a_film_shows_both_views(shell: Shell) -> None:
    file = shell.folder / "run.mp4"
    options = ("--seconds", "2", "--fidelity", "landmarks", "--video", str(file))
    running = await shell.start("sim", "crowd-crossing", *options)
    async with asyncio.timeout(PLAY_S):
        await running.stop_reading()
    film = cv2.VideoCapture(str(file))
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1].astype(np.float64))
    film.release()
    assert len(frames) == 40
    seen, room = ([frame[:480, half] for frame in frames] for half in (slice(0, 640), slice(640, 1280)))
    for half in (seen, room):
        assert half[-1].std() > 20.0  # a picture,
        assert (np.abs(half[-1] - half[0]).max(axis=2) > 40.0).mean() > 0.002  # in which things move
    assert np.abs(seen[-1] - room[-1]).mean() > 20.0  # from two places
    assert not list(shell.folder.glob("*.part*"))
