"""Prepares the language model's library in the background while the robot lives without it.

llama-cpp-python comes as source and is compiled for this very CPU, which takes minutes on a small machine.
The wheel is kept in the cache under the version, the flags and the CPU, so it is compiled once. Everything is
pinned by the lock file. Real time only: this starts processes and waits for them.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from agent.events import PlannerStatus
from drivers.errors import ConfigError

LOCK_FILE = Path(__file__).resolve().parents[1] / "requirements-model.lock"
LIBRARY = "llama-cpp-python"
CMAKE_ARGS = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF"
MODULES = ("llama_cpp", "transformers", "jinja2")
NICENESS = 15  # below the model's own process, which is below vision
FREE_BYTES = 1_500_000_000  # source, objects and wheel while it is compiled
BUILD_SHARE = (0.05, 0.9)  # where compiling begins and ends in the whole; before: fetching, after: installing
LOOK_AGAIN_S = 2.0  # another robot on this machine may be compiling the same
KILL_S = 5.0  # compilers end at once; then they are killed
KEPT_LINES = 200
LINE_BYTES = 1 << 20  # a linker's command line is long
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")

StatusTo = Callable[[PlannerStatus], None]

_NINJA = re.compile(r"\[(\d+)/(\d+)\]")
_REASONS = (  # what the output says, what the person is told
    (r"No space left on device", "the disk is full; free 2 GB, then start again"),
    (
        r"CMAKE_C(XX)?_COMPILER|unable to find build program|ould not find compiler|(gcc|g\+\+): not found",
        "there is no C++ compiler; install one (sudo apt install g++), then start again",
    ),
    (
        r"Killed signal terminated program|Cannot allocate memory|out of memory",
        "too little memory to compile it",
    ),
    (r"DO NOT MATCH THE HASHES", "a package is not the one that was tested; nothing of it was installed"),
    (
        r"Temporary failure in name resolution|Failed to establish a new connection|Network is unreachable|"
        r"ConnectTimeoutError|No matching distribution found|Could not find a version",
        "it could not be fetched; connect to the network, then start again",
    ),
    (r"Permission denied|Read-only file system", "a folder cannot be written; see the log"),
)


class PreparationFailed(ConfigError):
    """The library could not be prepared; the message says what to do."""


async def prepare(
    tell: StatusTo,
    *,
    cache: Path | None = None,
    lock_file: Path = LOCK_FILE,
    pip: Sequence[str] = PIP,
    is_present: Callable[[], bool] | None = None,
) -> bool:
    """Make the library importable; True if it is. A failure is told as a status and is no exception.

    Cancelling it ends the compilers. `pip` and `is_present` are for tests, which give others.
    """
    is_there = is_present or is_installed
    if is_there():
        return True
    folder = default_cache() if cache is None else cache
    try:
        tell(PlannerStatus(state="preparing", note="looking for what is missing"))
        library, others = split_lock(lock_file)
        folder.mkdir(parents=True, exist_ok=True)
        async with _alone(folder, tell):
            if not is_there():
                await _install(tell, folder, library, others, pip)
    except PreparationFailed as exc:
        tell(PlannerStatus(state="failed", note=str(exc)))
        return False
    except OSError as exc:
        tell(
            PlannerStatus(
                state="failed", note=f"{folder}: {exc.strerror}; make room or give another XDG_CACHE_HOME"
            )
        )
        return False
    importlib.invalidate_caches()
    if not is_there():
        tell(PlannerStatus(state="failed", note="it was installed but cannot be found; run `nod doctor`"))
        return False
    return True


def is_installed() -> bool:
    """Whether the library and its companions can be imported, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in MODULES)


def default_cache() -> Path:
    """Where wheels are kept: `nod/wheels` in the XDG cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "nod" / "wheels"


def wheel_key(library: str, cpu: str) -> str:
    """The name under which a wheel is kept: a native one does not travel between CPUs or versions."""
    tag = f"{library}\n{CMAKE_ARGS}\n{cpu}\n{platform.machine()}\n{sys.implementation.cache_tag}"
    return hashlib.sha256(tag.encode()).hexdigest()[:16]


def cpu_features() -> str:
    """What the compiler may use of this CPU, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def split_lock(lock_file: Path) -> tuple[str, str]:
    """The lock file's entry of the library that is compiled, and all the others, hashes included."""
    try:
        text = lock_file.read_text()
    except OSError as exc:
        raise PreparationFailed(
            f"{lock_file}: cannot be read ({exc.strerror}); fetch the package again"
        ) from exc
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n?", "", text).strip())
    library = [entry for entry in entries if entry.startswith(f"{LIBRARY}==")]
    if len(library) != 1:
        raise PreparationFailed(
            f"{lock_file}: names {LIBRARY} {len(library)} times instead of once; fetch it again"
        )
    return library[0], "\n".join(entry for entry in entries if entry != library[0])


