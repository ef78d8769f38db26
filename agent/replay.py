"""Replay: today's decisions on what a recording saw and heard, beside the decisions of then.

The steps that decide are pure, and the recording holds what they were given (`glance`, `sight`, `orders`), so code
that decides the same gives no difference. After a gap it begins anew at the next state that was written down.
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from agent import gaze, nod
from agent.body import view_shift
from agent.events import Aim, Box, Gesture, Lock, NodSignal, Order, Reply, Sight
from agent.eyes import aim_at, caller_pose
from agent.gaze import GazeState
from agent.glance import CallGlance, Glance, S, unpacked
from agent.nod import NodConfig, NodState
from agent.pictures import Shown, with_images
from agent.plan import Plan
from agent.planner import AGREEING, Planner, check_order
from agent.record_format import HEAD_DIGITS, POINT_DIGITS
from agent.recording import Message, Recording
from agent.sentences import is_stop
from agent.suspects import GazeConfig
from agent.vision import Vision, VisionConfig
from drivers import body as bodies
from drivers.body import Body, camera_pose
from drivers.camera import Lens
from drivers.errors import ConfigError, PlanError

NEAR_SHARE = 0.5  # of a face's width: a face found within this of a recorded one is the same
SMALL_PX = 32.0  # faces narrower than this in the recorded picture can't be expected to be found
SAME_RAD, SAME_POINT = 2 / 10**HEAD_DIGITS, 2 / 10**POINT_DIGITS  # what rounding takes away
MOST_APART_S = 0.02  # between a picture and the sight that is compared with it


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that is another one now."""

    time_s: float
    channel: str
    recorded: str
    now: str


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a replay: the decisions compared, by channel, the differences, and what was not judged and why."""

    compared: dict[str, int] = {}
    differences: list[Difference] = []
    notes: list[str] = []


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """What the steps decide by; today's unless a test or a trial says otherwise."""

    gaze: GazeConfig = GazeConfig()
    nod: NodConfig = NodConfig()


def replay(
    recording: Recording, thresholds: Thresholds | None = None, *, has_pixels: bool = False
) -> Outcome:
    """Decide everything again. Raises ConfigError if the recording lacks what is needed."""
    outcome = Outcome()
    compare = _Compare(outcome)
    thresholds = thresholds or Thresholds()
    judges: list[Callable[[Message], None]] = [
        _Lock(_body(recording), thresholds.gaze, compare).take,
        _Nod(thresholds.nod, compare).take,
        _Orders(compare).take,
    ]
    if has_pixels:
        judges.append(_Pixels(compare).take)
    messages = recording.messages()
    for message in with_images(messages) if has_pixels else messages:
        for judge in judges:
            judge(message)
    if not outcome.compared:
        raise ConfigError(
            f"{recording.path}: it holds no decision that could be replayed; record with this Nod"
        )
    outcome.notes += recording.notes
    return outcome


def _body(recording: Recording) -> Body:
    """The body of then. Raises ConfigError if the recording has none, or one that today's rules refuse."""
    data = recording.attachment("body.toml")
    if data is None:
        raise ConfigError(
            f"{recording.path}: its start, with the robot's body, is missing; it can't be replayed"
        )
    with tempfile.TemporaryDirectory(prefix="nod-replay-") as folder:
        file = Path(folder) / "body.toml"
        file.write_bytes(data)
        return bodies.load(file)


