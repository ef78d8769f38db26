"""The lock: hold on to one person among many, and answer nobody when in doubt.

Every face in view carries the log-odds that it is the person wanted. Three things move them: time, overlap
and being out of view pull them back to a guess; each look at the face (an embedding) adds evidence; and only
one face can be that person, so proof for one speaks against the others. A track is therefore trusted only
while its identity was proven lately enough, and a person who comes back is taken up again by their face.
"""

import math
from typing import Literal, assert_never

import msgspec
import numpy as np

from agent.body import carried_by
from agent.events import Box, Face, Lock, Sight
from agent.likeness import Gallery, Likeness, compare
from agent.suspects import (
    GazeConfig,
    Suspect,
    carried,
    explained_away,
    hidden_share,
    is_settled,
    jump,
    look,
    turned,
    weighed,
)
from drivers.body import Matrix

Phase = Literal["idle", "enrol", "locked", "ambiguous", "lost"]

PHASES: dict[Phase, str] = {
    "idle": "Nobody is wanted, or nobody has been in view for long enough to choose.",
    "enrol": "Somebody was chosen and their face is being learned; the track alone says where they are.",
    "locked": "The face named is the person, proven by their looks.",
    "ambiguous": "Faces are in view, and it is not certain which of them is the person.",
    "lost": "The person is not in view; whoever looks like them is waited for.",
}

Place = Literal["left", "right", "middle", "nearest", "next"]
_PLACE_WORDS: dict[Place, str] = {
    "left": "the person on the left",
    "right": "the person on the right",
    "middle": "the person in the middle",
    "nearest": "the nearest person",
    "next": "the next person",
}

_LONGEST_STEP_S = 1.0  # after a longer gap nothing is known about who is who anyway


class LockOnto(msgspec.Struct, frozen=True, tag="onto"):
    """Look at somebody by their place in the picture."""

    place: Place


class LockTrack(msgspec.Struct, frozen=True, tag="track"):
    """Look at the face with this track number, as tapped on the page."""

    track: int


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Look at nobody until asked again."""


Command = LockOnto | LockTrack | Release


class GazeState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the lock remembers. `step` gives a new one and changes none."""

    stage: Literal["idle", "enrol", "hold"] = "idle"
    stage_s: float = 0.0
    suspects: tuple[Suspect, ...] = ()
    person: Gallery = Gallery()
    others: Gallery = Gallery()
    chosen: int | None = None  # the track being enrolled
    whom: str = "the nearest person"
    is_free: bool = True  # False after a release: the rule must not choose
    order: Command | None = None  # that chose this person; given again if they leave before they are known
    pending: Command | None = None
    pending_s: float = 0.0
    unseen_s: float = 0.0  # since the person was last locked
    last_box: Box | None = None  # where that was
    drift_px_s: float = 0.0  # and how fast they moved to the right


def wanted(state: GazeState, config: GazeConfig | None = None) -> frozenset[int]:
    """The tracks that vision should embed in the next frame: all whose identity is in question."""
    config = config or GazeConfig()
    if state.stage == "idle":
        return frozenset()
    return frozenset(
        suspect.track
        for suspect in state.suspects
        if (suspect.track == state.chosen if state.stage == "enrol" else not is_settled(suspect, config))
    )


def shifted(state: GazeState, shift: Matrix) -> GazeState:
    """The state with its places in the picture moved by the camera's own turn; before `step`."""

    def moved(box: Box) -> Box:
        x_px, y_px = carried_by(shift, box.x_px + box.width_px / 2, box.y_px + box.height_px / 2)
        return Box(box.x_px + x_px, box.y_px + y_px, box.width_px, box.height_px)

    return msgspec.structs.replace(
        state,
        suspects=tuple(
            msgspec.structs.replace(suspect, box=moved(suspect.box)) for suspect in state.suspects
        ),
        last_box=moved(state.last_box) if state.last_box is not None else None,
    )


