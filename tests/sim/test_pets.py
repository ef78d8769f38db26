"""Cats and dogs: they stand on the floor, walk, and vision never takes one for a person."""

import itertools
import math

import numpy as np
import pytest

from agent import weights
from agent.vision import Vision
from drivers.camera import Lens
from drivers.errors import ConfigError
from sim.people import Actor, bent
from sim.pets import COATS, Kind, person_or_pet, pet, pet_actor
from sim.posture import Limb
from sim.render import Renderer
from sim.room import living_room

LENS = Lens(width_px=640, height_px=480, focal_px=527.0)
KINDS: tuple[Kind, ...] = ("cat", "dog")


@pytest.mark.parametrize("kind", KINDS)
def test_a_pet_stands_on_the_floor(kind: Kind) -> None:
    who = pet_actor("Muck", kind, (1.0, 2.0), 0.3, 0.5, 0.0, 0.0)
    shape = pet("Muck", kind).shape
    assert shape.points[:, 2].min() == pytest.approx(-who.position_m[2], abs=1e-6)
    assert np.isfinite(shape.points).all() and np.isfinite(shape.normals).all()
    assert 0 < shape.body < len(shape.triangles)
    assert bent(shape, who).points is shape.points


@pytest.mark.parametrize("kind", KINDS)
def test_diagonal_legs_step_together(kind: Kind) -> None:
    shape = pet("Muck", kind).shape
    step = bent(shape, pet_actor("Muck", kind, (0.0, 0.0), 0.0, 0.0, math.pi / 2, 0.7))
    moved = step.points[:, 0] - shape.points[:, 0]

    def ahead(limbs: tuple[Limb, Limb]) -> tuple[bool, bool]:
        left, right = (moved[limb.vertices[limb.shares == 1.0]].mean() > 0.0 for limb in limbs)
        return bool(left), bool(right)

    assert ahead(shape.limbs.thighs) == (True, False)
    assert ahead(shape.limbs.arms) == (False, True)


def test_the_name_decides_the_coat() -> None:
    coats = {pet(f"cat {place}", "cat").atlas[0].tobytes() for place in range(12)}
    assert len(coats) == len(COATS["cat"])
    assert np.array_equal(pet("cat 0", "cat").atlas[0], pet("cat 0", "cat").atlas[0])


def test_who_is_no_pet_must_be_in_the_cast() -> None:
    with pytest.raises(ConfigError, match="'Muck'"):
        person_or_pet(Actor(name="Muck", position_m=(0.0, 0.0, 1.5)))


def test_vision_takes_no_pet_for_a_person() -> None:
    try:
        weights.path("face_landmark")
    except ConfigError as exc:
        pytest.skip(str(exc))
    renderer = Renderer(LENS, living_room(), ())
    for kind, coat, (distance_m, yaw_rad) in itertools.product(
        KINDS, range(2), ((0.4, 0.0), (0.7, 0.6), (1.5, 0.1), (1.0, -1.5))
    ):
        who = pet_actor(f"{kind} {coat}", kind, (0.0, 0.0), yaw_rad, yaw_rad - 0.2, coat, 0.5)
        image = renderer.draw_portrait(who, distance_m)
        assert np.ptp(image.astype(int).sum(axis=2)) > 150  # it is in the picture
        assert not Vision(LENS).see(image, 0.0, 0).faces, (kind, coat, distance_m, yaw_rad)
