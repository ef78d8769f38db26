"""What works on this machine, and what to do about what doesn't. Looks only; nothing moves."""

import errno
import os
import shutil
from pathlib import Path

import msgspec

from agent import local, prepare, weights
from agent.body_sheet import cap_line
from agent.config import Config, cache_dir
from drivers import body as bodies
from drivers.errors import RobotError, without_login

LEAST_FREE_BYTES = 2_000_000_000
FIRMWARE = Path(__file__).resolve().parents[1] / "firmware" / "build" / "nod-host"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    what: str
    is_well: bool
    says: str


def examine(config: Config) -> list[Finding]:
    """Look at everything the robot needs, in the order a person would mend it."""
    findings = [_disk(), _firmware(), _body(config)]
    findings += [_weight(name) for name in weights.WEIGHTS]
    findings += [_model(), _camera(config), _port(config), _running()]
    return findings


def _disk() -> Finding:
    folder = cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    says = f"{free / 1e9:.1f} GB free for {folder}"
    if free < LEAST_FREE_BYTES:
        says += "; the model's library needs 2 GB while it is compiled, make room"
    return Finding(what="disk", is_well=free >= LEAST_FREE_BYTES, says=says)


def _firmware() -> Finding:
    is_well = os.access(FIRMWARE, os.X_OK)
    says = (
        "the simulated board is built" if is_well else "not built; run `make -C firmware` (needs gcc, make)"
    )
    return Finding(what="firmware", is_well=is_well, says=says)


def _body(config: Config) -> Finding:
    try:
        path = Path(config.head.body) if config.head.body else bodies.DEFAULT_BODY
        asked, body = bodies.read(path), bodies.load(path)
    except RobotError as exc:
        return Finding(what="body", is_well=False, says=str(exc))
    return Finding(
        what="body", is_well=True, says=f"{body.name}, {len(body.joint)} joints; {cap_line(asked, body)}"
    )


def _weight(name: str) -> Finding:
    try:
        path = weights.path(name)
    except RobotError as exc:
        return Finding(what=f"weights {name}", is_well=False, says=str(exc))
    return Finding(what=f"weights {name}", is_well=True, says=f"{path.stat().st_size / 1e6:.1f} MB")


def _model() -> Finding:
    is_well = prepare.is_installed()
    says = (
        "the library is there" if is_well else "its library is not there yet; `nod run` prepares it meanwhile"
    )
    return Finding(what="model", is_well=is_well, says=says)


def _camera(config: Config) -> Finding:
    source = config.camera.source
    if source is None:
        found = sorted(path.name for path in Path("/dev").glob("video*"))
        says = f"simulated; cameras here: {', '.join(found) or 'none'}"
        return Finding(what="camera", is_well=True, says=says)
    if source.isdecimal():
        return _device("camera", Path(f"/dev/video{source}"), "video")
    is_well = "://" in source or Path(source).is_file()
    return Finding(
        what="camera",
        is_well=is_well,
        says=without_login(source) if is_well else f"there is no file {source}",
    )


def _port(config: Config) -> Finding:
    if config.head.port is None:
        found = sorted(str(path) for kind in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(kind))
        return Finding(what="port", is_well=True, says=f"simulated; ports here: {', '.join(found) or 'none'}")
    return _device("port", Path(config.head.port), "dialout")


def _device(what: str, path: Path, group: str) -> Finding:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as exc:
        todo = {
            errno.ENOENT: "is it plugged in?",
            errno.EACCES: f"run `sudo usermod -aG {group} $USER`, then log in again",
            errno.EBUSY: "close what uses it",
        }.get(exc.errno or 0, "see `dmesg`")
        return Finding(what=what, is_well=False, says=f"{path}: {exc.strerror}; {todo}")
    return Finding(what=what, is_well=True, says=str(path))


def _running() -> Finding:
    try:
        names = local.running()
    except RobotError as exc:
        return Finding(what="running", is_well=False, says=str(exc))
    return Finding(what="running", is_well=True, says=", ".join(names) or "no robot runs now")
