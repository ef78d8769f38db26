"""Find seeds under which vision tells the simulated people apart: `python tools/cast.py [SEEDS] [PEOPLE]`.

Each name in the cast keeps its looks and tries SEEDS seeds. Every candidate is drawn in all VIEWS and embedded;
candidates that vision misses in one view, or that are unlike themselves, fall out. Of the rest the PEOPLE with
the greatest least distance between any two of them, over all pairs of views, are sought by local search from
many starts, and printed to be written into `sim/people.py`. Half a second a candidate.
"""

import itertools
import math
import sys

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.vision import Vision
from drivers.camera import Lens
from sim import people
from sim.paint import LIPS, Share
from sim.people import Actor
from sim.render import Renderer
from sim.room import living_room

LENS = Lens(width_px=640, height_px=480, focal_px=527.0)
# Distance (m), yaw and pitch (rad): the tests' own.
VIEWS = (
    (0.7, 0.0, 0.0),
    (0.9, 0.7, 0.0),
    (1.2, -0.7, 0.1),
    (1.2, 0.3, 0.0),
    (2.0, 0.0, -0.1),
    (2.0, -0.35, 0.0),
)
OWN_AT_MOST = 0.44
STARTS = 250
TRIED_PER_MOVE = 6
Key = tuple[str, int]
Doubles = NDArray[np.float64]


def lips_of(seed: int, lips: Share) -> Share:
    """A lipstick or a paleness of the seed's own."""
    factor = np.random.default_rng(seed).uniform([0.85, 0.7, 0.75], [1.05, 1.15, 1.15])
    red, green, blue = np.clip(np.array(lips) * factor, 0.0, 1.0).round(2).tolist()
    return red, green, blue


def candidates(seeds: int) -> dict[Key, Doubles]:
    """Embeddings, view × 128, of every candidate that is found once in each view and stays like itself."""
    renderer = Renderer(LENS, living_room(), ())
    found: dict[Key, Doubles] = {}
    for name, look in people.CAST.items():
        for seed in range(ord(name[0]) * 100, ord(name[0]) * 100 + seeds):
            changed = msgspec.structs.replace(look, seed=seed, lips=lips_of(seed, LIPS))
            renderer.add(people.build(name, changed, keep=False))
            views = []
            for distance_m, yaw_rad, pitch_rad in VIEWS:
                actor = Actor(name=name, position_m=(0, 0, 1.6), yaw_rad=yaw_rad, pitch_rad=pitch_rad)
                faces = Vision(LENS).see(renderer.draw_portrait(actor, distance_m), 0.0, 0).faces
                views += [face.embedding for face in faces if face.embedding is not None]
            own = max((math.dist(a, b) for a, b in itertools.combinations(views, 2)), default=math.inf)
            if len(views) == len(VIEWS) and own < OWN_AT_MOST:
                found[name, seed] = np.array(views, dtype=np.float64)
    return found


def choose(found: dict[Key, Doubles], count: int) -> tuple[float, list[Key]]:
    """The `count` candidates of different names whose least distance is greatest, as far as the search finds."""
    keys = list(found)
    apart = np.array(
        [
            [np.linalg.norm(found[a][:, None] - found[b][None], axis=2).min() for b in keys]
            for a in keys
        ]
    )  # fmt: skip
    names = sorted({name for name, _ in keys})
    rng = np.random.default_rng(0)

    def worth(chosen: list[int]) -> tuple[float, float]:
        least = np.sort(apart[np.ix_(chosen, chosen)][np.triu_indices(count, 1)])
        return round(float(least[0]), 3), float(least[:6].sum())

    best: tuple[tuple[float, float], list[int]] = ((-1.0, 0.0), [])
    for _ in range(STARTS):
        start = rng.permutation(names)[:count]
        chosen = [int(rng.choice([i for i, key in enumerate(keys) if key[0] == name])) for name in start]
        value, is_better = worth(chosen), True
        while is_better:
            is_better = False
            for place in range(count):
                others = chosen[:place] + chosen[place + 1 :]
                taken = {keys[i][0] for i in others}
                free = [i for i, key in enumerate(keys) if key[0] not in taken]
                for i in sorted(free, key=lambda i: -apart[i, others].min())[:TRIED_PER_MOVE]:
                    trial = [*others[:place], i, *others[place:]]
                    if worth(trial) > value:
                        chosen, value, is_better = trial, worth(trial), True
        best = max(best, (value, chosen))
    return best[0][0], sorted(keys[i] for i in best[1])


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    pool = candidates(numbers[0] if numbers else 22)
    least, cast = choose(pool, numbers[1] if len(numbers) > 1 else 10)
    print(f"{len(pool)} candidates; {len(cast)} people at least {least} apart")  # noqa: T201 - a tool's output
    for name, seed in cast:
        print(name, seed, lips_of(seed, LIPS))  # noqa: T201 - a tool's output
