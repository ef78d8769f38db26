"""Everything that can stop the arm does: when the motors rest, and where. The program runs as a process; the board
is the true firmware on a pty, whose pulses are watched from outside.
"""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import aiomqtt
import pytest

from drivers import body as bodies
from drivers.body import PwmServo
from sim.board import ProcessBoard, PwmFrame
from tests.e2e.shell import ROOT, Shell
from tests.e2e.test_bad_input import free_port

pytestmark = pytest.mark.e2e

BODY = bodies.load()
YAW = BODY.joint[0]
RESTS_S = 0.3  # no pulse changed for so long
MOVES_S = 10.0  # until the arm moves
GIVES_UP_S = 5.0
GESTURE_LEFT_S = 1.6  # of three shakes, when it is well under way
NAME = "stops"


class Watch:
    """Looks at the board's pulses."""

    def __init__(self, board: ProcessBoard) -> None:
        self._board = board
        self._frames: list[PwmFrame] = []

    async def until_moving(self) -> None:
        """Until the yaw joint is well under way."""
        async with asyncio.timeout(MOVES_S):
            while True:
                await asyncio.sleep(0.02)
                self._frames = [*self._frames[-10:], *self._board.pulses()]
                recent = [frame.pulse_us[0] for frame in self._frames[-6:]]
                if len(recent) == 6 and abs(recent[-1] - recent[0]) > 20:
                    return

    async def until_resting(self, since_s: float) -> tuple[float, float]:
        """How long after a moment the last pulse changed, and yaw in rad there."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(GIVES_UP_S):
            while True:
                await asyncio.sleep(0.05)
                self._frames += self._board.pulses()
                pairs = zip(self._frames, self._frames[1:], strict=False)
                changes = [b.time_s for a, b in pairs if a.pulse_us != b.pulse_us]
                if changes and loop.time() > max(changes[-1], since_s) + RESTS_S:
                    return max(changes[-1] - since_s, 0.0), angle_rad(self._frames[-1])

    async def rests_for(self, seconds: float) -> None:
        self._board.pulses()
        await asyncio.sleep(seconds)
        assert len({frame.pulse_us for frame in self._board.pulses()}) == 1, "it moved again"


def angle_rad(frame: PwmFrame) -> float:
    servo = YAW.servo
    assert isinstance(servo, PwmServo)
    return (frame.pulse_us[0] - servo.centre_us) / servo.per_rad_us


def say(cause: str, rested_s: float, at_rad: float) -> None:
    print(f"{cause:34} rests {rested_s * 1e3:5.0f} ms later at yaw {at_rad:+.3f} rad")


async def shake(shell: Shell) -> None:
    """Set it in motion, without waiting for the end of it."""
    await shell.start("say", "--name", NAME, "shake three times")


async def release(shell: Shell) -> None:
    code, lines = await shell.result("release", "--name", NAME)
    assert code == 0, lines


async def test_anybody_can_stop_it(shell: Shell, film: str) -> None:
    """The page, MQTT, the command line, the keyboard and the button: each latches, and is released."""
    near, far = pty.openpty()
    mqtt_port, page_port = free_port(), free_port()
    config = shell.folder / "nod.toml"
    config.write_text(f"[mqtt]\nport = {mqtt_port}\n[page]\nport = {page_port}\n[motion]\nidle = 'off'\n")
    url = f"http://127.0.0.1:{page_port}"

    async def page() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws") as socket:
            await socket.send_str('{"type":"stop"}')
            await socket.receive()

    async def mqtt() -> None:
        async with aiomqtt.Client("127.0.0.1", mqtt_port) as client:
            await client.publish(f"nod/{NAME}/stop", "", qos=1)

    async def command_line() -> None:
        code, lines = await shell.result("stop", "--name", NAME)
        assert code == 0, lines

    async def keyboard() -> None:
        os.write(near, b" ")

    async with ProcessBoard(len(BODY.joint)) as board:

        async def button() -> None:
            board.press_stop(True)

        causes: dict[str, Callable[[], Awaitable[None]]] = {
            "page": page,
            "mqtt": mqtt,
            "cli": command_line,
            "keyboard": keyboard,
            "button": button,
        }
        words = (
            "--name",
            NAME,
            "--camera",
            film,
            "--port",
            board.port,
            "--config",
            str(config),
            "--no-model",
            "--json",
        )
        robot = await shell.start("run", *words, terminal=far)
        await robot.hear("head: connected", "mqtt: connected")
        watch = Watch(board)
        for who, cause in causes.items():
            await shake(shell)
            await watch.until_moving()
            began_s = asyncio.get_running_loop().time()
            await cause()
            done_s = asyncio.get_running_loop().time()
            rested_s, at_rad = await watch.until_resting(began_s)
            say(who, rested_s, at_rad)
            assert rested_s < done_s - began_s + GESTURE_LEFT_S / 2  # it did not just end by itself
            await watch.rests_for(1.5)  # the gesture would go on
            async with aiohttp.ClientSession() as session, session.get(f"{url}/api/state") as answer:
                health = (await answer.json())["health"]
            assert (health["is_stopped"], health["stopped_by"]) == (True, who)
            if who == "button":
                code, lines = await shell.result("release", "--name", NAME)
                assert code == 1
                assert "button" in lines[-1]
                board.press_stop(False)
                await asyncio.sleep(0.2)
            await release(shell)
        assert await robot.end() == 0
    os.close(near)
    os.close(far)


@asynccontextmanager
async def swinging_host(port: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A host that moves the board's first joint to and fro, in full swing."""
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim.host", port),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert host.stdout is not None
    async with asyncio.timeout(MOVES_S):
        await host.stdout.readline()
    await asyncio.sleep(1.2)
    try:
        yield host
    finally:
        if host.returncode is None:
            host.kill()
        await host.wait()


