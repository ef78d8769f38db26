"""What a builder of the robot types: each function is one word, options in, lines and an exit code out."""

import argparse
import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import msgspec

from agent import bringup, packages, terminal
from agent import calibrate as calibration
from agent import config as configs
from agent import doctor as house
from agent import flash as flashing
from agent.body_sheet import sheet
from agent.doctor import Finding
from drivers import body as bodies
from drivers.body import Joint
from drivers.errors import ConfigError, LinkError, ProtocolError, RobotError, expected
from drivers.link import SerialStream
from drivers.urdf import urdf

T = TypeVar("T")


def doctor(options: argparse.Namespace) -> int:
    config = configs.load(options.config)
    if options.body is not None:
        head = msgspec.structs.replace(config.head, body=options.body)
        config = msgspec.structs.replace(config, head=head)
    findings = house.examine(config) if options.port is None else _board(options, config)
    if options.json:
        terminal.say(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            terminal.say(f"{'ok  ' if finding.is_well else 'BAD '} {finding.what}: {finding.says}")
    return 0 if all(finding.is_well for finding in findings) else 1


def _board(options: argparse.Namespace, config: configs.Config) -> list[Finding]:
    """The board's findings; what fails on the way is the last of them, but a port that cannot be had is an error."""
    body = bodies.load(Path(config.head.body) if config.head.body else bodies.DEFAULT_BODY)
    findings: list[Finding] = []
    progress = terminal.Progress()
    has_person = terminal.is_there() and not options.json
    show, tell = (_nowhere, _unheard) if options.json else (progress.show, terminal.say)

    async def look() -> None:
        async with contextlib.aclosing(SerialStream(options.port)) as stream:
            await bringup.wake(stream)
            line = await bringup.measure(stream, show)
            progress.close()
            findings.extend(bringup.judge(line))
            limits = await bringup.check_limits(stream, body)
            findings.append(limits)
            if not all(finding.is_well or finding.what in bringup.TIMING for finding in findings):
                findings.append(_left_out("something above is bad; mend that first", is_well=False))
            elif options.yes or (has_person and _may_move()):
                findings.extend(await bringup.move(stream, body, tell, has_person=has_person))
            else:
                findings.append(_left_out("nobody said yes; say it when asked, or with --yes", is_well=True))

    try:
        _do(look)
    except LinkError as exc:
        progress.close()
        what = "firmware" if isinstance(exc, ProtocolError) else "board"
        findings.append(Finding(what=what, is_well=False, says=str(exc)))
    return findings


def _left_out(why: str, *, is_well: bool) -> Finding:
    return Finding(what="joints", is_well=is_well, says=f"not moved: {why}")


def _may_move() -> bool:
    question = (
        "Servos get pulses (after power-on they jump to rest), then each joint moves 3°. Is the way free?"
    )
    return bool(terminal.ask(question))


def body(options: argparse.Namespace) -> int:
    file = options.file or bodies.DEFAULT_BODY
    terminal.say(urdf(bodies.load(file)) if options.urdf else sheet(file))
    return 0


def flash(options: argparse.Namespace) -> int:
    if options.image is not None and not options.image.is_file():
        raise ConfigError(f"{options.image}: there is no such image")
    if options.board == "avr":
        packages.need_program("avrdude", "avrdude", "flashing", is_agreed=options.yes)
    image = options.image or flashing.build(
        options.board, flashing.KINDS[options.board], is_agreed=options.yes
    )
    progress = terminal.Progress()
    try:
        if options.board == "avr":
            line = _do(
                lambda: flashing.avr(options.port, image, options.baud or flashing.BAUD, progress.show)
            )
        else:
            line = _do(lambda: flashing.rp2040(options.port, image, options.drive, progress.show))
    except KeyboardInterrupt:
        progress.close()
        terminal.say("broken off: the board has no whole firmware until it is flashed again")
        raise
    finally:
        progress.close()
    terminal.say(line)
    return 0


def calibrate(options: argparse.Namespace) -> int:
    config = configs.load(options.config)
    source, target = calibration.source_of(options.body, config)
    body = bodies.load(source)
    place = body.index(options.joint)
    saved: list[Joint] = []

    def write(joint: Joint) -> None:
        calibration.save(source, target, place, joint)
        saved.append(joint)

    calibration.pwm(body.joint[place])
    values = (options.zero, options.min, options.max)
    if any(value is not None for value in values):
        write(_told(body.joint[place], *values))
    elif options.port is None:
        raise ConfigError("say which board with --port, or give --zero, --min or --max")
    elif not terminal.is_there():
        raise ConfigError("keys need a terminal; without one give --zero, --min and --max")
    else:
        question = "Servos get pulses; after power-on they jump to rest. Is the way free?"
        if not terminal.ask(question):
            raise ConfigError("not started; answer y when the way is free")

        async def by_keys() -> None:
            async with contextlib.aclosing(SerialStream(options.port)) as stream:
                await bringup.wake(stream)
                await calibration.by_keys(stream, body, place, write)

        try:
            _do(by_keys)
        except KeyboardInterrupt:
            terminal.say("" if saved else "\nnothing was saved")
            raise
    terminal.say(calibration.saved_line(target, saved[-1], config) if saved else "nothing was saved")
    return 0


def _told(joint: Joint, zero_us: float | None, low_rad: float | None, high_rad: float | None) -> Joint:
    """The joint by what the options say. Raises ConfigError for what is no number."""
    given = [value for value in (zero_us, low_rad, high_rad) if value is not None]
    if not all(math.isfinite(value) for value in given):
        raise ConfigError("--zero, --min and --max must be numbers")
    servo = calibration.pwm(joint)
    return msgspec.structs.replace(
        joint,
        min_rad=joint.min_rad if low_rad is None else low_rad,
        max_rad=joint.max_rad if high_rad is None else high_rad,
        servo=msgspec.structs.replace(
            servo, centre_us=servo.centre_us if zero_us is None else round(zero_us)
        ),
    )


def _nowhere(what: str, share: float) -> None:
    """Progress of a command whose output a program reads."""


def _unheard(line: str) -> None:
    """The same for lines."""


def _do(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run to the end; what a person may see comes out of the groups as itself."""
    try:
        return asyncio.run(work())
    except BaseExceptionGroup as group:
        error: RobotError | None = expected(group)
        if error is None:
            raise
        raise error from None
