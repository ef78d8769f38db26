"""Whole vision and the model that stands in for it, on the same clips: how alike they are."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from random_scenes import LENS, NAMES, Clip, Doubles, Studio, clip

from agent.events import Face
from agent.vision import Vision
from sim.landmarks import Instant, Landmarks, SeenFace
from sim.sightlines import CUT, HIDDEN, PITCH_RAD, RANGE_M, ROLL_RAD, SIZE_PX, X_PX, Y_PX, YAW_RAD
from sim.stage import RATE_HZ

CLIPS, FRAMES = 150, 12
ASTRAY = 0.5  # of a face's size: what lies further off is something else


class Truth(NamedTuple):
    """What one look at one face said, and what was so: nan where it was not seen."""

    kind: str
    is_seen: bool
    errors: tuple[float, float, float, float, float]  # pitch, yaw, roll, log of distance, box in sizes
    person: int
    look: NDArray[np.float32] | None
    turned_rad: float


Film = list[tuple[SeenFace, ...]]
"""The faces in each frame of a clip."""


def by_vision(scene: Clip, studio: Studio) -> Film:
    """What the whole of vision sees."""
    vision = Vision(scene.lens)
    return [
        tuple(_flat(face) for face in vision.see(studio.picture(scene, k), k / RATE_HZ, k).faces)
        for k in range(len(scene.poses))
    ]


def by_model(scene: Clip, seed: int) -> Film:
    """What the model says that it sees."""
    instants = [
        Instant(k / RATE_HZ, pose, actors, scene.light)
        for k, (pose, actors) in enumerate(zip(scene.poses, scene.actors, strict=True))
    ]
    model = Landmarks(scene.lens, lambda time_s: instants[round(time_s * RATE_HZ)], scene.blocks, seed)
    return [model.see(k / RATE_HZ, k) for k in range(len(instants))]


def check(scenes: list[Clip], films: dict[str, list[Film]]) -> dict[str, Any]:
    """Hold films of the same scenes against the truth; the keys of `films` are shown in the table."""
    seen: dict[str, list[Truth]] = {mode: [] for mode in films}
    pictures = sum(len(scene.poses) for scene in scenes)
    strange, moved = dict.fromkeys(films, 0), dict.fromkeys(films, 0)
    for mode, of_mode in films.items():
        for scene, film in zip(scenes, of_mode, strict=True):
            owner: dict[int, int] = {}
            for k, faces in enumerate(film):
                view, left = scene.view(k), list(faces)
                for i in np.argsort(view[:, RANGE_M]):
                    if view[i, SIZE_PX] <= 0.0 or view[i, CUT] >= 0.7:
                        continue
                    face = min(left, key=lambda face, row=view[i]: _off(face, row), default=None)
                    if face is not None and _off(face, view[i]) < ASTRAY:
                        left.remove(face)
                        moved[mode] += owner.setdefault(face.track, int(i)) != i
                        owner[face.track] = int(i)
                    else:
                        face = None
                    person = NAMES.index(scene.actors[k][i].name)
                    seen[mode].append(_truth(face, view[i], person, scene))
                strange[mode] += len(left)
    return {
        "rows": _rows(seen),
        "faces that are nobody's, a picture": {mode: round(n / pictures, 4) for mode, n in strange.items()},
        "numbers that went to another face, a picture": {
            mode: round(n / pictures, 4) for mode, n in moved.items()
        },
    }


def _flat(face: Face) -> SeenFace:
    assert face.pose is not None and face.distance_m is not None
    box, pose = face.box, face.pose
    return SeenFace(
        track=face.track, x_px=box.x_px, y_px=box.y_px, width_px=box.width_px, height_px=box.height_px,
        score=face.score, pitch_rad=pose.pitch_rad, yaw_rad=pose.yaw_rad, roll_rad=pose.roll_rad,
        distance_m=face.distance_m, embedding=face.embedding,
    )  # fmt: skip


def _off(face: SeenFace, row: Doubles) -> float:
    x_px, y_px = face.x_px + face.width_px / 2, face.y_px + face.height_px / 2
    return float(math.hypot(x_px - row[X_PX], y_px - row[Y_PX]) / row[SIZE_PX])


def _truth(face: SeenFace | None, row: Doubles, person: int, scene: Clip) -> Truth:
    if row[HIDDEN] + row[CUT] > 0.0:
        hidden = row[HIDDEN] + row[CUT]
        kind = (
            "hidden or cut by ≤ 30 %" if hidden <= 0.3 else "by 30 … 60 %" if hidden <= 0.6 else "by > 60 %"
        )
    elif scene.light < 0.25:
        kind = "light .02 … .25" if scene.light > 0.02 else "light < .02"
    elif abs(row[YAW_RAD]) > 0.6:
        kind = "turned by 34 … 63°" if abs(row[YAW_RAD]) < 1.1 else "turned by > 63°"
    elif row[SIZE_PX] * 640 / scene.lens.width_px < 44:
        kind = "< 44 px high"
    else:
        kind = "clear"
    if face is None:
        return Truth(kind, False, (math.nan,) * 5, person, None, abs(float(row[YAW_RAD])))
    errors = (
        face.pitch_rad - row[PITCH_RAD], face.yaw_rad - row[YAW_RAD], face.roll_rad - row[ROLL_RAD],
        math.log(face.distance_m / row[RANGE_M]), _off(face, row),
    )  # fmt: skip
    look = face.embedding if scene.lens is LENS else None
    return Truth(kind, True, errors, person, look, abs(float(row[YAW_RAD])))


def _rows(seen: dict[str, list[Truth]]) -> list[dict[str, Any]]:
    kinds = (
        "clear", "< 44 px high", "turned by 34 … 63°", "turned by > 63°", "light .02 … .25", "light < .02",
        "hidden or cut by ≤ 30 %", "by 30 … 60 %", "by > 60 %",
    )  # fmt: skip
    rows = []
    for kind in kinds:
        for mode, truths in seen.items():
            mine = [truth for truth in truths if truth.kind == kind]
            errors = np.array([truth.errors for truth in mine if truth.is_seen]).reshape(-1, 5)
            rms = np.sqrt((errors**2).mean(axis=0)) if len(errors) else np.full(5, math.nan)
            own, other = _distances([truth for truth in mine if truth.look is not None])
            rows.append(
                {
                    "kind": kind, "mode": mode, "faces": len(mine),
                    "seen": round(len(errors) / max(len(mine), 1), 3),
                    "pose_deg": [round(math.degrees(value), 1) for value in rms[:3]],
                    "distance": round(float(rms[3]), 3), "box": round(float(rms[4]), 3),
                    "own": [round(float(np.quantile(own, q)), 2) for q in (0.1, 0.5, 0.9)] if len(own) else [],
                    "other": [round(float(np.quantile(other, q)), 2) for q in (0.02, 0.5)] if len(other) else [],
                }
            )  # fmt: skip
    return rows


def _distances(truths: list[Truth]) -> tuple[Doubles, Doubles]:
    """Between looks at one person, and at two."""
    if len(truths) < 2:
        return np.zeros(0), np.zeros(0)
    looks = np.array([truth.look for truth in truths], dtype=np.float64)[:1500]
    who = np.array([truth.person for truth in truths])[:1500]
    squares = (looks**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * looks @ looks.T, 0.0))
    upper = np.triu(np.ones(apart.shape, dtype=bool), 1)
    same = who[:, None] == who[None]
    return apart[upper & same], apart[upper & ~same]


def table(result: dict[str, Any]) -> str:
    """The check, as a page of Markdown shows it."""

    def text(values: list[float]) -> str:
        return " / ".join(f"{value:g}" for value in values) or "–"

    lines = [
        "| faces | mode | n | seen | pitch / yaw / roll, ° rms | distance | box | own .1 / .5 / .9 | others .02 / .5 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['kind']} | {row['mode']} | {row['faces']} | {row['seen']:.1%} | {text(row['pose_deg'])} "
            f"| {row['distance']:.3f} | {row['box']:.3f} | {text(row['own'])} | {text(row['other'])} |"
        )
    lines += [f"{name}: {result[name]}" for name in result if name.endswith("picture")]
    return "\n".join(lines)


def judge(rng: np.random.Generator, clips: int, studio: Studio) -> None:
    """Print the table of so many new clips."""
    scenes = [clip(rng, FRAMES) for _ in range(clips)]
    films = {
        "pixels": [by_vision(scene, studio) for scene in scenes],
        "landmarks": [by_model(scene, number) for number, scene in enumerate(scenes)],
    }
    print(table(check(scenes, films)))


if __name__ == "__main__":
    judge(np.random.default_rng(6), CLIPS, Studio())
