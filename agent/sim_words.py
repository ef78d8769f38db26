"""The simulator's words on the command line."""

import argparse
import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent import config as configs
from agent.config import Config
from agent.words import Word
from drivers.errors import ConfigError

if TYPE_CHECKING:
    from agent.rehearsal import Listed
    from agent.sweep import Job

MAX_SIMULATED_S = 86400.0  # a day, as in a scenario
MAX_JOBS = 256


def _seconds(text: str) -> float:
    """For argparse: a time that will pass, which `nan` and `inf` never do."""
    seconds = float(text)
    if not 0 < seconds <= MAX_SIMULATED_S:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_SIMULATED_S:g}")
    return seconds


def _jobs(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MAX_JOBS:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MAX_JOBS}")
    return count


def _sim_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="*", help="its name, or a TOML file; several, or `all`: a sweep")
    parser.add_argument("--list", action="store_true", help="the scenarios that ship")
    parser.add_argument("--seed", default="1", metavar="N", help="7, 1:100 or 1,5,9; several: a sweep")
    parser.add_argument("--seconds", type=_seconds, help="end it earlier")
    parser.add_argument(
        "--fidelity", choices=("pixels", "landmarks"), default="pixels", help="see, or model seeing"
    )
    parser.add_argument(
        "--physics", choices=("light", "mujoco"), default="light", help="of the body; mujoco is an extra"
    )
    parser.add_argument("--real", action="store_true", help="in real time, the firmware as a process")
    parser.add_argument(
        "--model", action="store_true", help="with the language model; its answers take their own time"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the verdict, or the sweep's summary, as JSON"
    )
    one = parser.add_argument_group("one run")
    one.add_argument("--record", type=Path, metavar="FILE", help="write every message to an MCAP file")
    one.add_argument("--sound", action="store_true", help="what is said and whirs goes into --record as well")
    one.add_argument("--video", type=Path, metavar="FILE.mp4", help="what it sees, beside the room")
    one.add_argument("--html", type=Path, metavar="FILE.html", help="a report with plots")
    sweep = parser.add_argument_group("a sweep")
    sweep.add_argument("--jobs", type=_jobs, metavar="N", help="processes; as many as there are cores")
    sweep.add_argument("--out", type=Path, metavar="DIR", help="for results and the failures' recordings")
    sweep.add_argument("--fresh", action="store_true", help="play again what is done already")
    sweep.add_argument("--cluster", metavar="tcp://HOST:PORT", help="on dask's workers instead")


def _sim(options: argparse.Namespace) -> int:
    from agent import app, rehearsal, sweep  # not at the top: `nod stop` must not wait for them

    if options.list or not options.scenario:
        return _list(rehearsal.scenarios(), as_json=options.json)
    seeds = sweep.seeds(options.seed)
    names = list(dict.fromkeys(options.scenario))
    if "all" in names:
        names = [each.name for each in rehearsal.scenarios() if options.real or not each.needs_real_time]
    plan = sweep.Job(
        config=Config(model=configs.ModelConfig(enabled=options.model)),
        options=app.Options(fidelity=options.fidelity, physics=options.physics, has_sound=options.sound),
        seconds=options.seconds,
        is_real=options.real,
    )
    jobs = sweep.jobs(plan, names, seeds)
    if options.sound and not options.record:
        raise ConfigError("--sound goes into a recording; add --record FILE")
    of_one = [name for name in ("record", "video", "html") if getattr(options, name)]
    of_many = [name for name in ("jobs", "out", "fresh", "cluster") if getattr(options, name)]
    if len(jobs) == 1 and not of_many:
        return _one(jobs[0], options)
    if of_one:
        raise ConfigError(f"--{of_one[0]} is for one scenario with one seed, these are {len(jobs)} runs")
    return _many(jobs, options, "all" if "all" in options.scenario else "+".join(names))


def _list(scenarios: "list[Listed]", *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(scenarios).decode())
        return 0
    for each in scenarios:
        real = "--real" if each.needs_real_time else ""
        print(f"{each.name:22} {each.duration_s:4g} s  {real:6}  {each.about}")
    return 0


def _one(job: "Job", options: argparse.Namespace) -> int:
    from agent import rehearsal
    from agent.film import Film
    from agent.sim_page import Page

    with contextlib.ExitStack() as stack:
        page = stack.enter_context(Page(options.html)) if options.html else None
        film = stack.enter_context(Film(options.video, is_real=options.real)) if options.video else None
        verdict = rehearsal.simulate(
            job.config,
            job.options,
            job.seconds,
            options.record,
            is_real=job.is_real,
            witnesses=[witness for witness in (page, film) if witness is not None],
        )
        if page is not None:
            page.write(verdict)
    if options.json:
        print(msgspec.json.encode(verdict).decode())
        return 1 if verdict.failures else 0
    print(
        f"{verdict.scenario}, seed {verdict.seed}: {verdict.simulated_s:g} s in {verdict.wall_s:.1f} s, "
        f"{verdict.frames} frames, held on to {', '.join(verdict.locked_onto) or 'nobody'} "
        f"in {verdict.lock_share:.0%} of them"
    )
    for failure in verdict.failures:
        print(f"  failed: {failure}")
    return 1 if verdict.failures else 0


def _many(jobs: "list[Job]", options: argparse.Namespace, name: str) -> int:
    from agent import cluster, sweep, sweep_words

    # Real time needs a core for a run; two runs beside each other would judge the machine.
    count = options.jobs or (1 if options.real else len(os.sched_getaffinity(0)))
    with sweep.Results(options.out or _folder(name), _complain) as results:
        if options.fresh:
            results.done.clear()
        player = cluster.player(options.cluster) if options.cluster else sweep.local(count, results.folder)
        done = sum(job.key in results.done for job in jobs)
        with sweep_words.progress(len(jobs), done) as seen:
            summary = sweep.run(jobs, results, player, seen)
    if options.json:
        print(msgspec.json.encode(summary).decode())
    else:
        sweep_words.show(summary)
    return 1 if summary.failed else 0


def _folder(name: str) -> Path:
    """Where a sweep of these scenarios keeps its results."""
    plain = "".join(letter if letter.isalnum() or letter in "+-" else "_" for letter in name)
    if plain != name or len(plain) > 60:
        plain = f"{plain[-40:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return configs.state_dir() / "sweeps" / plain


def _complain(line: str) -> None:
    print(f"nod: {line}", file=sys.stderr)


WORDS = (
    Word(
        name="sim",
        command=_sim,
        text="play a scenario in virtual time, or many",
        example="nod sim living-room --seed 1:100 --fidelity landmarks",
        add_options=_sim_options,
    ),
)
