"""Fit landmarks mode to what vision sees in pixels mode: `python tools/fit_landmarks.py [CLIPS]`.

Draws short clips of random scenes (the whole cast; near and far, turned, one behind another, cut off by the edge,
in every light; a tenth before the call's camera), has the detector, the mesh and the face network look at each
face whose place is known, and writes what they say of it, as regressions on what the view is like, into
`sim/data/vision_errors.npz`. Then the whole of vision and the model look at clips that were not used for it, and
a table of both is printed. 600 clips take about five minutes on one core.
"""

import hashlib
import json
import math
import sys
from typing import Any, NamedTuple

import msgspec
import numpy as np
from check_landmarks import ASTRAY, judge
from numpy.typing import NDArray
from random_scenes import LENS, NAMES, Clip, Doubles, Studio, clip

from agent import weights
from agent.headpose import CanonicalFace, measure
from agent.identity import FaceNetwork
from agent.landmarks import FaceDetector, FaceMesh, Region, box_of, region_of
from drivers.camera import Image
from sim import people, vision_errors
from sim.sightlines import CUT, PITCH_RAD, RANGE_M, ROLL_RAD, SIZE_PX, X_PX, Y_PX, YAW_RAD
from sim.stage import RATE_HZ
from sim.vision_errors import FEATURES, FITTED, FOUND, LOOK_FEATURES, OWN_FEATURES, OWN_LOOK_FEATURES, TARGETS

CLIPS, CHECKED_SHARE = 600, 0.25
FRAMES = 6
DETECTOR_FLOOR = 0.02  # the least score that is told apart from nothing
LOGITS = (-4.0, 6.0)
BEHIND_RAD = 1.7
COMPONENTS = 24  # of the spread of embeddings


class Sample(NamedTuple):
    """One face in one frame."""

    clip: int
    frame: int
    person: int
    view: Doubles
    light: float
    width_px: float
    targets: Doubles
    is_on_face: bool
    look: NDArray[np.float32] | None


class Watcher:
    """Vision's three networks, each asked about a face whose place is known."""

    def __init__(self) -> None:
        self._detector = FaceDetector(weights.path("face_detection"), least_score=DETECTOR_FLOOR)
        self._mesh = FaceMesh(weights.path("face_landmark"))
        self._network = FaceNetwork()
        self._canonical = CanonicalFace()

    def watch(self, number: int, scene: Clip, studio: Studio) -> list[Sample]:
        samples = []
        regions: dict[int, Region] = {}
        for k in range(len(scene.poses)):
            picture, view = studio.picture(scene, k), scene.view(k)
            found = self._found(picture, view)
            for i in np.flatnonzero((view[:, SIZE_PX] > 0.0) & (view[:, CUT] < 0.7)):
                row = view[i]
                region = regions.get(i)
                if region is None:
                    side_px = 1.5 * row[SIZE_PX]
                    region = Region(x_px=row[X_PX], y_px=row[Y_PX], side_px=side_px, angle_rad=-row[ROLL_RAD])
                    region = region_of(self._mesh.fit(picture, region)[0])
                points, score = self._mesh.fit(picture, region)
                box = box_of(points)
                x_px, y_px = box.x_px + box.width_px / 2, box.y_px + box.height_px / 2
                off = math.hypot(x_px - row[X_PX], y_px - row[Y_PX]) / row[SIZE_PX]
                sized = 0.4 < box.height_px / row[SIZE_PX] < 2.0
                measured = measure(points, scene.lens, self._canonical)
                is_on_face = bool(off < ASTRAY and sized and score >= 0.5 and measured is not None)
                # Seen from behind, a pose means nothing.
                is_known = is_on_face and abs(row[YAW_RAD]) < BEHIND_RAD
                regions.pop(i, None)
                targets = np.full(len(TARGETS), np.nan)
                targets[:2] = found[i], _logit(score) if off < ASTRAY and sized else LOGITS[0]
                if is_on_face:
                    regions[i] = region_of(points)
                if is_known and measured is not None:
                    pose, range_m = measured
                    targets[2:] = (
                        (x_px - row[X_PX]) / row[SIZE_PX], (y_px - row[Y_PX]) / row[SIZE_PX],
                        math.log(box.width_px / row[SIZE_PX]), math.log(box.height_px / row[SIZE_PX]),
                        pose.pitch_rad - row[PITCH_RAD], pose.yaw_rad - row[YAW_RAD],
                        pose.roll_rad - row[ROLL_RAD], math.log(range_m / row[RANGE_M]),
                    )  # fmt: skip
                look = self._network.embed(picture, points) if is_known and scene.lens is LENS else None
                person = NAMES.index(scene.actors[k][i].name)
                width_px = float(scene.lens.width_px)
                samples.append(
                    Sample(number, k, person, row, scene.light, width_px, targets, is_on_face, look)
                )
        return samples

    def _found(self, picture: Image, view: Doubles) -> list[float]:
        """The detector's logit for each face; a detection belongs to one face, the nearest."""
        logits = [LOGITS[0]] * len(view)
        pairs = []
        for d, detection in enumerate(self._detector.find(picture)):
            box = detection.box
            for i, row in enumerate(view):
                off = math.hypot(
                    box.x_px + box.width_px / 2 - row[X_PX], box.y_px + box.height_px / 2 - row[Y_PX]
                )
                if (
                    row[SIZE_PX] > 0.0
                    and off < ASTRAY * row[SIZE_PX]
                    and 0.4 < box.height_px / row[SIZE_PX] < 2.0
                ):
                    pairs.append((off / row[SIZE_PX], d, i, _logit(detection.score)))
        taken: set[tuple[str, int]] = set()
        for _, d, i, logit in sorted(pairs):
            if ("d", d) not in taken and ("i", i) not in taken:
                taken |= {("d", d), ("i", i)}
                logits[i] = logit
        return logits


