"""A head's movement as a signal that the robot copies, and as gestures: yes, no, a tilt.

The signal is the pose less the person's own neutral, which is learned while the head is calm. Each axis
sticks: on a still face it does not move at all, and once the head moves further than the noise it follows
without delay and at full size. A gesture is a matter of swings: there and back and there again, quickly.
"""

import math
from typing import Literal

import msgspec

from agent.events import Gesture, HeadPose, NodSignal

Angles = tuple[float, float, float]
"""Pitch, yaw and roll, radians."""

_LONGEST_STEP_S = 0.5  # after a longer gap between frames the old movement says nothing


class NodConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds; measured on film of faces 75 px high, where a pose has noise of .45° in pitch."""

    stick_rad: float = 0.02  # 1.1°: 2.5 times that noise
    calm_s: float = 0.3  # within twice that for so long: still
    catch_up_s: float = 0.04  # how fast the first step out of stillness is taken
    calm_rad_s: float = 0.17  # the neutral is learned below this speed; the noise alone looks like .07
    trail_s: float = 0.15
    neutral_mean_s: float = 0.7  # the mean of so much calm is the first neutral;
    neutral_growth: float = 4.0  # then its memory is this many times what is known
    neutral_most_s: float = 15.0  # somebody who looks aside for 3 s keeps four fifths of it
    hold_s: float = 0.4  # without a face the last pose is kept this long, with falling confidence
    turn_rad: float = 0.044  # 2.5° back: a swing has ended
    swing_least_rad: float = 0.087  # 5°: smaller swings are talking and laughing
    swing_most_s: float = 0.45  # slower ones are looking around
    swings: int = 3  # two are also a glance down and up again
    main_axis: float = 1.5  # times that the other axis must swing less
    gesture_gap_s: float = 1.0
    tilt_rad: float = 0.21  # 12° on one side,
    tilt_s: float = 0.4  # for so long, then back to half before the next


class _Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What of one angle goes out. `residual` is the rest of the step out of stillness."""

    is_stuck: bool = True
    out_rad: float = 0.0
    residual_rad: float = 0.0
    low_rad: float = 0.0
    high_rad: float = 0.0
    calm_s: float = 0.0


class _Swing(msgspec.Struct, frozen=True, kw_only=True):
    size_rad: float
    start_s: float
    end_s: float


class _Swings(msgspec.Struct, frozen=True, kw_only=True):
    """The turning points of one angle. A swing runs from the last one (`from_`) to the furthest since."""

    direction: Literal[-1, 0, 1] = 0
    from_rad: float = 0.0
    from_s: float = 0.0
    far_rad: float = 0.0
    far_s: float = 0.0
    done: tuple[_Swing, ...] = ()

    @property
    def all(self) -> tuple[_Swing, ...]:
        size_rad = abs(self.far_rad - self.from_rad)
        return (*self.done, _Swing(size_rad=size_rad, start_s=self.from_s, end_s=self.far_s))


