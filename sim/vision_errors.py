"""How wrong vision is: errors fitted to what it saw in pictures of known scenes, drawn for any view of a face.

`tools/fit_landmarks.py` writes the numbers. Every quantity is a weighted sum of what the view is like (the same
features for all, plus what is one person's own), and noise: a part that stays while the view stays, and a part that
is new in each frame, whose sizes depend on the view each by itself. The noise is a hash of seed, person, quantity,
time and view, so it depends on nothing that ran before.
"""

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError
from sim import sightlines
from sim.compiled import compiled
from sim.sightlines import Doubles

DATA = Path(__file__).with_name("data") / "vision_errors.npz"
COMMAND = "python tools/fit_landmarks.py"

# What is modelled, one row each: whether the detector and the mesh take it for a face (above zero: yes); the box
# against the face's place and size; the pose's error; the logarithm of distance over range.
TARGETS = ("found", "fitted", "x", "y", "width", "height", "pitch", "yaw", "roll", "distance")
FOUND, FITTED, BOX_X, BOX_Y, BOX_WIDTH, BOX_HEIGHT, PITCH, YAW, ROLL, DISTANCE = range(10)
# `Errors.scales`. SLOPE turns FITTED into a logit; TOGETHER is how much of its noise is FOUND's.
EVEN, VARIES, SLOPE, TOGETHER = range(4)
FEATURES = 40
OWN_FEATURES = 6  # of which each person has weights of their own
LOOK_FEATURES = 16  # of an embedding
OWN_LOOK_FEATURES = 9
NUMBERS = 128  # of an embedding
_DETECTOR_WIDTH_PX = 640.0  # the detector sees every picture at one size; a face's size counts at this width
_MIDDLE_PX = 64.0
STAYS_S = 20.0  # of errors of place and pose, where nothing moves: assumed, the clips of the fit are short
# After which such errors are others, the latter a logarithm of size: so that a nod is seen as large as in pixels mode.
TURN_RAD, NEARER = 1.0, 0.7

Vector = NDArray[np.float32]
Wholes = NDArray[np.int64]


class Errors(NamedTuple):
    """The fitted numbers. T targets, K features, P people, J of their own, L and M for embeddings."""

    people: tuple[str, ...]
    weights: Doubles  # T × K
    own: Doubles  # P × T × J
    noise: Doubles  # T × K, of the logarithm of the standard deviation of the noise that stays
    jitter: Doubles  # T × K, the same of what is new in each frame
    lasting: (
        Doubles  # 3 × 2: share of the variance that stays, for how many seconds; FOUND, FITTED, embeddings
    )
    look: Doubles  # L × 128
    own_look: Doubles  # P × M × 128
    look_noise: Doubles  # L, of the logarithm of an embedding's noise
    look_spread: Doubles  # components × 128: how that noise is spread; the rest is even
    scales: Doubles  # 4: EVEN, how much VARIES (logarithm), SLOPE, TOGETHER


@cache
def load() -> tuple[Errors, str]:
    """The fitted numbers and what they were fitted to (JSON). Raises ConfigError for a file that is no such fit."""
    try:
        with np.load(DATA) as file:
            about = str(file["about"])
            people = tuple(json.loads(about)["people"])
            arrays = {name: np.ascontiguousarray(file[name], dtype=np.float64) for name in Errors._fields[1:]}
            errors = Errors(people, **arrays)
    except (OSError, ValueError, KeyError) as exc:
        raise ConfigError(f"{DATA.name}: no fit of vision's errors ({exc}); run `{COMMAND}`") from exc
    if errors.weights.shape != (len(TARGETS), FEATURES):
        raise ConfigError(f"{DATA.name}: made for another version of this program; run `{COMMAND}`")
    return errors, about


def places_of(names: tuple[str, ...]) -> Wholes:
    """Where each of them is in `Errors.people`. Raises ConfigError for somebody it was not fitted to."""
    known = load()[0].people
    for name in names:
        if name not in known:
            raise ConfigError(f"{DATA.name} does not know how vision sees {name}; run `{COMMAND}`")
    return np.array([known.index(name) for name in names], dtype=np.int64)