def _logit(score: float) -> float:
    score = min(max(score, 1e-9), 1.0 - 1e-9)
    return float(np.clip(math.log(score / (1.0 - score)), *LOGITS))


# --- The fit


def fit(samples: list[Sample]) -> dict[str, Any]:
    """All arrays of `vision_errors.Errors`."""
    person = np.array([sample.person for sample in samples])
    targets = np.array([sample.targets for sample in samples])
    near = np.zeros((len(samples), FEATURES))
    zoomed = np.zeros_like(near)
    for k, sample in enumerate(samples):
        size_px = float(sample.view[SIZE_PX])
        vision_errors.features(sample.view, size_px, sample.light, near[k])
        vision_errors.features(sample.view, size_px * 640.0 / sample.width_px, sample.light, zoomed[k])
    count = len(TARGETS)
    found: dict[str, Any] = {
        "weights": np.zeros((count, FEATURES)),
        "own": np.zeros((len(NAMES), count, OWN_FEATURES)),
        "noise": np.zeros((count, FEATURES)),
        "jitter": np.zeros((count, FEATURES)),
        "lasting": np.zeros((3, 2)),
    }
    slope = 1.0
    surprises: list[tuple[Doubles, NDArray[np.bool_]]] = []
    for target in range(count):
        phi = zoomed if target == FOUND else near
        known = np.isfinite(targets[:, target])
        x, y, who = phi[known], targets[known, target], person[known]
        order = [(samples[k].clip, samples[k].person, samples[k].frame) for k in np.flatnonzero(known)]
        if target in (FOUND, FITTED):
            latent, found["weights"][target], found["own"][:, target] = _probit(x, y > 0.0, who)
            surprises.append(_surprise(latent, y > 0.0))
            found["lasting"][target] = _lasting_yes(order, latent, y > 0.0)
            if target == FITTED:
                noisy = latent + np.random.default_rng(0).normal(size=len(latent))
                # The score of all but the worst tenth is nearly one; this makes that tenth alike.
                slope = float(np.quantile(y[y > 0.0], 0.1) / np.quantile(noisy[noisy > 0.0], 0.1))
            continue
        common, own = _mixed(x, y[:, None], who, OWN_FEATURES, 1.0, 12.0)
        rest = y - x @ common[:, 0] - np.einsum("nk,nk->n", x[:, :OWN_FEATURES], own[who, :, 0])
        found["weights"][target], found["own"][:, target] = common[:, 0], own[:, :, 0]
        clips, mean = _clip_means(order, rest)
        found["noise"][target] = _log_size(x[clips], mean, 30.0)
        middle, bend = _bends(order, rest)
        found["jitter"][target] = _log_size(x[middle], bend / math.sqrt(6.0), 30.0)
    found |= _fit_looks(samples, near, person, found["lasting"])
    (one, is_one), (other, is_other) = surprises
    both = is_one & is_other
    together = math.sin(math.pi / 2 * float(np.clip((one * other)[both].mean(), 0.0, 1.0)))
    found["scales"] = np.array([*found["scales"], slope, together])
    return found


def _log_size(x: Doubles, errors: Doubles, weight: float) -> Doubles:
    """Weights of the logarithm of the standard deviation of errors about zero."""
    # The mean of the logarithm of a normal deviate's size is -.635.
    size = np.log(np.maximum(np.abs(errors), 0.05 * errors.std())) + 0.6
    noise = _ridge(x, size[:, None], weight)[:, 0]
    scale = np.exp(np.minimum(x @ noise, 1.0))
    noise[0] += math.log(float(np.sqrt(np.median((errors / scale) ** 2) / 0.455)))
    return noise


