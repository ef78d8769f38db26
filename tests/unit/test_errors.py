"""Loops that catch errors and try again still end when they are told to."""

import asyncio

import pytest

from drivers.errors import ConfigError, DeviceError, LinkLost, expected, heed_cancellation


async def _try_for_ever(heeds: bool, rounds: list[int]) -> None:
    """What a reconnecting loop does; in its first round an end and an error come in the same moment."""
    serving = asyncio.current_task()
    assert serving is not None

    async def fail() -> None:
        if not rounds:
            asyncio.get_running_loop().call_soon(serving.cancel)
        raise DeviceError("gone")

    while len(rounds) < 3:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* DeviceError:
            pass
        rounds.append(len(rounds))
        if heeds:
            heed_cancellation()


async def test_an_end_that_meets_an_error_is_heeded() -> None:
    rounds: list[int] = []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(_try_for_ever(True, rounds))
    assert rounds == [0]


async def test_without_it_the_end_is_lost() -> None:
    """Why it is needed; when this fails, Python has mended its TaskGroup and it may go."""
    rounds: list[int] = []
    await asyncio.ensure_future(_try_for_ever(False, rounds))
    assert rounds == [0, 1, 2]


async def test_nobody_who_was_not_told_to_end_ends() -> None:
    heed_cancellation()


def test_the_first_expected_error_comes_out_of_nested_groups_and_bugs_stay() -> None:
    lost = LinkLost("head: gone")
    nested = BaseExceptionGroup("tasks", [ExceptionGroup("inner", [lost]), ConfigError("no")])
    assert expected(nested) is lost
    assert expected(BaseExceptionGroup("tasks", [lost, ZeroDivisionError()])) is None