def progress_of(line: str) -> float | None:
    """How far a line of the build's output says it is, 0 … 1."""
    match = _NINJA.search(line)
    if match is None or not 0 < int(match[2]) or int(match[1]) > int(match[2]):
        return None
    low, high = BUILD_SHARE
    return low + (high - low) * int(match[1]) / int(match[2])


def reason_of(lines: Sequence[str]) -> str:
    """What went wrong, by the output of a build that failed, and what to do."""
    text = "\n".join(lines)
    for pattern, reason in _REASONS:
        if re.search(pattern, text):
            return reason
    errors = [line.strip() for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    return (errors or [line.strip() for line in lines if line.strip()] or ["no output"])[-1][:160]


async def _install(tell: StatusTo, folder: Path, library: str, others: str, pip: Sequence[str]) -> None:
    kept = folder / wheel_key(library, cpu_features())
    with tempfile.TemporaryDirectory(prefix="nod-") as name:
        work = Path(name)
        if not list(kept.glob("*.whl")):
            _check_room(folder, work)
            await _compile(tell, folder, kept, work, library, pip)
        tell(PlannerStatus(state="preparing", progress=BUILD_SHARE[1], note="installing"))
        (work / "others.txt").write_text(others + "\n")
        log = folder / "install.log"
        options = ("install", "--no-deps", "--progress-bar", "off")
        await _run([*pip, *options, "--require-hashes", "-r", str(work / "others.txt")], log, work)
        await _run([*pip, *options, "--no-index", str(next(kept.glob("*.whl")))], log, work)


async def _compile(
    tell: StatusTo, folder: Path, kept: Path, work: Path, library: str, pip: Sequence[str]
) -> None:
    tell(PlannerStatus(state="preparing", progress=0.01, note="fetching the library"))
    (work / "library.txt").write_text(library + "\n")
    made = Path(
        tempfile.mkdtemp(prefix="building-", dir=folder)
    )  # on the cache's own disk, so the move is atomic

    def see(line: str) -> None:
        progress = progress_of(line)
        if progress is not None:
            tell(PlannerStatus(state="preparing", progress=progress, note="compiling for this CPU"))

    try:
        command = [
            *pip,
            "wheel",
            "-v",
            "--no-deps",
            "--require-hashes",
            "--no-cache-dir",
            "--progress-bar",
            "off",
        ]
        await _run(
            [*command, "-w", str(made), "-r", str(work / "library.txt")], folder / "build.log", work, see
        )
        _keep(made, kept)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _keep(made: Path, kept: Path) -> None:
    """Put a finished wheel in its place: whole or not at all."""
    shutil.rmtree(kept, ignore_errors=True)
    made.rename(kept)


async def _run(
    command: Sequence[str], log: Path, scratch: Path, see: Callable[[str], None] = lambda line: None
) -> None:
    """Run one command at low priority, output to the log. Raises PreparationFailed; ends all it started."""
    # One core stays with the robot. What pip leaves when it is ended lies in the scratch folder and goes with it.
    jobs = str(max(1, (os.cpu_count() or 1) - 1))
    environment = {
        **os.environ,
        "CMAKE_ARGS": CMAKE_ARGS,
        "CMAKE_BUILD_PARALLEL_LEVEL": jobs,
        "TMPDIR": str(scratch),
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *("nice", "-n", str(NICENESS), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that the compilers can be ended with it
            limit=LINE_BYTES,
        )
    except OSError as exc:
        raise PreparationFailed(f"planner: {command[0]} cannot be started ({exc.strerror})") from exc
    last: deque[str] = deque(maxlen=KEPT_LINES)
    assert process.stdout is not None
    try:
        with log.open("w") as file:
            async for line in _lines(process.stdout):
                file.write(line + "\n")
                last.append(line)
                see(line)
        code = await process.wait()
    finally:
        await asyncio.shield(_end(process))
    if code:
        raise PreparationFailed(f"planner: {reason_of(list(last))} (log: {log})")


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue  # longer than the limit: no line that tells anything; the reader has thrown it away
        if not line:
            return
        yield line.decode(errors="replace").rstrip()


async def _end(process: asyncio.subprocess.Process) -> None:
    for what in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, what)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_S):
                await process.wait()
                return


def _check_room(*folders: Path) -> None:
    for folder in folders:
        free = shutil.disk_usage(folder).free
        if free < FREE_BYTES:
            raise PreparationFailed(
                f"planner: {folder} has {free / 1e9:.1f} GB free, compiling needs {FREE_BYTES / 1e9:.1f}; "
                "make room, then start again"
            )


@contextlib.asynccontextmanager
async def _alone(folder: Path, tell: StatusTo) -> AsyncIterator[None]:
    """Hold the folder against other robots on this machine; the system lets go of it if this process dies."""
    with (folder / "lock").open("w") as file:
        is_told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not is_told:
                    tell(PlannerStatus(state="preparing", note="another robot here is preparing it"))
                    is_told = True
                await asyncio.sleep(LOOK_AGAIN_S)
        yield
