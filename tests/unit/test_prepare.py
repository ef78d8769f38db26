"""Preparing the library, with a stand-in for pip that writes what a build writes."""

import asyncio
import sys
from pathlib import Path

import pytest

from agent.events import PlannerStatus
from agent.prepare import prepare, progress_of, reason_of, split_lock

LOCK = """click==1 \\
    --hash=sha256:aa
llama-cpp-python==0.3.36 \\
    --hash=sha256:bb
    # via nod
tqdm==2
"""
PIP = """
import pathlib, sys, time
arguments = sys.argv[1:]
log = pathlib.Path(__file__).with_name("calls")
log.write_text((log.read_text() if log.exists() else "") + arguments[0] + "\\n")
if arguments[0] == "wheel":
    print("Building wheel")
    print("  [1/4] g++ -c a.cpp")
    print("  [4/4] g++ -o lib.so", flush=True)
    BODY
    (pathlib.Path(arguments[arguments.index("-w") + 1]) / "llama.whl").write_text("")
else:
    pathlib.Path(__file__).with_name("installed").write_text("")
"""


def stand_in(folder: Path, body: str = "pass") -> list[str]:
    (folder / "pip.py").write_text(PIP.replace("BODY", body))
    (folder / "lock.txt").write_text(LOCK)
    return [sys.executable, str(folder / "pip.py")]


async def run(folder: Path, pip: list[str]) -> tuple[bool, list[PlannerStatus]]:
    told: list[PlannerStatus] = []
    done = await prepare(
        told.append,
        cache=folder / "cache",
        lock_file=folder / "lock.txt",
        pip=pip,
        is_present=(folder / "installed").exists,
    )
    return done, told


async def test_it_is_compiled_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    done, told = await run(tmp_path, stand_in(tmp_path))
    assert done
    shares = [status.progress for status in told]
    assert shares == sorted(shares) and 0.2 < shares[2] < shares[-1] == 0.9
    (tmp_path / "installed").unlink()
    assert (await run(tmp_path, stand_in(tmp_path)))[0]
    assert (tmp_path / "calls").read_text().split() == ["wheel", "install", "install", "install", "install"]


async def test_a_failed_build_is_told_and_leaves_no_wheel(tmp_path: Path) -> None:
    done, told = await run(tmp_path, stand_in(tmp_path, "sys.exit('CMAKE_CXX_COMPILER not set')"))
    assert not done
    assert told[-1].state == "failed"
    assert "install g++" in told[-1].note
    assert not list((tmp_path / "cache").rglob("*.whl"))


async def test_cancelling_ends_the_compilers(tmp_path: Path) -> None:
    pip = stand_in(tmp_path, "time.sleep(60)")
    async with asyncio.timeout(20):
        async with asyncio.TaskGroup() as group:
            preparing = group.create_task(run(tmp_path, pip))
            while not (tmp_path / "cache" / "build.log").exists():  # noqa: ASYNC110  a file is no event
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            preparing.cancel()
    assert not list((tmp_path / "cache").glob("building-*"))
    assert (await run(tmp_path, stand_in(tmp_path)))[0]  # the lock is free again


async def test_a_missing_lock_file_is_told(tmp_path: Path) -> None:
    done, told = await run(tmp_path, [sys.executable])
    assert not done
    assert "lock.txt" in told[-1].note


def test_the_lock_file_is_split_at_the_library(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text(LOCK)
    library, others = split_lock(tmp_path / "lock.txt")
    assert library.startswith("llama-cpp-python==0.3.36") and "bb" in library and "aa" not in library
    assert others.startswith("click==1") and others.endswith("tqdm==2")


@pytest.mark.parametrize(
    ("line", "share"), [("[70/140] g++", 0.475), ("[3/2]", None), ("[0/0]", None), ("x", None)]
)
def test_progress_is_read_from_ninja(line: str, share: float | None) -> None:
    assert progress_of(line) == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for scikit-build-core", "network"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "memory"),
        ("ggml.c:3: error: unknown type", "unknown type"),
    ],
)
def test_a_failure_is_told_in_words(line: str, hint: str) -> None:
    assert hint in reason_of(["x", line, "y"])
