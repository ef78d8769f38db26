"""Numbers changed in a TOML file: everything else stays as it was, byte for byte, or nothing happens at all."""

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers import body as bodies
from drivers.errors import ConfigError
from drivers.toml_edit import edited, replace_file
from drivers.toml_lines import KeyPath

ROOT = Path(__file__).resolve().parents[2]


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.split("\n"), after.split("\n"), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_only_the_values_named_change() -> None:
    before = bodies.DEFAULT_BODY.read_text()
    path: KeyPath = ("joint", 1)
    after = edited(before, {(*path, "min_rad"): -0.45, (*path, "servo", "centre_us"): 1507})
    assert changed_lines(before, after) == [
        ("min_rad = -0.5", "min_rad = -0.45"),
        (
            'servo = { kind = "pwm", pin = 10, centre_us = 1500, per_rad_us = 637.0 }',
            'servo = { kind = "pwm", pin = 10, centre_us = 1507, per_rad_us = 637.0 }',
        ),
    ]


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("a = 1 # one", ("a",), "a = 7 # one"),
        ("a=1\r\nb=2\r\n", ("a",), "a=7\r\nb=2\r\n"),
        ("s = { k = 'x' } # c", ("s", "c"), "s = { k = 'x', c = 7 } # c"),
        ("s = {}", ("s", "c"), "s = { c = 7 }"),
        ("s = {k='x'}", ("s", "c"), "s = {k='x', c = 7}"),
        ("[s] # table\nk = 'x' # c\n[t]\n", ("s", "c"), "[s] # table\nk = 'x' # c\nc = 7\n[t]\n"),
        ("[s]\n  k = 'x'", ("s", "c"), "[s]\n  k = 'x'\n  c = 7\n"),
        ("[s]\r\nk = 1\r\n", ("s", "c"), "[s]\r\nk = 1\r\nc = 7\r\n"),
        ("s.k = 'x'\nt = 1\n", ("s", "c"), "s.k = 'x'\ns.c = 7\nt = 1\n"),
        ("j = [{ a = 1 }, { a = 2 }]", ("j", 1, "a"), "j = [{ a = 1 }, { a = 7 }]"),
        ("[[j]]\na = 1\n[[j]]\n[j.s]\nk = 3\n", ("j", 1, "s", "k"), "[[j]]\na = 1\n[[j]]\n[j.s]\nk = 7\n"),
        ("t = '''\na = 1\n'''\na = 2", ("a",), "t = '''\na = 1\n'''\na = 7"),
        ("a = 1_000 # thousand", ("a",), "a = 7 # thousand"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_table(before: str, path: KeyPath, after: str) -> None:
    assert edited(before, {path: 7}) == after


def test_a_place_that_is_not_found_is_said() -> None:
    with pytest.raises(ConfigError, match=r"write c = 7 there by hand"):
        edited("[s]\n", {("s", "c"): 7})


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    replace_file(link, "new")
    assert link.is_symlink() and file.read_text() == "new" and file.stat().st_mode & 0o7777 == 0o640
    assert sorted(tmp_path.iterdir()) == [file, link]
    replace_file(tmp_path / "deep" / "new", "first")
    assert (tmp_path / "deep" / "new").read_text() == "first"


def test_a_read_only_file_stays_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o444)
    with pytest.raises(ConfigError, match=r"is read-only; run `chmod u\+w"):
        replace_file(file, "new")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: a write fails in the middle just so."""
    file = tmp_path / "body.toml"
    file.write_bytes(bodies.DEFAULT_BODY.read_bytes())
    words = (sys.executable, "-m", "agent", "calibrate", "yaw", "--body", str(file), "--zero", "1490")
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"nod: {file}: cannot be written (File too large); the file is as it was" in done.stderr
    assert file.read_bytes() == bodies.DEFAULT_BODY.read_bytes() and list(tmp_path.iterdir()) == [file]


def test_what_is_expected_is_a_whole_tree() -> None:
    tree: dict[str, Any] = tomllib.loads(edited("a = 1\n[t]\nb = [1, 2]\n", {("a",): 2.5}))
    assert tree == {"a": 2.5, "t": {"b": [1, 2]}}
