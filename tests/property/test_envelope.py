"""Whatever a host says, in whatever order, each joint stays in its limits and the robot on its foot.

The true firmware core, all joints of both bodies, judged a thousand times a second. Emergency stops, which freeze
the pulses at once, are judged by physics instead: tests/sim/test_tip_over.py.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers import messages, wire
from drivers.balance import zmp_margins
from drivers.body import FOLDER, Body, load
from drivers.head import limits_of
from sim.board import TICK_US, Core

FIRST_US = (1 << 32) - 400_000  # runs cross the clock's wrap
WINDOW = 5  # ticks over which speeds are taken: positions are whole µrad
LEAD_TICKS = 8
REST_TICKS = 1500  # enough to come to rest after the last command

share = st.floats(-1.0, 1.0)
shares = st.tuples(share, share, share, share)
urad = st.integers(-(1 << 23), (1 << 23) - 1)
mrad_s = st.integers(-(1 << 15), (1 << 15) - 1)
u32 = st.integers(0, (1 << 32) - 1)
COMMANDS = st.lists(
    st.one_of(
        # knots that the joints could reach: how far apart in ms; speeds and steepness as shares of the limits
        st.tuples(
            st.just("drive"),
            st.integers(5, 60),
            st.lists(st.tuples(shares, shares), min_size=3, max_size=25),
            st.none(),
        ),
        st.tuples(
            st.just("wild"),
            st.integers(-50_000, 1_100_000),
            st.tuples(urad, urad, urad, urad),
            st.tuples(mrad_s, mrad_s, mrad_s, mrad_s),
        ),
        st.tuples(st.just("wait"), st.integers(1, 300), st.none(), st.none()),
        st.tuples(st.just("hello"), st.integers(1, 65535), st.none(), st.none()),
        st.tuples(st.just("raw"), u32, st.binary(max_size=60), st.none()),
    ),
    min_size=1,
    max_size=12,
)


class Host:
    """Opens a session as a driver does, then sends what it is told, and remembers where the joints were."""

    def __init__(self, body: Body) -> None:
        self.limits = [limits_of(place, joint) for place, joint in enumerate(body.joint)]
        self.core = Core(FIRST_US)
        self.now_us = FIRST_US
        self.knot: tuple[int, list[int], list[int]] | None = None
        self.traces: list[NDArray[np.float64]] = []
        self.accepted = self.refused = 0
        self.open(9)

    def open(self, session: int) -> None:
        enable = messages.Enable(joint_count=len(self.limits), pulse_period_us=20_000)
        hello = messages.Hello(table_hash=messages.TABLE_HASH, session=session)
        opening: tuple[messages.Message, ...] = (hello, *self.limits, enable)
        for number, message in enumerate(opening):
            self.core.receive(wire.encode(message, number), self.now_us)
        self.knot = None
        self.refused = 0

    def run(self, ticks: int) -> None:
        if ticks == 0:
            return
        self.traces.append(self.core.trace(ticks, self.now_us))
        self.now_us += ticks * TICK_US
        for frame in wire.Decoder().feed(self.core.transmit()):
            if isinstance(frame.message, messages.Status):
                self.accepted = max(self.accepted, frame.message.accepted)
                if frame.message.refused > self.refused:
                    self.knot = None  # as drivers do: begin again from where it stands
                self.refused = frame.message.refused

    def near(self, ahead_ms: int, speeds: Any, steepness: Any) -> None:
        """From the last knot (or where the joints stand) with constant acceleration to a speed, more or less."""
        here = [round(angle * 1e6) for angle in self.traces[-1][-1]] if self.traces else [0, 0, 0, 0]
        last_us, positions, velocities = self.knot or (self.now_us, here, [0, 0, 0, 0])
        if last_us < self.now_us:
            last_us, positions, velocities = self.now_us, here, [0, 0, 0, 0]
        length_s = ahead_ms * 1e-3
        to_position, to_velocity = [], []
        for limits, position, velocity, speed, steep in zip(
            self.limits, positions, velocities, speeds, steepness, strict=True
        ):
            most = 0.8 * limits.acceleration_mrad_s2 * length_s
            wanted = speed * limits.velocity_mrad_s
            new = min(max(wanted, velocity - most), velocity + most)
            way = (velocity + new) / 2 * length_s * 1e3 + 0.04 * steep * most * length_s * 1e3
            to_velocity.append(round(new))
            to_position.append(min(max(round(position + way), limits.min_urad), limits.max_urad))
        self.set_point(last_us + ahead_ms * 1000, to_position, to_velocity)

    def set_point(self, time_us: int, positions: Any, velocities: Any) -> None:
        before = self.knot or (time_us, positions, velocities)
        point = messages.SetPoint(
            time_us=time_us & 0xFFFFFFFF,
            position_urad=tuple(positions),
            velocity_mrad_s=tuple(velocities),
            previous_time_us=before[0] & 0xFFFFFFFF,
            previous_position_urad=tuple(before[1]),
            previous_velocity_mrad_s=tuple(before[2]),
        )
        self.core.receive(wire.encode(point), self.now_us)
        self.knot = (time_us, list(positions), list(velocities))

    def obey(self, command: Any) -> None:
        match command:
            case ("drive", int(apart_ms), knots, _):
                for speeds, steepness in knots:
                    self.near(apart_ms, speeds, steepness)
                    # The next one comes before this one has been reached.
                    self.run(
                        max((self.knot[0] - self.now_us) // TICK_US - LEAD_TICKS, 0) if self.knot else 20
                    )
            case ("wild", int(ahead_us), positions, velocities):
                self.set_point(self.now_us + ahead_us, positions, velocities)
                self.run(5)
            case ("wait", int(ticks), _, _):
                self.run(ticks)
            case ("hello", int(session), _, _):
                self.open(session)
                self.run(5)
            case ("raw", int(number), bytes(data), _):
                self.core.receive(number.to_bytes(4, "little") + data, self.now_us)
                self.run(5)


@pytest.mark.parametrize("name", ["tabletop", "wheeled"])
def test_no_sequence_of_commands_leaves_the_envelope(name: str) -> None:
    body = load(FOLDER / f"{name}.toml")
    most_accepted, least_margin_m = 0, np.inf

    @settings(max_examples=60, deadline=None)
    @given(COMMANDS)
    def play(commands: list[Any]) -> None:
        nonlocal most_accepted, least_margin_m
        host = Host(body)
        host.run(2 * WINDOW)
        for command in commands:
            host.obey(command)
        host.run(REST_TICKS)
        most_accepted = max(most_accepted, host.accepted)
        least_margin_m = min(least_margin_m, judge(body, host.limits, np.concatenate(host.traces)))

    play()
    print(
        f"{name}: up to {most_accepted} knots followed; zero-moment point {least_margin_m * 1e3:.1f} mm inside"
    )
    assert most_accepted > 10  # true motion was judged, and not refusals


def judge(body: Body, limits: list[messages.Limits], positions: NDArray[np.float64]) -> float:
    """Assert each joint's limits at each tick; how far the zero-moment point stayed inside at the least."""
    low = np.array([joint.min_rad for joint in body.joint])
    high = np.array([joint.max_rad for joint in body.joint])
    assert (positions >= low - 1e-6).all()
    assert (positions <= high + 1e-6).all()
    period_s = WINDOW * TICK_US * 1e-6
    velocities = (positions[WINDOW:] - positions[:-WINDOW]) / period_s
    accelerations = (velocities[WINDOW:] - velocities[:-WINDOW]) / period_s
    fastest = np.array([limit.velocity_mrad_s for limit in limits]) * 1e-3
    steepest = np.array([limit.acceleration_mrad_s2 for limit in limits]) * 1e-3
    # Rounding: positions to 1 µrad, a knot's speed to 1 mrad/s, which weighs most in the shortest segments.
    assert (np.abs(velocities) <= fastest + 0.01).all()
    assert (np.abs(accelerations) <= 1.02 * steepest + 0.8).all()
    margins = zmp_margins(
        body,
        positions[WINDOW:-WINDOW],
        (velocities[WINDOW:] + velocities[:-WINDOW]) / 2,
        accelerations,
        np.zeros((len(accelerations), 4)),
    )
    assert (margins > 0.0).all()
    return float(margins.min())
