"""The line to the board when it is slow, late, noisy and its clock is off: in virtual time."""

import asyncio

import pytest

from drivers import messages
from drivers.errors import LinkTimeout, expected
from drivers.link import Link
from sim import clock, link_trials
from sim.board import LockstepBoard
from sim.line import SimulatedLine
from sim.link_trials import Trial


def figures(trials: list[Trial]) -> dict[str, float]:
    for trial in trials:
        print(f"{trial.name} {trial.value:.3f} {trial.unit} (n {trial.n})")
    return {trial.name: trial.value for trial in trials}


@pytest.mark.parametrize(("bit_error_rate", "least_hz"), [(0.0, 1500), (1e-4, 1200), (1e-3, 500)])
def test_noise_loses_doubles_and_changes_nothing(bit_error_rate: float, least_hz: float) -> None:
    """A quick look; `nod bench link` counts to a million."""
    found = figures(link_trials.noise("noise", bit_error_rate, 2500))
    assert found["noise_bad"] == 0
    assert found["noise_goodput_hz"] >= least_hz


def test_where_nothing_gets_through_it_says_so() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        link_trials.noise("garbled", 0.1, 8)
    error = expected(raised.value)
    assert isinstance(error, LinkTimeout)
    assert "check" in str(error)


@pytest.mark.parametrize("drift_ppm", [-5000, -50, 0, 50, 5000])
def test_the_boards_clock_is_known(drift_ppm: int) -> None:
    found = figures(clock.run(link_trials.drifting_clock(15.0, drift_ppm)))
    assert found[f"clock_error_{drift_ppm}ppm_p99_ms"] <= 0.5


def test_commands_go_out_in_the_order_of_the_calls() -> None:
    async def scene() -> tuple[list[int], list[messages.Reason]]:
        board = LockstepBoard(1)
        async with SimulatedLine(board, 3, 5e-4) as line, asyncio.TaskGroup() as group:
            ticking = group.create_task(link_trials.tick(board))
            link = Link(line, lambda _: None)
            serving = group.create_task(link.serve())
            await link.hello(1)
            carried_out = board.tell_rests()
            answers = await asyncio.gather(*(link.request(link_trials.numbered(n)) for n in range(300)))
            serving.cancel()
            ticking.cancel()
            await link.aclose()
        return carried_out, answers

    carried_out, answers = clock.run(scene())
    assert carried_out == list(range(300))
    assert set(answers) == {messages.Reason.NONE}
