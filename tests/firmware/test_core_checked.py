"""The firmware core under sanitizers: the tests that drive it again, the corpus, the fuzzer; which branches ran."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
BUILD = FIRMWARE / "build"
SUITES = ("tests/unit/test_firmware_core.py", "tests/unit/test_wire.py", "tests/property/test_firmware.py")
CONTRACT = "tests/contract/test_board.py"
LEAST_BRANCHES = 0.95
EXECUTIONS = 1_000_000
FUZZERS = 2
FUZZ_LIMIT_S = 600

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs that once did something new, a file each."""
    folder = tmp_path_factory.mktemp("corpus")
    subprocess.run([sys.executable, FIRMWARE / "fuzz" / "corpus.py", "unpack", folder], check=True)
    return folder


def make(*targets: str) -> None:
    done = subprocess.run(["make", "-s", "-C", str(FIRMWARE), *targets], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def drive(build: Path, corpus: Path, environment: dict[str, str]) -> None:
    """Run all that drives the core, on another build of it."""
    tests = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *SUITES,
            CONTRACT,
            "-k",
            "lockstep or not test_board",
        ],
        cwd=ROOT,
        env={**os.environ, "NOD_FIRMWARE_BUILD": str(build), **environment},
        capture_output=True,
        text=True,
    )
    assert tests.returncode == 0, tests.stdout[-3000:] + tests.stderr[-3000:]
    replay = subprocess.run(
        [build / "replay", *sorted(corpus.iterdir())], capture_output=True, text=True, errors="replace"
    )
    assert replay.returncode == 0, replay.stderr[-3000:]


def test_no_sanitizer_complains(corpus: Path) -> None:
    make("checked")
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    # Leaks are the interpreter's own.
    drive(BUILD / "checked", corpus, {"LD_PRELOAD": asan, "ASAN_OPTIONS": "detect_leaks=0"})


def test_nearly_every_branch_is_taken(corpus: Path) -> None:
    make("counted")
    folder = BUILD / "counted"
    for counts in folder.glob("*.gcda"):
        counts.unlink()
    drive(folder, corpus, {})
    taken, total, missing = branches(folder)
    print(f"core_branch_coverage {taken / total:.4f} ({taken} of {total}); not taken: {missing}")
    assert taken / total >= LEAST_BRANCHES


def branches(folder: Path) -> tuple[int, int, list[str]]:
    """Branches of the core that were taken, all of them, and where the others are."""
    counts: Counter[tuple[str, int, int]] = Counter()
    seen = set()
    for notes in folder.glob("*.gcno"):
        done = subprocess.run(
            ["gcov", "--json-format", "--branch-probabilities", "--stdout", notes.name],
            cwd=folder,
            capture_output=True,
        )
        for report in done.stdout.splitlines():
            for file in json.loads(report)["files"]:
                if not file["file"].startswith("core/"):
                    continue
                for line in file["lines"]:
                    for place, branch in enumerate(line["branches"]):
                        spot = (file["file"], line["line_number"], place)
                        seen.add(spot)
                        counts[spot] += branch["count"]
    missing = sorted(spot for spot in seen if counts[spot] == 0)
    return len(seen) - len(missing), len(seen), [f"{file}:{line}" for file, line, _ in missing]


def test_a_million_inputs_break_nothing(corpus: Path, tmp_path: Path) -> None:
    """New inputs every time at a desk; in CI, where a change is judged by itself, the same ones."""
    make("fuzz")
    first = 1 if os.environ.get("CI") else random.randrange(1 << 30)
    fuzzers = []
    for number in range(FUZZERS):
        folder = tmp_path / f"corpus-{number}"
        shutil.copytree(corpus, folder)
        words = (
            f"-runs={EXECUTIONS // FUZZERS}",
            f"-seed={first + number}",
            "-max_len=400",
            "-print_final_stats=1",
            f"-artifact_prefix={tmp_path}/",
        )
        fuzzers.append(
            subprocess.Popen(
                [BUILD / "core-fuzz", *words, folder],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        )
    executions = 0
    for fuzzer in fuzzers:
        _, said = fuzzer.communicate(timeout=FUZZ_LIMIT_S)
        assert fuzzer.returncode == 0, said[-3000:]
        counted = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
        assert counted is not None
        executions += int(counted[1])
    print(f"fuzz_executions {executions} (seed {first})")
    assert executions >= EXECUTIONS
