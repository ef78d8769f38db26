"""What must hold in every scenario, judged from the room's side: where the joints truly are, which pulses they get.

The joints keep the body file's limits, the robot stands, and nothing moves while it is stopped. After a fault that
takes the host away or stops it, the pulses stand within the time allowed and stay so (a board parks after
PARKS_S of silence); the robot says that something is wrong; and once all is well again it moves again.
"""

import itertools
import math
from collections import deque

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.balance import zmp_margins
from drivers.body import Body
from sim.faults import (
    BoardReset,
    BrokerDead,
    BrownOut,
    CallGone,
    CameraBlack,
    CameraFrozen,
    CameraGone,
    CameraHung,
    ClockJump,
    Dark,
    Fault,
    HostStall,
    LinkCut,
    LinkNoise,
    StopButton,
)
from sim.scenario import Throughout
from sim.truth import TRUTH_S, Truth

LIMIT_MARGIN_RAD = 0.06  # beyond the file's angles: a servo droops under load (tests/sim/test_tip_over.py)
SPEED_MARGIN = 1.25  # times the file's: a servo that is given a step every 20 ms runs after each
SPEED_WINDOW = 4  # truths: two servo frames
MOST_TILT_RAD = math.radians(1.0)
REST_RAD_S = 0.02  # slower is rest
SETTLE_S = 0.3  # from the last pulse that changes to rest: dead time, and ten time constants of a servo
PARKS_S = 5.0  # a board that hears nothing goes to its rest pose after so long, slowly
STOPS_S = 0.25  # from the first report that it is stopped: what was said just before may still be carried out
LETS_GO_S = 0.6  # after the button is let go, somebody releases the stop
BATCH = 100  # truths judged at once
BALANCE_BATCH = 1000  # of moments: it costs hardly more than one
OVERLAP = 2 * SPEED_WINDOW  # of one batch with the next, for speeds and their changes
NOTICES_S: dict[type[Fault], float] = {
    LinkCut: 1.0,
    CameraGone: 1.0,
    CallGone: 1.0,
    CameraHung: 3.0,
    CameraFrozen: 2.0,
}  # shorter ones need not be said

Array = NDArray[np.float64]


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What the robot lets a person know of itself at a time."""

    time_s: float
    is_link_up: bool = True
    is_camera_up: bool = True
    is_stopped: bool = False
    late_s: float = 0.0  # its motion, at worst in the last second
    has_somebody: bool = True  # it says that it looks at somebody
    warned_s: float = -math.inf  # when it last warned of anything


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """How long after a fault the last pulse changed."""

    fault: str
    at_s: float
    rest_s: float


class _Aftermath:
    """One fault, and what followed."""

    def __init__(self, fault: Fault, throughout: Throughout) -> None:
        self.fault = fault
        self.well_s = fault.end_s + (LETS_GO_S if isinstance(fault, StopButton) else 0.0)
        self.says_by_s = fault.at_s + throughout.said_within_s
        self.moves_by_s = self.well_s + throughout.moves_again_within_s
        self.rests_until_s = _rests_until(fault)
        self.last_change_s: float | None = None
        self.is_said = not _is_to_be_said(fault)
        self.has_moved = False
        self.is_closed = False

    @property
    def must_rest(self) -> bool:
        return self.rests_until_s > self.fault.at_s


def _rests_until(fault: Fault) -> float:
    """Until when nothing may move; a fault's own time where it stops nothing."""
    match fault:
        case StopButton():
            return fault.end_s
        case LinkCut() | HostStall():
            return min(fault.end_s, fault.at_s + PARKS_S)
        case _:
            return fault.at_s


def _is_to_be_said(fault: Fault) -> bool:
    """A weak supply cannot be felt by a body without sensors, and a line that copes with its noise says nothing."""
    return not isinstance(fault, BrownOut | LinkNoise) and fault.end_s - fault.at_s >= NOTICES_S.get(
        type(fault), 0.0
    )


def _says(signs: Signs, fault: Fault) -> bool:
    """Whether the robot's signs tell of this fault."""
    match fault:
        case LinkCut() | BoardReset():
            return not signs.is_link_up
        case StopButton():
            return signs.is_stopped
        case CameraHung() | CameraGone() | CameraFrozen():
            return not signs.is_camera_up
        case CameraBlack() | Dark():
            return not (signs.is_camera_up and signs.has_somebody)
        case HostStall():
            return signs.late_s > fault.for_s / 2
        case ClockJump():
            return signs.late_s > fault.by_s / 2
        case CallGone() | BrokerDead():
            return signs.warned_s >= fault.at_s
        case _:
            return True