def step(
    state: GazeState,
    sight: Sight,
    command: Command | None,
    dt_s: float,
    config: GazeConfig | None = None,
) -> tuple[GazeState, Lock]:
    """Take up one sight. `dt_s` is the time since the last one; a command is obeyed at once or waits."""
    config = config or GazeConfig()
    dt_s = min(max(dt_s, 0.0), _LONGEST_STEP_S) if math.isfinite(dt_s) else 0.0
    faces = sight.faces
    state = _advance(state, faces, dt_s, config)
    if command is not None:
        state = msgspec.structs.replace(state, pending=command, pending_s=0.0)
    if state.pending is not None:
        state = _obey(state, state.pending, faces, config)
    match state.stage:
        case "idle":
            return _choose(state, faces, config)
        case "enrol":
            return _enrol(state, faces, config)
        case "hold":
            return _hold(state, faces, dt_s, config)
        case never:
            assert_never(never)


# --- Following the tracks


def _advance(state: GazeState, faces: tuple[Face, ...], dt_s: float, config: GazeConfig) -> GazeState:
    return msgspec.structs.replace(
        state,
        suspects=carried(state.suspects, faces, dt_s, config),
        stage_s=state.stage_s + dt_s,
        pending_s=state.pending_s + dt_s,
        unseen_s=state.unseen_s + dt_s,
    )


# --- Choosing somebody


def _obey(state: GazeState, command: Command, faces: tuple[Face, ...], config: GazeConfig) -> GazeState:
    match command:
        case Release():
            return GazeState(is_free=False)
        case LockTrack(track=track):
            in_view = any(suspect.track == track and suspect.place is not None for suspect in state.suspects)
            target = track if in_view else None
            whom = "the person you tapped"
        case LockOnto(place=place):
            target = _at(place, state, faces, config)
            whom = _PLACE_WORDS[place]
        case never:
            assert_never(never)
    if target is not None:
        return _begin(state, target, whom, command)
    if state.pending_s > config.wait_s:
        return msgspec.structs.replace(state, pending=None)
    return state


def _begin(state: GazeState, track: int, whom: str, order: Command | None) -> GazeState:
    """Forget whom we held and learn this one; who was held joins the others. The same person stays known."""
    former = state.others
    if state.stage == "hold":
        held = max(state.suspects, key=lambda suspect: suspect.odds)
        if held.track == track and held.odds > 0.0:
            return msgspec.structs.replace(state, whom=whom, order=order, pending=None)
        former = former.joined(state.person)
    return GazeState(
        stage="enrol",
        suspects=state.suspects,
        others=former,
        chosen=track,
        whom=whom,
        order=order,
    )


def _best_track(state: GazeState) -> int | None:
    return max(state.suspects, key=lambda suspect: suspect.odds).track if state.suspects else None


