"""The firmware core by itself: limits swept across their edges, delivery, stop, silence, the clock's wrap."""

import random
from collections.abc import Iterator

import msgspec
import pytest
import ruckig

from drivers import messages, wire
from drivers.messages import Reason, State
from sim.board import Core

LIMITS = messages.Limits(
    joint=0,
    pin=9,
    min_urad=-500_000,
    max_urad=700_000,
    rest_urad=100_000,
    velocity_mrad_s=2000,
    acceleration_mrad_s2=10_000,
    pulse_centre_us=1500,
    pulse_per_rad_ns=637_000,
)
FIRST_US = 5_000_000
WRAPPING_US = (1 << 32) - 700_000


class Bench:
    """One joint on a core, and a host that writes whole frames at chosen times."""

    def __init__(self, first_us: int = FIRST_US) -> None:
        self.core = Core(first_us)
        self.now_us = first_us
        self.decoder = wire.Decoder()
        self.pulses: list[tuple[int, int]] = []
        self.sequence = 0

    def say(self, message: messages.Message, sequence: int = 0) -> list[messages.Message]:
        self.core.receive(wire.encode(message, sequence), self.now_us)
        return self.hear()

    def hear(self) -> list[messages.Message]:
        return [frame.message for frame in self.decoder.feed(self.core.transmit())]

    def ask(self, message: messages.Message) -> Reason:
        self.sequence = (self.sequence + 1) & 0xFF
        answers = [a for a in self.say(message, self.sequence) if isinstance(a, messages.Result)]
        assert [answer.number for answer in answers] == [self.sequence]
        return Reason(answers[0].reason)

    def run(self, seconds: float) -> messages.Status:
        """Let time pass; the last report."""
        self.run_quietly(seconds)
        return [m for m in self.hear() if isinstance(m, messages.Status)][-1]

    def run_quietly(self, seconds: float) -> None:
        """Let time pass, too little for a report."""
        self.now_us += round(seconds * 1e6)
        self.pulses += [(time, pulse[0]) for time, pulse in self.core.advance(self.now_us)]

    def open(self) -> "Bench":
        self.say(messages.Hello(table_hash=messages.TABLE_HASH, session=77), 0)
        self.sequence = 0
        return self

    def enable(self) -> "Bench":
        self.open()
        assert self.ask(LIMITS) is Reason.NONE
        assert self.ask(messages.Enable(joint_count=1, pulse_period_us=20_000)) is Reason.NONE
        return self

    def point(
        self,
        ahead_us: int,
        position_urad: int,
        velocity_mrad_s: int,
        before: tuple[int, int, int] | None = None,
    ) -> None:
        """One set-point; `before` is the previous knot: how far ahead, position, velocity."""
        before = before or (0, 0, 0)
        self.say(
            messages.SetPoint(
                time_us=(self.now_us + ahead_us) & 0xFFFFFFFF,
                position_urad=(position_urad, 0, 0, 0),
                velocity_mrad_s=(velocity_mrad_s, 0, 0, 0),
                previous_time_us=(self.now_us + before[0]) & 0xFFFFFFFF,
                previous_position_urad=(before[1], 0, 0, 0),
                previous_velocity_mrad_s=(before[2], 0, 0, 0),
            )
        )

    def verdict(self, ahead_us: int, position_urad: int, velocity_mrad_s: int) -> Reason:
        """What a fresh bench says to one set-point."""
        self.point(ahead_us, position_urad, velocity_mrad_s)
        status = self.run(0.02)
        assert status.accepted + status.refused == 1
        return Reason(status.last_reason) if status.refused else Reason.NONE

    def cruise(self, knots: int) -> messages.Status:
        """Speed up at 2 rad/s² and go on: knots every 10 ms, each 20 ms ahead; ends in full motion."""
        start_urad = 100_000
        for number in range(1, knots + 1):
            elapsed_s = number * 0.01
            velocity = min(2.0 * elapsed_s, 0.4)
            way = elapsed_s**2 if elapsed_s <= 0.2 else 0.04 + 0.4 * (elapsed_s - 0.2)
            self.point(20_000, start_urad + round(way * 1e6), round(velocity * 1e3))
            self.now_us += 10_000
            self.pulses += [(time, pulse[0]) for time, pulse in self.core.advance(self.now_us)]
        return self.run(0.01)