class Invariants:
    """Sees the truth and the robot's signs go by, in the order of their times, and notes what did not hold."""

    def __init__(self, body: Body, faults: tuple[Fault, ...], throughout: Throughout, start_s: float) -> None:
        self._body = body
        self._throughout = throughout
        self._start_s = start_s
        self._aftermaths = [_Aftermath(fault, throughout) for fault in faults]
        self._batch: list[Truth] = []
        self._moments: list[Array] = []  # times, angles, speeds and their changes, one row each
        self._last: Truth | None = None
        self._changes: deque[float] = deque()  # of pulses, in the last seconds
        self._stopped_s: float | None = None
        self._failures: dict[tuple[str, str], tuple[float, str]] = {}
        self._joint_low = np.array([joint.min_rad for joint in body.joint]) - LIMIT_MARGIN_RAD
        self._joint_high = np.array([joint.max_rad for joint in body.joint]) + LIMIT_MARGIN_RAD
        self._joint_speed = np.array([joint.max_velocity_rad_s for joint in body.joint])
        self.most_speed_share = 0.0
        self.least_margin_m: float | None = None
        self.most_tilt_rad: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """What did not hold, the first time of each kind, in the order of time."""
        return tuple(f"at {time_s:.2f} s: {what}" for time_s, what in sorted(self._failures.values()))

    @property
    def rests(self) -> tuple[Rest, ...]:
        """When the pulses stood after each fault that stops them."""
        return tuple(
            Rest(
                fault=after.fault.name,
                at_s=after.fault.at_s,
                rest_s=max((after.last_change_s or 0.0) - after.fault.at_s, 0.0),
            )
            for after in self._aftermaths
            if after.must_rest
        )

    def see_truth(self, truth: Truth) -> None:
        """Where everything truly is now."""
        time_s = truth.time_s - self._start_s
        last, self._last = self._last, truth
        if last is not None and last.pulse_us != truth.pulse_us:
            self._changes.append(time_s)
            while self._changes[0] < time_s - 2.0:
                self._changes.popleft()
            for after in self._aftermaths:
                self._changed(after, time_s)
        if truth.tilt_rad is not None:
            self.most_tilt_rad = max(self.most_tilt_rad or 0.0, truth.tilt_rad)
            if truth.tilt_rad > MOST_TILT_RAD:
                tilt_deg, most_deg = math.degrees(truth.tilt_rad), math.degrees(MOST_TILT_RAD)
                self._fail(
                    "tilt", "", time_s, f"the robot tipped by {tilt_deg:.1f}°, more than {most_deg:.0f}°"
                )
        self._batch.append(truth)
        if len(self._batch) >= BATCH + OVERLAP:
            self._judge_batch()

    def see_signs(self, signs: Signs) -> None:
        """What the robot says of itself now."""
        time_s = signs.time_s - self._start_s
        warned_s = signs.warned_s - self._start_s
        here = msgspec.structs.replace(signs, time_s=time_s, warned_s=warned_s)
        self._judge_stop(here)
        for after in self._aftermaths:
            if not after.is_closed and time_s >= after.fault.at_s:
                self._judge_aftermath(after, here)

    def end(self) -> None:
        """The run is over; judge what is left."""
        self._judge_batch()
        self._judge_balance()

    def _changed(self, after: _Aftermath, time_s: float) -> None:
        if after.fault.at_s < time_s <= after.rests_until_s:
            after.last_change_s = time_s
            rest_s = time_s - after.fault.at_s
            allowed_s = self._throughout.rest_after_fault_s
            if rest_s > allowed_s:
                self._fail(
                    "rest",
                    str(after.fault.at_s),
                    time_s,
                    f"pulses still changed {rest_s:.2f} s after {after.fault.name}, not at rest within {allowed_s:g} s",
                )
        elif time_s > after.well_s:
            after.has_moved = True

    def _judge_stop(self, signs: Signs) -> None:
        if not signs.is_stopped:
            self._stopped_s = None
            return
        if self._stopped_s is None:
            self._stopped_s = signs.time_s
        for change_s in self._changes:
            if self._stopped_s + STOPS_S < change_s <= signs.time_s:
                self._fail("stop", "", change_s, f"it moved while stopped, since {self._stopped_s:.2f} s")

    def _judge_aftermath(self, after: _Aftermath, signs: Signs) -> None:
        name, place = after.fault.name, str(after.fault.at_s)
        after.is_said = after.is_said or _says(signs, after.fault)
        if not after.is_said and signs.time_s > after.says_by_s:
            after.is_said = True
            self._fail("said", place, signs.time_s, f"{name} at {after.fault.at_s:g} s was not said")
        if signs.time_s <= after.moves_by_s:
            return
        after.is_closed = True
        late_s = signs.time_s - after.well_s
        if not after.has_moved:
            self._fail("moves", place, signs.time_s, f"it has not moved again {late_s:.1f} s after {name}")
        for is_well, what in (
            (signs.is_link_up, "the link is still down"),
            (signs.is_camera_up, "the camera is still gone"),
            (not signs.is_stopped, "it is still stopped"),
        ):
            if not is_well and not self._is_under_a_fault(signs.time_s):
                self._fail(what, place, signs.time_s, f"{what} {late_s:.1f} s after {name}")

    def _is_under_a_fault(self, time_s: float) -> bool:
        return any(after.fault.at_s <= time_s <= after.moves_by_s for after in self._aftermaths)

    def _judge_batch(self) -> None:
        """Angles, speeds, rest and balance of the truths since the last time."""
        batch, self._batch = self._batch, self._batch[-OVERLAP:]
        if len(batch) <= OVERLAP:
            return
        times = np.array([truth.time_s for truth in batch]) - self._start_s
        angles = np.array([truth.angles_rad for truth in batch])
        self._judge_angles(times, angles)
        window_s = (times[SPEED_WINDOW:] - times[:-SPEED_WINDOW])[:, None]
        speeds = (angles[SPEED_WINDOW:] - angles[:-SPEED_WINDOW]) / window_s
        self._judge_speeds(times[SPEED_WINDOW:], speeds)
        middle = slice(SPEED_WINDOW, -SPEED_WINDOW)
        changes = (speeds[SPEED_WINDOW:] - speeds[:-SPEED_WINDOW]) / (SPEED_WINDOW * TRUTH_S)
        middle_speeds = (speeds[SPEED_WINDOW:] + speeds[:-SPEED_WINDOW]) / 2
        self._moments.append(np.column_stack([times[middle], angles[middle], middle_speeds, changes]))
        if sum(map(len, self._moments)) >= BALANCE_BATCH:
            self._judge_balance()

    def _judge_angles(self, times: Array, angles: Array) -> None:
        for row, place in itertools.islice(
            np.argwhere((angles < self._joint_low) | (angles > self._joint_high)), 1
        ):
            joint = self._body.joint[place]
            self._fail(
                "angle",
                joint.name,
                float(times[row]),
                f"{joint.name} was at {angles[row, place]:.2f} rad, "
                f"outside {joint.min_rad:g} to {joint.max_rad:g} by more than {LIMIT_MARGIN_RAD:g}",
            )

    def _judge_speeds(self, times: Array, speeds: Array) -> None:
        shares = np.abs(speeds) / self._joint_speed
        self.most_speed_share = max(self.most_speed_share, float(shares.max()))
        for row, place in itertools.islice(np.argwhere(shares > SPEED_MARGIN), 1):
            joint = self._body.joint[place]
            self._fail(
                "speed",
                joint.name,
                float(times[row]),
                f"{joint.name} moved at {abs(speeds[row, place]):.2f} rad/s, "
                f"faster than {SPEED_MARGIN:g} × {joint.max_velocity_rad_s:g}",
            )
        for after in self._aftermaths:
            rests_s = after.fault.at_s + self._throughout.rest_after_fault_s + SETTLE_S
            is_rest = (times > rests_s + SPEED_WINDOW * TRUTH_S) & (times <= after.rests_until_s)
            for row, place in itertools.islice(
                np.argwhere(is_rest[:, None] & (np.abs(speeds) > REST_RAD_S)), 1
            ):
                self._fail(
                    "settle",
                    str(after.fault.at_s),
                    float(times[row]),
                    f"{self._body.joint[place].name} still moved at {abs(speeds[row, place]):.2f} rad/s "
                    f"{times[row] - after.fault.at_s:.2f} s after {after.fault.name}",
                )

    def _judge_balance(self) -> None:
        """How near the joints' motion came to tipping it, though it may not have; the base rests or rolls evenly."""
        if not self._moments:
            return
        rows = np.concatenate(self._moments)
        self._moments.clear()
        times, (angles, speeds, changes) = rows[:, 0], np.split(rows[:, 1:], 3, axis=1)
        margins = zmp_margins(self._body, angles, speeds, changes, np.zeros((len(rows), 4)))
        worst = int(np.argmin(margins))
        least_m = float(margins[worst])
        if self.least_margin_m is None or least_m < self.least_margin_m:
            self.least_margin_m = least_m
        if least_m < self._throughout.min_margin_m:
            self._fail(
                "balance",
                "",
                float(times[worst]),
                f"the zero-moment point was {least_m * 1e3:.0f} mm inside the edge, "
                f"less than {self._throughout.min_margin_m * 1e3:.0f}",
            )

    def _fail(self, kind: str, place: str, time_s: float, what: str) -> None:
        self._failures.setdefault((kind, place), (time_s, what))
