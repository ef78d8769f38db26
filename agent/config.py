"""`nod.toml` as structs, and the folders where Nod keeps things (XDG)."""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from drivers.errors import ConfigError, without_login

IdleDial = Literal["off", "low", "full"]

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: a key that isn't known is an error."""


class CameraConfig(_Part, frozen=True, kw_only=True):
    """Which camera, and how long its pictures take to arrive."""

    source: str | None = None  # a number, a film or a URL; none: simulated
    field_of_view_rad: Annotated[float, msgspec.Meta(ge=0.2, le=3.0)] | None = None
    latency_s: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.0


class HeadConfig(_Part, frozen=True, kw_only=True):
    """The arm's board."""

    port: str | None = None  # a serial port; none: simulated
    body: str | None = None  # a body file; none: the tabletop display


class PageConfig(_Part, frozen=True, kw_only=True):
    """The page. It is served to this machine only."""

    port: Port | None = None  # none: 8321, or the next one that is free


class MqttConfig(_Part, frozen=True, kw_only=True):
    """MQTT: a broker of one's own on this machine unless `url` names the house's."""

    enabled: bool = True
    url: str | None = None  # mqtt://[user:password@]host[:port]
    port: Port = 1883  # of the embedded broker


class ModelConfig(_Part, frozen=True, kw_only=True):
    """The language model."""

    enabled: bool = True
    file: str | None = None  # a GGUF; none: the one that comes with the package


class MotionConfig(_Part, frozen=True, kw_only=True):
    """How lively it is."""

    idle: IdleDial = "low"


class RecordConfig(_Part, frozen=True, kw_only=True):
    """What is recorded, on this machine only. The oldest goes when `keep_gb` are full."""

    enabled: bool = True
    keep_gb: Annotated[float, msgspec.Meta(ge=0.05, le=10_000.0)] = 2.0  # about a day
    video: Literal["off", "low", "full"] = "low"  # full: 40 GB a day and camera
    blur: bool = False  # faces in the pictures
    sound: bool = False  # what people say is nobody's business, unless the owner wants it


class Config(_Part, frozen=True, kw_only=True):
    """All of nod.toml."""

    name: Name = "nod"
    camera: CameraConfig = CameraConfig()
    head: HeadConfig = HeadConfig()
    page: PageConfig = PageConfig()
    mqtt: MqttConfig = MqttConfig()
    model: ModelConfig = ModelConfig()
    motion: MotionConfig = MotionConfig()
    record: RecordConfig = RecordConfig()


def load(path: Path | None = None) -> Config:
    """Read nod.toml: the file named, else the one in the configuration folder, else all defaults.

    Raises ConfigError with file, key and what is allowed.
    """
    if path is None:
        path = config_dir() / "nod.toml"
        if not path.exists():
            return Config()
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=Config)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    return check(config, str(path))


def check(config: Config, where: str) -> Config:
    """The same configuration if it keeps every bound, else ConfigError. Structs made in code are not checked."""
    try:
        msgspec.convert(msgspec.to_builtins(config), type=Config)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{where}: {exc}") from exc
    if config.mqtt.url is not None:
        _check_broker_url(config.mqtt.url, where)
    return config


def _check_broker_url(url: str, where: str) -> None:
    """Raise ConfigError unless this is an mqtt:// or mqtts:// address with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{where}: mqtt.url {url!r} is no address like mqtt://192.168.1.5:1883")


def without_secrets(config: Config) -> Config:
    """The same with names and passwords taken out of addresses, to be shown to others."""
    replace = msgspec.structs.replace
    return replace(
        config,
        mqtt=replace(config.mqtt, url=_shown(config.mqtt.url)),
        camera=replace(config.camera, source=_shown(config.camera.source)),
    )


def _shown(address: str | None) -> str | None:
    return None if address is None else without_login(address)


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    return (Path(value) if os.path.isabs(value) else Path.home() / fallback) / "nod"


def config_dir() -> Path:
    """Where nod.toml lies."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def cache_dir() -> Path:
    """Models, wheels and drawings that can be made or fetched again."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Which robots run on this machine, and their logs; readable by the owner only.

    Raises ConfigError when the folder cannot be made.
    """
    folder = _xdg("XDG_STATE_HOME", ".local/state")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise ConfigError(
            f"{folder}: cannot be made ({exc.strerror}); set XDG_STATE_HOME to a folder that can be written"
        ) from exc
    return folder
