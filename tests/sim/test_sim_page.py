"""The page about a rehearsal: it says what happened, asks for nothing, and its making leaves the run as it is."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent import rehearsal
from agent.app import Options
from agent.config import Config, ModelConfig
from agent.sim_page import Page
from drivers.errors import ConfigError

CONFIG = Config(model=ModelConfig(enabled=False))
SCENE = """
name = "scene"
about = "The cable <b>is</b> pulled."
duration_s = 4.0
[robot]
position_m = [0.0, 0.0, 0.75]
[[person]]
name = "Anna"
spots_m = [[1.5, 0.2]]
[[order]]
at_s = 1.0
text = "<script>alert(1)</script>"
[[fault]]
what = "link-cut"
at_s = 2.0
for_s = 0.5
[expect]
nods = 3
"""
VOID = {"meta", "br", "img", "link", "input"}


class Checker(HTMLParser):
    """Tags that match, and everything that a browser might ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.asks: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.asks += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_tells_the_run_and_asks_for_nothing(tmp_path: Path) -> None:
    scene, file = tmp_path / "scene.toml", tmp_path / "run.html"
    scene.write_text(SCENE)
    options = Options(scenario=str(scene), fidelity="landmarks")
    bare = rehearsal.simulate(CONFIG, options, None, tmp_path / "bare.mcap")
    with Page(file) as page:
        watched = rehearsal.simulate(CONFIG, options, None, tmp_path / "watched.mcap", witnesses=[page])
        page.write(watched)
    assert bare.failures == watched.failures
    assert (tmp_path / "bare.mcap").read_bytes() == (tmp_path / "watched.mcap").read_bytes()

    html = file.read_text()
    checker = Checker()
    checker.feed(html)
    assert not checker.open and not checker.asks
    assert not checker.tags & {"script", "img", "link", "iframe"}
    assert not re.search(r"url\(|https?:|@import", html)
    for words in (
        "the screen nodded 0 times, not 3",
        "<script>alert(1)</script>",
        "link-cut",
        "Anna",
        "locked",
    ):
        assert words in checker.text, words

    assert checker.text.count("0 s") >= 7  # every plot has its time
    for joint in ("yaw", "lift", "tilt", "roll"):
        assert f"<p>{joint}</p>" in html
    assert not list(tmp_path.glob("*.part"))


def test_a_page_that_cannot_be_written_is_said_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"), Page(tmp_path / "nowhere" / "run.html"):
        pytest.fail("it began")
