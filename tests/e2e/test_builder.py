"""A builder at a terminal: flash, doctor and calibrate as the true program, its keys typed on a pseudo-terminal.

avrdude is the real one. The board is the firmware core as a process, before it, where something is flashed, the
twin of an Uno's bootloader.
"""

import asyncio
import fcntl
import json
import os
import random
import re
import shutil
import sys
import termios
import tty
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers import body as bodies
from drivers import messages, wire
from drivers.body import PwmServo
from drivers.head import Head
from drivers.link import SerialStream
from drivers.messages import TABLE_HASH
from sim.board import ProcessBoard, PwmFrame
from sim.uno import Bootloader, Uno

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
COME_S = 25.0  # until something is there, on a machine that does other things as well
JOINTS = 4
PERIOD_S = 0.02
PAGE_BYTES = 128
LEFT, RIGHT, SHIFT_RIGHT, CTRL_C = "\x1b[D", "\x1b[C", "\x1b[1;2C", "\x03"


class Terminal:
    """A `nod` on a terminal of its own: what it wrote, and a keyboard."""

    def __init__(self, process: Process, near: int) -> None:
        self.text = ""
        self.process = process
        self._near = near
        asyncio.get_running_loop().add_reader(near, self._read)

    def _read(self) -> None:
        try:
            self.text += os.read(self._near, 65536).decode("utf-8", "replace")
        except OSError:  # the program has ended, and with it the far end
            asyncio.get_running_loop().remove_reader(self._near)

    async def see(self, fragment: str) -> None:
        """Wait until this was written since the last key, or since the start."""
        try:
            async with asyncio.timeout(COME_S):
                while fragment not in self.text:  # noqa: ASYNC110  it comes from outside
                    assert self.process.returncode is None, self.text
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{fragment!r} was not written, but {self.text!r}")

    def type(self, keys: str) -> None:
        self.text = ""
        os.write(self._near, keys.encode())

    async def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it wrote since the last key."""
        async with asyncio.timeout(COME_S):
            code = await self.process.wait()
        await asyncio.sleep(0.05)
        return code, self.text

    def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)


class Desk:
    """Starts `nod`, with a configuration folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copy = folder / "config" / "nod" / "body.toml"
        self.environment = {
            **os.environ,
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "TERM": "xterm",
        }
        self._open: list[Terminal] = []

    async def terminal(self, *words: str) -> Terminal:
        """On a terminal, which is also where its Ctrl-C comes from."""
        near, far = os.openpty()

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", *words),
            cwd=ROOT,
            env=self.environment,
            stdin=far,
            stdout=far,
            stderr=far,
            preexec_fn=take_terminal,
        )
        os.close(far)
        self._open.append(Terminal(process, near))
        return self._open[-1]

    async def result(self, *words: str, **environment: str) -> tuple[int, str]:
        """Without a terminal, to its end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", *words),
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(2 * COME_S):
            said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    def close(self) -> None:
        for terminal in self._open:
            terminal.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()
    await asyncio.sleep(0)  # the transports close their pipes on the next turn of the loop


def image(folder: Path, size: int = 6000) -> tuple[Path, bytes]:
    """An Intel HEX file and the bytes in it."""
    data = random.Random(size).randbytes(size)
    lines = []
    for at in range(0, size, 16):
        part = data[at : at + 16]
        record = bytes((len(part), at >> 8, at & 0xFF, 0)) + part
        lines.append(f":{(record + bytes((-sum(record) & 0xFF,))).hex().upper()}\n")
    path = folder / "image.hex"
    path.write_text("".join(lines) + ":00000001FF\n")
    return path, data


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(COME_S):
        while not condition():  # noqa: ASYNC110  it comes from outside
            await asyncio.sleep(0.02)


async def test_what_arrives_in_the_chip_is_the_image(desk: Desk) -> None:
    path, data = image(desk.folder)
    loader = Bootloader()
    async with Uno(loader) as uno:
        code, said = await desk.result("flash", "--port", uno.port, "--image", str(path))
    assert code == 0, said
    assert bytes(loader.flash[: len(data)]) == data
    assert set(loader.flash[-(-len(data) // PAGE_BYTES) * PAGE_BYTES :]) == {0xFF}
    assert f"message table {TABLE_HASH:08x} runs, which fits this program" in said
    assert [line.strip() for line in said.splitlines()][:3] == [
        "waiting for the bootloader",
        "writing",
        "verifying",
    ]


def bytes_of(path: Path) -> bytes:
    """What an Intel HEX file without gaps holds."""
    records = [bytes.fromhex(line[1:]) for line in path.read_text().split()]
    assert all(sum(record) & 0xFF == 0 for record in records)
    return b"".join(record[4:-1] for record in records if record[3] == 0)


async def test_the_firmware_of_this_tree_is_built_and_arrives(desk: Desk) -> None:
    loader = Bootloader()
    async with Uno(loader) as uno:
        code, said = await desk.result("flash", "--port", uno.port)
    assert code == 0, said
    data = bytes_of(ROOT / "firmware" / "build" / "avr" / "nod.hex")
    assert len(data) > 10_000 and bytes(loader.flash[: len(data)]) == data


async def test_a_bar_on_a_terminal(desk: Desk) -> None:
    path, _ = image(desk.folder)
    async with Uno(Bootloader()) as uno:
        terminal = await desk.terminal("flash", "--port", uno.port, "--image", str(path))
        code, said = await terminal.end()
    assert code == 0, said
    assert re.search(r"writing +\[#+\] 100%", said) and re.search(r"verifying +\[#+\] 100%", said), said


@pytest.mark.parametrize(
    ("loader", "has_firmware", "says"),
    [
        (None, True, "no bootloader answers; press the reset button"),
        (Bootloader(signature=bytes((0x1E, 0x95, 0x14))), True, "signature is 1E9514, not an ATmega328P's"),
        (Bootloader(bad_byte=300), True, "reads back differently at 0x012c"),
        (Bootloader(), False, "flashed and verified, but the firmware does not answer in 4 s"),
    ],
)
async def test_boards_that_cannot_be_flashed(
    desk: Desk, loader: Bootloader | None, has_firmware: bool, says: str
) -> None:
    path, _ = image(desk.folder)
    async with Uno(loader, has_firmware=has_firmware) as uno:
        code, said = await desk.result("flash", "--port", uno.port, "--image", str(path))
    errors = [line for line in said.splitlines() if not line.startswith("  ")]
    assert code == 1 and len(errors) == 1, said
    assert errors[0].startswith(f"nod: {uno.port}: ") and says in errors[0]


async def test_ports_and_images_that_are_not_there(desk: Desk) -> None:
    path, _ = image(desk.folder)
    async with ProcessBoard(JOINTS) as board:
        stream = SerialStream(board.port)
        cases = (
            (("flash", "--port", board.port, "--image", str(path)), 1, "busy, another program has it open"),
            (("doctor", "--port", board.port), 1, "busy, another program has it open"),
            (("doctor", "--port", "/dev/ttyNONE"), 1, "no such port; plug the board in"),
            (("flash", "--port", "/dev/ttyNONE", "--image", str(path)), 1, "no such port; plug the board in"),
            (("flash", "--port", board.port, "--image", "none.hex"), 2, "there is no such image"),
            (("calibrate", "yaw", "--port", board.port), 2, "keys need a terminal"),
            (("calibrate", "yaw"), 2, "say which board with --port"),
            (("calibrate", "wing", "--zero", "1500"), 2, "has no joint 'wing'"),
        )
        for words, code, says in cases:
            ended, said = await desk.result(*words)
            assert (ended, says in said, said.count("\n")) == (code, True, 1), (words, said)
        await stream.aclose()


async def test_a_machine_without_avrdude(desk: Desk) -> None:
    path, _ = image(desk.folder)
    tools = desk.folder / "bin"
    tools.mkdir()
    words = ("flash", "--port", "/dev/null", "--image", str(path))
    code, said = await desk.result(*words, PATH=str(tools))
    assert (code, said.count("\n")) == (2, 1)
    assert "flashing needs the Debian packages avrdude; run `sudo apt install avrdude`" in said


async def test_packages_are_not_installed_without_a_yes(desk: Desk) -> None:
    path, _ = image(desk.folder)
    tools = desk.folder / "bin"
    tools.mkdir()
    for name, program in (("apt-get", "/bin/false"), ("sudo", "/bin/false"), ("env", "/usr/bin/env")):
        (tools / name).symlink_to(program)  # nothing is installed here, not even after a yes
    desk.environment["PATH"] = str(tools)
    terminal = await desk.terminal("flash", "--port", "/dev/null", "--image", str(path))
    await terminal.see("flashing needs from Debian: avrdude (as root). Install? [y/N]")
    terminal.type("\n")
    code, said = await terminal.end()
    assert (code, "apt-get" in said) == (2, False) and "run `sudo apt install avrdude`" in said
    terminal = await desk.terminal("flash", "--port", "/dev/null", "--image", str(path), "--yes")
    code, said = await terminal.end()
    assert code == 2 and "apt-get update failed (no reason given); run `sudo apt install avrdude`" in said


async def test_an_rp2040_by_its_drive(desk: Desk) -> None:
    drive = desk.folder / "drive"
    drive.mkdir()
    path = desk.folder / "nod.uf2"
    path.write_bytes(random.Random(2).randbytes(40_000))
    async with ProcessBoard(JOINTS) as board:
        words = (
            "flash",
            "--board",
            "rp2040",
            "--port",
            board.port,
            "--image",
            str(path),
            "--drive",
            str(drive),
        )
        code, said = await desk.result(*words)
        assert (code, "is no drive of an RP2040" in said) == (1, True), said
        (drive / "INFO_UF2.TXT").write_text(
            "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
        )
        code, said = await desk.result(*words)
    assert (code, f"{TABLE_HASH:08x} runs" in said) == (0, True), said
    assert (drive / "nod.uf2").read_bytes() == path.read_bytes()


async def test_a_board_is_examined_and_nothing_moves_without_a_yes(desk: Desk) -> None:
    async with ProcessBoard(JOINTS, drift_ppm=200) as board:
        code, said = await desk.result("doctor", "--port", board.port, "--json")
        frames = board.pulses()
    findings = {finding["what"]: finding for finding in json.loads(said)}
    assert code == 0 and all(finding["is_well"] for finding in findings.values()), said
    assert findings.keys() == {
        *("firmware", "last reset", "stop line", "emergency stop", "line"),
        *("round trip", "clock", "limits", "joints"),
    }
    assert f"{TABLE_HASH:08x}" in findings["firmware"]["says"]
    assert "nobody said yes" in findings["joints"]["says"]
    drift = re.search(r"([+-]\d+) ppm", findings["clock"]["says"])
    assert drift and abs(int(drift[1]) - 200) < 60, findings["clock"]
    assert frames and not any(any(frame.pulse_us) for frame in frames)


async def test_a_board_in_its_bootloader_is_waited_for(desk: Desk) -> None:
    async with Uno(None) as uno:
        code, said = await desk.result("doctor", "--port", uno.port)
    assert code == 0, said
    async with Uno(None, has_firmware=False) as uno:
        code, said = await desk.result("doctor", "--port", uno.port)
    assert (code, said.count("\n")) == (1, 1), said
    assert "BAD  board:" in said and "no answer from a board in 4 s" in said


async def test_a_board_of_another_release(desk: Desk) -> None:
    near, far = os.openpty()
    tty.setraw(far)
    decoder = wire.Decoder()

    def answer() -> None:
        for frame in decoder.feed(os.read(near, 4096)):
            if isinstance(frame.message, messages.Hello):
                welcome = messages.Welcome(table_hash=0xC0FFEE, session=frame.message.session)
                os.write(near, wire.encode(welcome))

    asyncio.get_running_loop().add_reader(near, answer)
    code, said = await desk.result("doctor", "--port", os.ttyname(far))
    asyncio.get_running_loop().remove_reader(near)
    os.close(near)
    os.close(far)
    assert (code, said.count("\n")) == (1, 1)
    assert "BAD  firmware:" in said and f"message table 00c0ffee, this program {TABLE_HASH:08x}" in said
    assert "flash this release's with `nod flash`, or run the release it came with" in said


async def test_a_pressed_stop_button_and_a_body_that_does_not_fit(desk: Desk) -> None:
    body = desk.folder / "body.toml"
    body.write_text(bodies.DEFAULT_BODY.read_text().replace("pin = 9,", "pin = 40,"))
    async with ProcessBoard(JOINTS) as board:
        code, said = await desk.result("doctor", "--port", board.port, "--yes", "--body", str(body))
        assert code == 1 and "BAD  limits:" in said and "has no servo pin 40 (joint 'yaw')" in said
        assert "not moved: something above is bad" in said
        board.press_stop(True)
        code, said = await desk.result("doctor", "--port", board.port, "--yes")
        assert code == 1 and "BAD  stop line: open: let go of the stop button" in said
        assert "BAD  emergency stop: in force" in said
        frames = board.pulses()
    assert not any(any(frame.pulse_us) for frame in frames)


def spans(frames: list[PwmFrame]) -> list[tuple[int, int]]:
    """The least and greatest pulse of each channel, of those that had any."""
    channels = [
        [pulse for pulse in channel if pulse] for channel in zip(*(f.pulse_us for f in frames), strict=True)
    ]
    return [(min(channel), max(channel)) for channel in channels if channel]


def is_gentle(frames: list[PwmFrame], most_us: float = 6.0) -> bool:
    """No pulse differs from the one before it in time by more than 0.3 rad/s make of it."""
    last: dict[int, int] = {}
    for frame in frames:
        for channel, pulse in enumerate(frame.pulse_us):
            if pulse and abs(pulse - last.get(channel, pulse)) > most_us:
                return False
            if pulse:
                last[channel] = pulse
    return True


async def test_joints_move_a_little_and_a_person_says_what_was_seen(desk: Desk) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("doctor", "--port", board.port)
        await terminal.see("Is the way free? [y/N]")
        terminal.type("y\n")
        for joint, way in (
            ("yaw", "to the robot's left"),
            ("lift", "down"),
            ("tilt", "down"),
            ("roll", "to the"),
        ):
            await terminal.see(f"did {joint} move {way}")
            terminal.type("n" if joint == "tilt" else "y")
        code, said = await terminal.end()
        frames = board.pulses()
    assert code == 1, said
    assert "ok   joint yaw: sent 3° to the robot's left and back, as was seen" in said
    assert "BAD  joint tilt:" in said and "turn the sign of per_rad_us of 'tilt'" in said
    assert spans(frames) == [(1500, 1533)] * JOINTS
    assert is_gentle(frames)


@pytest.mark.parametrize("key", ["x", CTRL_C])
async def test_a_key_stops_the_moving_arm_at_once(desk: Desk, key: str) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("doctor", "--port", board.port)
        await terminal.see("Is the way free? [y/N]")
        terminal.type("y\n")
        await terminal.see("yaw moves 3°")
        moving: list[PwmFrame] = []
        while not any(frame.pulse_us[0] > 1510 for frame in moving):
            await asyncio.sleep(PERIOD_S)
            moving += board.pulses()
        terminal.type(key)
        code, said = await terminal.end()
        moving += board.pulses()
        assert code == (130 if key == CTRL_C else 1) and "the board stays stopped" in said
        stopped = moving[-1].pulse_us[0]
        assert 1500 <= stopped <= 1533  # within the 3°; on a slow machine it may be on its way back
        await asyncio.sleep(0.5)
        assert {frame.pulse_us[0] for frame in board.pulses()} == {stopped}
        terminal = await desk.terminal("calibrate", "yaw", "--port", board.port)
        await free(terminal)
        await terminal.see("STOPPED, r releases")
        terminal.type("r")
        await terminal.see("limits")
        shown = re.search(r"yaw (\d+) µs", terminal.text)
        assert shown is not None
        assert (
            abs(int(shown[1]) - stopped) <= 1
        )  # told from an angle; the board rounds to eighths of a µs first
        terminal.type("q")
        assert (await terminal.end())[0] == 0
        assert is_gentle(board.pulses())


async def test_ctrl_c_at_the_question_ends_it(desk: Desk) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("doctor", "--port", board.port)
        await terminal.see("Is the way free? [y/N]")
        terminal.type(CTRL_C)
        code, said = await terminal.end()
        assert (code, said.strip()) == (130, "^C")
        assert not any(any(frame.pulse_us) for frame in board.pulses())


async def test_a_cable_that_is_pulled_while_the_arm_moves(desk: Desk) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("doctor", "--port", board.port, "--yes")
        await terminal.see("yaw moves 3°")
        board.kill()
        code, said = await terminal.end()
    assert code == 1 and "stays stopped" not in said and "Traceback" not in said, said
    assert "BAD  board:" in said and "the port is gone" in said


async def free(terminal: Terminal) -> None:
    await terminal.see("Is the way free? [y/N]")
    terminal.type("y\n")


async def test_a_joint_is_calibrated_with_keys(desk: Desk) -> None:
    before = bodies.DEFAULT_BODY.read_text()
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("calibrate", "lift", "--port", board.port)
        await free(terminal)
        await terminal.see("lift 1500 µs")
        for key, shown in (
            (RIGHT, "1510 µs"),
            (RIGHT, "1520 µs"),
            (SHIFT_RIGHT, "1521 µs"),
            (",", "1520 µs"),
        ):
            terminal.type(key)
            await terminal.see(f"lift {shown}")
        terminal.type("z")
        await terminal.see("zero 1520 µs")
        terminal.type(LEFT)
        await terminal.see("lift 1510 µs -0.016 rad")
        terminal.type("[")
        await terminal.see("limits -0.016 to")
        terminal.type("s")
        code, said = await terminal.end()
        frames = board.pulses()
        assert code == 0, said
        # The board has the new zero: a robot connects at once, and finds the pose by it.
        stream = SerialStream(board.port)
        telemetry = await Head(stream, bodies.load(desk.copy).joint).connect()
        assert telemetry.position_rad[1] == pytest.approx(-10 / 637, abs=1e-4)
        await asyncio.sleep(0.1)
        await stream.aclose()
        frames += board.pulses()
    assert f'body = "{desk.copy}"' in said
    assert is_gentle(frames) and spans(frames)[1] in (
        (1500, 1520),
        (1500, 1521),
    )  # the comma may have been quick
    assert longest_gap_s(frames) <= 3 * PERIOD_S
    assert frames[-1].pulse_us[1] == 1510
    assert bodies.DEFAULT_BODY.read_text() == before
    body = bodies.load(desk.copy)
    servo = body.joint[1].servo
    assert isinstance(servo, PwmServo) and servo.centre_us == 1520
    assert body.joint[1].min_rad == pytest.approx(-10 / 637, abs=1e-4) and body.joint[1].max_rad == 0.7
    changed = [
        pair
        for pair in zip(before.splitlines(), desk.copy.read_text().splitlines(), strict=True)
        if pair[0] != pair[1]
    ]
    assert [new.partition("=")[0].strip() for _, new in changed] == ["min_rad", "servo"]


def longest_gap_s(frames: list[PwmFrame]) -> float:
    """The longest time that the second channel went without a pulse after its first."""
    times = [frame.time_s for frame in frames if frame.pulse_us[1]]
    return max(after - before for before, after in zip(times, times[1:], strict=False))


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x1b", 0), (CTRL_C, 130)])
async def test_what_is_not_saved_changes_nothing(desk: Desk, key: str, code: int) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("calibrate", "yaw", "--port", board.port)
        await free(terminal)
        await terminal.see("yaw 1500 µs")
        terminal.type(RIGHT)
        await terminal.see("yaw 1490 µs")  # positive is left
        terminal.type("z")
        await terminal.see("zero 1490 µs")
        terminal.type(key)
        ended, said = await terminal.end()
        frames = board.pulses()
    assert (ended, "nothing was saved" in said) == (code, True), said
    assert not desk.copy.exists() and is_gentle(frames)


async def test_space_stops_and_r_releases(desk: Desk) -> None:
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("calibrate", "yaw", "--port", board.port)
        await free(terminal)
        await terminal.see("yaw 1500 µs")
        terminal.type(" ")
        await terminal.see("STOPPED, r releases")
        board.pulses()
        terminal.type(LEFT * 3 + "z[")
        await asyncio.sleep(0.5)
        assert {frame.pulse_us[0] for frame in board.pulses()} == {1500}
        terminal.type("r")
        await until(lambda: terminal.text.rpartition("\r")[2].startswith("\x1b[Kyaw"))
        terminal.type(LEFT)
        await terminal.see("yaw 1510 µs")
        terminal.type("q")
        assert (await terminal.end())[0] == 0


async def test_the_servo_goes_no_further_than_its_pulses(desk: Desk) -> None:
    file = desk.folder / "body.toml"
    file.write_text(
        bodies.DEFAULT_BODY.read_text()
        .replace("centre_us = 1500", "centre_us = 2400", 1)
        .replace("1.4", "0.1")
    )
    async with ProcessBoard(JOINTS) as board:
        terminal = await desk.terminal("calibrate", "yaw", "--port", board.port, "--body", str(file))
        await free(terminal)
        await terminal.see("yaw 2400 µs")
        for _ in range(14):
            terminal.type(LEFT)
            await asyncio.sleep(0.1)
        terminal.type("]")
        await terminal.see("to +0.157")
        terminal.type("q")
        assert (await terminal.end())[0] == 0
        frames = board.pulses()
    assert max(frame.pulse_us[0] for frame in frames) == 2500 and is_gentle(frames)


async def test_a_calibration_without_keys(desk: Desk) -> None:
    file = desk.folder / "body.toml"
    shutil.copy(bodies.DEFAULT_BODY, file)
    words = ("calibrate", "yaw", "--body", str(file), "--zero", "1480", "--min", "-1.25", "--max", "1.3")
    code, said = await desk.result(*words)
    assert code == 0 and f"saved in {file}: yaw zero 1480 µs, -1.25 to 1.3 rad" in said
    saved = file.read_text()
    joint = bodies.load(file).joint[0]
    assert (joint.min_rad, joint.max_rad) == (-1.25, 1.3)
    for zero, says in (("3000", "centre_us"), ("nan", "must be numbers"), ("2200", "2200")):
        code, said = await desk.result("calibrate", "yaw", "--body", str(file), "--zero", zero)
        assert (code, said.count("\n")) == (2, 1) and (says in said or "are allowed" in said), said
    assert file.read_text() == saved
    # The packaged body is copied, and a second joint goes into the same copy.
    for joint_name in ("yaw", "tilt"):
        code, said = await desk.result("calibrate", joint_name, "--zero", "1510")
        assert code == 0, said
    servos = [joint.servo for joint in bodies.load(desk.copy).joint]
    assert [s.centre_us for s in servos if isinstance(s, PwmServo)] == [1510, 1500, 1510, 1500]
    code, said = await desk.result("calibrate", "yaw", "--body", str(bodies.DEFAULT_BODY), "--zero", "1500")
    assert code == 2 and "is there already" in said
