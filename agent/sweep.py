"""Sweeps: scenarios played with many seeds, on all cores or on a cluster; what is done is kept.

Results are lines of JSON in a folder, each with the version of the code and of the scenario that it came from. So a
sweep that was ended anyhow goes on where it was, and a changed robot is played anew. Only runs that failed are
recorded: they are played again for it, which gives the same run and costs less than recording all of them. In real
time no run comes twice, so there all are recorded and those that passed are thrown away.
"""

import fcntl
import functools
import hashlib
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from agent import rehearsal
from agent.app import Options
from agent.config import Config
from agent.workers import Died, each_done
from drivers.errors import ConfigError, DeviceError

MAX_RUNS = 100_000  # a week of them on two cores
ROOT = Path(__file__).resolve().parents[1]
CODE = ("agent", "drivers", "sim", "firmware/core", "firmware/boards/host")
RESULTS = "results.jsonl"
LOG = "workers.log"
NUMBER = re.compile(r"\d+(\.\d+)?")
WHEN = re.compile(r"^at [\d.]+ s: ")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run to be played."""

    config: Config
    options: Options
    seconds: float | None = None
    is_real: bool = False
    version: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        return self.options.scenario, self.options.seed, self.version


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one run ended: a line of the results. `trouble` is why it came to no verdict."""

    scenario: str
    seed: int
    version: str
    simulated_s: float = 0.0
    wall_s: float = 0.0
    lock_share: float = 0.0
    failures: tuple[str, ...] = ()
    trouble: str = ""
    recording: str = ""  # a file in the folder
    note: str = ""  # about the recording

    @property
    def key(self) -> tuple[str, int, str]:
        return self.scenario, self.seed, self.version

    @property
    def has_passed(self) -> bool:
        return not self.failures and not self.trouble


class Played(msgspec.Struct, frozen=True):
    """A result, and the recording if it failed."""

    result: Result
    recording: bytes = b""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that failed in the same way: the words without their numbers."""

    what: str
    results: tuple[Result, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep as a whole. `played` are those of this start, the others were done before."""

    runs: int
    passed: int
    failed: int
    played: int
    simulated_s: float
    wall_s: float
    real_time_x: float
    folder: str
    groups: tuple[Group, ...]


Player = Callable[[Sequence[Job]], Iterator[tuple[Job, Played | Died]]]
"""Plays jobs somewhere, and gives each result as it comes."""


def seeds(text: str) -> tuple[int, ...]:
    """`1:100`, both ends in it, `7`, or several of these with commas. Raises ConfigError."""
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?::(\d{1,9}))?\s*", part, re.ASCII)
        if match is None:
            raise ConfigError(
                f"--seed {text}: {part!r} is neither a seed, such as 7, nor a range, such as 1:100"
            )
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ConfigError(f"--seed {text}: {part!r} runs backwards; write {last}:{first}")
        if len(found) + last - first >= MAX_RUNS:
            raise ConfigError(f"--seed {text}: more than {MAX_RUNS} seeds; take several sweeps")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def jobs(plan: Job, scenarios: Sequence[str], all_seeds: Sequence[int]) -> list[Job]:
    """A run for each scenario and seed, otherwise as `plan`.

    Raises ConfigError for a scenario that is wrong, or physics that is not installed.
    """
    if len(scenarios) * len(all_seeds) > MAX_RUNS:
        raise ConfigError(f"{len(scenarios)} scenarios with {len(all_seeds)} seeds are over {MAX_RUNS} runs")
    rehearsal.plant_of(plan.options.physics)  # said once, not as the trouble of every run
    replace = msgspec.structs.replace
    made = []
    for name in scenarios:
        if rehearsal.listed(name).needs_real_time and not plan.is_real:
            raise ConfigError(f"scenario {name!r} plays in real time only: add --real")
        version = _version(plan, name)
        for seed in all_seeds:
            options = replace(plan.options, scenario=name, seed=seed)
            made.append(replace(plan, options=options, version=version))
    return made


def _version(plan: Job, scenario: str) -> str:
    """Tells whether a run would come out the same: the code, the scenario's file, all options but the seed."""
    options = msgspec.structs.replace(plan.options, scenario="", seed=0)
    plain = msgspec.json.encode(msgspec.structs.replace(plan, options=options, version=""))
    file = Path(scenario).read_bytes() if scenario.endswith(".toml") else b""
    return hashlib.sha256(code_version().encode() + plain + file).hexdigest()[:16]


@functools.cache
def code_version() -> str:
    """A digest of every file of the robot, its firmware and the simulator."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def play(job: Job) -> Played:
    """Play one run, in whichever process this is. Raises nothing: what goes wrong is the result's trouble."""
    result = Result(scenario=job.options.scenario, seed=job.options.seed, version=job.version)
    try:
        if _version(job, job.options.scenario) != job.version:
            trouble = "this machine has another version of Nod or of the scenario; bring both to the same one"
            return Played(msgspec.structs.replace(result, trouble=trouble))
        return _play_and_record(job, result)
    except Exception as exc:  # noqa: BLE001  a bug that one seed meets must not end the others
        traceback.print_exc()  # to the log beside the results
        while isinstance(exc, ExceptionGroup):
            exc = exc.exceptions[0]
        return Played(msgspec.structs.replace(result, trouble=f"{type(exc).__name__}: {exc}".split("\n")[0]))