@pytest.fixture(params=[FIRST_US, WRAPPING_US], ids=["plain", "wrapping"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield Bench(request.param)


def test_nothing_moves_before_the_handshake(bench: Bench) -> None:
    assert bench.say(LIMITS, 1) == []
    assert bench.say(messages.Enable(joint_count=1, pulse_period_us=20_000), 2) == []
    bench.point(50_000, 100_000, 0)
    bench.now_us += 1_000_000
    assert {pulse for _, pulses in bench.core.advance(bench.now_us) for pulse in pulses} == {0}


def test_another_table_keeps_the_board_closed(bench: Bench) -> None:
    (welcome,) = bench.say(messages.Hello(table_hash=messages.TABLE_HASH ^ 1, session=5), 0)
    assert welcome == messages.Welcome(table_hash=messages.TABLE_HASH, session=5)
    assert bench.say(LIMITS, 1) == []


def test_enable_needs_limits_and_holds_the_pose(bench: Bench) -> None:
    bench.open()
    assert bench.ask(messages.Enable(joint_count=1, pulse_period_us=20_000)) is Reason.LIMITS
    assert bench.ask(LIMITS) is Reason.NONE
    assert bench.ask(messages.Enable(joint_count=5, pulse_period_us=20_000)) is Reason.JOINT
    assert bench.ask(messages.Enable(joint_count=1, pulse_period_us=20_000)) is Reason.NONE
    status = bench.run(0.1)
    assert (status.state, status.position_urad[0]) == (State.HOLDING, LIMITS.rest_urad)
    assert {pulse for _, pulse in bench.pulses} == {1500 + round(0.1 * 637)}


def test_two_joints_never_share_a_pin(bench: Bench) -> None:
    bench.open()
    assert bench.ask(LIMITS) is Reason.NONE
    assert bench.ask(msgspec.structs.replace(LIMITS, joint=1)) is Reason.NONE
    assert bench.ask(messages.Enable(joint_count=2, pulse_period_us=20_000)) is Reason.PIN
    assert bench.ask(msgspec.structs.replace(LIMITS, joint=1, pin=10)) is Reason.NONE
    assert bench.ask(messages.Enable(joint_count=2, pulse_period_us=20_000)) is Reason.NONE


@pytest.mark.parametrize(
    ("period_us", "reason"),
    [(2_999, Reason.LIMITS), (3_000, Reason.NONE), (20_000, Reason.NONE), (20_001, Reason.LIMITS)],
)
def test_pulses_come_as_often_as_asked(bench: Bench, period_us: int, reason: Reason) -> None:
    bench.open()
    assert bench.ask(LIMITS) is Reason.NONE
    assert bench.ask(messages.Enable(joint_count=1, pulse_period_us=period_us)) is reason
    bench.run(0.1)
    bench.pulses.clear()
    bench.run(0.6)
    expected_us = period_us if reason is Reason.NONE else 20_000
    gaps = [after - before for (before, _), (after, _) in zip(bench.pulses, bench.pulses[1:], strict=False)]
    assert sum(gaps) / len(gaps) == pytest.approx(expected_us, abs=1)


def test_the_stop_button_latches_until_it_is_let_go_and_released(bench: Bench) -> None:
    moving = bench.enable().cruise(30)
    bench.core.press_stop(True)
    pressed_us = bench.now_us
    status = bench.run(0.1)
    assert (status.state, status.is_stop_line_open) == (State.STOPPED, 1)
    assert status.stop_token != 0
    # Three ticks to be sure, and what a joint goes meanwhile at .4 rad/s.
    assert abs(status.position_urad[0] - moving.position_urad[0]) < 0.4 * 4_000
    assert len({pulse for time, pulse in bench.pulses if time > pressed_us + 4_000}) == 1
    assert bench.ask(messages.Release(token=status.stop_token)) is Reason.STOP_LINE
    bench.core.press_stop(False)
    assert bench.run(0.05).state == State.STOPPED
    assert bench.ask(messages.Release(token=status.stop_token)) is Reason.NONE
    assert bench.run(0.05).state == State.HOLDING


def test_the_button_is_a_stop_of_its_own(bench: Bench) -> None:
    bench.enable()
    bench.say(messages.Stop(token=5))
    bench.core.press_stop(True)
    token = bench.run(0.05).stop_token
    bench.core.press_stop(False)
    bench.run(0.05)
    assert token not in (0, 5)
    assert bench.ask(messages.Release(token=5)) is Reason.TOKEN
    assert bench.ask(messages.Release(token=token)) is Reason.NONE


def test_a_spark_on_the_stop_line_is_no_stop(bench: Bench) -> None:
    bench.enable()
    for _ in range(20):
        bench.core.press_stop(True)
        bench.run_quietly(0.002)
        bench.core.press_stop(False)
        bench.run_quietly(0.001)
    assert bench.run(0.05).state == State.HOLDING


def test_a_reset_in_motion_ends_the_pulses_and_the_session(bench: Bench) -> None:
    bench.enable().cruise(30)
    bench.core.reset(bench.now_us)
    bench.pulses.clear()
    bench.run_quietly(1.0)
    bench.point(50_000, 100_000, 0)
    bench.run_quietly(0.1)
    assert {pulse for _, pulse in bench.pulses} == {0}
    status = bench.open().run(0.05)
    assert (status.state, status.reset_cause) == (State.IDLE, messages.ResetCause.OTHER)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"joint": 4}, Reason.JOINT),
        ({"min_urad": 700_000}, Reason.LIMITS),
        ({"rest_urad": 700_001}, Reason.LIMITS),
        ({"max_urad": 3_200_001}, Reason.LIMITS),
        ({"velocity_mrad_s": 0}, Reason.LIMITS),
        ({"velocity_mrad_s": 32768}, Reason.LIMITS),
        ({"acceleration_mrad_s2": 0}, Reason.LIMITS),
        ({"acceleration_mrad_s2": 1_000_001}, Reason.LIMITS),
        ({"pulse_per_rad_ns": 2_000_000}, Reason.LIMITS),
        ({"pulse_per_rad_ns": 0}, Reason.LIMITS),
        ({"pulse_centre_us": 65535}, Reason.LIMITS),
        ({"acceleration_mrad_s2": 1_000_000}, Reason.NONE),
    ],
)
def test_senseless_limits_are_refused(change: dict[str, int], reason: Reason) -> None:
    fields = {name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__} | change
    assert Bench().open().ask(messages.Limits(**fields)) is reason


