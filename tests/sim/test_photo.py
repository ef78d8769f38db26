"""Actors with the face of a photograph: found by vision, told apart, and refused where the photograph won't do."""

import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from agent import weights
from agent.likeness_trials import embeddings
from agent.vision import Vision
from drivers.camera import Image, Lens
from drivers.errors import ConfigError
from sim import mesh
from sim.people import Actor
from sim.people_views import LENS, VIEWS, portrait
from sim.photo import PLAIN, face_points, person_from_photo
from sim.render import Renderer
from sim.room import living_room

# Three strangers who look into the lens: film, frame, and what of them the film does not give.
FRAMES = (
    ("yes.mkv", 24, PLAIN),
    ("please.mkv", 72, msgspec.structs.replace(PLAIN, hair=(182, 146, 98), seed=2)),
    (
        "head-pose-face-detection-female-and-male.gif",
        24,
        msgspec.structs.replace(PLAIN, style="receding", beard=0.5, seed=3),
    ),
)
SAME = 0.52


def frame(file: Path, wanted: int) -> Image:
    film = cv2.VideoCapture(str(file))
    for _ in range(wanted):
        film.grab()
    more, image = film.read()
    assert more, f"{file.name} has no frame {wanted}"
    return np.asarray(image, dtype=np.uint8)


@pytest.mark.e2e
def test_people_from_photographs_are_found_and_told_apart(shared_dir: Path) -> None:
    weights.path("face_landmark")
    renderer = Renderer(LENS, living_room(), ())
    pictures = []
    for file, wanted, look in FRAMES:
        photo = frame(shared_dir / "clips" / file, wanted)
        lens = Lens(width_px=photo.shape[1], height_px=photo.shape[0], focal_px=0.9 * photo.shape[1])
        face = max(Vision(lens).see(photo, 0.0, 0).faces, key=lambda face: face.box.x_px)
        assert face.landmarks is not None
        renderer.add(person_from_photo(file, photo, face.landmarks, look))
        pictures += [(file, portrait(renderer, file, view)) for view in VIEWS]
    seen = [(name, face) for name, face in embeddings(pictures, LENS) if face is not None]
    assert len(seen) == len(pictures)
    names = np.array([name for name, _ in seen])
    faces = np.array([face for _, face in seen])
    apart = np.linalg.norm(faces[:, None] - faces[None], axis=2)
    is_own = names[:, None] == names[None]
    print(f"own at most {apart[is_own].max():.3f}; others at least {apart[~is_own].min():.3f}")
    assert apart[is_own].max() < SAME
    # All wear the same skull, so they are more alike than their photographs; each is still nearest to themselves.
    np.fill_diagonal(apart, np.inf)
    assert (names[apart.argmin(axis=1)] == names).all()


def looks_into_the_lens() -> NDArray[np.float64]:
    """The generated head's own landmarks, as a photograph would have them."""
    triangle, weight = face_points()
    base = mesh.base()
    at = np.einsum("ij,ijk->ik", weight, base.vertices[base.triangles[triangle]])
    return np.asarray((at - at.mean(axis=0)) * (100.0, -100.0, -100.0) + (160.0, 160.0, 0.0))


def test_the_photograph_lies_on_the_face_the_right_way_round() -> None:
    photo = np.full((320, 320, 3), (200, 60, 40), dtype=np.uint8)
    photo[:, 160:] = (40, 200, 60)
    renderer = Renderer(LENS, living_room(), ())
    renderer.add(person_from_photo("parted", photo, looks_into_the_lens()))
    image = renderer.draw_portrait(Actor(name="parted", position_m=(0.0, 0.0, 1.6)), 0.6).astype(int)
    blue, green, _ = image[285, 285]
    assert blue > 1.5 * green
    blue, green, _ = image[285, 355]
    assert green > 1.5 * blue


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda at: at[:100], "468"),
        (lambda at: at * math.nan, "finite"),
        (lambda at: at + 200.0, "not wholly in the picture"),
        (lambda at: at * 0.2, "px high"),
        (lambda at: np.column_stack([160 + (at[:, 0] - 160) * np.where(at[:, 0] > 160, 1, 0.3), at[:, 1:]]), "aside"),
    ],
)  # fmt: skip
def test_a_photograph_that_will_not_do_is_refused_with_the_reason(change, says) -> None:  # type: ignore[no-untyped-def]
    photo = np.zeros((320, 320, 3), dtype=np.uint8)
    with pytest.raises(ConfigError, match=f"photo of Jane: .*{says}"):
        person_from_photo("Jane", photo, change(looks_into_the_lens()))
