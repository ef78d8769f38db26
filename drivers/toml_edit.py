"""Numbers of a TOML file changed in place: comments, order and layout stay, and a failure leaves the old file."""

import contextlib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.errors import ConfigError
from drivers.toml_lines import KeyPath, spans_of

WRITABLE = 0o222


def edited(text: str, values: Mapping[KeyPath, int | float]) -> str:
    """The text with these numbers in it; a key that is missing is added to the table it belongs to.

    Raises ConfigError where the file is laid out so that this cannot be done.
    """
    for path, value in values.items():
        new = _with_value(text, path, repr(value))
        if new is None or tomllib.loads(new) != _expected(text, path, value):
            raise ConfigError(
                f"the place for {path[-1]} is not found; write {path[-1]} = {value!r} there by hand"
            )
        text = new
    return text


def replace_file(path: Path, text: str) -> None:
    """Write the file whole or not at all, with the permissions that it had. Raises ConfigError."""
    path = path.resolve()  # a link stays a link
    try:
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
        if not mode & WRITABLE:
            raise ConfigError(f"{path}: is read-only; run `chmod u+w {path}` if it may be changed")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written ({exc.strerror}); the file is as it was") from exc


def _with_value(text: str, path: KeyPath, value: str) -> str | None:
    spans = spans_of(text)
    if path in spans:
        start, end = spans[path]
        return text[:start] + value + text[end:]
    parent, key = path[:-1], path[-1]
    if parent in spans and text[spans[parent][0]] == "{":
        end = spans[parent][1] - 1
        before = text[:end].rstrip()
        if before.endswith("{"):
            return f"{before} {key} = {value} {text[end:]}"
        return f"{before}, {key} = {value}{text[len(before) :]}"
    siblings = [span for other, span in spans.items() if other[:-1] == parent]
    if not siblings:
        return None
    start, end = siblings[-1]
    line = text[text.rfind("\n", 0, start) + 1 : start]
    # The sibling's line up to its `=`, the last key of it being replaced.
    lead = re.sub(r"[^\s.]+\s*=\s*$", f"{key} = ", line)
    break_at = text.find("\n", end)
    if break_at < 0:
        return f"{text}\n{lead}{value}\n"
    newline = "\r\n" if text[break_at - 1] == "\r" else "\n"
    return f"{text[: break_at + 1]}{lead}{value}{newline}{text[break_at + 1 :]}"


def _expected(text: str, path: KeyPath, value: int | float) -> dict[str, Any]:
    """What the new text must say: the old one with one value changed."""
    raw = tomllib.loads(text)
    here: Any = raw
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return raw
