"""Where a recording comes from: versions, configuration without secrets, body and scene, for its start."""

import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from agent.config import Config, state_dir, without_secrets
from agent.record import QUALITIES, Kept, Recorder
from agent.record_files import About, Attachment, Row
from agent.record_format import FORMAT
from agent.viewing import Scene
from drivers import body as bodies
from drivers.body import Body
from drivers.urdf import urdf

PACKAGES = (
    "ai-edge-litert",
    "imageio-ffmpeg",
    "mcap",
    "msgspec",
    "numba",
    "numpy",
    "opencv-python-headless",
    "ruckig",
)
GIT_TIMEOUT_S = 5.0  # a slow disk; it is one look at one folder
ROOT = Path(__file__).resolve().parents[1]


def origin(config: Config, body: Body, scene: Scene, facts: Mapping[str, str]) -> About:
    """What stands at the start of each file; `facts` is what the caller knows beside it."""
    file = Path(config.head.body) if config.head.body else bodies.DEFAULT_BODY
    return About(
        facts={
            "format": str(FORMAT),
            **versions(),
            "config": msgspec.json.encode(without_secrets(config)).decode(),
            **facts,
        },
        attachments=(
            Attachment(name="body.toml", media_type="application/toml", data=file.read_bytes()),
            Attachment(name="body.urdf", media_type="application/xml", data=urdf(body).encode()),
            Attachment(name="scene.json", media_type="application/json", data=msgspec.json.encode(scene)),
        ),
    )


def live(config: Config, about: About, now_s: float) -> Recorder:
    """The recorder of a robot that runs: a row of files, written by a thread. Raises ConfigError without a folder.

    `now_s` is the loop's time, which the start's wall time is tied to.
    """
    wall = datetime.now(UTC)  # noqa: TID251 (names of files and a person's clock; nothing is decided by it)
    facts = {**about.facts, "started": wall.isoformat(timespec="seconds"), "started_loop_s": f"{now_s:.6f}"}
    part = config.record
    return Recorder(
        Row(recordings_dir(config.name), f"{wall:%Y%m%dT%H%M%SZ}", round(part.keep_gb * 1e9)),
        msgspec.structs.replace(about, facts=facts),
        Kept(quality=QUALITIES[part.video], has_blur=part.blur, has_sound=part.sound),
        has_thread=True,
    )


def recordings_dir(name: str) -> Path:
    """Where the robot of this name keeps its recordings."""
    return state_dir() / "recordings" / name


def versions() -> dict[str, str]:
    """Nod's version, Python's, and those of the packages that matter for what is decided."""
    found = {"nod": _version("nod-robot") or "0", "python": platform.python_version()}
    commit = _commit()
    if commit is not None:
        found["commit"] = commit
    return found | {name: text for name in PACKAGES if (text := _version(name))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this checkout, if it is one."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            [git, "-C", str(ROOT), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
