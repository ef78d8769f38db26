"""Cats and dogs: a mesh of tubes, fur painted by code, and legs that walk. A robot must not take one for a person.

A pet is drawn as people are: it has a `Person`'s mesh and atlas, and is an `Actor` whose position is between its
eyes. Metres; x forward, y left, z up.
"""

import math
import random
from functools import cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.mesh import EXPRESSIONS, SKIN, Shape
from sim.people import GLOSS, Actor, Person, halve, person
from sim.posture import Limb, Limbs
from sim.surfaces import SEGMENTS, Doubles, Floats, Ring, Whole, smoothstep, sweep, tube, vertex_normals

Kind = Literal["cat", "dog"]
Row = tuple[float, float, float, float]  # along, up; half width, half height
STRIDE_RAD = 0.5  # swing of the legs at an easy pace
EASY_PACE_M_S = 0.7
_FUR_PX = 256  # width and height of each part's square of fur
_PARTS = ("body", "head", "leg", "plain")  # squares of the atlas from the top; plain holds six colours
_PLAIN = ("eye", "nose", "ear", "tail", "claw", "pupil")


class _Build(NamedTuple):
    """One kind's measures, in metres above the floor and ahead of the shoulders."""

    body: tuple[Row, ...]  # from the throat to the rump
    head: tuple[Row, ...]  # from the nose to the nape
    eyes: tuple[float, float, float, float]  # ahead, aside, up; radius
    nose: tuple[float, float, float]  # ahead, up; radius
    legs: tuple[tuple[float, float, float, float], ...]  # front, hind: ahead, aside, top; radius
    tail: tuple[tuple[float, float, float], ...]  # ahead, up; radius
    ears: tuple[tuple[float, float, float, float, float], ...]  # ahead, aside, up; half width, half thickness
    neck: tuple[float, float]  # where the head turns: ahead, up


_BUILDS: dict[str, _Build] = {
    "cat": _Build(
        body=((0.1, 0.27, 0.01, 0.012), (0.09, 0.265, 0.036, 0.04), (0.05, 0.235, 0.05, 0.06),
              (0.0, 0.205, 0.058, 0.073), (-0.08, 0.205, 0.06, 0.072), (-0.17, 0.21, 0.06, 0.068),
              (-0.25, 0.215, 0.062, 0.07), (-0.3, 0.22, 0.055, 0.06), (-0.33, 0.225, 0.03, 0.035),
              (-0.34, 0.225, 0.004, 0.004)),
        head=((0.195, 0.287, 0.006, 0.006), (0.19, 0.288, 0.02, 0.016), (0.172, 0.293, 0.03, 0.025),
              (0.15, 0.302, 0.046, 0.04), (0.125, 0.308, 0.052, 0.047), (0.095, 0.305, 0.046, 0.042),
              (0.07, 0.29, 0.036, 0.036), (0.04, 0.27, 0.03, 0.03)),
        eyes=(0.163, 0.026, 0.312, 0.011),
        nose=(0.193, 0.294, 0.0075),
        legs=((0.01, 0.04, 0.2, 0.021), (-0.27, 0.04, 0.21, 0.024)),
        tail=((-0.32, 0.235, 0.018), (-0.37, 0.25, 0.017), (-0.42, 0.29, 0.016), (-0.45, 0.345, 0.015),
              (-0.46, 0.41, 0.014), (-0.45, 0.47, 0.012), (-0.43, 0.5, 0.006)),
        ears=((0.112, 0.032, 0.343, 0.022, 0.006), (0.11, 0.036, 0.37, 0.012, 0.005),
              (0.11, 0.039, 0.392, 0.002, 0.002)),
        neck=(0.06, 0.27),
    ),
    "dog": _Build(
        body=((0.2, 0.56, 0.015, 0.02), (0.19, 0.55, 0.065, 0.085), (0.12, 0.49, 0.085, 0.12),
              (0.03, 0.43, 0.1, 0.145), (-0.1, 0.42, 0.105, 0.145), (-0.25, 0.435, 0.095, 0.12),
              (-0.4, 0.45, 0.088, 0.105), (-0.5, 0.455, 0.085, 0.1), (-0.55, 0.46, 0.05, 0.06),
              (-0.565, 0.46, 0.006, 0.006)),
        head=((0.42, 0.585, 0.008, 0.008), (0.415, 0.585, 0.026, 0.024), (0.37, 0.59, 0.034, 0.034),
              (0.325, 0.6, 0.042, 0.042), (0.295, 0.625, 0.06, 0.062), (0.25, 0.64, 0.075, 0.07),
              (0.2, 0.63, 0.07, 0.07), (0.15, 0.58, 0.06, 0.075), (0.1, 0.53, 0.06, 0.08)),
        eyes=(0.305, 0.04, 0.652, 0.0115),
        nose=(0.418, 0.594, 0.016),
        legs=((0.04, 0.075, 0.42, 0.036), (-0.46, 0.075, 0.44, 0.042)),
        tail=((-0.54, 0.5, 0.026), (-0.62, 0.55, 0.024), (-0.69, 0.62, 0.022), (-0.73, 0.7, 0.018),
              (-0.74, 0.76, 0.006)),
        ears=((0.225, 0.066, 0.7, 0.006, 0.004), (0.23, 0.088, 0.685, 0.03, 0.008), (0.235, 0.098, 0.63, 0.036, 0.009),
              (0.24, 0.096, 0.575, 0.022, 0.007), (0.24, 0.094, 0.56, 0.003, 0.003)),
        neck=(0.17, 0.57),
    ),
}  # fmt: skip

