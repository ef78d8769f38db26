"""Everybody who moves in a room, together, on a grid of 50 ms: walking, sitting down, doors, turning.

`Crowd.at(tick)` is a pure function of seed and time. States are frozen, a step makes new ones out of those of
the tick before, and what was stepped over is made again from the last state that was kept.
"""

import math
from collections import OrderedDict
from enum import Enum, auto

import msgspec

from sim.gestures import between, smooth
from sim.minds import ComeIn, Gaze, GetUp, GoOut, GoTo, Mind, Rest, SitOn, Wish
from sim.paths import Ground
from sim.places import Places, Point
from sim.walking import IsFree, Walker, pick_velocity

TICK_S = 0.05
CHUNK_TICKS = 600  # half a minute: states at each chunk's start are kept for good, whole chunks for a while
CHUNKS_KEPT = 4
SIT_S = 1.0  # to sit down, and to stand up again
SEATED_EYES = 0.47  # of the standing height of the eyes, above the seat
NECK_RAD = 1.1  # the head turns no farther from the body
EASY_NECK_RAD = 0.35  # and the body follows until it is so near
HEAD_PER_S, HEAD_RAD_S = 7.0, 4.0  # natural frequency (critically damped), fastest turn
BODY_PER_S, BODY_RAD_S = 5.0, 3.0
STILL_RAD, STILL_RAD_S = 1e-4, 1e-3  # nobody sees less
ARRIVED_M = 0.04
CROWDED_M = 0.75  # somebody stands on the goal: so near is arrived
PATIENCE_S = 1.0  # blocked for so long, another way is looked for
DOORWAY_M = 0.8  # nobody comes in while somebody is so near the door
STRIDE_M = 0.7  # two steps of a walking adult with eyes at 1.6 m are twice as long


class Doing(Enum):
    """What a body does."""

    STANDING = auto()  # or resting; the mind is asked what to do next
    WALKING = auto()  # along the way in `way`; what for stands in `wish`
    SITTING_DOWN = auto()
    SEATED = auto()
    GETTING_UP = auto()
    OUTSIDE = auto()  # not in the room
    COMING_IN = auto()  # straight through a door
    GOING_OUT = auto()


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """One body at one tick. Angles in the room frame; `gait_rad` grows by 2π in two steps."""

    x_m: float
    y_m: float
    vx_m_s: float = 0.0
    vy_m_s: float = 0.0
    body_rad: float
    body_rad_s: float = 0.0
    head_rad: float
    head_rad_s: float = 0.0
    gait_rad: float = 0.0
    sitting: float = 0.0  # 0 standing … 1 seated
    doing: Doing = Doing.STANDING
    wish: Wish | None = None
    way: tuple[Point, ...] = ()
    seat: str | None = None
    done: int = 0  # wishes granted so far
    since_s: float = 0.0  # the last of them
    blocked_s: float = 0.0

    @property
    def is_here(self) -> bool:
        return self.doing is not Doing.OUTSIDE


class Member(msgspec.Struct, frozen=True):
    """Somebody of the crowd: who never changes."""

    name: str
    mind: Mind
    ground: Ground
    walker: Walker
    start_m: Point
    starts_outside: bool = False