class NodState(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of one head. `step` gives a new one and changes none."""

    clock_s: float = 0.0  # since this movement began; swings are timed by it
    trail: Angles | None = None  # a short memory of the pose; None before the first
    neutral: Angles = (0.0, 0.0, 0.0)
    learned_s: float = 0.0
    missed_s: float = 0.0
    axes: tuple[_Axis, _Axis, _Axis] = (_Axis(), _Axis(), _Axis())
    pitch: _Swings | None = None
    yaw: _Swings | None = None
    gesture_s: float = -math.inf  # when the last gesture was told
    tilted_s: float = 0.0
    is_tilt_told: bool = False


def start() -> NodState:
    """The state of a head not seen yet."""
    return NodState()


def step(
    state: NodState, pose: HeadPose | None, time_s: float, dt_s: float, config: NodConfig | None = None
) -> tuple[NodState, NodSignal | None, tuple[Gesture, ...]]:
    """Take up the pose in the frame taken at `time_s`, `dt_s` after the last; None is no face.

    The signal is None without a head. `time_s` is only the stamp of what comes out.
    """
    config = config or NodConfig()
    if not math.isfinite(time_s):
        return state, None, ()
    if not 0.0 <= dt_s <= _LONGEST_STEP_S:
        state, dt_s = _between(state), 0.0
    state = msgspec.structs.replace(state, clock_s=state.clock_s + dt_s)
    angles = None if pose is None else (float(pose.pitch_rad), float(pose.yaw_rad), float(pose.roll_rad))
    if angles is None or not all(map(math.isfinite, angles)):
        return _without(state, time_s, dt_s, config)
    state = _learn(state, angles, dt_s, config)
    off = (angles[0] - state.neutral[0], angles[1] - state.neutral[1], angles[2] - state.neutral[2])
    pitch, yaw, roll = (_follow(axis, x, dt_s, config) for axis, x in zip(state.axes, off, strict=True))
    state = msgspec.structs.replace(
        state,
        axes=(pitch, yaw, roll),
        pitch=_swing(state.pitch, angles[0], state.clock_s, config),
        yaw=_swing(state.yaw, angles[1], state.clock_s, config),
        missed_s=0.0,
    )
    state, gestures = _gestures(state, roll.out_rad, time_s, dt_s, config)
    return state, _signal(state, time_s, 1.0), gestures


def _without(
    state: NodState, time_s: float, dt_s: float, config: NodConfig
) -> tuple[NodState, NodSignal | None, tuple[Gesture, ...]]:
    missed_s = state.missed_s + dt_s
    if state.trail is None or missed_s > config.hold_s:
        return _between(state), None, ()
    state = msgspec.structs.replace(state, missed_s=missed_s)
    return state, _signal(state, time_s, 1.0 - missed_s / config.hold_s), ()


def _between(state: NodState) -> NodState:
    """After a long gap the neutral is still the person's; the movement is not."""
    return NodState(neutral=state.neutral, learned_s=state.learned_s)


def _signal(state: NodState, time_s: float, confidence: float) -> NodSignal:
    pitch, yaw, roll = (axis.out_rad for axis in state.axes)
    pose = HeadPose(pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll)
    return NodSignal(time_s=time_s, pose=pose, confidence=confidence)


def _learn(state: NodState, angles: Angles, dt_s: float, config: NodConfig) -> NodState:
    """Move the neutral towards a calm head; the longer it was learned, the slower."""
    neutral, learned_s = state.neutral, state.learned_s
    if learned_s == 0.0:
        neutral = angles
    # How far a short memory lags behind is the speed; unlike a difference of two frames it averages noise.
    trail = _towards(state.trail or angles, angles, dt_s, config.trail_s)
    if math.dist(trail, angles) < config.calm_rad_s * config.trail_s:
        # First a plain mean, because a single pose is noisy; then ever slower.
        growth = 1.0 if learned_s < config.neutral_mean_s else config.neutral_growth
        memory_s = max(1e-3, min(growth * learned_s, config.neutral_most_s))
        neutral = _towards(neutral, angles, dt_s, memory_s)
        learned_s = min(learned_s + max(dt_s, 1e-6), config.neutral_most_s)
    return msgspec.structs.replace(state, trail=trail, neutral=neutral, learned_s=learned_s)


def _towards(old: Angles, new: Angles, dt_s: float, memory_s: float) -> Angles:
    share = 1.0 - math.exp(-dt_s / memory_s)
    pitch, yaw, roll = (a + share * (b - a) for a, b in zip(old, new, strict=True))
    return pitch, yaw, roll


def _follow(axis: _Axis, x_rad: float, dt_s: float, config: NodConfig) -> _Axis:
    """One angle with stiction; what goes out is never further than that from the head."""
    low_rad, high_rad = min(axis.low_rad, x_rad), max(axis.high_rad, x_rad)
    calm_s = axis.calm_s + dt_s
    if high_rad - low_rad > 2 * config.stick_rad:
        low_rad, high_rad, calm_s = x_rad, x_rad, 0.0
    is_stuck, out_rad, residual_rad = axis.is_stuck, axis.out_rad, axis.residual_rad
    if is_stuck and abs(x_rad - out_rad) > config.stick_rad:
        is_stuck, residual_rad, calm_s = False, math.copysign(config.stick_rad, x_rad - out_rad), 0.0
        low_rad = high_rad = x_rad
    if not is_stuck:
        residual_rad *= math.exp(-dt_s / config.catch_up_s)
        out_rad = x_rad - residual_rad
        is_stuck = calm_s >= config.calm_s
    return _Axis(
        is_stuck=is_stuck,
        out_rad=out_rad,
        residual_rad=residual_rad,
        low_rad=low_rad,
        high_rad=high_rad,
        calm_s=calm_s,
    )


def _swing(swings: _Swings | None, x_rad: float, clock_s: float, config: NodConfig) -> _Swings:
    """Follow one angle from turning point to turning point."""
    if swings is None:
        return _Swings(from_rad=x_rad, from_s=clock_s, far_rad=x_rad, far_s=clock_s)
    if swings.direction == 0:
        if abs(x_rad - swings.from_rad) <= config.turn_rad:
            return msgspec.structs.replace(swings, from_s=clock_s)
        direction: Literal[-1, 1] = 1 if x_rad > swings.from_rad else -1
        return msgspec.structs.replace(swings, direction=direction, far_rad=x_rad, far_s=clock_s)
    back_rad = swings.direction * (swings.far_rad - x_rad)
    if back_rad > config.turn_rad:
        swing = swings.all[-1]
        recent = tuple(old for old in swings.done[-config.swings :] if clock_s - old.end_s < 2.0)
        return _Swings(
            direction=1 if swings.direction == -1 else -1,
            from_rad=swings.far_rad,
            from_s=swings.far_s,
            far_rad=x_rad,
            far_s=clock_s,
            done=(*recent, swing),
        )
    if back_rad < 0.0:
        return msgspec.structs.replace(swings, far_rad=x_rad, far_s=clock_s)
    if back_rad < config.turn_rad / 2:
        # A pause at the far end belongs to neither swing.
        return msgspec.structs.replace(swings, far_s=clock_s)
    return swings


def _gestures(
    state: NodState, roll_rad: float, time_s: float, dt_s: float, config: NodConfig
) -> tuple[NodState, tuple[Gesture, ...]]:
    told: list[Gesture] = []
    gesture_s = state.gesture_s
    clock_s, pitch, yaw = state.clock_s, state.pitch, state.yaw
    assert pitch is not None and yaw is not None
    kinds: tuple[tuple[Literal["yes", "no"], _Swings, _Swings], ...] = (
        ("yes", pitch, yaw),
        ("no", yaw, pitch),
    )
    for kind, main, other in kinds:
        size_rad = _swung(main, clock_s, config)
        if size_rad is None or clock_s - gesture_s < config.gesture_gap_s:
            continue
        since_s = main.all[-config.swings].start_s
        aside_rad = sum(swing.size_rad for swing in other.all if swing.end_s > since_s)
        if size_rad < config.main_axis * aside_rad:
            continue
        confidence = min(1.0, size_rad / config.swings / (2 * config.swing_least_rad))
        told.append(Gesture(time_s=time_s, kind=kind, confidence=confidence))
        gesture_s = clock_s
    tilted_s, is_tilt_told = state.tilted_s, state.is_tilt_told
    tilted_s = tilted_s + dt_s if abs(roll_rad) >= config.tilt_rad else 0.0
    if is_tilt_told and abs(roll_rad) < config.tilt_rad / 2:
        is_tilt_told = False
    elif not is_tilt_told and tilted_s >= config.tilt_s:
        is_tilt_told = True
        told.append(
            Gesture(time_s=time_s, kind="tilt", confidence=min(1.0, abs(roll_rad) / (2 * config.tilt_rad)))
        )
    state = msgspec.structs.replace(state, gesture_s=gesture_s, tilted_s=tilted_s, is_tilt_told=is_tilt_told)
    return state, tuple(told)


def _swung(swings: _Swings, clock_s: float, config: NodConfig) -> float | None:
    """The sum of the last swings if they make a gesture: enough, large, quick, close together, just now."""
    last = swings.all[-config.swings :]
    if len(last) < config.swings or clock_s - last[-1].end_s > config.swing_most_s:
        return None
    for swing in last:
        if swing.size_rad < config.swing_least_rad or swing.end_s - swing.start_s > config.swing_most_s:
            return None
    pauses_s = [later.start_s - earlier.end_s for earlier, later in zip(last, last[1:], strict=False)]
    if max(pauses_s, default=0.0) > config.swing_most_s:
        return None
    return sum(swing.size_rad for swing in last)