# Coats: ground, belly and markings (red, green, blue), and how strong the markings are; then the eyes' colour.
_Coat = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], float, tuple[int, int, int]]
COATS: dict[str, tuple[_Coat, ...]] = {
    "cat": (
        ((150, 128, 100), (205, 190, 168), (66, 54, 44), 0.85, (140, 160, 60)),
        ((186, 120, 62), (226, 196, 158), (140, 76, 34), 0.75, (170, 150, 50)),
        ((52, 50, 52), (70, 68, 70), (34, 32, 34), 0.6, (170, 170, 70)),
    ),
    "dog": (
        ((176, 128, 76), (224, 200, 164), (58, 44, 34), 0.9, (70, 46, 26)),
        ((196, 164, 112), (226, 208, 172), (176, 140, 92), 0.6, (70, 46, 26)),
        ((228, 222, 212), (236, 232, 226), (92, 60, 40), 0.95, (60, 42, 26)),
    ),
}


class PetActor(Actor, frozen=True, kw_only=True):
    """A pet at one moment."""

    kind: Kind


def pet_actor(
    name: str,
    kind: Kind,
    floor_m: tuple[float, float],
    yaw_rad: float,
    head_yaw_rad: float,
    gait_rad: float,
    speed_m_s: float,
) -> PetActor:
    """A pet that stands at a place on the floor; `gait_rad` is the phase of its steps, yaws as an actor's."""
    ahead_m, _, up_m, _ = _BUILDS[kind].eyes
    x, y = floor_m
    swing = STRIDE_RAD * min(speed_m_s / EASY_PACE_M_S, 1.3)
    return PetActor(
        name=name,
        kind=kind,
        position_m=(x + math.cos(yaw_rad) * ahead_m, y + math.sin(yaw_rad) * ahead_m, up_m),
        yaw_rad=head_yaw_rad,
        body_yaw_rad=yaw_rad,
        stride_rad=swing * math.sin(gait_rad),
    )


def person_or_pet(who: Actor) -> Person:
    """What the renderer needs to draw whoever this is. Raises ConfigError for a person who is not in the cast."""
    return pet(who.name, who.kind) if isinstance(who, PetActor) else person(who.name)


@cache
def pet(name: str, kind: Kind) -> Person:
    """What the renderer needs of a cat or dog; its name decides the coat."""
    fur = _paint(kind, COATS[kind][random.Random(name).randrange(len(COATS[kind]))])
    gloss = GLOSS.copy()
    gloss[SKIN] = 8.0
    return Person(name=name, shape=_shape(kind), atlas=halve(fur, 1), gloss=gloss)


class _Mesh:
    """Parts put together: points from the floor and the shoulders, triangles, uv, and what each point belongs to."""

    def __init__(self) -> None:
        self.points: list[Doubles] = []
        self.triangles: list[Whole] = []
        self.uv: list[Doubles] = []
        self.part: list[str] = []

    def add(self, points: Doubles, triangles: Whole, uv: Doubles, part: str) -> None:
        """One closed part; its triangles are turned outside out if they are not."""
        corner = points[triangles] - points.mean(axis=0)
        if float(np.einsum("ij,ij->i", np.cross(corner[:, 0], corner[:, 1]), corner[:, 2]).sum()) < 0.0:
            triangles, uv = triangles[:, ::-1], uv[:, ::-1]
        self.triangles.append(triangles + len(self.part))
        self.points.append(points)
        self.uv.append(uv)
        self.part += [part] * len(points)