class Crowd:
    """All members' states at any tick."""

    def __init__(self, members: tuple[Member, ...], places: Places, robot_m: Point) -> None:
        self.members = members
        self._places = places
        self._robot_m = robot_m
        self._index = {member.name: place for place, member in enumerate(members)}
        self._starts: list[tuple[Mover, ...]] = [tuple(self._first(member) for member in members)]
        self._chunks: OrderedDict[int, list[tuple[Mover, ...]]] = OrderedDict()

    def at(self, tick: int) -> tuple[Mover, ...]:
        """Everybody's state at `tick * TICK_S`, in the order of the members."""
        chunk, place = divmod(max(tick, 0), CHUNK_TICKS)
        while len(self._starts) <= chunk:
            last = len(self._starts) - 1
            end = self._states(last, CHUNK_TICKS - 1)[-1]
            self._starts.append(self._step(end, (last + 1) * CHUNK_TICKS))
        return self._states(chunk, place)[place]

    def _states(self, chunk: int, place: int) -> list[tuple[Mover, ...]]:
        """A chunk's states, at least up to a place in it."""
        if chunk not in self._chunks:
            self._chunks[chunk] = [self._starts[chunk]]
            if len(self._chunks) > CHUNKS_KEPT:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk)
        states = self._chunks[chunk]
        while len(states) <= place:
            states.append(self._step(states[-1], chunk * CHUNK_TICKS + len(states)))
        return states

    def _first(self, member: Member) -> Mover:
        x, y = member.start_m
        robot = math.atan2(self._robot_m[1] - y, self._robot_m[0] - x)
        doing = Doing.OUTSIDE if member.starts_outside else Doing.STANDING
        return Mover(x_m=x, y_m=y, body_rad=robot, head_rad=robot, doing=doing)

    def _step(self, movers: tuple[Mover, ...], tick: int) -> tuple[Mover, ...]:
        """One tick on, one after another, so that each sees where those before already are."""
        now = list(movers)
        for place, member in enumerate(self.members):
            mover = self._act(place, member, now, tick * TICK_S)
            now[place] = self._turn(member, mover, now, tick * TICK_S) if mover.is_here else mover
        return tuple(now)

    def _act(self, place: int, member: Member, now: list[Mover], time_s: float) -> Mover:
        mover = now[place]
        match mover.doing:
            case Doing.STANDING | Doing.SEATED | Doing.OUTSIDE:
                if isinstance(mover.wish, Rest) and time_s < mover.wish.until_s:
                    return mover
                wish = member.mind.wish(mover.done, (mover.x_m, mover.y_m), time_s)
                return mover if wish is None else self._begin(member, mover, now, wish, time_s)
            case Doing.WALKING:
                return self._walk(place, member, now)
            case Doing.SITTING_DOWN | Doing.GETTING_UP:
                return self._sit(mover)
            case Doing.COMING_IN | Doing.GOING_OUT:
                return self._pass_door(place, member, now)

    def _begin(self, member: Member, mover: Mover, now: list[Mover], wish: Wish, time_s: float) -> Mover:
        begun = msgspec.structs.replace(mover, wish=wish, done=mover.done + 1, since_s=time_s, blocked_s=0.0)
        match wish:
            case Rest():
                return begun
            case GetUp():
                return msgspec.structs.replace(begun, doing=Doing.GETTING_UP)
            case ComeIn():
                door = self._places.door(wish.door)
                if any(other.is_here and _distance(other, door.inside_m) < DOORWAY_M for other in now):
                    return mover  # and try again
                x, y = door.outside_m
                inwards = math.atan2(door.inside_m[1] - y, door.inside_m[0] - x)
                return msgspec.structs.replace(
                    begun, doing=Doing.COMING_IN, x_m=x, y_m=y, body_rad=inwards, head_rad=inwards,
                    way=(door.inside_m,),
                )  # fmt: skip
            case GoTo(to_m=to_m):
                goal = to_m
            case SitOn(seat=seat):
                goal = self._places.seat(seat).before_m
            case GoOut(door=name):
                goal = self._places.door(name, (mover.x_m, mover.y_m)).inside_m
        way = member.ground.way((mover.x_m, mover.y_m), goal)
        return msgspec.structs.replace(begun, doing=Doing.WALKING, way=way or (goal,))

    def _walk(self, place: int, member: Member, now: list[Mover]) -> Mover:
        mover = now[place]
        here = (mover.x_m, mover.y_m)
        way = mover.way
        while len(way) > 1 and math.dist(here, way[0]) < 2 * ARRIVED_M:
            way = way[1:]
        left_m = math.dist(here, way[-1])
        others = [other for index, other in enumerate(now) if index != place and other.is_here]
        is_taken = any(_distance(other, way[-1]) < member.walker.apart_m for other in others)
        if left_m < ARRIVED_M:
            return self._arrive(mover, now, place)
        if is_taken and left_m < CROWDED_M and mover.blocked_s > PATIENCE_S and isinstance(mover.wish, GoTo):
            return self._arrive(mover, now, place)
        if mover.blocked_s > PATIENCE_S and not is_taken:
            way = member.ground.way(here, way[-1]) or way
        return self._move(member, mover, others, way, is_free=member.ground.is_free)

    def _move(
        self, member: Member, mover: Mover, others: list[Mover], way: tuple[Point, ...], is_free: IsFree
    ) -> Mover:
        assert isinstance(mover.wish, GoTo | SitOn | GoOut | ComeIn)
        bodies = [(other.x_m, other.y_m, other.vx_m_s, other.vy_m_s) for other in others]
        body = (mover.x_m, mover.y_m, mover.vx_m_s, mover.vy_m_s)
        rest_m = sum(math.dist(a, b) for a, b in zip(way, way[1:], strict=False))
        vx, vy = pick_velocity(
            body, mover.body_rad, way[0], rest_m, mover.wish.pace_m_s, bodies, member.walker, is_free,
            mover.blocked_s, TICK_S,
        )  # fmt: skip
        speed = math.hypot(vx, vy)
        blocked_s = mover.blocked_s + TICK_S if speed < 0.1 else 0.0
        stride = STRIDE_M * member.walker.size * math.sqrt(max(speed, 0.3))  # longer when faster
        return msgspec.structs.replace(
            mover, x_m=mover.x_m + vx * TICK_S, y_m=mover.y_m + vy * TICK_S, vx_m_s=vx, vy_m_s=vy, way=way,
            gait_rad=(mover.gait_rad + math.pi * speed * TICK_S / stride) % (2 * math.pi), blocked_s=blocked_s,
        )  # fmt: skip

    def _arrive(self, mover: Mover, now: list[Mover], place: int) -> Mover:
        still = msgspec.structs.replace(mover, vx_m_s=0.0, vy_m_s=0.0, way=(), blocked_s=0.0)
        match mover.wish:
            case SitOn(seat=name):
                is_taken = any(other.seat == name for index, other in enumerate(now) if index != place)
                seat = self._places.seat(name)
                waiting = msgspec.structs.replace(still, way=(seat.before_m,))
                if is_taken or abs(between(mover.body_rad, seat.yaw_rad, 1.0) - mover.body_rad) > 0.2:
                    return waiting
                return msgspec.structs.replace(still, doing=Doing.SITTING_DOWN, seat=name)
            case GoOut(door=name):
                door = self._places.door(name, (mover.x_m, mover.y_m))
                return msgspec.structs.replace(still, doing=Doing.GOING_OUT, way=(door.outside_m,))
            case _:
                return msgspec.structs.replace(still, doing=Doing.STANDING, wish=None)

    def _sit(self, mover: Mover) -> Mover:
        assert mover.seat is not None
        seat = self._places.seat(mover.seat)
        is_down = mover.doing is Doing.SITTING_DOWN
        sitting = mover.sitting + (TICK_S if is_down else -TICK_S) / SIT_S
        sitting = min(max(sitting, 0.0), 1.0)
        share = smooth(sitting)
        moved = msgspec.structs.replace(
            mover,
            sitting=sitting,
            x_m=seat.before_m[0] + share * (seat.at_m[0] - seat.before_m[0]),
            y_m=seat.before_m[1] + share * (seat.at_m[1] - seat.before_m[1]),
        )
        if is_down and sitting == 1.0:
            return msgspec.structs.replace(moved, doing=Doing.SEATED)
        if not is_down and sitting == 0.0:
            return msgspec.structs.replace(moved, doing=Doing.STANDING, seat=None, wish=None)
        return moved

    def _pass_door(self, place: int, member: Member, now: list[Mover]) -> Mover:
        mover = now[place]
        if _distance(mover, mover.way[-1]) >= 2 * ARRIVED_M:
            others = [other for index, other in enumerate(now) if index != place and other.is_here]
            return self._move(member, mover, others, mover.way, is_free=_anywhere)
        still = msgspec.structs.replace(mover, vx_m_s=0.0, vy_m_s=0.0, way=())
        if mover.doing is Doing.GOING_OUT:
            return msgspec.structs.replace(still, doing=Doing.OUTSIDE, wish=None)
        assert isinstance(mover.wish, ComeIn)
        way = member.ground.way((mover.x_m, mover.y_m), mover.wish.to_m)
        return msgspec.structs.replace(still, doing=Doing.WALKING, way=way or (mover.wish.to_m,))

    def _turn(self, member: Member, mover: Mover, now: list[Mover], time_s: float) -> Mover:
        """Head and body on their way to where they want to face; the head leads."""
        speed = math.hypot(mover.vx_m_s, mover.vy_m_s)
        gaze = member.mind.gaze(mover.done, time_s)
        looks = self._bearing(mover, gaze, now)
        if speed > 0.15:
            ahead = math.atan2(mover.vy_m_s, mover.vx_m_s)
            body_goal, head_goal = ahead, looks if gaze.at is not None else ahead
        elif mover.way and mover.doing is not Doing.WALKING:
            ahead = math.atan2(mover.way[0][1] - mover.y_m, mover.way[0][0] - mover.x_m)
            body_goal, head_goal = ahead, ahead
        elif mover.way and not (
            isinstance(mover.wish, SitOn) and _distance(mover, mover.way[-1]) < ARRIVED_M
        ):
            body_goal = math.atan2(mover.way[0][1] - mover.y_m, mover.way[0][0] - mover.x_m)
            head_goal = looks if gaze.at is not None else body_goal
        elif isinstance(mover.wish, SitOn) and mover.doing is not Doing.STANDING:
            body_goal, head_goal = self._places.seat(mover.wish.seat).yaw_rad, looks
        elif mover.doing is Doing.GETTING_UP:
            body_goal, head_goal = mover.body_rad, looks
        else:
            gap = _turn_to(mover.body_rad, looks)
            body_goal = mover.body_rad + gap - min(max(gap, -EASY_NECK_RAD), EASY_NECK_RAD)
            head_goal = looks
        body, body_speed = _follow(mover.body_rad, mover.body_rad_s, body_goal, BODY_PER_S, BODY_RAD_S)
        neck = min(max(_turn_to(body, head_goal), -NECK_RAD), NECK_RAD)
        twist = mover.head_rad - mover.body_rad  # the head turns on the body, and no way round its back
        twist, twist_speed = _follow_straight(twist, mover.head_rad_s, neck, HEAD_PER_S, HEAD_RAD_S)
        head = body + min(max(twist, -NECK_RAD - 0.1), NECK_RAD + 0.1)
        if (body, head, body_speed, twist_speed) == (
            mover.body_rad, mover.head_rad, mover.body_rad_s, mover.head_rad_s,
        ):  # fmt: skip
            return mover
        return msgspec.structs.replace(
            mover, body_rad=body, head_rad=head, body_rad_s=body_speed, head_rad_s=twist_speed
        )

    def _bearing(self, mover: Mover, gaze: Gaze, now: list[Mover]) -> float:
        if gaze.bearing_rad is not None:
            return gaze.bearing_rad
        goal = self._robot_m
        if gaze.at is not None and gaze.at in self._index:
            other = now[self._index[gaze.at]]
            goal = (other.x_m, other.y_m)
        return math.atan2(goal[1] - mover.y_m, goal[0] - mover.x_m) + gaze.off_robot_rad


def _anywhere(x_m: float, y_m: float) -> bool:
    return True


def _distance(mover: Mover, place: Point) -> float:
    return math.hypot(mover.x_m - place[0], mover.y_m - place[1])


def _turn_to(from_rad: float, to_rad: float) -> float:
    return between(from_rad, to_rad, 1.0) - from_rad


def _follow(angle: float, speed: float, goal: float, per_s: float, most_rad_s: float) -> tuple[float, float]:
    return _follow_straight(angle, speed, angle + _turn_to(angle, goal), per_s, most_rad_s)


def _follow_straight(
    angle: float, speed: float, goal: float, per_s: float, most_rad_s: float
) -> tuple[float, float]:
    """One tick of a critically damped spring of limited speed; at rest once nobody sees the difference."""
    gap = goal - angle
    if abs(gap) < STILL_RAD and abs(speed) < STILL_RAD_S:
        return angle, 0.0
    speed += (per_s * per_s * gap - 2 * per_s * speed) * TICK_S
    speed = min(max(speed, -most_rad_s), most_rad_s)
    return angle + speed * TICK_S, speed
