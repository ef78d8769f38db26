"""Lines of TOML keys: arrays of tables, inline tables, strings that look like keys, and any tree at all."""

import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigError
from drivers.toml_lines import KeyPath, Source, line_of, lines_of

TEXT = '''# a comment with key = 1
a = 1
[b]
x = [1, # [not.a.table]
  2,
  {q = 1, "r.s" = 'a#b', t = [ {u = 1},
    {u = 2} ]}]
s = """
x = 3
[b]
"""""
y . z = 'v]'
[[c.d]]
n = 1
  [[c.d.e]]
  m = { k = [ {z=1}, {z=2} ] }
[[c.d]]
[c.d.f]
t = 1979-05-27 07:32:00

[c]
g = "\\" ] # = " # = ]
"quoted key" = { }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("b",), 3),
        (("b", "x"), 4),
        (("b", "x", 1), 5),
        (("b", "x", 2, "r.s"), 6),
        (("b", "x", 2, "t", 0, "u"), 6),
        (("b", "x", 2, "t", 1, "u"), 7),
        (("b", "s"), 8),
        (("b", "y", "z"), 12),
        (("c", "d", 0), 13),
        (("c", "d", 0, "n"), 14),
        (("c", "d", 0, "e", 0), 15),
        (("c", "d", 0, "e", 0, "m", "k", 1, "z"), 16),
        (("c", "d", 1), 17),
        (("c", "d", 1, "f", "t"), 19),
        (("c",), 21),
        (("c", "g"), 22),
        (("c", "quoted key"), 23),
        (("c", "d", 1, "f", "missing"), 18),
        (("c", "d", 0, "missing", "deep"), 13),
        (("missing",), 1),
        ((), 1),
    ],
)
def test_where_a_key_stands(path: KeyPath, line: int) -> None:
    assert line_of(TEXT, path) == line
    assert line_of(TEXT.replace("\n", "\r\n"), path) == line


def paths_of(tree: Any, path: KeyPath = ()) -> set[KeyPath]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return {path}.union(*(paths_of(value, (*path, key)) for key, value in items))


SCALARS = st.one_of(
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dates(),
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=5)
TREES = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)),
    max_size=6,
)  # fmt: skip


def written(value: Any) -> str:
    """A value in one line, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@settings(deadline=None)
@given(TREES)
def test_every_key_of_any_tree_has_the_line_it_was_written_on(tree: dict[str, Any]) -> None:
    text = "".join(f"{written(key)} = {written(value)}\n" for key, value in tree.items())
    lines = lines_of(text)
    assert paths_of(tomllib.loads(text)) - {()} == set(lines)
    for line, key in enumerate(tree, start=1):
        assert all(lines[path] == line for path in paths_of(tree[key], (key,)))


@settings(deadline=None)
@given(st.text(st.sampled_from("ab.=[]{}\"'#\n, 1\\"), max_size=40))
def test_whatever_tomllib_takes_is_walked_to_the_end(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert paths_of(tree) - {()} == set(lines_of(text))


class Part(msgspec.Struct, forbid_unknown_fields=True, tag="part", tag_field="kind"):
    size: int


class Hole(msgspec.Struct, forbid_unknown_fields=True, tag="hole", tag_field="kind"):
    depth: int


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    part: tuple[Part | Hole, ...]
    pair: tuple[Part, Hole] | None = None
    free: dict[str, Part] | None = None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("part = [\n{kind = 'part', size = 1},\n{kind = 'hole', deep = 1}]",
            "3: part[1].deep: unknown field `deep`; did you mean `depth`? allowed are kind, depth"),
        ("part = []\n[[pair]]\nkind='part'\nsize=1\n[[pair]]\nkind='hole'\nsize=1",
            "7: pair[1].size: unknown field `size`; allowed are kind, depth"),
        ("[[part]]\nkind = 'part'\n[[part]]\nkind = 'hole'\ndepth = 1", "1: part[0]: `size` is missing"),
        ("\n[[part]]\nkind = 'part'\nsize = 'x'", "4: part[0].size: Expected `int`, got `str`"),
        ("part = []\n[free.x]\nkind = 'part'\nsize = 'x'", "2: free: Expected `int`, got `str`"),
        ("wall = 1", "1: wall: unknown field `wall`; allowed are part, pair, free"),
        ("", "1: `part` is missing"),
        ("part = []\npart = []\n", "2: Cannot overwrite a value (at line 2, column 10)"),
        ("part = []\n\nx = [", "3: Invalid value (at end of document)"),
        ("a = 1\nb = '\udcff'", "2: is no text in UTF-8"),
        ("part = " + "[" * 5000, "1: is nested too deeply"),
    ],
)  # fmt: skip
def test_complaints_name_line_key_and_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Source("x.toml", text.encode(errors="surrogateescape")).decode(Whole)
    assert str(caught.value) == f"x.toml:{says}"
