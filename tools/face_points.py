"""Make `sim/data/face_points.npz` again: `python tools/face_points.py`.

Where on the generated head each of vision's 468 landmarks lies: a triangle of skin and the weights of its
corners. A plain head is drawn from in front, vision finds its landmarks, and each one's ray is followed to the
skin. So a photograph whose landmarks are known can be laid over any head that is built from this mesh.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.vision import Vision
from sim import mesh, people
from sim.cast import EUROPE
from sim.paint import Look
from sim.people import Actor
from sim.people_views import LENS
from sim.render import Renderer, portrait_pose
from sim.room import living_room

Doubles = NDArray[np.float64]
DISTANCE_M = 0.6
FRONT_M = DISTANCE_M + 0.1  # skin farther from the camera than this is not of the face
PLAIN = Look(seed=1, sex=0.5, age=0.0, origin=EUROPE, skin=(222, 178, 150), hair=(54, 38, 28), style="short")


def main() -> None:
    """Draw, look, follow the rays, write."""
    vertices = people.head(PLAIN, spread=0.0)
    renderer = Renderer(LENS, living_room(), ())
    plain = people.build("plain", PLAIN, keep=False)
    renderer.add(msgspec.structs.replace(plain, shape=people.shape_of(vertices, PLAIN)))
    actor = Actor(name="plain", position_m=(0.0, 0.0, 1.6))
    (face,) = Vision(LENS).see(renderer.draw_portrait(actor, DISTANCE_M), 0.0, 0).faces
    assert face.landmarks is not None
    base = mesh.base()
    left, right = (vertices[base.joints[name]].mean(axis=0) for name in ("l-eye", "r-eye"))
    eyes = (left + right) / 2.0
    own = ((vertices - eyes) * 0.1)[:, [2, 0, 1]].astype(np.float64)  # as `mesh.assemble` places it
    pose = portrait_pose(actor, DISTANCE_M)
    own += np.array(actor.position_m)
    camera = (own - pose[:3, 3]) @ pose[:3, :3]
    is_mouth = base.inside[base.triangles].max(axis=1) > 0.3
    skin = np.flatnonzero((base.kind == mesh.SKIN) & ~is_mouth)
    corners = camera[base.triangles[skin]]
    chosen, weights = [], []
    for column, row, _ in face.landmarks:
        ray = np.array(
            (1.0, (LENS.width_px / 2 - column) / LENS.focal_px, (LENS.height_px / 2 - row) / LENS.focal_px)
        )
        place, weight = _hit(corners, ray)
        chosen.append(skin[place])
        weights.append(weight)
    np.savez_compressed(
        mesh.DATA.with_name("face_points.npz"),
        triangles=np.array(chosen, dtype=np.uint16),
        weights=np.array(weights, dtype=np.float32),
    )


def _hit(corners: Doubles, ray: Doubles) -> tuple[int, Doubles]:
    """The nearest triangle that the ray meets, else the one that it passes nearest to; weights of its corners."""
    flat = corners[..., 1:] / corners[..., :1] - ray[1:]
    a, b, c = flat[:, 0], flat[:, 1], flat[:, 2]

    def cross(p: Doubles, q: Doubles) -> Doubles:
        return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]

    area = cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.stack([cross(b, c), cross(c, a), cross(a, b)], axis=1) / area[:, None]
    inside = np.isfinite(weights).all(axis=1) & (weights.min(axis=1) >= 0.0)
    inside &= corners[..., 0].mean(axis=1) < FRONT_M
    if inside.any():
        place = int(np.flatnonzero(inside)[np.argmin(corners[inside, :, 0].mean(axis=1))])
        return place, weights[place]
    near = np.linalg.norm(flat.mean(axis=1), axis=1) + (corners[..., 0].mean(axis=1) > FRONT_M) * 1e3
    return int(np.argmin(near)), np.array([1.0, 1.0, 1.0]) / 3.0


if __name__ == "__main__":
    main()
