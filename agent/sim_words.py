"""The simulator's words on the command line."""

import argparse
from pathlib import Path

import msgspec

from agent import config as configs
from agent.config import Config
from agent.words import Word

MAX_SIMULATED_S = 86400.0  # a day, as in a scenario


def _seconds(text: str) -> float:
    """For argparse: a time that will pass, which `nan` and `inf` never do."""
    seconds = float(text)
    if not 0 < seconds <= MAX_SIMULATED_S:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_SIMULATED_S:g}")
    return seconds


def _sim_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="?", help="its name, or a TOML file")
    parser.add_argument("--list", action="store_true", help="the scenarios that ship")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=_seconds, help="end it earlier")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write every message to an MCAP file")
    parser.add_argument(
        "--fidelity", choices=("pixels", "landmarks"), default="pixels", help="see, or model seeing"
    )
    parser.add_argument("--no-model", action="store_true", help="without the language model")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def _sim(options: argparse.Namespace) -> int:
    from agent import app, rehearsal  # not at the top: `nod stop` must not wait for them

    if options.list or options.scenario is None:
        for name, about in rehearsal.scenarios():
            print(f"{name:20} {about}")
        return 0
    config = Config(model=configs.ModelConfig(enabled=not options.no_model))
    run_options = app.Options(scenario=options.scenario, seed=options.seed, fidelity=options.fidelity)
    verdict = rehearsal.simulate(config, run_options, options.seconds, options.record)
    if options.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        print(
            f"{verdict.scenario}, seed {verdict.seed}: {verdict.simulated_s:g} s in {verdict.wall_s:.1f} s, "
            f"{verdict.frames} frames, held on to {', '.join(verdict.locked_onto) or 'nobody'} "
            f"in {verdict.lock_share:.0%} of them"
        )
        for failure in verdict.failures:
            print(f"  failed: {failure}")
    return 1 if verdict.failures else 0


WORDS = (
    Word(
        name="sim",
        command=_sim,
        text="play a scenario in virtual time",
        example="nod sim living-room --seed 7",
        add_options=_sim_options,
    ),
)
