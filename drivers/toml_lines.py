"""TOML read into structs, where every complaint names the file, the line and the key.

Python's TOML reader forgets where things stood. What it has accepted is therefore walked once more here, only
when something is wrong with it, to find the line of each key and each table.
"""

import datetime
import difflib
import re
import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from drivers.errors import ConfigError

T = TypeVar("T")
KeyPath = tuple[str | int, ...]  # ("joint", 1, "min_rad")

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r"[^,\]}\n#]*")
_QUOTED = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' + r"|'''.*?'{3,5}(?!')" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'",
    re.DOTALL,
)
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_PLACE = re.compile(r" - at `(?:key` in `)?\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_SEQUENCES = (inspect.ListType, inspect.TupleType, inspect.VarTupleType)
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$")
_VALUE_UNKNOWN = re.compile(r"^Invalid (?:enum )?value '(.*)'$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$")


class Source:
    """One TOML file. `decode` it, then say what else is wrong with `error`."""

    def __init__(self, name: str, data: bytes) -> None:
        """Raises ConfigError for what is no TOML."""
        self.name = name
        try:
            self._text = data.decode()
            self._raw = tomllib.loads(self._text)
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
            raise ConfigError(f"{name}:{line}: is no text in UTF-8") from exc
        except tomllib.TOMLDecodeError as exc:
            found = _SYNTAX_LINE.search(str(exc))
            line = int(found[1]) if found else self._text.count("\n") + 1
            raise ConfigError(f"{name}:{line}: {_one_line(str(exc))}") from exc
        except RecursionError as exc:
            raise ConfigError(f"{name}:1: is nested too deeply") from exc

    def decode(self, kind: type[T]) -> T:
        """The file as a struct. Raises ConfigError for the first key that is wrong."""
        try:
            return msgspec.convert(
                self._raw, kind, builtin_types=(datetime.datetime, datetime.date, datetime.time)
            )
        except msgspec.ValidationError as exc:
            raise self._explained(str(exc), kind) from exc

    def has(self, path: KeyPath) -> bool:
        """Whether the file itself gives this key, so that it is no default."""
        return path in lines_of(self._text)

    def error(self, path: KeyPath, says: str) -> ConfigError:
        """What to raise for a key that is wrong in itself or beside others."""
        where = f"{self.name}:{line_of(self._text, path)}: "
        return ConfigError(where + (f"{_spoken(path)}: " if path else "") + _one_line(says))

    def _explained(self, message: str, kind: Any) -> ConfigError:
        """msgspec's complaint with its place in the file, and with what would be allowed."""
        path: KeyPath = ()
        if place := _PLACE.search(message):
            message = message[: place.start()]
            for name, index in _STEP.findall(place[1]):
                if not name and not index:
                    break  # somewhere in a table of free keys: msgspec does not say at which
                path += (int(index),) if index else (name,)
        if unknown := _UNKNOWN.match(message):
            says = _instead(unknown[1], _fields_at(kind, self._raw, path))
            return self.error((*path, unknown[1]), f"unknown field `{unknown[1]}`; {says}")
        if missing := _MISSING.match(message):
            return self.error(path, f"`{missing[1]}` is missing")
        if value := _VALUE_UNKNOWN.match(message):
            says = _instead(value[1], _words_at(kind, self._raw, path))
            return self.error(path, f"unknown word `{value[1]}`; {says}")
        return self.error(path, message)


def line_of(text: str, path: KeyPath) -> int:
    """The line, from 1, where a key stands, or the nearest table around it that the file writes out."""
    lines = lines_of(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def lines_of(text: str) -> dict[KeyPath, int]:
    """The line of every key, table and array element of a valid TOML text."""
    return _Walk(text).lines


def spans_of(text: str) -> dict[KeyPath, tuple[int, int]]:
    """Where each value of a valid TOML text begins and ends."""
    return _Walk(text).spans


class _Walk:
    """One pass over a text that tomllib accepts; that it is valid is relied on throughout."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.spans: dict[KeyPath, tuple[int, int]] = {}  # where each value begins and ends
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0  # up to where line breaks are counted
        self._arrays: dict[KeyPath, int] = {}  # of tables: how many so far
        table: KeyPath = ()
        self._skip_space()
        while self._at < len(text):
            if text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip_space()

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        line = self._line_here()
        self._at += 2 if is_array else 1
        keys = self._dotted_key()
        self._at = self._text.index("]", self._at) + (2 if is_array else 1)
        path: KeyPath = ()
        for place, key in enumerate(keys):
            path += (key,)
            self.lines.setdefault(path, line)
            if is_array and place == len(keys) - 1:
                self._arrays[path] = self._arrays.get(path, 0) + 1
            if path in self._arrays:
                path += (self._arrays[path] - 1,)
                self.lines.setdefault(path, line)
        self.lines[path] = line  # a table may be named by its own tables first
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line_here()
        path = table
        for key in self._dotted_key():
            path += (key,)
            self.lines.setdefault(path, line)
        self._at = self._text.index("=", self._at) + 1
        self._skip_space()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening, start = self._text[self._at], self._at
        if opening == "[":
            self._sequence("]", lambda index: self._element((*path, index)))
        elif opening == "{":
            self._sequence("}", lambda _: self._pair(path))
        elif quoted := _QUOTED.match(self._text, self._at):
            self._at = quoted.end()
        else:
            self._at = _end(_VALUE, self._text, self._at)
            self._at = start + len(self._text[start : self._at].rstrip())
        self.spans[path] = (start, self._at)

    def _element(self, path: KeyPath) -> None:
        self.lines[path] = self._line_here()
        self._value(path)

    def _sequence(self, closing: str, item: Callable[[int], None]) -> None:
        self._at += 1
        index = 0
        self._skip_space()
        while self._text[self._at] != closing:
            item(index)
            index += 1
            self._skip_space()
            if self._text[self._at] == ",":
                self._at += 1
                self._skip_space()
        self._at += 1

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip_space()
            start = self._at
            if quoted := _QUOTED.match(self._text, start):
                self._at = quoted.end()
                (key,) = tomllib.loads(f"{quoted[0]} = 0")
            else:
                self._at = _end(_BARE, self._text, start)
                key = self._text[start : self._at]
            keys.append(key)
            self._skip_space()
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _skip_space(self) -> None:
        self._at = _end(_SPACE, self._text, self._at)

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _spoken(path: KeyPath) -> str:
    spoken = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return spoken.removeprefix(".")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _instead(word: str, allowed: list[str]) -> str:
    """What may stand there, the nearest word first."""
    close = difflib.get_close_matches(word, allowed, n=1)
    nearest = f"did you mean `{close[0]}`? " if close else ""
    return f"{nearest}allowed are {', '.join(allowed)}"


def _fields_at(kind: Any, raw: Any, path: KeyPath) -> list[str]:
    """The keys that the struct at a place of the file may have."""
    here = _type_at(kind, raw, path)
    if not isinstance(here, inspect.StructType):
        return []
    tag = [here.tag_field] if here.tag_field else []
    return tag + [field.encode_name for field in here.fields]


def _words_at(kind: Any, raw: Any, path: KeyPath) -> list[str]:
    """The words that may stand at a place of the file: of a literal, or the tags of a union of structs."""
    here = _type_at(kind, raw, path)
    if isinstance(here, inspect.LiteralType):
        return [str(value) for value in here.values]
    around = _type_at(kind, raw, path[:-1])
    choices = around.types if isinstance(around, inspect.UnionType) else ()
    return [str(choice.tag) for choice in choices if isinstance(choice, inspect.StructType)]


def _type_at(kind: Any, raw: Any, path: KeyPath) -> inspect.Type:
    here = _struct(inspect.type_info(kind), raw)
    for step in path:
        raw = raw[step]
        if isinstance(here, inspect.StructType):
            here = next(field.type for field in here.fields if field.encode_name == step)
        elif isinstance(here, inspect.TupleType) and isinstance(step, int):
            here = here.item_types[step]
        elif isinstance(here, inspect.ListType | inspect.VarTupleType):
            here = here.item_type
        elif isinstance(here, inspect.DictType):
            here = here.value_type
        here = _struct(here, raw)
    return here


def _struct(kind: inspect.Type, raw: Any) -> inspect.Type:
    """Without what wraps a type; of a union the struct that the file's tag chooses."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not isinstance(kind, inspect.UnionType):
        return kind
    for choice in kind.types:
        if isinstance(choice, inspect.StructType) and isinstance(raw, dict):
            if choice.tag_field is None or raw.get(choice.tag_field) == choice.tag:
                return choice
        elif isinstance(choice, inspect.DictType if isinstance(raw, dict) else _SEQUENCES):
            return choice
    return kind
