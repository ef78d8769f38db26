"""One robot of each name, and how commands find it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent import local
from drivers.errors import ConfigError, DeviceError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "nod"


class Page(BaseHTTPRequestHandler):
    """Answers every order with what its text says, as status and body."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, _, body = asked.get("text", "200 ").partition(" ")
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_name_is_held_by_one_and_free_afterwards() -> None:
    with local.alone("ann"):
        assert local.running() == ("ann",)
        with local.alone("bob"):
            assert local.running() == ("ann", "bob")
        with pytest.raises(DeviceError, match="--name"), local.alone("ann"):
            pass
    assert local.running() == ()
    with local.alone("ann"):
        pass


def test_word_is_left_while_it_runs(state: Path) -> None:
    with local.announce("ann", "http://127.0.0.1:1/"):
        assert json.loads((state / "ann.json").read_text())["url"] == "http://127.0.0.1:1/"
    assert not (state / "ann.json").exists()


def test_replies_come_back(url: str) -> None:
    with local.announce("ann", url):
        replies = local.say("ann", '200 {"replies": [{"order_id": "1", "kind": "answer", "text": "Done."}]}')
    assert [reply.text for reply in replies] == ["Done."]


def test_a_refusal_comes_back_as_its_reason(url: str) -> None:
    with local.announce("ann", url):
        with pytest.raises(DeviceError, match="says: too long"):
            local.say("ann", '413 {"error": "too long"}')
        with pytest.raises(DeviceError, match="says: plain words"):
            local.say("ann", "500 plain words")


def test_an_answer_that_is_none(url: str) -> None:
    with local.announce("ann", url), pytest.raises(DeviceError, match="something else"):
        local.say("ann", "200 <html>")


@pytest.mark.parametrize("word", ["", "[]", "{}", "{", "\0", '"x"'])
def test_a_word_that_is_damaged_is_no_robot(state: Path, word: str) -> None:
    state.mkdir()
    (state / "ann.json").write_text(word)
    with pytest.raises(DeviceError, match="no robot named 'ann'"):
        local.say("ann", "hello")


def test_a_robot_that_died_without_a_word() -> None:
    with local.announce("ann", "http://127.0.0.1:9/"), pytest.raises(DeviceError, match="still running"):
        local.post("ann", "stop")


def test_a_state_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for attempt in (lambda: local.say("ann", "hi"), local.running, local.alone("ann").__enter__):
        with pytest.raises(ConfigError, match="set XDG_STATE_HOME"):
            attempt()


def test_a_state_file_that_cannot_be_written(state: Path) -> None:
    (state / "ann.json").mkdir(parents=True)
    (state / "ann.lock").mkdir()
    with (
        pytest.raises(ConfigError, match=r"ann\.json: cannot be written"),
        local.announce("ann", "http://127.0.0.1:9/"),
    ):
        pass
    with pytest.raises(ConfigError, match=r"ann\.lock: cannot be written"), local.alone("ann"):
        pass
