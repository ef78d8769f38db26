"""Reading recordings: cut, damaged, older, newer, foreign; parts of them; and what may not come in."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from agent import record_format
from agent.events import Doing, Lock
from agent.record import Recorder
from agent.record_files import About
from agent.recording import Recording
from drivers.errors import ConfigError

ABOUT = About(facts={"format": "1"})
COUNT = 120


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of several parts: message number n at n/10 s."""
    file = tmp_path_factory.mktemp("recording") / "whole.mcap"
    with Recorder(file, ABOUT) as recorder:
        for number in range(COUNT):
            noise = np.random.default_rng(number).bytes(2_500).hex()
            recorder.write("doing", Doing(what=noise, why=str(number)), number / 10)
            recorder.write("lock", Lock(phase="idle", face=None, reason=str(number)), number / 10)
    return file.read_bytes()


def _numbers(path: Path, **part: float) -> tuple[list[int], list[str]]:
    with Recording(path) as recording:
        values = [message.value for message in recording.messages(["lock"], **part)]
        assert all(isinstance(value, Lock) for value in values)
        return [int(value.reason) for value in values if isinstance(value, Lock)], recording.notes


def test_a_part_is_read_by_its_times(tmp_path: Path, whole: bytes) -> None:
    file = tmp_path / "x.mcap"
    for data in (whole, whole[:-100]):  # with its index and without
        file.write_bytes(data)
        assert _numbers(file, from_s=3.0, to_s=4.0)[0] == list(range(30, 41))
        with Recording(file) as recording:
            assert recording.span_s() == (0.0, (COUNT - 1) / 10)


def test_only_the_parts_asked_for_are_read(tmp_path: Path, whole: bytes) -> None:
    """What lies elsewhere may even be broken."""
    broken = bytearray(whole)
    middle = len(whole) // 2
    broken[middle : middle + 2000] = bytes(2000)
    file = tmp_path / "x.mcap"
    file.write_bytes(broken)
    numbers, notes = _numbers(file, to_s=1.0)
    assert numbers == list(range(11)) and not notes
    numbers, notes = _numbers(file)
    assert 0 < len(numbers) < COUNT and len(notes) == 1 and "damaged" in notes[0]
    assert numbers[0] == 0 and numbers[-1] == COUNT - 1


def test_cut_at_every_1000th_byte_it_is_read_as_far_as_it_goes(tmp_path: Path, whole: bytes) -> None:
    file = tmp_path / "x.mcap"
    most = 0
    for end in range(0, len(whole), 1000):
        file.write_bytes(whole[:end])
        if end < 8:
            with pytest.raises(ConfigError, match="no recording"):
                Recording(file)
            continue
        numbers, notes = _numbers(file)
        assert numbers == list(range(len(numbers))), end
        assert len(numbers) >= most, end
        most = len(numbers)
        assert any("cut off" in note or "origin" in note for note in notes) or len(numbers) == COUNT, end
    assert most > COUNT * 0.9
    file.write_bytes(whole)
    assert _numbers(file) == (list(range(COUNT)), [])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("damaged") / "x.mcap"
    with Recorder(file, ABOUT) as recorder:
        for number in range(5):
            recorder.write("lock", Lock(phase="idle", face=None, reason=str(number)), number / 10)
    return file


@given(at=st.integers(min_value=8), data=st.binary(min_size=1, max_size=40))
def test_damage_anywhere_raises_nothing_but_a_clear_error(small: Path, at: int, data: bytes) -> None:
    content = bytearray(small.read_bytes())
    at = 8 + at % (len(content) - 8)
    content[at : at + len(data)] = data
    file = small.with_name("damaged.mcap")
    file.write_bytes(content)
    try:
        with Recording(file) as recording:
            assert len(list(recording.messages())) <= 5
            recording.span_s()
    except ConfigError as exc:
        assert str(file) in str(exc)


def _write(file: Path, facts: dict[str, str], topic: str, message: object, encoding: str = "json") -> None:
    with file.open("wb") as opened:
        writer = Writer(opened, compression=CompressionType.LZ4)
        writer.start(profile="", library="other")
        writer.add_metadata("nod", facts)
        schema = writer.register_schema(name="x", encoding="jsonschema", data=b"{}")
        channel = writer.register_channel(topic=topic, message_encoding=encoding, schema_id=schema)
        writer.add_message(channel, log_time=0, publish_time=0, data=json.dumps(message).encode())
        writer.finish()


def test_an_older_recording_lacks_what_came_later_and_a_newer_one_has_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.mcap"
    _write(file, {"format": "1"}, "/reply", {"order_id": "1", "kind": "answer", "text": "a"})
    with Recording(file) as recording:
        (message,) = recording.messages()
        assert not getattr(message.value, "last") and not recording.notes  # noqa: B009
    _write(file, {"format": "99"}, "/doing", {"what": "a", "why": "b", "mood": "blue"})
    with Recording(file) as recording:
        assert [message.value for message in recording.messages()] == [Doing(what="a", why="b")]
        assert ["newer version" in note for note in recording.notes] == [True]
    monkeypatch.setitem(record_format.RENAMED, ("Doing", "what_for"), "why")
    _write(file, {"format": "1"}, "/doing", {"what": "a", "what_for": "b"})
    with Recording(file) as recording:
        assert [message.value for message in recording.messages()] == [Doing(what="a", why="b")]
    _write(file, {"format": "1"}, "/doing", {"what": "a"})
    with Recording(file) as recording:
        assert not list(recording.messages())
        assert "1 messages of /doing are of another version" in recording.notes[0]


def test_other_channels_are_plain_json_and_other_encodings_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.mcap"
    _write(file, {}, "/truth", {"a": 1})
    with Recording(file) as recording:
        assert [message.value for message in recording.messages()] == [{"a": 1}]
        assert "origin" in recording.notes[0]
    _write(file, {}, "/truth", {"a": 1}, encoding="cdr")
    with Recording(file) as recording:
        assert not list(recording.messages())


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100), bytes(5000)])
def test_what_is_no_recording_is_said_in_a_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.mcap"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is no recording"):
        Recording(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        Recording(tmp_path)


def test_a_record_that_claims_to_be_enormous_is_not_read(tmp_path: Path, whole: bytes) -> None:
    file = tmp_path / "x.mcap"
    with file.open("wb") as opened:
        opened.write(whole[:8] + struct.pack("<BQ", 6, 9_000_000_000))
        opened.truncate(10_000_000_000)  # sparse: it takes no room
    with Recording(file) as recording:
        assert not list(recording.messages())
        assert any("damaged" in note for note in recording.notes)
