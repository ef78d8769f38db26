"""Sweeps: which runs there are, what is kept of them and what is played again. The runs themselves are made up."""

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent import sweep
from agent.app import Options
from agent.config import Config
from agent.sweep import Job, Played, Result, Results
from agent.workers import Died
from drivers.errors import ConfigError, DeviceError

PLAN = Job(config=Config(), options=Options(fidelity="landmarks"))


class Made:
    """Plays in no time: odd seeds fail, seed 13 kills its process."""

    def __init__(self) -> None:
        self.played: list[int] = []

    def __call__(self, left: Sequence[Job]) -> Iterator[tuple[Job, Played | Died]]:
        for job in left:
            seed = job.options.seed
            self.played.append(seed)
            if seed == 13:
                yield job, Died(-9)
                continue
            failures = (f"at {seed}.25 s: held on for {seed} %, not 50 %",) if seed % 2 else ()
            result = Result(
                scenario=job.options.scenario,
                seed=seed,
                version=job.version,
                simulated_s=60.0,
                failures=failures,
            )
            yield job, Played(result, b"recorded" if failures else b"")


def swept(folder: Path, seeds: str, told: list[str] | None = None) -> tuple[sweep.Summary, Made]:
    player, seen = Made(), list[Result]()
    complain = (lambda line: None) if told is None else told.append
    with Results(folder, complain) as results:
        jobs = sweep.jobs(PLAN, ["living-room"], sweep.seeds(seeds))
        summary = sweep.run(jobs, results, player, seen.append)
    assert [result.seed for result in seen] == player.played
    return summary, player


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", (7,)),
        ("1:4", (1, 2, 3, 4)),
        ("1,5,9", (1, 5, 9)),
        ("3:3", (3,)),
        ("1:3, 2:4 ,0", (1, 2, 3, 4, 0)),
    ],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: tuple[int, ...]) -> None:
    assert sweep.seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5:1", "write 1:5"),
        ("a", "neither a seed"),
        ("", "neither a seed"),
        ("1,,2", "neither a seed"),
        ("-3", "neither a seed"),
        ("1:2:3", "neither a seed"),
        ("1.5", "neither a seed"),
        ("٣", "neither a seed"),
        ("1:10000000", "more than 100000"),
        ("9999999999", "neither a seed"),
    ],
)
def test_what_is_no_seed_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep.seeds(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scenario_that_needs_real_time_says_so() -> None:
    with pytest.raises(ConfigError, match="add --real"):
        sweep.jobs(PLAN, ["broker-loss"], (1,))


def test_failures_are_grouped_by_what_failed_whatever_the_numbers(tmp_path: Path) -> None:
    summary, _ = swept(tmp_path, "1:6,13")
    assert (summary.runs, summary.passed, summary.failed) == (7, 3, 4)
    assert [(group.what, [result.seed for result in group.results]) for group in summary.groups] == [
        ("held on for … %, not … %", [1, 3, 5]),
        ("the process was killed by signal SIGKILL", [13]),
    ]
    for result in summary.groups[0].results:
        assert (tmp_path / result.recording).read_bytes() == b"recorded"


def test_what_is_done_is_not_played_again(tmp_path: Path) -> None:
    swept(tmp_path, "1:3,13")
    summary, player = swept(tmp_path, "1:5,13")
    assert player.played == [4, 5, 13]  # that one came to no verdict
    assert (summary.runs, summary.failed, summary.played) == (6, 4, 3)


def test_another_version_is_played_anew(tmp_path: Path) -> None:
    swept(tmp_path, "1:3")
    file = tmp_path / sweep.RESULTS
    version = sweep.jobs(PLAN, ["living-room"], (1,))[0].version
    file.write_text(file.read_text().replace(version, "0" * 16, 1))
    assert swept(tmp_path, "1:3")[1].played == [1]


def test_a_torn_line_is_said_and_its_seed_is_played_again(tmp_path: Path) -> None:
    swept(tmp_path, "1:3")
    file = tmp_path / sweep.RESULTS
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"\xff\x00 no json\n" + lines[2][:-20])
    told: list[str] = []
    assert swept(tmp_path, "1:3", told)[1].played == [2, 3]
    assert [line.split(": ", 1)[0] for line in told] == [f"{file}, line 2", f"{file}, line 3"]
    told.clear()
    assert swept(tmp_path, "1:3", told)[1].played == []
    assert len(told) == 2  # the torn line did not swallow the one after it


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(ConfigError, match="take --out DIR"):
        swept(in_the_way, "1")
    with Results(tmp_path / "here", lambda line: None), pytest.raises(ConfigError, match="another sweep"):
        swept(tmp_path / "here", "1")


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    swept(tmp_path, "2")
    size = (tmp_path / sweep.RESULTS).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))  # the next line does not fit
    try:
        with pytest.raises(DeviceError, match="1 results are kept: make room"):
            swept(tmp_path, "2,4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert swept(tmp_path, "2,4,6")[1].played == [4, 6]