def test_pulses_cannot_be_remapped_while_they_are_on() -> None:
    bench = Bench().enable()
    fields = {name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__}
    assert bench.ask(messages.Limits(**fields | {"pulse_centre_us": 1600})) is Reason.LIMITS
    assert bench.ask(messages.Limits(**fields | {"min_urad": 100_001, "rest_urad": 100_001})) is Reason.LIMITS
    assert bench.ask(messages.Limits(**fields | {"max_urad": 600_000})) is Reason.NONE


@pytest.mark.parametrize(
    ("ahead_us", "position_urad", "velocity_mrad_s", "reason"),
    [
        (900_000, 700_000, 0, Reason.NONE),
        (900_000, 700_001, 0, Reason.POSITION),
        (900_000, -500_000, 0, Reason.NONE),
        (900_000, -500_001, 0, Reason.POSITION),
        (900_000, 8_388_607, 0, Reason.POSITION),
        (900_000, -8_388_608, 0, Reason.POSITION),
        (700_000, 450_000, 2001, Reason.VELOCITY),
        (700_000, 450_000, -32768, Reason.VELOCITY),
        (400_000, 500_000, 2000, Reason.NONE),  # 0.2 rad of room is exactly what stopping takes
        (400_000, 501_000, 2000, Reason.ROOM),
        (500_000, 600_000, 0, Reason.ACCELERATION),
        (600_000, 600_000, 0, Reason.NONE),
        (1_999, 100_000, 0, Reason.LATE),
        (2_000, 100_000, 0, Reason.NONE),
        (-1, 100_000, 0, Reason.LATE),
        (1_000_000, 100_000, 0, Reason.NONE),
        (1_000_001, 100_000, 0, Reason.EARLY),
    ],
)
def test_set_points_at_the_edges(
    bench: Bench, ahead_us: int, position_urad: int, velocity_mrad_s: int, reason: Reason
) -> None:
    assert bench.enable().verdict(ahead_us, position_urad, velocity_mrad_s) is reason


