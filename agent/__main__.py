"""The command line: words in, exit codes out (0 fine, 1 it went wrong, 2 the command or a file is wrong)."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import msgspec

from agent import builder_words, keys, local, record_words, sim_words
from agent import config as configs
from agent.config import Config
from drivers.errors import ConfigError, RobotError, expected

END_S = 12.0  # compilers get ten to end in; everything else takes less than two


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("amqtt", "transitions", "aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except ConfigError as exc:
        print(f"nod: {exc}", file=sys.stderr)
        return 2
    except RobotError as exc:
        print(f"nod: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nod", description="The runtime of a home robot that looks at you.")
    words = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _word(
        words, "run", _run, "run the robot; simulated wherever no device is named", "nod run --camera 0"
    )
    _add_robot_options(run)
    run.add_argument("--headless", action="store_true", help="without the page")
    run.add_argument("--json", action="store_true", help="print the address as JSON")

    say = _word(words, "say", _say, "give the running robot an order", 'nod say "nod twice"')
    say.add_argument("text", nargs="+", help="the order")
    say.add_argument("--json", action="store_true", help="print the replies as JSON")
    say.add_argument("--name", default="nod", help="which robot, if several run")

    for name, text in (("stop", "emergency stop"), ("release", "let go of the emergency stop")):
        order = _word(words, name, _stop_or_release, f"{text} of the running robot", f"nod {name}")
        order.add_argument("--name", default="nod", help="which robot, if several run")
        order.set_defaults(path=name)

    bench = _word(words, "bench", _bench, "measure", "nod bench gaze --json")
    bench.add_argument("name", nargs="?", help="which benchmark")
    bench.add_argument("--list", action="store_true", help="all benchmarks")
    bench.add_argument("--quick", action="store_true", help="within a minute")
    bench.add_argument("--json", action="store_true", help="print one JSON object")

    for word in (*sim_words.WORDS, *record_words.WORDS, *builder_words.WORDS):
        word.add_options(_word(words, word.name, word.command, word.text, word.example))
    return parser


def _word(
    words: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    word = words.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"Example: {example}"
    )
    word.set_defaults(command=command)
    return word


def _add_robot_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of nod.toml")
    parser.add_argument("--name", help="of this robot, if several run")
    parser.add_argument("--camera", metavar="0|FILE|URL", help="a camera's number, a film or a stream")
    parser.add_argument("--port", metavar="DEVICE", help="the arm's serial port, such as /dev/ttyUSB0")
    parser.add_argument("--body", metavar="FILE", help="a body file")
    parser.add_argument("--call", metavar="FILE", help="a film of a caller to nod with")
    parser.add_argument("--scenario", default="living-room", help="what the simulated room plays")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page-port", type=int, metavar="PORT")
    parser.add_argument("--no-model", action="store_true", help="without the language model")
    parser.add_argument("--no-mqtt", action="store_true", help="without MQTT")
    parser.add_argument("--no-record", action="store_true", help="without recording what it does")


def _config(options: argparse.Namespace) -> Config:
    """nod.toml with what the command line says on top of it. Raises ConfigError."""
    config = configs.load(options.config)
    replace = msgspec.structs.replace
    if options.camera is not None:
        config = replace(config, camera=replace(config.camera, source=options.camera))
    if options.port is not None or options.body is not None:
        head = replace(
            config.head, port=options.port or config.head.port, body=options.body or config.head.body
        )
        config = replace(config, head=head)
    if options.page_port is not None:
        config = replace(config, page=replace(config.page, port=options.page_port))
    if options.no_model:
        config = replace(config, model=replace(config.model, enabled=False))
    if options.no_mqtt:
        config = replace(config, mqtt=replace(config.mqtt, enabled=False))
    if options.no_record:
        config = replace(config, record=replace(config.record, enabled=False))
    if options.name is not None:
        config = replace(config, name=options.name)
    return configs.check(config, "command line")


def _run(options: argparse.Namespace) -> int:
    from agent import app  # not at the top: `nod say` must not wait for vision's libraries

    config = _config(options)
    run_options = app.Options(
        scenario=options.scenario, seed=options.seed, call=options.call, has_page=not options.headless
    )
    sys.setswitchinterval(app.SWITCH_INTERVAL_S)

    async def robot() -> None:
        async with app.devices(config, run_options, is_virtual=False) as parts:
            running = app.App(config, run_options, parts)
            with local.alone(config.name), contextlib.ExitStack() as stack:

                def ready(_: app.App) -> None:
                    assert running.remote is not None  # it is missing in virtual time only
                    url = running.remote.url
                    stack.enter_context(local.announce(config.name, url))
                    stack.enter_context(keys.stopping(lambda: running.arm.emergency_stop("keyboard")))
                    _greet(url, has_page=not options.headless, as_json=options.json)

                await running.run(ready)

    return _until_interrupted(robot)


def _until_interrupted(robot: Callable[[], Coroutine[object, object, None]]) -> int:
    """Run until Ctrl-C or SIGTERM; device and configuration errors come out of the group as themselves."""

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _end, task)
        await robot()

    try:
        asyncio.run(guarded())
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as group:
        error = expected(group)
        if error is None:
            raise
        raise error from None
    return 0


def _end(task: asyncio.Task[None]) -> None:
    """Begin to end; what has not ended by then is named and left behind. The firmware stops by itself."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        late = ", ".join(sorted(other.get_name() for other in asyncio.all_tasks(loop))) or "a thread"
        print(f"nod: ended by force after {END_S:g} s; still running: {late}", file=sys.stderr, flush=True)
        os._exit(1)

    task.cancel()
    # A thread, not the loop: a loop or an interpreter that hangs at its end is what this is for.
    watchdog = threading.Timer(END_S, leave)
    watchdog.daemon = True
    watchdog.start()


def _greet(url: str, *, has_page: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"url": url}), flush=True)
        return
    if not has_page:
        print('nod runs without a page; try `nod say "nod twice"`', flush=True)
        return
    import segno

    print(f"\n  {url}\n", flush=True)
    segno.make(url, error="l").terminal(out=sys.stdout, compact=True)
    print("  Open it in a browser on this machine. Ctrl-C ends the robot.", flush=True)
    if keys.has_terminal():
        print("  Space stops its motors; `nod release` lets go of them again.", flush=True)
    print(flush=True)


def _say(options: argparse.Namespace) -> int:
    replies = local.say(options.name, " ".join(options.text))
    if options.json:
        print(msgspec.json.encode(replies).decode())
    else:
        for reply in replies:
            print(reply.text)
    return 1 if any(reply.kind == "error" for reply in replies) else 0


def _stop_or_release(options: argparse.Namespace) -> int:
    local.post(options.name, options.path)
    print("stopped; `nod release` lets go" if options.path == "stop" else "released")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from agent import bench

    if options.list or options.name is None:
        for name, about in bench.names():
            print(f"{name:10} {about}")
        return 0
    report = bench.run(options.name, quick=options.quick)
    print(msgspec.json.encode(report).decode() if options.json else bench.table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