def _play_and_record(job: Job, result: Result) -> Played:
    with tempfile.TemporaryDirectory(prefix="nod-sweep-") as folder:
        file = Path(folder) / "run.mcap"

        def simulate(recording: Path | None) -> Result:
            verdict = rehearsal.simulate(job.config, job.options, job.seconds, recording, is_real=job.is_real)
            return msgspec.structs.replace(
                result,
                simulated_s=verdict.simulated_s,
                wall_s=verdict.wall_s,
                lock_share=verdict.lock_share,
                failures=verdict.failures,
            )

        played = simulate(file if job.is_real else None)
        if played.has_passed:
            return Played(played)
        if not job.is_real:
            try:
                again = simulate(file)
            except (ConfigError, OSError) as exc:
                return Played(msgspec.structs.replace(played, note=f"not recorded: {exc}"))
            if again.failures != played.failures:
                note = "the recorded run ended otherwise: the same seed did not give the same run"
                played = msgspec.structs.replace(played, note=note)
        return Played(played, file.read_bytes())


class Results:
    """The folder of a sweep. Use it as a context: one sweep at a time may write there.

    `told` gets a line for each thing in it that cannot be read.
    """

    def __init__(self, folder: Path, told: Callable[[str], None]) -> None:
        self.folder = folder
        self.done: dict[tuple[str, int, str], Result] = {}
        self._file = folder / RESULTS
        self._told = told
        self._descriptor = -1

    def __enter__(self) -> "Results":
        """Read what is there. Raises ConfigError if the folder cannot be used."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = self._file.read_bytes()
            if data and not data.endswith(b"\n"):  # it was killed while it wrote
                os.write(self._descriptor, b"\n")
        except BlockingIOError as exc:
            os.close(self._descriptor)
            raise ConfigError(f"{self.folder}: another sweep writes there; wait, or take --out DIR") from exc
        except OSError as exc:
            raise ConfigError(
                f"{self.folder}: cannot be written ({exc.strerror}); take --out DIR with another folder"
            ) from exc
        for number, line in enumerate(data.splitlines(), 1):
            try:
                result = msgspec.json.decode(line, type=Result)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if line.strip():
                    self._told(f"{self._file}, line {number}: cannot be read; that seed is played again")
                continue
            if result.trouble:
                self.done.pop(result.key, None)  # it came to no verdict: worth another try
            else:
                self.done[result.key] = result
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def keep(self, played: Played) -> Result:
        """Write a result and its recording. Raises DeviceError when that fails: what was kept before is safe."""
        result = played.result
        if played.recording:
            name = f"{Path(result.scenario).stem}-{result.seed}-{result.version[:6]}.mcap"
            try:
                part = self.folder / f"{name}.part"
                part.write_bytes(played.recording)
                part.replace(self.folder / name)
                result = msgspec.structs.replace(result, recording=name)
            except OSError as exc:
                result = msgspec.structs.replace(result, note=f"not recorded: {exc.strerror}")
        line = msgspec.json.encode(result) + b"\n"
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError(0, "no space left on device")
        except OSError as exc:
            raise DeviceError(
                f"{self._file}: cannot be written ({exc.strerror}); {len(self.done)} results are kept: make room "
                "and start the same sweep again"
            ) from exc
        self.done[result.key] = result
        return result


def run(wanted: Sequence[Job], results: Results, player: Player, seen: Callable[[Result], None]) -> Summary:
    """Play what is not done yet; `seen` is called for each result as it comes. Raises DeviceError: see `keep`."""
    left = [job for job in wanted if job.key not in results.done]
    began_s = time.perf_counter()
    simulated_s = 0.0
    for job, answer in player(left):
        if isinstance(answer, Died):
            options = job.options
            answer = Played(
                Result(scenario=options.scenario, seed=options.seed, version=job.version, trouble=str(answer))
            )
        result = results.keep(answer)
        simulated_s += result.simulated_s
        seen(result)
    wall_s = time.perf_counter() - began_s
    ended = [results.done[job.key] for job in wanted]
    failed = [result for result in ended if not result.has_passed]
    return Summary(
        runs=len(ended),
        passed=len(ended) - len(failed),
        failed=len(failed),
        played=len(left),
        simulated_s=round(simulated_s, 3),
        wall_s=wall_s,
        real_time_x=simulated_s / wall_s if left else 0.0,
        folder=str(results.folder),
        groups=_grouped(failed),
    )


def _grouped(failed: Sequence[Result]) -> tuple[Group, ...]:
    """The most frequent one first; a run in which two things went wrong is in two groups."""
    groups: dict[str, dict[tuple[str, int, str], Result]] = {}
    for result in failed:
        for what in (*result.failures, result.trouble):
            if what:
                groups.setdefault(NUMBER.sub("…", WHEN.sub("", what)), {})[result.key] = result
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return tuple(Group(what=what, results=tuple(results.values())) for what, results in ordered)


def local(count: int, folder: Path) -> Player:
    """Plays in `count` processes on this machine; what they complain of goes to the LOG in the folder."""
    return lambda left: each_done(play, left, count, folder / LOG)