class Cable:
    """A pty of its own in front of the board's, which can be pulled."""

    def __init__(self, port: str) -> None:
        self._near, far = pty.openpty()
        self.port = os.ttyname(far)
        self._far = far
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.set_blocking(self._near, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, self._pass, self._near, self._board)
        loop.add_reader(self._board, self._pass, self._board, self._near)

    @staticmethod
    def _pass(source: int, sink: int) -> None:
        try:
            os.write(sink, os.read(source, 4096))
        except BlockingIOError:
            pass  # full: a cable keeps nothing

    def pull(self) -> None:
        for fd in (self._near, self._board):
            asyncio.get_running_loop().remove_reader(fd)
        for fd in (self._near, self._far, self._board):
            os.close(fd)


@pytest.mark.parametrize("cause", ["kill -9", "frozen host", "pulled cable", "reset"])
async def test_whatever_happens_to_the_host_or_the_board_it_rests(cause: str) -> None:
    async with ProcessBoard(len(BODY.joint)) as board:
        cable = Cable(board.port) if cause == "pulled cable" else None
        async with swinging_host(cable.port if cable else board.port) as host:
            watch = Watch(board)
            await watch.until_moving()
            began_s = asyncio.get_running_loop().time()
            if cause == "kill -9":
                host.kill()
            elif cause == "frozen host":
                host.send_signal(signal.SIGSTOP)
            elif cable is not None:
                cable.pull()
            else:
                board.reset()
            rested_s, at_rad = await watch.until_resting(began_s)
            if cause == "reset":
                print(
                    f"{cause:34} pulses end {rested_s * 1e3:.0f} ms later, and the servos hold where they are"
                )
                assert {pulse for frame in board.pulses() for pulse in frame.pulse_us} <= {0}
            else:
                say(cause, rested_s, at_rad)
                assert abs(at_rad) < 0.5 + 0.01  # inside what the host swung
            await watch.rests_for(1.0)
            if cause == "frozen host":
                host.send_signal(signal.SIGCONT)
                await watch.rests_for(1.0)  # what it still had to say is late, and refused