class _Compare:
    """Counts what is compared, and keeps what differs."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def __call__(self, time_s: float, channel: str, recorded: str, now: str) -> None:
        compared = self._outcome.compared
        compared[channel] = compared.get(channel, 0) + 1
        if recorded != now:
            self._outcome.differences.append(
                Difference(time_s=time_s, channel=channel, recorded=recorded, now=now)
            )

    def note(self, text: str) -> None:
        if text not in self._outcome.notes:
            self._outcome.notes.append(text)


class _Lock:
    """Whom to look at, and where that is."""

    def __init__(self, body: Body, config: GazeConfig, compare: _Compare) -> None:
        self._body = body
        self._config = config
        self._compare = compare
        self._state: GazeState | None = None
        self._last: Glance | None = None
        self._glance: Glance | None = None
        self._sight: Sight | None = None
        self._is_aim_open = False  # it was decided anew, and the recorded one has not come yet
        self._aim: Aim | None = None

    def take(self, message: Message) -> None:
        match message.channel, message.value:
            case "glance", Glance() as glance:
                self._close(None)
                self._glance, self._sight = glance, None
            case "sight", Sight() as sight:
                self._sight = sight
            case "lock", Lock() as lock:
                self._decide(message.time_s, lock)
            case "aim", Aim() as aim:
                self._close(aim)
            case _:
                pass

    def _decide(self, time_s: float, recorded: Lock) -> None:
        glance, sight, last = self._glance, self._sight, self._last
        self._glance, self._last = None, glance
        if glance is None or sight is None or glance.time_s != sight.time_s:
            self._state = None
            return
        follows = last is not None and glance.count == last.count + 1
        if self._state is not None and follows and last is not None:
            views = [camera_pose(self._body, one.angles_rad) for one in (last, glance)]
            self._state = gaze.shifted(self._state, view_shift(glance.lens, *views))
        else:
            self._state = _begin(glance, GazeState(), self._compare)
        if self._state is None:
            return
        self._state, now = gaze.step(self._state, sight, glance.command, glance.dt_s, self._config)
        self._compare(time_s, "lock", _lock_text(recorded), _lock_text(now))
        self._aim = aim_at(self._body, glance, sight, now)
        self._is_aim_open = True

    def _close(self, recorded: Aim | None) -> None:
        if not self._is_aim_open:
            return
        self._is_aim_open = False
        now = self._aim
        some = recorded or now
        if some is None:
            return
        if recorded is not None and now is not None:
            gap_m = math.dist(recorded.point_m, now.point_m)
            if gap_m < SAME_POINT:
                now = recorded
        self._compare(some.time_s, "aim", _aim_text(recorded), _aim_text(now))


class _Nod:
    """The caller's head as the robot copies it, and the gestures it was taken for."""

    def __init__(self, config: NodConfig, compare: _Compare) -> None:
        self._config = config
        self._compare = compare
        self._state: NodState | None = None
        self._count = -1
        self._glance: CallGlance | None = None
        self._time_s = 0.0
        self._is_signal_open = False
        self._signal: NodSignal | None = None
        self._gestures: list[str] = []

    def take(self, message: Message) -> None:
        match message.channel, message.value:
            case "call_glance", CallGlance() as glance:
                self._close(None)
                self._glance = glance
            case "call_sight", Sight() as sight:
                self._decide(sight)
            case "nod", NodSignal() as signal:
                self._close(signal)
            case "gesture", Gesture() as gesture:
                self._compare_gesture(gesture)
            case _:
                pass

    def _decide(self, sight: Sight) -> None:
        glance, self._glance = self._glance, None
        if glance is None or glance.time_s != sight.time_s:
            self._state = None
            return
        if self._state is None or glance.count != self._count + 1:
            self._state = _begin(glance, nod.start(), self._compare)
            if self._state is None:
                return
        self._count = glance.count
        self._state, signal, gestures = nod.step(
            self._state, caller_pose(sight), glance.time_s, glance.dt_s, self._config
        )
        self._time_s, self._signal, self._is_signal_open = glance.time_s, signal, True
        self._gestures = [gesture.kind for gesture in gestures]

    def _compare_gesture(self, recorded: Gesture) -> None:
        if self._state is None:
            return
        is_made = recorded.kind in self._gestures
        if is_made:
            self._gestures.remove(recorded.kind)
        self._compare(recorded.time_s, "gesture", recorded.kind, recorded.kind if is_made else "none")

    def _close(self, recorded: NodSignal | None) -> None:
        if self._is_signal_open and (recorded is not None or self._signal is not None):
            now = self._signal
            if recorded is not None and now is not None and _is_same(recorded, now):
                now = recorded
            self._compare(self._time_s, "nod", _nod_text(recorded), _nod_text(now))
        self._is_signal_open = False
        if recorded is None:
            for kind in self._gestures:
                self._compare(self._time_s, "gesture", "none", kind)
            self._gestures = []


