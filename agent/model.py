"""The language model's process, seen from the agent, and what the two say to each other.

The model fights vision for a core, so it is a process of its own at low priority (`python -m agent.model
FILE`); agent/engine.py is what runs inside. They exchange one JSON object a line. `Model` blocks: call its
methods through the event loop's `run_in_executor`, so that the same code runs in real and in virtual time.
"""

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import msgspec

from drivers.errors import ConfigError, DeviceError, PlanError, RobotError

NICENESS = 10  # below vision and motion; above what is only prepared
CLOSE_S = 2.0  # the process ends by itself when its input closes; then it is killed
MAX_LINE = 1 << 20  # bytes; a prompt is a few thousand


class Message(msgspec.Struct, frozen=True):
    """One turn of a chat, as the model's own template wants it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prime(msgspec.Struct, frozen=True, tag=True):
    """The turns that every prompt begins with, kept in the cache, and the grammar that bounds every plan."""

    messages: tuple[Message, ...]
    grammar: str


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Write a plan for these turns, which follow the primed ones."""

    id: int
    messages: tuple[Message, ...]


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Write no further on that plan."""

    id: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded and primed."""

    seconds: float
    prompt_tokens: int


class Written(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One step is complete. `probability` is the least of any choice in it, among what the grammar allows."""

    id: int
    step: str
    probability: float
    seconds: float


class Done(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A plan is written or cancelled. `passes` counts the one over the prompt's last part too."""

    id: int
    passes: int
    tokens: int
    seconds: float
    least_probability: float
    is_cancelled: bool = False


class Declined(msgspec.Struct, frozen=True, tag=True):
    """This plan is not written, and why; the next one may be."""

    id: int
    text: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot go on, and why."""

    text: str
    is_configuration: bool = True


Request: TypeAlias = Prime | Ask | Cancel
Answer: TypeAlias = Ready | Written | Done | Declined | Failed


class Model:
    """The model's process. Every method may block; `cancel` and `close` may be called while another runs."""

    def __init__(
        self, weights: Path, messages: Sequence[Message], grammar: str, command: Sequence[str] | None = None
    ) -> None:
        """`command` is the process to start; tests give another one."""
        self._prime = Prime(tuple(messages), grammar)
        self._command = list(command) if command else [sys.executable, "-m", "agent.model", str(weights)]
        self._process: subprocess.Popen[bytes] | None = None
        self._reading = threading.Lock()  # a cancelled plan may still be read while the next one begins
        self._writing = threading.Lock()
        self._last_id = 0
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(
            Ready | Written | Done | Declined | Failed
        )

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def open(self) -> Ready:
        """Start the process and wait until it is ready.

        Raises ConfigError if the weights or the library cannot be used, DeviceError if the process ends.
        """
        self.close()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=Path(__file__).resolve().parents[1],
                start_new_session=True,  # Ctrl-C in a terminal is the robot's to answer; it ends the process
            )
        except OSError as exc:
            raise DeviceError(f"planner: its process cannot be started ({exc.strerror})") from exc
        try:
            self._write(self._prime)
        except DeviceError:
            pass  # it ended at once; what it left on its output says why
        try:
            answer = self._read()
        except RobotError:
            self.close()
            raise
        if not isinstance(answer, Ready):
            self.close()
            raise DeviceError(f"planner: its process answered {type(answer).__name__} before it was ready")
        return answer

    def ask(self, messages: Sequence[Message]) -> int:
        """Begin a plan and return its id, for `read`. Raises DeviceError if the process is gone."""
        self._last_id += 1
        self._write(Ask(self._last_id, tuple(messages)))
        return self._last_id

    def read(self, id: int) -> Written | Done:
        """The next step of that plan, or its end.

        Raises PlanError if the model cannot take this sentence, DeviceError if the process ends.
        """
        while True:
            with self._reading:
                answer = self._read()
            match answer:
                case Written(id=known) | Done(id=known) if known == id:
                    return answer
                case Declined(id=known, text=text) if known == id:
                    raise PlanError(text)
                case _:
                    continue  # the end of a plan that was cancelled

    def cancel(self, id: int) -> None:
        """Let the process write no further on that plan; `read` then returns a cancelled Done."""
        try:
            self._write(Cancel(id))
        except DeviceError:
            pass  # a process that is gone writes no further

    def close(self) -> None:
        """End the process and leave no zombie. Harmless if there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already
        _reap(process)
        with self._reading:  # whoever still reads has met the end of the pipe by now
            assert process.stdout is not None
            process.stdout.close()

    def _write(self, request: Request) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise DeviceError("planner: its process is not running")
        try:
            with self._writing:
                process.stdin.write(self._encoder.encode(request) + b"\n")
                process.stdin.flush()
        except (OSError, ValueError) as exc:  # ValueError: closed on this side meanwhile
            raise DeviceError("planner: its process has ended") from exc

    def _read(self) -> Answer:
        process = self._process
        if process is None or process.stdout is None:
            raise DeviceError("planner: its process is not running")
        line = process.stdout.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise DeviceError(f"planner: its process ended unasked ({_ending(process)}); it is started again")
        try:
            answer = self._decoder.decode(line)
        except msgspec.DecodeError as exc:
            raise DeviceError(f"planner: its process wrote no answer but {line[:60]!r}") from exc
        if isinstance(answer, Failed):
            _reap(process)
            raise (ConfigError if answer.is_configuration else DeviceError)(answer.text)
        return answer


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        return "its output is cut"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _receive(source: BinaryIO, requests: "queue.SimpleQueue[Request]", cancelled: set[int]) -> None:
    """Read requests in a thread, so that a cancel is seen while a plan is being written."""
    decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Prime | Ask | Cancel)
    for line in iter(lambda: source.readline(MAX_LINE), b""):
        try:
            request = decoder.decode(line)
        except msgspec.DecodeError:
            continue  # a line that is no request asks for nothing
        if isinstance(request, Cancel):
            cancelled.add(request.id)
        else:
            requests.put(request)
    os._exit(0)  # the agent is gone; not even a running pass is worth finishing


def _serve(weights: Path, send: BinaryIO) -> None:
    encoder = msgspec.json.Encoder()

    def answer(message: Answer) -> None:
        send.write(encoder.encode(message) + b"\n")
        send.flush()

    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    cancelled: set[int] = set()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, requests, cancelled), daemon=True).start()
    try:
        from agent.engine import Engine  # not at the top: the agent's side runs without the model's library

        engine = Engine(weights)
        while True:
            match requests.get():
                case Prime(messages=messages, grammar=grammar):
                    answer(engine.prime(messages, grammar))
                case Ask(id=id, messages=messages):
                    try:
                        answer(engine.write(id, messages, answer, cancelled))
                    except PlanError as exc:
                        answer(Declined(id, str(exc)))
                    cancelled.discard(id)
    except RobotError as exc:
        answer(Failed(str(exc), isinstance(exc, ConfigError)))
        raise


def main() -> int:
    """Serve one model on standard input and output. Exit code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m agent.model", description="the language model's process")
    parser.add_argument("weights", type=Path, help="a GGUF file")
    arguments = parser.parse_args()
    # the library writes to standard output as it likes; the agent must read answers only
    send = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.nice(NICENESS)
    try:
        _serve(arguments.weights, send)
    except BrokenPipeError:
        return 0
    except RobotError as exc:
        print(exc, file=sys.stderr)  # noqa: T201  this is a command line
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