def key_of(seed: int, name: str) -> int:
    """What the noise of one person in one run is made from: 63 bits."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()) >> 1


@compiled
def features(view: Doubles, size_px: float, light: float, out: Doubles) -> None:
    """What a view is like, in FEATURES numbers, the OWN_FEATURES first ones of which are a person's own too.

    Below a quarter of the usual light a webcam amplifies, and noise grows; below a 45th its pictures get dark.
    """
    small = math.log2(max(size_px, 4.0) / _MIDDLE_PX)
    yaw, pitch, roll = view[sightlines.YAW_RAD], view[sightlines.PITCH_RAD], view[sightlines.ROLL_RAD]
    aside, lean = abs(yaw), abs(roll)
    sign = 1.0 if yaw > 0.0 else -1.0
    hidden, cut = view[sightlines.HIDDEN], view[sightlines.CUT]
    dark = math.log2(min(max(light, 0.0001), 4.0))
    tiny, dim = max(0.0, -small), max(0.0, -dark - 2.0)
    out[0] = 1.0
    out[1] = small
    out[2] = min(aside, 1.2)
    out[3] = pitch
    out[4] = dim
    out[5] = yaw
    out[6] = tiny
    out[7] = max(0.0, -small - 0.7)
    out[8] = max(0.0, small - 1.0)
    out[9] = max(0.0, aside - 0.5)
    out[10] = max(0.0, aside - 0.9)
    out[11] = max(0.0, aside - 1.2)
    out[12] = max(0.0, aside - 1.6)
    out[13] = sign * max(0.0, aside - 0.5)
    out[14] = sign * max(0.0, aside - 1.0)
    out[15] = max(0.0, pitch - 0.3)
    out[16] = max(0.0, -pitch - 0.3)
    out[17] = max(0.0, pitch - 0.6)
    out[18] = max(0.0, -pitch - 0.6)
    out[19] = roll
    out[20] = lean
    out[21] = max(0.0, lean - 0.4)
    out[22] = aside * pitch
    out[23] = yaw * pitch
    out[24] = yaw * roll
    out[25] = hidden
    out[26] = max(0.0, hidden - 0.2)
    out[27] = max(0.0, hidden - 0.45)
    out[28] = cut
    out[29] = max(0.0, cut - 0.25)
    out[30] = dark
    out[31] = max(0.0, -dark - 5.5)
    out[32] = max(0.0, dark)
    out[33] = aside * hidden
    out[34] = aside * tiny
    out[35] = hidden * tiny
    out[36] = dim * tiny
    out[37] = dim * min(aside, 1.2)
    out[38] = view[sightlines.MOUTH]
    out[39] = view[sightlines.BLINK]


@compiled
def look_features(phi: Doubles, out: Doubles) -> None:
    """What an embedding depends on, out of `features`."""
    small, yaw, pitch = phi[1], min(max(phi[5], -1.4), 1.4), min(max(phi[3], -0.9), 0.9)
    out[0] = 1.0
    out[1] = yaw
    out[2] = abs(yaw)
    out[3] = yaw * abs(yaw)
    out[4] = yaw * yaw
    out[5] = pitch
    out[6] = abs(pitch)
    out[7] = max(small, -1.5)
    out[8] = phi[6]
    out[9] = phi[25]
    out[10] = phi[26]
    out[11] = phi[28]
    out[12] = phi[4]
    out[13] = phi[38]
    out[14] = phi[20]
    out[15] = phi[32]


@compiled
def looks(
    view: Doubles, light: float, width_px: float, people: Wholes, keys: Wholes, time_s: float, frame: int,
    weights: Doubles, own: Doubles, noise: Doubles, jitter: Doubles, lasting: Doubles, together: float,
) -> Doubles:  # fmt: skip
    """What vision would say of each row of `sightlines.faces_in_view`: one column a target, in pixels, rad, m."""
    out = np.zeros((len(view), len(weights)))
    phi = np.zeros(FEATURES)
    for i in range(len(view)):
        size_px = view[i, sightlines.SIZE_PX]
        if size_px <= 0.0:
            out[i, FOUND], out[i, FITTED] = -9.0, -9.0
            continue
        features(view[i], size_px * _DETECTOR_WIDTH_PX / width_px, light, phi)
        found = 0.0
        for target in range(out.shape[1]):
            if target == FITTED:
                features(view[i], size_px, light, phi)
            value, spread = 0.0, 0.0
            for k in range(FEATURES):
                value += weights[target, k] * phi[k]
                spread += noise[target, k] * phi[k]
            for k in range(OWN_FEATURES):
                value += own[people[i], target, k] * phi[k]
            if target <= FITTED:
                deviate = _deviate(keys[i], target, time_s, frame, lasting[target, 0], lasting[target, 1])
                if target == FOUND:
                    found = deviate
                else:
                    deviate = together * found + math.sqrt(1.0 - together * together) * deviate
                out[i, target] = value + math.exp(min(spread, 3.0)) * deviate
            else:
                shake = 0.0
                for k in range(FEATURES):
                    shake += jitter[target, k] * phi[k]
                place = time_s / STAYS_S + _place(view[i], size_px)
                out[i, target] = (
                    value
                    + math.exp(min(spread, 1.0)) * _slow(keys[i], target, place)
                    + math.exp(min(shake, 1.0)) * _normal(keys[i], target, frame, 2)
                )
        out[i, BOX_X] = view[i, sightlines.X_PX] + size_px * out[i, BOX_X]
        out[i, BOX_Y] = view[i, sightlines.Y_PX] + size_px * out[i, BOX_Y]
        out[i, BOX_WIDTH] = size_px * math.exp(min(out[i, BOX_WIDTH], 1.0))
        out[i, BOX_HEIGHT] = size_px * math.exp(min(out[i, BOX_HEIGHT], 1.0))
        out[i, PITCH] += view[i, sightlines.PITCH_RAD]
        out[i, YAW] += view[i, sightlines.YAW_RAD]
        out[i, ROLL] += view[i, sightlines.ROLL_RAD]
        out[i, DISTANCE] = view[i, sightlines.RANGE_M] * math.exp(min(max(out[i, DISTANCE], -1.5), 1.5))
    return out


@compiled
def embedding(
    view: Doubles, light: float, person: int, key: int, time_s: float, frame: int, look: Doubles,
    own_look: Doubles, look_noise: Doubles, look_spread: Doubles, scales: Doubles, share: float, stays_s: float,
) -> Vector:  # fmt: skip
    """The numbers that the face network would give this view of a person."""
    phi = np.zeros(FEATURES)
    features(view, view[sightlines.SIZE_PX], light, phi)
    basis = np.zeros(LOOK_FEATURES)
    look_features(phi, basis)
    numbers = np.zeros(NUMBERS)
    spread = 0.0
    for k in range(LOOK_FEATURES):
        spread += look_noise[k] * basis[k]
        for n in range(NUMBERS):
            numbers[n] += look[k, n] * basis[k]
    for k in range(OWN_LOOK_FEATURES):
        for n in range(NUMBERS):
            numbers[n] += own_look[person, k, n] * basis[k]
    even, varies = scales[EVEN], scales[VARIES]
    wild = varies * _deviate(key, 99, time_s, frame, share, stays_s) - varies * varies
    scale = math.exp(min(spread + wild, 1.0))
    for k in range(len(look_spread)):
        deviate = scale * _deviate(key, 100 + k, time_s, frame, share, stays_s)
        for n in range(NUMBERS):
            numbers[n] += look_spread[k, n] * deviate
    for n in range(NUMBERS):
        numbers[n] += scale * even * _deviate(key, 200 + n, time_s, frame, share, stays_s)
    return numbers.astype(np.float32)


@compiled
def _deviate(key: int, what: int, time_s: float, frame: int, share: float, stays_s: float) -> float:
    """Noise of variance one: a part that changes over `stays_s`, and a part that is new in each frame."""
    slow = _slow(key, what, time_s / stays_s)
    return math.sqrt(share) * slow + math.sqrt(1.0 - share) * _normal(key, what, frame, 2)


@compiled
def _slow(key: int, what: int, when: float) -> float:
    """Noise of variance one that moves on from one whole number of `when` to the next."""
    when += 0.61803 * what  # not everything changes at the same moment
    knot = math.floor(when)
    part = when - knot
    slow = (1.0 - part) * _normal(key, what, int(knot), 1) + part * _normal(key, what, int(knot) + 1, 1)
    return float(slow / math.sqrt(part * part + (1.0 - part) * (1.0 - part)))


@compiled
def _place(view: Doubles, size_px: float) -> float:
    """How far along a view is: errors that stay are others when the face has turned or come nearer by so much."""
    turned_rad = float(view[sightlines.YAW_RAD] + view[sightlines.PITCH_RAD])
    return turned_rad / TURN_RAD + math.log(max(size_px, 1.0)) / NEARER


@compiled
def _normal(key: int, what: int, when: int, kind: int) -> float:
    """A hash as a nearly normal deviate: the sum of four even ones, at most 3.5 either way.

    The mixing is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    """
    z = np.uint64(key) + np.uint64(what) * np.uint64(0x9E3779B97F4A7C15)
    for step in (np.uint64(when), np.uint64(kind)):
        z = (z + step + np.uint64(1)) * np.uint64(0xD1342543DE82EF95)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    total = 0.0
    for shift in (np.uint64(0), np.uint64(16), np.uint64(32), np.uint64(48)):
        total += float((z >> shift) & np.uint64(0xFFFF)) + 0.5
    return (total / 65536.0 - 2.0) * math.sqrt(3.0)