class _Orders:
    """What the fast path makes of each order; the model's plans are not made again."""

    def __init__(self, compare: _Compare) -> None:
        self._compare = compare
        self._planner = Planner()
        self._waiting: dict[str, Order] = {}

    def take(self, message: Message) -> None:
        match message.channel, message.value:
            case "orders", Order() as order:
                self._waiting[order.id] = order
            case "reply", Reply() as reply if reply.order_id in self._waiting:
                self._judge(self._waiting.pop(reply.order_id), reply)
            case _:
                pass

    def _judge(self, order: Order, first: Reply) -> None:
        if order.text.lower().strip(" .!") in AGREEING:
            self._compare.note("orders such as “yes” agree to what the model proposed, and were not judged")
            return
        is_known = first.kind == "plan" and not first.last
        recorded = first.text if is_known else "stop" if first.text == "I stopped" else "for the model"
        self._compare(order.time_s, "orders", recorded, self._now(order.text))

    def _now(self, text: str) -> str:
        if is_stop(text):
            return "stop"
        try:
            step = self._planner.sentences.recognise(check_order(text))
        except PlanError:
            step = None
        return "for the model" if step is None else self._planner.language.print(Plan((step,)))


class _Pixels:
    """Vision on the recorded pictures: whether each face that was seen then, and is large enough, is found now."""

    def __init__(self, compare: _Compare) -> None:
        self._compare = compare
        self._vision: Vision | None = None
        self._pictures: list[
            tuple[float, float, Sight]
        ] = []  # time, scale to the camera's pixels, what is found

    def take(self, message: Message) -> None:
        match message.channel, message.value:
            case "frames", Shown() as shown:
                self._look(message.time_s, shown)
            case "sight", Sight() as sight:
                while self._pictures and self._pictures[0][0] < sight.time_s - MOST_APART_S:
                    self._pictures.pop(0)
                if self._pictures and abs(self._pictures[0][0] - sight.time_s) < MOST_APART_S:
                    self._judge(sight, *self._pictures.pop(0)[1:])
            case _:
                pass

    def _look(self, time_s: float, shown: Shown) -> None:
        picture, image = shown.picture, shown.image
        if image is None:
            return
        height_px, width_px = image.shape[:2]
        if self._vision is None:
            lens = Lens(width_px=width_px, height_px=height_px, focal_px=0.87 * width_px)
            self._vision = Vision(lens, identity=False, config=VisionConfig(detect_every=1))
        scale = picture.width_px / width_px
        if scale > 1.0:
            self._compare.note(
                f"the pictures were kept {scale:g} times smaller than vision saw them: some faces get lost in that"
            )
        self._pictures.append((time_s, scale, self._vision.see(image, time_s, picture.index)))

    def _judge(self, recorded: Sight, scale: float, now: Sight) -> None:
        found = [np.array(_middle(face.box, scale)) for face in now.faces]
        for face in recorded.faces:
            if face.box.width_px / scale < SMALL_PX:
                continue
            middle = np.array(_middle(face.box, 1.0))
            is_found = any(np.linalg.norm(one - middle) < NEAR_SHARE * face.box.width_px for one in found)
            place = f"a face at {middle[0]:.0f}, {middle[1]:.0f}"
            self._compare(recorded.time_s, "frames", place, place if is_found else "no face there")


def _begin(glance: Glance | CallGlance, first: S, compare: _Compare) -> S | None:
    """The state that was written down with a glance; None if there is none, or it can't be read."""
    if glance.state is None:
        return None
    state = unpacked(glance.state, type(first))
    if state is not None or glance.count == 0:
        return state or first
    compare.note(
        "what the robot knew then was written by another version: it is replayed from its start only"
    )
    return None


def _middle(box: Box, scale: float) -> tuple[float, float]:
    return scale * (box.x_px + box.width_px / 2), scale * (box.y_px + box.height_px / 2)


def _is_same(one: NodSignal, other: NodSignal) -> bool:
    """Whether they differ by no more than the digits that are recorded."""
    pairs = zip(msgspec.structs.astuple(one.pose), msgspec.structs.astuple(other.pose), strict=True)
    gap_rad = max(abs(a - b) for a, b in pairs)
    gap = abs(one.confidence - other.confidence)
    return bool(gap_rad < SAME_RAD and gap < SAME_POINT)


def _lock_text(lock: Lock) -> str:
    face = "nobody" if lock.face is None else f"face {lock.face}"
    return f"{lock.phase}, {face}: {lock.reason}"


def _aim_text(aim: Aim | None) -> str:
    return "none" if aim is None else "({:.2f}, {:.2f}, {:.2f}) m".format(*aim.point_m)


def _nod_text(signal: NodSignal | None) -> str:
    if signal is None:
        return "none"
    pose = signal.pose
    return f"pitch {pose.pitch_rad:.3f}, yaw {pose.yaw_rad:.3f}, roll {pose.roll_rad:.3f} rad"
