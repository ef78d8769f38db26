"""The two channels."""

import asyncio

import pytest

from agent.events import CHANNELS, Bus, Inbox, Latest, Reply


async def test_latest_keeps_the_newest_and_knows_its_age() -> None:
    latest: Latest[int] = Latest()
    assert latest.get() is None
    now_s = asyncio.get_running_loop().time()
    latest.put(1, now_s - 2.0)
    assert latest.get() == 1
    assert latest.get(max_age_s=1.0) is None
    latest.put(2)
    assert latest.get(max_age_s=1.0) == 2


async def test_a_reader_that_waits_gets_the_newest_only() -> None:
    latest: Latest[int] = Latest()
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(latest.after(0))
        await asyncio.sleep(0)
        latest.put(1)
        latest.put(2)
    assert reader.result() == 2


@pytest.mark.parametrize(("drop", "kept"), [("oldest", [2, 3]), ("newest", [1, 2])])
async def test_a_full_inbox_drops_the_end_it_names_and_counts(drop: str, kept: list[int]) -> None:
    inbox: Inbox[int] = Inbox(2, drop=drop)  # type: ignore[arg-type]  # one of the two
    taken = [inbox.put(number) for number in (1, 2, 3)]
    assert taken[-1] is (drop == "oldest")
    assert inbox.dropped == 1
    assert [await inbox.get(), await inbox.get()] == kept
    assert inbox.take() is None


async def test_every_listener_gets_every_reply() -> None:
    bus = Bus()
    first, second = bus.replies(), bus.replies()
    bus.tell(Reply(order_id="1", kind="answer", text="yes", last=True))
    assert (await first.get()).text == (await second.get()).text == "yes"


async def test_the_table_of_channels_names_what_the_bus_has() -> None:
    bus = Bus()
    assert all(isinstance(getattr(bus, channel.name), Latest | Inbox) for channel in CHANNELS)


async def test_a_tap_sees_what_is_recorded_and_nothing_else() -> None:
    bus = Bus()
    seen: list[str] = []
    bus.tap(lambda channel, _value, _time_s: seen.append(channel))
    for channel in CHANNELS:
        getattr(bus, channel.name).put("anything")
    assert seen == [channel.name for channel in CHANNELS if channel.is_recorded]
