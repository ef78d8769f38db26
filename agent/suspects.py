"""One track under suspicion of being the person wanted: what time and looks do to the log-odds.

Time, overlap and being out of view pull the odds back to a guess, because another face may have taken the
track over. A look adds evidence, less what the looks just before it have said already.
"""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.events import Box, Face
from agent.landmarks import shared
from agent.likeness import Likeness, LikenessConfig


class GazeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of the lock; tuned on real portraits and generated people in crowds with look-alikes."""

    right_at: float = 0.95  # probability needed to answer with a face
    learn_at: float = 0.99  # probability needed to learn new looks from a face
    prior: float = -2.0  # log-odds that a new face is the person
    floor: float = -4.0  # nobody is excluded so surely that a few good looks cannot undo it
    certain: float = 6.0  # log-odds of the face that was chosen
    strong: float = 4.5  # a look that counts as proof; without one no face is chosen
    echo_s: float = 0.25  # looks closer in time than this share their evidence
    ceiling: float = 1.3  # likeness repeated is worth this many looks at most: look-alikes stay look-alikes
    risk_most: float = 0.2  # chance of a swap since the last proof up to which a track is trusted
    hazard_alone: float = 0.02  # swaps a second of a track that touches no other,
    hazard_touch: float = 1.0  # of one that another face covers,
    hazard_unseen: float = 4.0  # and of one out of view
    jump: float = 0.38  # distance between two looks at one track that means another face took it over
    proof_lasts_s: float = 0.5  # proof for one face speaks against the others for this long
    settled: tuple[float, float] = (-3.0, 5.0)  # log-odds outside of which a lone face needs few looks
    settled_look_s: float = 0.2  # how often such a face is looked at
    choose_s: float = 0.3  # a face must be in view this long before the rule chooses it
    steady_s: float = 0.1  # whoever only flickers at the edge is not meant if somebody else is there
    wait_s: float = 3.0  # an order to look at somebody waits this long for a face to be there
    enrol_s: float = 0.8
    enrol_looks: int = 3  # least number of looks that make a person known
    enrol_gap_s: float = 0.07  # looks closer than this are the same look
    clear_score: float = 0.9  # mesh score of a face good enough to learn from
    clear_touch: float = 0.1  # share of a face that others may cover while it is learned
    usable_score: float = 0.5
    profile_rad: tuple[float, float] = (0.7, 1.1)  # turned so far a look says less; so far, nothing
    alone_s: float = 0.3  # a face learns only after it stood alone this long
    forget_s: float = 0.6  # out of view for longer: a new track; vision coasts .5 s
    give_up_s: float = 10.0  # one chosen by the rule who stays away this long is replaced
    target_looks: int = 24
    other_looks: int = 48
    likeness: LikenessConfig = LikenessConfig()


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """One track, and how surely it is the person wanted."""

    track: int
    box: Box
    odds: float
    place: int | None  # in the sight's faces; None if not in view
    touch: float = 0.0  # share of the face that others cover
    fresh: float = 1.0  # share of the next look that is news
    seen_s: float = 0.0  # in view without a break
    alone_s: float = 0.0  # and without touching another
    unseen_s: float = 0.0
    look_age_s: float = math.inf
    proof_age_s: float = math.inf
    risk: float = math.inf  # chances of a swap, summed since the last proof
    seen: NDArray[np.float32] | None = None  # the last look,
    seen_at: tuple[float, float] = (0.0, 0.0)  # and the pose in it


def carried(
    suspects: Iterable[Suspect], faces: tuple[Face, ...], dt_s: float, config: GazeConfig
) -> tuple[Suspect, ...]:
    """Bring every suspect to this frame, and let doubt grow by what may have happened since the last."""
    places = {face.track: place for place, face in enumerate(faces) if _is_finite(face.box)}
    known = {suspect.track: suspect for suspect in suspects}
    present = [
        msgspec.structs.replace(suspect, place=None, unseen_s=suspect.unseen_s + dt_s)
        for suspect in known.values()
        if suspect.track not in places and suspect.unseen_s + dt_s < config.forget_s
    ]
    for track, place in places.items():
        old = known.get(track) or Suspect(track=track, box=faces[place].box, odds=config.prior, place=place)
        present.append(msgspec.structs.replace(old, box=faces[place].box, place=place, unseen_s=0.0))
    return tuple(_doubted(suspect, present, dt_s, config) for suspect in present)


def is_settled(suspect: Suspect, config: GazeConfig) -> bool:
    low, high = config.settled
    return (
        not low <= suspect.odds <= high
        and suspect.touch < 0.05
        and suspect.look_age_s < config.settled_look_s
    )


def weighed(
    suspect: Suspect,
    vector: NDArray[np.float32],
    pose: tuple[float, float],
    hidden: float,
    person: Likeness,
    other: Likeness,
    others_known: bool,
    config: GazeConfig,
) -> Suspect:
    """The suspect after one look: evidence added, less what earlier looks have said already."""
    moved = 0.0 if suspect.seen is None else float(np.linalg.norm(vector - suspect.seen))
    if moved > jump(pose, suspect.seen_at, config):
        suspect = msgspec.structs.replace(suspect, odds=min(suspect.odds, 0.0), fresh=1.0, risk=math.inf)
    likeness = config.likeness
    known = likeness.known_share if others_known else 0.0
    says = person.evidence - math.log(1.0 - known + known * math.exp(other.evidence))
    says = min(max(says, -likeness.most), likeness.most)
    is_proof = says > config.strong
    fresh = 1.0 if is_proof and suspect.odds < 0.0 else suspect.fresh
    if says > 0.0:
        ceiling = config.prior + config.ceiling * says
        odds = max(suspect.odds, min(suspect.odds + fresh * says, ceiling))
    else:
        # A covered face looks like nobody; that says little against it.
        odds = max(config.floor, suspect.odds + fresh * (1.0 - min(hidden, 0.8)) * says)
    return msgspec.structs.replace(
        suspect,
        odds=odds,
        fresh=0.0,
        look_age_s=0.0,
        proof_age_s=0.0 if is_proof else suspect.proof_age_s,
        risk=0.0 if is_proof else suspect.risk,
        seen=vector,
        seen_at=pose,
    )


def explained_away(suspect: Suspect, best: Suspect, config: GazeConfig) -> Suspect:
    """Only one can be the person: proof for the best takes away from those who merely look alike."""
    if suspect.track == best.track or suspect.proof_age_s < config.proof_lasts_s:
        return suspect
    odds = suspect.odds - math.log1p(math.exp(best.odds))
    return msgspec.structs.replace(suspect, odds=max(config.floor, odds))


def look(face: Face) -> NDArray[np.float32] | None:
    vector = face.embedding
    return vector if vector is not None and bool(np.isfinite(vector).all()) else None


def turned(face: Face) -> tuple[float, float]:
    """Pitch and yaw, by which looks are compared; straight ahead if unknown."""
    pose = face.pose
    if pose is None or not (math.isfinite(pose.pitch_rad) and math.isfinite(pose.yaw_rad)):
        return 0.0, 0.0
    return pose.pitch_rad, pose.yaw_rad


def _doubted(suspect: Suspect, all_of_them: Iterable[Suspect], dt_s: float, config: GazeConfig) -> Suspect:
    touch = max((_covered(suspect, other) for other in all_of_them if other is not suspect), default=0.0)
    in_view = suspect.place is not None
    rate = config.hazard_alone + config.hazard_touch * min(1.0, 3 * touch)
    rate += 0.0 if in_view else config.hazard_unseen
    swapped = 1.0 - math.exp(-rate * dt_s)
    belief = (1.0 - swapped) * _probability(suspect.odds) + swapped * _probability(config.prior)
    return msgspec.structs.replace(
        suspect,
        odds=math.log(belief / (1.0 - belief)),
        touch=touch,
        fresh=min(1.0, suspect.fresh + dt_s / config.echo_s + 3 * swapped),
        seen_s=suspect.seen_s + dt_s if in_view else 0.0,
        alone_s=suspect.alone_s + dt_s if in_view and touch < 0.05 else 0.0,
        look_age_s=suspect.look_age_s + dt_s,
        proof_age_s=suspect.proof_age_s + dt_s,
        risk=suspect.risk + rate * dt_s,
    )


def hidden_share(suspect: Suspect, face: Face, config: GazeConfig) -> float:
    """How little a look at this face can say, 0 … 1: others cover it, or it is turned into profile."""
    low_rad, high_rad = config.profile_rad
    aside = (abs(turned(face)[1]) - low_rad) / (high_rad - low_rad)
    return max(suspect.touch, min(max(aside, 0.0), 1.0))


def jump(one: tuple[float, float], other: tuple[float, float], config: GazeConfig) -> float:
    """The distance that one face cannot move between two looks; more if the head turned in between."""
    likeness = config.likeness
    turn = 1.0 - math.exp(-math.dist(one, other) / likeness.same_scale_rad)
    return config.jump + likeness.same_growth * turn


def _covered(suspect: Suspect, other: Suspect) -> float:
    return shared(suspect.box, other.box) / max(suspect.box.width_px * suspect.box.height_px, 1.0)


def _is_finite(box: Box) -> bool:
    return all(map(math.isfinite, (box.x_px, box.y_px, box.width_px, box.height_px)))


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))
