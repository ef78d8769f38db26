"""What a sweep shows: progress while it runs, a table of what failed at the end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agent.sweep import Result, Summary

SAY_EVERY_S = 10.0  # where there is no terminal to draw on
ROWS = 20  # of one group; the rest is in the results


class Seen(Protocol):
    """Takes each result as it comes."""

    def __call__(self, result: Result) -> None: ...


@contextmanager
def progress(runs: int, done_before: int) -> Iterator[Seen]:
    """A bar on a terminal, else a line now and then; on stderr, so that stdout is the result alone."""
    began_s = time.perf_counter()
    console = Console(stderr=True)
    failed, played, simulated_s, said_s = 0, 0, 0.0, began_s
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

    with bar:
        line = bar.add_task("sweep", total=runs, completed=done_before, told="")

        def seen(result: Result) -> None:
            nonlocal failed, played, simulated_s, said_s
            played += 1
            failed += not result.has_passed
            simulated_s += result.simulated_s
            now_s = time.perf_counter()
            told = f"{failed} failed, {simulated_s / (now_s - began_s):.1f} × real time"
            bar.update(line, advance=1, told=told)
            if not console.is_terminal and now_s - said_s >= SAY_EVERY_S:
                said_s = now_s
                left_s = (now_s - began_s) / played * (runs - done_before - played)
                sys.stderr.write(f"{done_before + played} of {runs}, {told}, {left_s:.0f} s left\n")
                sys.stderr.flush()

        yield seen


def show(summary: Summary) -> None:
    """The whole sweep, for a person."""
    before = summary.runs - summary.played
    print(
        f"{summary.passed} of {summary.runs} runs passed, {summary.failed} failed"
        + (f"; {before} were done before (--fresh plays them again)" if before else "")
    )
    if summary.played:
        print(
            f"{summary.simulated_s:g} s in {summary.wall_s:.1f} s: {summary.real_time_x:.1f} × real time with "
            "the start of the processes"
        )
    print(f"results and recordings: {summary.folder}")
    if not summary.groups:
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for group in summary.groups:
        table = Table(title=f"{group.what}  ({len(group.results)} runs)", title_justify="left", expand=False)
        for heading in ("scenario", "seed", "what", "recording"):
            table.add_column(heading, overflow="fold")
        for result in group.results[:ROWS]:
            what = result.trouble or "; ".join(result.failures)
            table.add_row(result.scenario, str(result.seed), what, result.recording or result.note or "none")
        if len(group.results) > ROWS:
            table.add_row("…", "", f"and {len(group.results) - ROWS} more", "")
        console.print(table)