def _shape(kind: Kind) -> Shape:
    build, whole = _BUILDS[kind], _Mesh()
    whole.add(*_level(build.head, "head"), "head")
    ahead, aside, up, radius = build.eyes
    for side in (1.0, -1.0):
        whole.add(*_ball((ahead, side * aside, up), radius, "eye"), "head")
        pupil = (ahead + 0.62 * radius, side * (aside + 0.25 * radius), up)
        whole.add(*_ball(pupil, 0.62 * radius, "pupil"), "head")
        ear = tuple((side * y, z, x, wide, thick) for x, y, z, wide, thick in build.ears)
        points, triangles = tube(ear)
        if kind == "dog":  # hanging ears are wide from front to back
            centre = np.repeat([ring[:3] for ring in ear], SEGMENTS, axis=0)
            points = centre + (points - centre)[:, [2, 1, 0]]
        whole.add(points[:, [2, 0, 1]], triangles, _flat(len(triangles), "ear"), "head")
    whole.add(*_ball((build.nose[0], 0.0, build.nose[1]), build.nose[2], "nose"), "head")
    head_triangles = sum(len(each) for each in whole.triangles)
    whole.add(*_level(build.body, "body"), "body")
    for place, (ahead, aside, top, radius) in enumerate(build.legs):
        for side in (1.0, -1.0):
            rings = _leg(ahead, side * aside, top, radius, is_hind=place == 1)
            points, triangles = tube(rings)
            name = f"{'hind' if place else 'front'} {'left' if side > 0 else 'right'}"
            whole.add(points[:, [2, 0, 1]], triangles, _wound(len(rings), "leg"), name)
    path = np.array([(x, 0.0, z) for x, z, _ in build.tail])
    points, triangles = sweep(path, np.array([radius for _, _, radius in build.tail]), 10, is_closed=False)
    whole.add(points, triangles, _flat(len(triangles), "tail"), "tail")
    return _assembled(build, whole, head_triangles)


def _leg(ahead: float, aside: float, top: float, radius: float, is_hind: bool) -> tuple[Ring, ...]:
    """Rings (aside, up, ahead; half widths) from the shoulder or hip to the paw."""
    shapes = [(1.0, 0.0, 0.4), (0.97, 0.0, 1.7), (0.72, 0.0, 1.6), (0.52, 0.3, 1.05), (0.42, -0.1, 0.85),
              (0.3, -0.4, 0.72),
              (0.14, -0.2, 0.7), (0.07, 0.1, 0.95), (0.03, 0.5, 1.2), (0.0, 0.6, 1.15), (0.0, 0.6, 0.2)]  # fmt: skip
    bend = 1.4 if is_hind else 0.35  # a hind leg's knee points ahead, its hock back
    rings = []
    for share, lean, wide in shapes:
        x = ahead + radius * lean * (bend if 0.1 < share < 0.9 else 1.0)
        rings.append((aside, share * top, x, 0.85 * radius * wide, radius * wide))
    return tuple(rings)


def _level(rings: tuple[tuple[float, float, float, float], ...], part: str) -> tuple[Doubles, Whole, Doubles]:
    """A tube along x, through rings (ahead, up; half width and height)."""
    points, triangles = tube(tuple((0.0, ahead, up, wide, high) for ahead, up, wide, high in rings))
    return points[:, [1, 0, 2]], triangles, _wound(len(rings), part)


def _ball(centre: tuple[float, float, float], radius: float, colour: str) -> tuple[Doubles, Whole, Doubles]:
    turns = np.linspace(0.02, math.pi - 0.02, 6)
    rings = tuple((0.0, radius * math.cos(t), 0.0, radius * math.sin(t), radius * math.sin(t)) for t in turns)
    points, triangles = tube(rings)
    return points[:, [2, 0, 1]] + np.array(centre), triangles, _flat(len(triangles), colour)


def _wound(rings: int, part: str) -> Doubles:
    """Atlas places of a tube's triangles: across the square around it, down the square along it."""
    top = _PARTS.index(part) * float(_FUR_PX)
    uv = []
    for ring in range(rings - 1):
        for s in range(SEGMENTS):
            u0, u1 = s / SEGMENTS, (s + 1) / SEGMENTS
            v0, v1 = ring / (rings - 1), (ring + 1) / (rings - 1)
            uv += [((u0, v0), (u1, v0), (u0, v1)), ((u1, v0), (u1, v1), (u0, v1))]
    return np.array(uv) * (_FUR_PX - 8) + (4, top + 4)


def _flat(triangles: int, colour: str) -> Doubles:
    """All of a part in one of the plain colours."""
    size = _FUR_PX / len(_PLAIN)
    at = ((_PLAIN.index(colour) + 0.5) * size, (len(_PARTS) - 0.5) * _FUR_PX)
    return np.full((triangles, 3, 2), at)