def _clip_means(order: list[tuple[int, int, int]], rest: Doubles) -> tuple[NDArray[np.intp], Doubles]:
    """A row of each face in each clip, from its middle, and the mean of its errors."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, (number, person, _) in enumerate(order):
        rows.setdefault((number, person), []).append(row)
    middle = np.array([each[len(each) // 2] for each in rows.values()], dtype=np.intp)
    return middle, np.array([rest[each].mean() for each in rows.values()])


def _bends(order: list[tuple[int, int, int]], rest: Doubles) -> tuple[NDArray[np.intp], Doubles]:
    """Second differences of the errors over three frames, and the rows in the middle.

    Of noise that is new in each frame they have six times the variance, and of what moves evenly nothing.
    """
    rows = {key: row for row, key in enumerate(order)}
    three = [
        (rows[c, p, f - 1], row, rows[c, p, f + 1])
        for (c, p, f), row in rows.items()
        if (c, p, f - 1) in rows and (c, p, f + 1) in rows
    ]
    before, middle, after = np.array(three, dtype=np.intp).reshape(-1, 3).T
    return middle, rest[before] - 2.0 * rest[middle] + rest[after]


def _probit(x: Doubles, is_so: NDArray[np.bool_], who: NDArray[np.intp]) -> tuple[Doubles, Doubles, Doubles]:
    """Latent values, common weights and each person's own, so that noise of variance one gives the right shares.

    Probit regression by Fisher scoring, held back towards zero.
    """
    own = np.zeros((len(x), len(NAMES), OWN_FEATURES))
    own[np.arange(len(x)), who] = x[:, :OWN_FEATURES]
    design = np.hstack([x, own.reshape(len(x), -1)])
    held = np.diag(np.concatenate([[1e-3], np.full(FEATURES - 1, 0.1), np.full(own[0].size, 3.0)]))
    weights_of = np.zeros(design.shape[1])
    cumulative = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2.0)))
    for _ in range(25):
        z = np.clip(design @ weights_of, -5.0, 5.0)
        share, density = cumulative(z), np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        pull = density * (is_so - share) / (share * (1.0 - share) + 1e-9)
        gain = density**2 / (share * (1.0 - share) + 1e-9)
        step = np.linalg.solve(
            design.T @ (design * gain[:, None]) + held, design.T @ pull - held @ weights_of
        )
        weights_of += step
    return design @ weights_of, weights_of[:FEATURES], weights_of[FEATURES:].reshape(len(NAMES), OWN_FEATURES)


def _surprise(latent: Doubles, is_so: NDArray[np.bool_]) -> tuple[Doubles, NDArray[np.bool_]]:
    """Each outcome against its chance, of variance one, and where both outcomes were likely enough to tell.

    With latent correlation r two such correlate by about 2/π·asin r (Sheppard).
    """
    share = np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in latent])
    return (is_so - share) / np.sqrt(share * (1.0 - share) + 1e-9), (share > 0.1) & (share < 0.9)


def _fit_looks(
    samples: list[Sample], phi: Doubles, person: NDArray[np.intp], lasting: Doubles
) -> dict[str, Any]:
    known = [k for k, sample in enumerate(samples) if sample.look is not None]
    basis = np.zeros((len(known), LOOK_FEATURES))
    for row, k in enumerate(known):
        vision_errors.look_features(phi[k], basis[row])
    looks = np.array([samples[k].look for k in known], dtype=np.float64)
    who = person[known]
    common, own = _mixed(basis, looks, who, OWN_LOOK_FEATURES, 1.0, 3.0)
    rest = looks - basis @ common - np.einsum("nk,nkd->nd", basis[:, :OWN_LOOK_FEATURES], own[who])
    size = np.linalg.norm(rest, axis=1)
    noise = _ridge(basis, np.log(np.maximum(size, 1e-3))[:, None], 5.0)[:, 0]
    even = rest / np.exp(basis @ noise)[:, None]
    _, strength, ways = np.linalg.svd(even, full_matrices=False)
    spread = ways[:COMPONENTS] * strength[:COMPONENTS, None] / math.sqrt(len(even))
    left = float((strength[COMPONENTS:] ** 2).sum() / len(even) / vision_errors.NUMBERS)
    order = [(samples[k].clip, samples[k].person, samples[k].frame) for k in known]
    lasting[-1] = _lasting(order, even / np.linalg.norm(even, axis=1, keepdims=True))
    varies = math.sqrt(max(float(np.var(np.log(np.maximum(size, 1e-3)) - basis @ noise)) - 0.02, 0.0))
    scale = [math.sqrt(left), varies]
    return {
        "look": common,
        "own_look": own,
        "look_noise": noise,
        "look_spread": spread,
        "scales": scale,
    }


def _ridge(x: Doubles, y: Doubles, weight: float) -> Doubles:
    """Least squares held back towards zero; the first column, a constant, is free."""
    held = np.full(x.shape[1], weight)
    held[0] = 1e-6
    return np.asarray(np.linalg.solve(x.T @ x + np.diag(held), x.T @ y))


def _mixed(
    x: Doubles, y: Doubles, who: NDArray[np.intp], own_features: int, weight: float, own_weight: float
) -> tuple[Doubles, Doubles]:
    """Weights common to all (K × D), and what each person adds to the first of them (P × J × D)."""
    own = np.zeros((len(NAMES), own_features, y.shape[1]))
    common = np.zeros((x.shape[1], y.shape[1]))
    mine = x[:, :own_features]
    for _ in range(8):
        common = _ridge(x, y - np.einsum("nk,nkd->nd", mine, own[who]), weight)
        rest = y - x @ common
        for person in range(len(NAMES)):
            part = mine[who == person]
            held = np.full(own_features, own_weight)
            own[person] = np.linalg.solve(part.T @ part + np.diag(held), part.T @ rest[who == person])
    return common, own


def _lasting(order: list[tuple[int, int, int]], even: Doubles) -> Doubles:
    """The share of the noise that stays from frame to frame, and for how long."""
    power = float((even**2).sum(axis=1).mean())
    return _share_and_time(
        [
            float((even[one] * even[other]).sum() / power / max(len(one), 1))
            for one, other in (_pairs(order, lag) for lag in range(1, FRAMES))
        ]
    )


def _lasting_yes(order: list[tuple[int, int, int]], latent: Doubles, is_so: NDArray[np.bool_]) -> Doubles:
    """The same of a probit's noise: so that yes and no change places as often as they did."""
    rng = np.random.default_rng(0)
    alike = []
    for lag in range(1, FRAMES):
        one, other = _pairs(order, lag)
        changes = float((is_so[one] != is_so[other]).mean())
        first, second = rng.normal(size=(2, len(one), 50))
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            then = middle * first + math.sqrt(1.0 - middle * middle) * second
            given = ((latent[one, None] + first > 0.0) != (latent[other, None] + then > 0.0)).mean()
            low, high = (middle, high) if given > changes else (low, middle)
        alike.append((low + high) / 2)
    return _share_and_time(alike)