def test_a_curve_that_leaves_the_limits_between_good_knots_is_refused() -> None:
    bench = Bench().enable()
    bench.point(500_000, 500_000, 1000)
    bench.point(900_000, 500_000, -1000)  # bulges out to 0.6 rad
    assert bench.run(0.02).refused == 0
    bench = Bench().enable()
    bench.point(500_000, 640_000, 1000)
    bench.point(700_000, 640_000, -1000)
    assert bench.run(0.02).last_reason == Reason.POSITION


def test_it_moves_to_a_knot_and_holds(bench: Bench) -> None:
    bench.enable().point(190_000, 150_000, 0)
    assert bench.run(0.1).state == State.MOVING
    status = bench.run(0.1)
    assert status.state == State.HOLDING
    assert status.position_urad[0] == 150_000
    assert status.underruns == 0


def test_a_lost_frame_costs_nothing() -> None:
    whole, holed = Bench().enable(), Bench().enable()
    knots = [(20_000, 100_200, 40), (30_000, 100_940, 105), (40_000, 102_200, 160)]
    for lost, bench in ((None, whole), (1, holed)):
        before = None
        for number, knot in enumerate(knots):
            if number != lost:
                bench.point(*knot, before=before)
            before = knot
    # The middle knot, to the µrad, although its own frame never came; then all the rest.
    assert whole.run(0.03).position_urad[0] == holed.run(0.03).position_urad[0] == 100_940
    assert whole.run(0.07).position_urad == holed.run(0.07).position_urad
    assert whole.pulses == holed.pulses


def test_a_repetition_is_answered_but_not_run_again() -> None:
    bench = Bench().enable()
    enabling = bench.sequence
    assert bench.ask(messages.Detach()) is Reason.NONE
    again = bench.say(messages.Enable(joint_count=1, pulse_period_us=20_000), enabling)
    assert again == [messages.Result(number=enabling, reason=Reason.NONE)]
    assert bench.run(0.02).state == State.DETACHED


def test_a_gap_is_told_once_and_nothing_runs_out_of_order() -> None:
    bench = Bench().enable()
    assert bench.say(messages.Detach(), bench.sequence + 2) == [messages.Gap(expected=bench.sequence + 1)]
    assert bench.say(messages.Detach(), bench.sequence + 3) == []
    assert bench.run(0.02).state == State.HOLDING
    assert bench.ask(LIMITS) is Reason.NONE


def test_the_same_hello_again_changes_nothing() -> None:
    bench = Bench().enable()
    bench.point(600_000, 500_000, 0)
    bench.run(0.1)
    bench.say(messages.Hello(table_hash=messages.TABLE_HASH, session=77), 9)
    assert bench.run(0.02).state == State.MOVING
    bench.say(messages.Hello(table_hash=messages.TABLE_HASH, session=78), 9)
    assert bench.run(0.02).state in (State.STOPPING, State.HOLDING)


def test_stop_freezes_at_once_and_only_its_token_releases(bench: Bench) -> None:
    bench.enable().cruise(30)
    pulse = bench.core.pulse_us(0)
    assert bench.say(messages.Stop(token=0xABCD)) == [messages.StopAck(token=0xABCD)]
    bench.point(50_000, 100_000, 0)
    frames = len(bench.pulses)
    status = bench.run(40.0)
    assert (status.state, status.stop_token, status.last_reason) == (State.STOPPED, 0xABCD, Reason.STATE)
    assert {p for _, p in bench.pulses[frames:]} == {pulse}
    assert bench.ask(messages.Release(token=0xABCE)) is Reason.TOKEN
    assert bench.ask(messages.Enable(joint_count=1, pulse_period_us=20_000)) is Reason.STATE
    assert bench.ask(LIMITS) is Reason.STATE
    assert bench.run(0.02).state == State.STOPPED
    bench.say(messages.Stop(token=0xABCE))
    assert bench.ask(messages.Release(token=0xABCD)) is Reason.TOKEN
    assert bench.ask(messages.Release(token=0xABCE)) is Reason.NONE
    status = bench.run(0.02)
    assert status.state == State.HOLDING
    bench.point(100_000, status.position_urad[0], 0)  # nothing of the old motion is left
    after = bench.run(0.2)
    assert (after.position_urad, after.refused) == (status.position_urad, status.refused)
    assert bench.core.pulse_us(0) == pulse