def _assembled(build: _Build, whole: _Mesh, head_triangles: int) -> Shape:
    points, triangles = np.concatenate(whole.points), np.concatenate(whole.triangles)
    part = np.array(whole.part)
    eyes = np.array((build.eyes[0], 0.0, build.eyes[2]))
    own = (points - eyes).astype(np.float32)
    count, neck = len(own), build.neck[0]
    share = np.where(part == "head", smoothstep(points[:, 0], neck - 0.04, neck + 0.05), 0.0)

    def limb(of: str, up: float, ahead: float, soft: float) -> Limb:
        turned = smoothstep(up - points[:, 2], -soft, soft) * (part == of)
        chosen = np.flatnonzero(turned > 0.0)
        at = np.array((ahead, 0.0, up)) - eyes
        return Limb(
            joint=(float(at[0]), 0.0, float(at[2])),
            vertices=chosen,
            shares=turned[chosen].astype(np.float32),
        )

    def pair(place: int, height: float, soft: float) -> tuple[Limb, Limb]:
        ahead, _, top, _ = build.legs[place]
        names = [f"{('front', 'hind')[place]} {side}" for side in ("left", "right")]
        left, right = (limb(name, height * top, ahead, soft * top) for name in names)
        return left, right

    return Shape(
        points=own,
        normals=vertex_normals(own, triangles.astype(np.int32)).astype(np.float32),
        triangles=triangles.astype(np.int32),
        kind=np.full(len(triangles), SKIN, dtype=np.int32),
        uv=np.concatenate(whole.uv).astype(np.float32),
        with_head=share.astype(np.float32),
        legs=np.zeros(count, dtype=np.float32),
        sky=(0.55 + 0.45 * smoothstep(points[:, 2] / build.legs[0][2], 0.2, 1.2)).astype(np.float32),
        deltas=np.zeros((len(EXPRESSIONS), count, 3), dtype=np.float32),
        pivot=(np.array((neck, 0.0, build.neck[1])) - eyes).astype(np.float32),
        body=head_triangles,
        limbs=Limbs(
            shins=pair(1, 0.42, 0.12),
            thighs=pair(1, 0.95, 0.15),
            forearms=pair(0, 0.4, 0.12),
            arms=pair(0, 0.95, 0.15),
            shin_m=0.4 * build.legs[1][2],
        ),
        standing_eye_m=build.eyes[2],
    )


def _paint(kind: Kind, coat: _Coat) -> NDArray[np.uint8]:
    """Blue, green, red and a mask without holes: a square of fur each for body, head and legs, then plain colours."""
    ground, belly, marks, strength, eye = (np.array(each, dtype=np.float32) for each in coat)
    rng = np.random.default_rng(len(kind))
    atlas = np.full((len(_PARTS) * _FUR_PX, _FUR_PX, 4), 255.0, dtype=np.float32)
    v, u = np.mgrid[:_FUR_PX, :_FUR_PX].astype(np.float32) / _FUR_PX
    upward = np.sin(2.0 * math.pi * u)  # of the place on a level tube: 1 the back, -1 the belly
    for place, part in enumerate(_PARTS[:3]):
        wander = _noise(rng, 40)
        if part == "leg":
            mask = smoothstep(np.sin(34.0 * v + wander), 0.3, 0.9) * smoothstep(-v, -0.75, -0.3)
            low = smoothstep(v, 0.72, 0.85)
        else:
            if kind == "cat":
                mask = smoothstep(np.sin((60.0 if part == "body" else 40.0) * v + 1.5 * wander), 0.1, 0.8)
                mask = mask * smoothstep(upward, -0.4, 0.3)
            else:
                mask = smoothstep(upward + 0.5 * wander, 0.1, 0.5) * smoothstep(v, 0.3, 0.5)
            low = smoothstep(-upward + 0.15 * wander, 0.2, 0.6)
            if part == "head":
                low = np.maximum(low, smoothstep(-v, -0.3, -0.15))  # a paler muzzle
        fur = ground + (marks - ground) * (strength * mask)[..., None]
        fur = fur + (belly - fur) * low[..., None]
        hairs = cv2.resize(
            rng.standard_normal((_FUR_PX // 10, _FUR_PX), dtype=np.float32), (_FUR_PX, _FUR_PX)
        )
        fur = fur * (1.0 + 0.13 * hairs + 0.05 * _noise(rng, 8))[..., None]
        atlas[place * _FUR_PX : (place + 1) * _FUR_PX, :, :3] = fur[..., ::-1]
    plain = {"eye": eye, "nose": np.array((44, 34, 34)), "ear": marks * 0.5 + ground * 0.5, 
             "tail": ground * 0.6 + marks * 0.4,
             "claw": np.array((60, 52, 48)), "pupil": np.array((14, 12, 12))}  # fmt: skip
    size = _FUR_PX // len(_PLAIN)
    for place, name in enumerate(_PLAIN):
        atlas[3 * _FUR_PX :, place * size : (place + 1) * size, :3] = plain[name][::-1]
    return np.clip(atlas, 0.0, 255.0).astype(np.uint8)


def _noise(rng: np.random.Generator, grain_px: int) -> Floats:
    small = rng.standard_normal((_FUR_PX // grain_px + 1, _FUR_PX // grain_px + 1), dtype=np.float32)
    return np.asarray(cv2.resize(small, (_FUR_PX, _FUR_PX), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
