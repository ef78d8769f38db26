"""Recordings end to end: a running robot writes one that can be decided again and reported; and very large ones."""

import resource
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from agent.events import Doing, Lock
from agent.record import Recorder
from agent.record_files import files_in
from agent.recording import Recording
from tests.e2e.shell import Shell

pytestmark = pytest.mark.e2e

LARGE_BYTES = 300_000_000
MOST_GROWTH_BYTES = 60_000_000  # a few parts of the file, and what Python keeps for itself
KILOBYTE = 1024 if sys.platform == "linux" else 1  # of ru_maxrss


async def test_a_robot_records_what_it_does_and_the_report_holds_it(shell: Shell, tmp_path: Path) -> None:
    robot = await shell.robot("memory")
    await robot.hear("head: connected", "camera: open")
    assert (await shell.result("say", "nod twice", "--name", "memory"))[0] == 0
    assert await robot.end() == 0
    (file,) = files_in(tmp_path / "state" / "nod" / "recordings" / "memory")
    with Recording(file) as recording:
        channels = {message.channel for message in recording.messages()}
        assert recording.is_whole and not recording.notes
        assert "started" in recording.facts and recording.attachment("body.urdf")
    wanted = {"frames", "sight", "glance", "lock", "set_point", "pose", "orders", "reply", "health", "log"}
    assert wanted <= channels and "sound" not in channels
    code, said = await shell.result("replay", str(file))
    assert code == 0 and "0 decisions differ" in said[-1], said
    target = tmp_path / "report.zip"
    code, said = await shell.result("report", "--name", "memory", "--output", str(target))
    assert code == 0, said
    with zipfile.ZipFile(target) as archive:
        assert "head: connected" in archive.read("log.txt").decode()


async def test_a_robot_that_shall_not_record_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    robot = await shell.robot("silent", "--no-record")
    await robot.hear("head: connected", "camera: open")
    assert await robot.end() == 0
    assert not (tmp_path / "state" / "nod" / "recordings").exists()


def test_a_large_recording_is_read_in_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.mcap"
    noise = [np.random.default_rng(number).bytes(60_000).hex() for number in range(64)]
    count = 0
    with Recorder(file) as recorder:
        while not file.exists() or file.stat().st_size < LARGE_BYTES:
            recorder.write("doing", Doing(what=noise[count % 64], why=str(count)), count / 10)
            recorder.write("lock", Lock(phase="idle", face=None, reason=str(count)), count / 10)
            count += 1
    del noise
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    for data_end in (file.stat().st_size, file.stat().st_size - 100):  # whole, then cut
        with file.open("rb+") as opened:
            opened.truncate(data_end)
        with Recording(file) as recording:
            assert sum(1 for _ in recording.messages(["lock"])) == count
            (last,) = recording.messages(["lock"], from_s=(count - 1) / 10)
            assert isinstance(last.value, Lock) and last.value.reason == str(count - 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE - before < MOST_GROWTH_BYTES
