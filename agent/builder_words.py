"""The builder's words on the command line: their options, and nothing that takes long to load."""

import argparse
from collections.abc import Callable
from pathlib import Path

from agent.words import Word


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    """A function of `builder`, loaded when it is called: `nod stop` must not wait for it."""

    def command(options: argparse.Namespace) -> int:
        from agent import builder

        run: Callable[[argparse.Namespace], int] = getattr(builder, name)
        return run(options)

    return command


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--port", metavar="DEVICE", help="examine the board at this serial port instead")
    parser.add_argument("--body", metavar="FILE", help="a body file instead of nod.toml's")
    parser.add_argument("--yes", action="store_true", help="with --port: the joints may move, do not ask")
    parser.add_argument("--json", action="store_true")


def _body_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="else the tabletop display")
    parser.add_argument("--urdf", action="store_true", help="print it for viewers and simulators")


def _flash_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--board", choices=("avr", "rp2040"), default="avr", help="avr: Uno or Nano (ATmega328P)"
    )
    parser.add_argument(
        "--port", metavar="DEVICE", required=True, help="its serial port, such as /dev/ttyUSB0"
    )
    parser.add_argument("--image", type=Path, metavar="FILE", help="this one instead of building it")
    parser.add_argument("--baud", type=int, help="of an AVR's bootloader; old Nanos have 57600")
    parser.add_argument("--drive", type=Path, metavar="FOLDER", help="where an RP2040's drive is mounted")
    parser.add_argument("--yes", action="store_true", help="install missing Debian packages without asking")


def _calibrate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("joint", help="its name in the body file")
    parser.add_argument(
        "--port", metavar="DEVICE", help="the board's serial port; needed to calibrate with keys"
    )
    parser.add_argument("--body", metavar="FILE", help="a body file instead of nod.toml's")
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of nod.toml")
    parser.add_argument("--zero", type=float, metavar="PULSE_US", help="without keys: the pulse at 0 rad")
    parser.add_argument("--min", type=float, metavar="RAD", help="without keys: the lower limit")
    parser.add_argument("--max", type=float, metavar="RAD", help="without keys: the upper limit")


WORDS = (
    Word(
        name="doctor",
        command=_late("doctor"),
        text="what works, and what to do about what doesn't",
        example="nod doctor; of a board: nod doctor --port /dev/ttyUSB0",
        add_options=_doctor_options,
    ),
    Word(
        name="body",
        command=_late("body"),
        text="check a body file",
        example="nod body --urdf >nod.urdf",
        add_options=_body_options,
    ),
    Word(
        name="flash",
        command=_late("flash"),
        text="put the firmware on a board",
        example="nod flash --port /dev/ttyUSB0",
        add_options=_flash_options,
    ),
    Word(
        name="calibrate",
        command=_late("calibrate"),
        text="find a joint's zero and limits by moving it with keys",
        example="nod calibrate yaw --port /dev/ttyUSB0",
        add_options=_calibrate_options,
    ),
)
