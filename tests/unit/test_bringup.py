"""What the doctor makes of what it measured at a board, and what keys are."""

from collections.abc import Callable

import msgspec
import pytest

from agent import bringup, flash
from agent.bringup import PINGS, Line, Trip
from agent.doctor import Finding
from agent.terminal import split_keys
from drivers.messages import ResetCause, State, Status

WELL = Status(
    time_us=0,
    session=1,
    state=State.IDLE,
    last_reason=0,
    position_urad=(0, 0, 0, 0),
    stop_token=0,
    accepted=0,
    refused=0,
    rx_errors=0,
    underruns=0,
    is_stop_line_open=0,
    reset_cause=ResetCause.POWER,
)


def line(
    drift_ppm: float = 0.0,
    trip_s: Callable[[int], float] = lambda number: 0.001,
    first_board_s: float = 5.0,
    count: int = PINGS,
    errors_here: int = 0,
    status: Status = WELL,
) -> Line:
    """Pings every 10 ms, whose ways there and back take equally long."""
    trips = []
    for number in range(count):
        sent_s = number * 0.01
        board_s = first_board_s + (sent_s + trip_s(number) / 2) * (1 + drift_ppm * 1e-6)
        trips.append(
            Trip(sent_s=sent_s, received_s=sent_s + trip_s(number), board_s=board_s % ((1 << 32) * 1e-6))
        )
    return Line(trips=tuple(trips), pings=PINGS, errors_here=errors_here, status=status)


def judged(of: Line, what: str) -> Finding:
    found = [finding for finding in bringup.judge(of) if finding.what == what]
    assert len(found) == 1
    return found[0]


def test_a_good_board_is_well_and_every_line_is_one() -> None:
    findings = bringup.judge(line())
    assert all(finding.is_well and "\n" not in finding.says for finding in findings)
    assert len({finding.what for finding in findings}) == len(findings) == 7


@pytest.mark.parametrize("first_board_s", [5.0, (1 << 32) * 1e-6 - 1.0])
@pytest.mark.parametrize("drift_ppm", [-9000, -40, 0, 5000])
def test_the_rate_is_found_also_where_the_clock_wraps(drift_ppm: int, first_board_s: float) -> None:
    said = judged(line(drift_ppm, first_board_s=first_board_s), "clock")
    assert said.is_well and said.says.startswith(f"{drift_ppm:+d} ppm")


def test_a_chip_at_another_frequency() -> None:
    said = judged(line(drift_ppm=20_000), "clock")
    assert not said.is_well and "not the one that its firmware was built for" in said.says


def test_a_slow_line() -> None:
    said = judged(line(trip_s=lambda number: 0.05 if number % 20 == 0 else 0.001), "round trip")
    assert not said.is_well and "p50 1.00 ms, p99 50.00 ms" in said.says
    assert judged(line(trip_s=lambda number: 0.015 if number % 20 == 0 else 0.001), "round trip").is_well


@pytest.mark.parametrize(
    "of",
    [
        line(count=PINGS - bringup.MOST_LOST - 1),
        line(errors_here=1),
        line(status=msgspec.structs.replace(WELL, rx_errors=3)),
        line(count=0),
    ],
)
def test_what_a_line_loses_is_bad(of: Line) -> None:
    assert not judged(of, "line").is_well
    assert judged(line(count=PINGS - bringup.MOST_LOST), "line").is_well


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("last reset", msgspec.structs.replace(WELL, reset_cause=ResetCause.WATCHDOG)),
        ("stop line", msgspec.structs.replace(WELL, is_stop_line_open=1)),
        ("emergency stop", msgspec.structs.replace(WELL, state=State.STOPPED, stop_token=7)),
    ],
)
def test_what_the_board_says_of_itself(what: str, status: Status) -> None:
    assert not judged(line(status=status), what).is_well
    assert judged(line(), what).is_well


def test_other_resets_are_no_fault() -> None:
    assert judged(
        line(status=msgspec.structs.replace(WELL, reset_cause=ResetCause.OTHER)), "last reset"
    ).is_well


@pytest.mark.parametrize(
    ("data", "keys", "rest"),
    [
        (b"z[ ]", ["z", "[", "space", "]"], b""),
        (b"\x1b[D\x1bOC\x1b[1;2C,", ["left", "right", "shift-right", ","], b""),
        (b"q\x1b", ["q"], b"\x1b"),
        (b"\x1b[1;", [], b"\x1b[1;"),
        (b"\x1bq", ["escape", "q"], b""),
        (b"\x1b[15~\n", ["unknown", "enter"], b""),
        (b"\xff", ["\ufffd"], b""),
    ],
)
def test_keys_of_a_terminal(data: bytes, keys: list[str], rest: bytes) -> None:
    assert split_keys(data) == (keys, rest)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("avrdude: stk500_getsync() attempt 3 of 3: not in sync: resp=0x00", "no bootloader answers"),
        (
            "avrdude: verification error, first mismatch at byte 0x0080\n 0x12 != 0x13",
            "differently at 0x0080",
        ),
        (
            'avrdude OS error: ioctl("TIOCMGET"): x\navrdude error: cannot read file',
            "error: cannot read file",
        ),
        ("", "it gave no reason"),
    ],
)
def test_what_avrdude_says_becomes_one_line(said: str, says: str) -> None:
    line = flash.explained(said, flash.BAUD)
    assert says in line and "\n" not in line
