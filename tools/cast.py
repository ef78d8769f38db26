"""Find seeds under which vision tells the simulated people apart: `python tools/cast.py [SEEDS] [KEPT]`.

Each name in the cast keeps its looks and tries SEEDS seeds. Every candidate is drawn in all views and embedded;
candidates that vision misses in one view, or that are unlike themselves, fall out. For the rest one seed a name
is sought that keeps the people farthest apart over all pairs of views, by local search from many starts, and
printed to be written into `sim/cast.py`. Two seconds a candidate; what was seen is kept in the
file KEPT, from which the next call goes on.
"""

import itertools
import math
import sys
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.identity import OTHER_ABOVE
from agent.likeness_trials import embeddings
from sim import people
from sim.cast import CAST, NAMES
from sim.paint import LIPS, Look, Share
from sim.people_views import LENS, VIEWS, portrait
from sim.render import Renderer
from sim.room import living_room

OWN_AT_MOST = 0.48
STARTS = 250
APART = 0.62  # a little more than identity asks of strangers
Key = tuple[str, int]
Doubles = NDArray[np.float64]


def lips_of(seed: int, look: Look) -> Share:
    """A lipstick or a paleness of the seed's own: men wear none, and on dark skin lips differ less."""
    low, high = (
        ([0.88, 0.75, 0.8], [1.05, 1.15, 1.15]) if look.sex < 0.15 else ([0.97] * 3, [1.06, 1.25, 1.2])
    )
    factor = np.random.default_rng(seed).uniform(low, high)
    paler = 0.45 * (1.0 - min(sum(look.skin) / 600.0, 1.0))
    lips = np.array(LIPS) * factor
    red, green, blue = np.clip(lips + paler * (1.0 - lips), 0.0, 1.0).round(2).tolist()
    return red, green, blue


def candidates(seeds: int, kept: Path) -> dict[Key, Doubles]:
    """Embeddings, view × 128, of every candidate that is found once in each view and stays like itself."""
    renderer = Renderer(LENS, living_room(), ())
    seen: dict[Key, Doubles] = {}
    if kept.exists():
        with np.load(kept) as data:
            seen = {(name.rsplit()[0], int(name.rsplit()[1])): data[name] for name in data.files}
    for place in range(seeds):
        for name in NAMES:
            seed = ord(name[0]) * 100 + place
            if (name, seed) in seen:
                continue
            look = CAST[name]
            changed = msgspec.structs.replace(look, seed=seed, lips=lips_of(seed, look))
            renderer.add(people.build(name, changed, keep=False))
            found = embeddings(((name, portrait(renderer, name, view)) for view in VIEWS), LENS)
            seen[name, seed] = np.array(
                [np.full(128, math.nan) if face is None else face for _, face in found], dtype=np.float64
            )
        np.savez(kept, **{f"{name} {seed}": views for (name, seed), views in seen.items()})

    def own(views: Doubles) -> float:
        return max(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(views, 2))

    return {
        key: views for key, views in seen.items() if np.isfinite(views).all() and own(views) < OWN_AT_MOST
    }


def choose(found: dict[Key, Doubles]) -> tuple[float, float, list[Key]]:
    """One candidate a name; then the share of pairs of pictures that lie apart, and the least distance.

    Sought is the least sum of what distances fall short of `APART`, by changing one person at a time.
    """
    keys = list(found)
    faces = np.array(list(found.values()))
    apart = np.array([np.linalg.norm(faces[:, :, None] - views[None, None], axis=3) for views in faces])
    short = np.maximum(0.0, APART - apart).sum(axis=(2, 3))
    of_name = [
        np.array([i for i, key in enumerate(keys) if key[0] == name], dtype=np.int64) for name in NAMES
    ]
    if not all(len(own) for own in of_name):
        raise SystemExit(
            f"no seed is left for {[n for n, o in zip(NAMES, of_name, strict=True) if not len(o)]}"
        )
    rng = np.random.default_rng(0)
    best: tuple[float, list[int]] = (math.inf, [])
    for _ in range(STARTS):
        chosen = [int(rng.choice(own)) for own in of_name]
        is_better = True
        while is_better:
            is_better = False
            for place, own in enumerate(of_name):
                others = chosen[:place] + chosen[place + 1 :]
                worth = short[np.ix_(own, others)].sum(axis=1)
                if worth.min() < short[chosen[place], others].sum() - 1e-9:
                    chosen[place], is_better = int(own[worth.argmin()]), True
        best = min(
            best, (float(short[np.ix_(chosen, chosen)][np.triu_indices(len(chosen), 1)].sum()), chosen)
        )
    pairs = np.array([apart[a, b] for a, b in itertools.combinations(best[1], 2)])
    return float((pairs > OTHER_ABOVE).mean()), float(pairs.min()), [keys[i] for i in best[1]]


if __name__ == "__main__":
    tried = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    pool = candidates(tried, Path(sys.argv[2] if len(sys.argv) > 2 else "cast.npz"))
    share, least, cast = choose(pool)
    print(f"{len(pool)} candidates; {share:.4f} of pairs > {OTHER_ABOVE}, least {least:.3f}")  # noqa: T201 - a tool's output
    for name, seed in cast:
        print(name, seed, lips_of(seed, CAST[name]))  # noqa: T201 - a tool's output