def test_stop_needs_no_session() -> None:
    bench = Bench()
    assert bench.say(messages.Stop(token=3)) == [messages.StopAck(token=3)]
    assert bench.say(messages.Stop(token=0)) == []


def test_running_out_of_knots_slows_down_within_the_limits(bench: Bench) -> None:
    bench.enable().cruise(30)
    positions = [bench.run(0.02).position_urad[0] for _ in range(20)]
    ways = [b - a for a, b in zip(positions, positions[1:], strict=False)]
    changes = [abs(b - a) / 1e6 / 0.02**2 for a, b in zip(ways, ways[1:], strict=False)]
    assert max(changes) <= 1.02 * LIMITS.acceleration_mrad_s2 / 1e3
    status = bench.run(0.02)
    assert (ways[-1], status.state, status.underruns) == (0, State.HOLDING, 1)


def test_silence_stops_then_parks_then_detaches(bench: Bench) -> None:
    bench.enable()
    bench.point(1_000_000, 600_000, 0)
    start_us = bench.now_us
    assert bench.run(0.180).state == State.MOVING
    for _ in range(5):  # a ping is no motion intent
        bench.say(messages.Ping(number=1))
    assert bench.run(0.040).state == State.STOPPING
    standing = bench.run(0.5)
    assert standing.state == State.HOLDING
    assert standing.position_urad[0] < 300_000
    assert bench.run(4.2).state == State.HOLDING
    assert bench.run(0.1).state == State.PARKING
    status = bench.run(3.0)
    assert (status.state, status.position_urad[0]) == (State.PARKED, LIMITS.rest_urad)
    assert bench.run(29.95 - (bench.now_us - start_us) / 1e6).state == State.PARKED
    assert bench.run(0.1).state == State.DETACHED
    assert bench.core.pulse_us(0) == 0
    bench.point(50_000, 100_000, 0)
    assert bench.run(0.02).last_reason == Reason.STATE
    steps = [abs(b - a) for (_, a), (_, b) in zip(bench.pulses, bench.pulses[1:], strict=False) if a and b]
    assert max(steps) <= 2.0 * 0.02 * 637 + 1


def test_a_plan_at_its_limits_is_never_refused() -> None:
    """Jerk-limited motion between the very ends, as the planner makes it, rounded to the wire's units."""
    dice = random.Random(11)
    plan, joint = ruckig.InputParameter(1), ruckig.OutputParameter(1)
    plan.current_position, plan.target_position = [0.1], [0.1]
    plan.max_velocity, plan.max_acceleration, plan.max_jerk = [2.0 / 1.05], [10.0 / 1.25], [200.0]
    planner = ruckig.Ruckig(1, 0.01)
    bench = Bench(WRAPPING_US).enable()
    for _ in range(6000):
        if dice.random() < 0.03:
            plan.target_position = [dice.choice((-0.5, 0.7, dice.uniform(-0.5, 0.7)))]
        planner.update(plan, joint)
        joint.pass_to_input(plan)
        bench.point(40_000, round(joint.new_position[0] * 1e6), round(joint.new_velocity[0] * 1e3))
        bench.now_us += 10_000
        bench.core.advance(bench.now_us)
    status = bench.run(0.02)
    assert (status.accepted, status.refused, status.underruns) == (6000, 0, 0)


def test_noise_is_counted() -> None:
    bench = Bench().enable()
    bench.core.receive(b"\xff" * 200 + b"\0" + b"\x02\x01\0", bench.now_us)
    bench.core.receive(wire.encode(messages.StopAck(token=1)), bench.now_us)  # a board never hears this
    assert bench.run(0.02).rx_errors == 3
