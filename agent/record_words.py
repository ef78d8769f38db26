"""The words on the command line about recordings: replay and report."""

import argparse
from pathlib import Path

import msgspec

from agent.words import Word

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


WORDS = (
    Word(
        name="replay",
        command=_replay,
        text="decide again what a recording decided, and show where that differs",
        example="nod replay ~/.local/state/nod/recordings/nod/20260131T120000Z-0001.mcap",
        add_options=_replay_options,
    ),
)