def _pairs(order: list[tuple[int, int, int]], lag: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the same face, so many frames apart."""
    rows = {key: row for row, key in enumerate(order)}
    pairs = [(row, rows[c, p, f + lag]) for (c, p, f), row in rows.items() if (c, p, f + lag) in rows]
    one, other = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return one, other


def _share_and_time(alike: list[float]) -> Doubles:
    """From correlations one, two … frames apart."""
    first, last = alike[0], alike[-1]
    share = min(max(first + (first - alike[1]) / 2, 0.0), 0.99)
    # `vision_errors` moves from knot to knot: after a whole knot's time about a sixth is left.
    fall = math.log(max(share, 0.02) / max(last, 0.01)) / ((FRAMES - 1) / RATE_HZ)
    return np.array([share, min(max(1.5 / max(fall, 1e-3), 0.15), 3.0)])


def looks_digest() -> dict[str, str]:
    """What each of the cast looks like, in short: a change wants a new fit."""
    return {
        name: hashlib.sha256(msgspec.json.encode(look)).hexdigest()[:16] for name, look in people.CAST.items()
    }


def main(clips: int) -> None:
    """Draw, fit, write, check."""
    rng = np.random.default_rng(5)
    studio, watcher = Studio(), Watcher()
    samples: list[Sample] = []
    for number in range(clips):
        samples += watcher.watch(number, clip(rng, FRAMES), studio)
        if number % 50 == 49:
            print(f"{number + 1} of {clips} clips, {len(samples)} faces", flush=True)
    about = {
        "people": list(NAMES),
        "looks": looks_digest(),
        "networks": {name: weights.WEIGHTS[name].sha256 for name in ("face_detection", "face_landmark")},
        "faces": len(samples),
    }
    write(fit(samples), about)
    judge(rng, round(clips * CHECKED_SHARE), studio)


def write(arrays: dict[str, Any], about: dict[str, Any]) -> None:
    small = {name: np.asarray(values, dtype=np.float32) for name, values in arrays.items()}
    np.savez_compressed(vision_errors.DATA, about=json.dumps(about), **small)  # type: ignore[arg-type]
    vision_errors.load.cache_clear()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS)
