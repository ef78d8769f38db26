"""The words on the command line about recordings: view, replay and report."""

import argparse
import asyncio
import contextlib
from pathlib import Path

import msgspec

from agent import config as configs
from agent.words import Word

MOST_MINUTES = 60.0
MOST_SHOWN = 50  # differences; --json has all


def _replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a recording")
    parser.add_argument("--pixels", action="store_true", help="look at its pictures again as well")
    parser.add_argument("--json", action="store_true", help="print all that differs as JSON")


def _replay(options: argparse.Namespace) -> int:
    from agent.recording import Recording  # not at the top: `nod stop` must not wait for them
    from agent.replay import replay

    with Recording(options.file) as recording:
        outcome = replay(recording, has_pixels=options.pixels)
    if options.json:
        print(msgspec.json.encode(outcome).decode())
        return 1 if outcome.differences else 0
    for difference in outcome.differences[:MOST_SHOWN]:
        print(f"{difference.time_s:10.3f} s  {difference.channel:8} then: {difference.recorded}")
        print(f"{'':22} now:  {difference.now}")
    hidden = len(outcome.differences) - MOST_SHOWN
    if hidden > 0:
        print(f"  … and {hidden:,} more; --json shows all")
    counts = ", ".join(f"{count:,} {channel}" for channel, count in outcome.compared.items())
    print(f"{len(outcome.differences):,} decisions differ; compared: {counts}")
    for note in outcome.notes:
        print(f"  note: {note}")
    return 1 if outcome.differences else 0


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MOST_MINUTES:g}")
    return minutes


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=_minutes, default=1.0, help="how much of the end (default: 1)")
    parser.add_argument("--with-faces", action="store_true", help="do not blur faces")
    parser.add_argument("--with-voices", action="store_true", help="do not leave out sound")
    parser.add_argument("--with-names", action="store_true", help="do not replace names")
    parser.add_argument("--name", default="nod", help="of which robot, if there are several")
    parser.add_argument(
        "--recording", type=Path, metavar="FILE", help="of this recording instead of the newest"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of nod.toml")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: nod-report-….zip here")


def _report(options: argparse.Namespace) -> int:
    from agent import report
    from agent.doctor import examine
    from agent.origin import recordings_dir

    config = configs.load(options.config)
    files = [options.recording] if options.recording else report.newest(recordings_dir(options.name))
    target = options.output or Path(f"nod-report-{files[-1].stem}.zip")
    keep = report.Keep(
        has_faces=options.with_faces, has_voices=options.with_voices, has_names=options.with_names
    )
    packed = report.pack(files, 60.0 * options.minutes, keep, target, config, examine(config))
    print(
        f"{target}: {packed.seconds:.0f} s, {packed.messages:,} messages, {packed.pictures:,} pictures, "
        f"{packed.pictures_left_out:,} left out"
    )
    for note in packed.notes:
        print(f"  note: {note}")
    print("  What was typed or said to the robot is in it as text. Look through it before you pass it on.")
    return 0


def _view_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a recording")
    parser.add_argument("--page-port", type=int, metavar="PORT")


def _view(options: argparse.Namespace) -> int:
    from agent.player import view

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(view(options.file, options.page_port, lambda url: print(f"open {url}", flush=True)))
    return 0


WORDS = (
    Word(
        name="view",
        command=_view,
        text="show a recording on the page: play it, hold it, go to any moment",
        example="nod view ~/.local/state/nod/recordings/nod/20260131T120000Z-0001.mcap",
        add_options=_view_options,
    ),
    Word(
        name="report",
        command=_report,
        text="pack the last minute for somebody who helps, without faces, voices and names",
        example="nod report --minutes 2",
        add_options=_report_options,
    ),
    Word(
        name="replay",
        command=_replay,
        text="decide again what a recording decided, and show where that differs",
        example="nod replay ~/.local/state/nod/recordings/nod/20260131T120000Z-0001.mcap",
        add_options=_replay_options,
    ),
)