def _at(place: Place, state: GazeState, faces: tuple[Face, ...], config: GazeConfig) -> int | None:
    in_view = [suspect for suspect in state.suspects if suspect.place is not None]
    in_view = [suspect for suspect in in_view if suspect.seen_s >= config.steady_s] or in_view
    if not in_view:
        return None
    across = sorted(in_view, key=lambda suspect: suspect.box.x_px + suspect.box.width_px / 2)
    match place:
        case "left":
            return across[0].track
        case "right":
            return across[-1].track
        case "middle":
            return across[len(across) // 2].track
        case "nearest":
            return min(in_view, key=lambda suspect: _distance(suspect, faces)).track
        case "next":
            tracks = [suspect.track for suspect in across]
            current = state.chosen if state.stage == "enrol" else _best_track(state)
            if state.stage == "idle" or current not in tracks:
                return tracks[0]
            return tracks[(tracks.index(current) + 1) % len(tracks)]
        case never:
            assert_never(never)


def _distance(suspect: Suspect, faces: tuple[Face, ...]) -> tuple[float, float]:
    """Sorts by distance where it is known, and by size where it is not."""
    assert suspect.place is not None
    distance_m = faces[suspect.place].distance_m
    known = distance_m is not None and math.isfinite(distance_m)
    return (distance_m if known and distance_m is not None else math.inf, -suspect.box.height_px)


def _choose(state: GazeState, faces: tuple[Face, ...], config: GazeConfig) -> tuple[GazeState, Lock]:
    if state.pending is not None:
        return state, Lock(
            phase="idle", face=None, reason="waiting for the person asked for to come into view"
        )
    if not state.is_free:
        return state, Lock(phase="idle", face=None, reason="let go; looking at nobody until asked")
    nearest = _at("nearest", state, faces, config)
    if nearest is None:
        state = msgspec.structs.replace(state, stage_s=0.0)
        return state, Lock(phase="idle", face=None, reason="nobody in view")
    if state.stage_s < config.choose_s:
        return state, Lock(
            phase="idle", face=None, reason="somebody came into view; choosing whom to look at"
        )
    return _enrol(_begin(state, nearest, "the nearest person", None), faces, config)


def _enrol(state: GazeState, faces: tuple[Face, ...], config: GazeConfig) -> tuple[GazeState, Lock]:
    """Learn the chosen face from several clear looks; until then only the track says who it is."""
    suspect = next((one for one in state.suspects if one.track == state.chosen), None)
    known = len(state.person.looks) >= config.enrol_looks
    if suspect is None or suspect.place is None or _is_another(state.person, faces[suspect.place], config):
        if known:
            return _settle(state, config, is_certain=False), _lost(state)
        # A face that only flickers gives no look; then the order, or the rule, chooses once more.
        flickers = state.stage_s > config.choose_s and not len(state.person.looks)
        if suspect is None or suspect.place is not None or flickers:
            state = GazeState(suspects=state.suspects, others=state.others, pending=state.order)
            return state, Lock(phase="idle", face=None, reason="they left before their face was known")
        reason = f"lost sight of {state.whom} while learning their face"
        return state, Lock(phase="lost", face=None, reason=reason)
    face = faces[suspect.place]
    clear = face.score >= config.clear_score and suspect.touch < config.clear_touch
    vector = look(face)
    if vector is not None and clear and state.stage_s >= config.enrol_gap_s * len(state.person.looks):
        person = state.person.added(vector, turned(face), config.target_looks, config.enrol_looks)
        state = msgspec.structs.replace(state, person=person)
    state = msgspec.structs.replace(state, last_box=suspect.box, unseen_s=0.0)
    reason = f"getting to know {state.whom}"
    if state.stage_s >= config.enrol_s and len(state.person.looks) >= config.enrol_looks:
        return _settle(state, config), Lock(
            phase="locked", face=suspect.place, reason=f"sure of {state.whom}"
        )
    return state, Lock(phase="enrol", face=suspect.place, reason=reason)


def _is_another(person: Gallery, face: Face, config: GazeConfig) -> bool:
    """Whether this look is of another face than the last one learned: the track was taken over."""
    vector = look(face)
    if vector is None or not len(person.looks):
        return False
    pitch, yaw = map(float, person.poses[-1])
    return float(np.linalg.norm(person.looks[-1] - vector)) > jump((pitch, yaw), turned(face), config)


def _settle(state: GazeState, config: GazeConfig, *, is_certain: bool = True) -> GazeState:
    """From learning to holding: the chosen track is the person, as of now, unless it got lost."""
    suspects = tuple(
        msgspec.structs.replace(one, odds=config.certain, risk=0.0, proof_age_s=0.0)
        if one.track == state.chosen and is_certain
        else one
        for one in state.suspects
    )
    others = state.others.without(state.person, config.likeness.same_mean_most)
    return msgspec.structs.replace(
        state, stage="hold", stage_s=0.0, suspects=suspects, others=others, chosen=None
    )


# --- Holding on to them


def _hold(
    state: GazeState, faces: tuple[Face, ...], dt_s: float, config: GazeConfig
) -> tuple[GazeState, Lock]:
    looks: dict[int, tuple[Likeness, Likeness]] = {}
    suspects = []
    for suspect in state.suspects:
        face = faces[suspect.place] if suspect.place is not None else None
        vector = look(face) if face is not None and face.score >= config.usable_score else None
        if face is not None and vector is not None:
            pose, hidden = turned(face), hidden_share(suspect, face, config)
            person = compare(vector, pose, state.person, hidden, config.likeness)
            other = compare(vector, pose, state.others, hidden, config.likeness)
            known = bool(len(state.others.looks))
            suspect = weighed(suspect, vector, pose, hidden, person, other, known, config)
            looks[suspect.track] = person, other
        suspects.append(suspect)
    in_view = [suspect for suspect in suspects if suspect.place is not None]
    best = max(in_view, key=lambda suspect: suspect.odds, default=None)
    if best is not None and best.proof_age_s < config.proof_lasts_s:
        suspects = [explained_away(suspect, best, config) for suspect in suspects]
        in_view = [suspect for suspect in suspects if suspect.place is not None]
    state = msgspec.structs.replace(state, suspects=tuple(suspects))
    claims = {one.track for one in in_view if one.odds > 4.0 and one.alone_s > config.alone_s}
    if len(claims) > 1:
        return _both_fit(state, claims, config)
    if best is None:
        return _missed(state, faces, config)
    share = math.exp(best.odds) / (1.0 + sum(math.exp(suspect.odds) for suspect in in_view))
    if share > config.learn_at:
        state = _learn(state, best, faces, looks, config)
    if share <= config.right_at or best.risk >= config.risk_most:
        return _missed(state, faces, config)
    drift_px_s = state.drift_px_s
    if state.last_box is not None and dt_s > 0.0 and state.unseen_s <= 2 * dt_s:
        drift_px_s += 0.2 * ((best.box.x_px - state.last_box.x_px) / dt_s - drift_px_s)
    state = msgspec.structs.replace(state, unseen_s=0.0, last_box=best.box, drift_px_s=drift_px_s)
    return state, Lock(phase="locked", face=best.place, reason=f"sure of {state.whom}")


def _both_fit(state: GazeState, claims: set[int], config: GazeConfig) -> tuple[GazeState, Lock]:
    """Two lone faces are both the person: what was learned since enrolment is wrong, so drop it."""
    suspects = tuple(
        msgspec.structs.replace(one, odds=config.prior) if one.track in claims else one
        for one in state.suspects
    )
    person = state.person.first(config.enrol_looks)
    state = msgspec.structs.replace(state, suspects=suspects, person=person)
    return state, Lock(phase="ambiguous", face=None, reason=f"{len(claims)} people look like {state.whom}")


def _learn(
    state: GazeState,
    best: Suspect,
    faces: tuple[Face, ...],
    looks: dict[int, tuple[Likeness, Likeness]],
    config: GazeConfig,
) -> GazeState:
    """With no doubt left: keep the person's new poses, and the faces of those who are surely not them."""
    person, others = state.person, state.others
    near_most = config.likeness.learn_below
    for suspect in state.suspects:
        if suspect.place is None or suspect.track not in looks or suspect.seen is None:
            continue
        face = faces[suspect.place]
        if suspect.alone_s < config.alone_s or face.score < config.clear_score:
            continue
        mine, theirs = looks[suspect.track]
        if suspect.track == best.track:
            is_new = mine.gap_rad > config.likeness.new_gap_rad or mine.distance > 0.3 and mine.evidence > 2.0
            if best.odds > config.strong and best.proof_age_s < 1.5 and mine.distance < near_most and is_new:
                person = person.added(suspect.seen, turned(face), config.target_looks, config.enrol_looks)
        elif suspect.odds < 0.0 and best.odds > 4.0:
            is_new = theirs.distance > 0.35 or theirs.gap_rad > 0.35 and theirs.distance > 0.25
            if is_new:
                others = others.added(suspect.seen, turned(face), config.other_looks, 0)
    return msgspec.structs.replace(state, person=person, others=others)


def _missed(state: GazeState, faces: tuple[Face, ...], config: GazeConfig) -> tuple[GazeState, Lock]:
    """Nobody can be named: say why, and after a long while let the rule choose again."""
    if state.order is None and state.unseen_s > config.give_up_s and faces:
        state = GazeState(suspects=state.suspects, others=state.others.joined(state.person))
        return state, Lock(phase="idle", face=None, reason="they did not come back; choosing somebody else")
    likely = [one for one in state.suspects if one.place is not None and one.odds > config.prior - 1.0]
    if not likely:
        return state, _lost(state)
    count = len([one for one in state.suspects if one.place is not None])
    people = "1 person" if count == 1 else f"{count} people"
    reason = f"{people} in view, not sure yet which is {state.whom}"
    if count == 1:
        reason = f"somebody is in view, not sure yet that it is {state.whom}"
    return state, Lock(phase="ambiguous", face=None, reason=reason)


def _lost(state: GazeState) -> Lock:
    where = "looking where they were"
    if state.last_box is not None and abs(state.drift_px_s) > state.last_box.width_px / 2:
        where = f"looking where they went, to the {'right' if state.drift_px_s > 0.0 else 'left'}"
    reason = f"lost sight of {state.whom} {state.unseen_s:.1f} s ago; {where}"
    return Lock(phase="lost", face=None, reason=reason)
