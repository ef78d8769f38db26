"""Set-up's last step: fetch the weights, and draw the simulated people once so that the first start is quick.

With --model, compile and install the language model's library instead, which `nod run` otherwise does meanwhile.
With --loops, compile all of the simulator's loops instead, for the tests after a change of them.
"""

import asyncio
import sys

from agent import prepare, weights
from agent.events import PlannerStatus
from drivers.errors import RobotError

SEEN_S = 1.0  # by then the default scenario has somebody in view


def main() -> int:
    """Run by the launcher; returns the exit code."""
    if "--model" in sys.argv[1:]:
        return 0 if asyncio.run(prepare.prepare(lambda status: _show(*_line(status)))) else 1
    from agent import devices  # not at the top: the model's library is prepared without vision's

    try:
        if "--loops" in sys.argv[1:]:
            _play_modelled()
        else:
            weights.fetch(_show)
        devices.warm_up()
    except RobotError as exc:
        print(f"nod: {exc}", file=sys.stderr)
        return 1
    return 0


def _play_modelled() -> None:
    """A moment of the default scenario in landmarks mode: compiles what drawing does not need."""
    from agent import devices, rehearsal  # not at the top, as above
    from agent.config import Config, ModelConfig

    options = devices.Options(fidelity="landmarks")
    rehearsal.simulate(Config(model=ModelConfig(enabled=False)), options, SEEN_S, None)


def _line(status: PlannerStatus) -> tuple[str, float]:
    return f"{status.state}: {status.note}", status.progress


def _show(line: str, share: float) -> None:
    """On a terminal the line is written over; in a log only its changes matter."""
    if sys.stdout.isatty():
        print(f"\r       {share:4.0%}  {line:70.70}", end="" if share < 1 else "\n", flush=True)
    elif line.startswith("failed"):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
