"""The people who can walk through the simulated room: how each looks, and where each is at one moment."""

import hashlib
import logging
import os
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError
from sim import mesh
from sim.cast import CAST as CAST
from sim.cast import NAMES as NAMES
from sim.glasses import put_on
from sim.mesh import Floats, Shape
from sim.paint import Colour, Look, hairline_dm, paint
from sim.posture import Bent, bend
from sim.surfaces import smoothstep, vertex_normals

GLOSS: Floats = np.array([16.0, 110.0, 110.0, 26.0, 4.0, 40.0, 0.0], dtype=np.float32)  # per kind of surface
MORE_ON_DARK = 50.0
MORPH_SPREAD = 0.36  # standard deviation of a morph's strength; above .45 faces turn grotesque
HAIR_THICKNESS_DM = {
    "bald": 0.0, "buzz": 0.03, "short": 0.10, "receding": 0.07, "curly": 0.16, "afro": 0.46, "bob": 0.12,
    "long": 0.12, "fringe": 0.13,
}  # fmt: skip
RELAXED_LIDS, RESTING_SMILE = 0.10, 0.2  # MakeHuman's neutral face stares and looks glum
TEETH_MIDDLE_DM = np.array((0.0, 6.63, 1.2), dtype=np.float32)
TEETH_SIZE = np.array((0.86, 0.9, 0.86), dtype=np.float32)
TEETH_BACK_DM = np.array((0.0, 0.0, -0.04), dtype=np.float32)  # else they pierce lips that turn
CHILD_SMALLER = 0.24  # how much shorter than a grown-up a child of about eight is
LEGS_FOLD_M = 0.8  # legs get no shorter than by this
LONG_STYLES = ("bob", "long", "fringe")
ATLAS_SHAPE = (mesh.SKIN_ROWS_PX + mesh.STRIP_PX, mesh.ATLAS_WIDTH_PX, 4)

_log = logging.getLogger(__name__)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """One person at one moment, in the room frame (x forward, y left, z up, floor at 0).

    `position_m` is the point between the eyes while the head sits straight on the body; a nod turns the head
    about the neck, so the eyes then move a few centimetres away from it. Yaw 0 looks along the room's +x and
    grows to the left; positive pitch is chin down; positive roll leans to the person's own right shoulder.
    `sitting` goes from 0 (standing) to 1 (seated); the eyes' height already says how low they are then.
    `hand_up` goes from 0 to 1, where the right hand is held up beside the face. `stride_rad` is how far the left
    leg swings ahead, the right one back, while the person walks.
    """

    name: str
    position_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    body_yaw_rad: float = 0.0
    mouth: float = 0.0
    blink: float = 0.0
    smile: float = 0.0
    sitting: float = 0.0
    hand_up: float = 0.0
    stride_rad: float = 0.0


class Person(msgspec.Struct, frozen=True):
    """What the renderer needs of one person: a mesh and its painted atlas in halving sizes."""

    name: str
    shape: Shape
    atlas: tuple[NDArray[np.uint8], ...]
    gloss: Floats  # per kind of surface, 0 … 255


def bent(shape: Shape, actor: Actor) -> Bent:
    """A person's mesh as their body is bent; the legs of those who only stand are still to be stretched."""
    stretch_m = max(actor.position_m[2] - shape.standing_eye_m, -LEGS_FOLD_M)
    if actor.sitting == actor.hand_up == actor.stride_rad == 0.0:
        return Bent(shape.points, shape.normals, stretch_m)
    return bend(
        shape.points, shape.normals, shape.legs, shape.limbs, stretch_m,
        actor.sitting, actor.hand_up, actor.stride_rad,
    )  # fmt: skip


@cache
def person(name: str) -> Person:
    """Build one of the cast. Raises ConfigError for a name that is not in it."""
    if name not in CAST:
        raise ConfigError(f"simulated person {name!r} does not exist; choose from {', '.join(CAST)}")
    return build(name, CAST[name])


def build(name: str, look: Look, keep: bool = True) -> Person:
    """Shape and paint a person from a description; the same look gives the same person.

    `keep` writes the paint to the cache, from which the next start reads it.
    """
    atlas = _painted(look) if keep else paint(look)
    return Person(name=name, shape=shape_of(head(look), look), atlas=halve(atlas), gloss=gloss_of(look.skin))


def gloss_of(skin: Colour) -> Floats:
    """Skin throws back as much of a lamp's light whatever its colour, but on dark skin little else is seen."""
    gloss = GLOSS.copy()
    gloss[mesh.SKIN] += MORE_ON_DARK * (1.0 - min(sum(skin) / 600.0, 1.0))
    return gloss


def _painted(look: Look) -> NDArray[np.uint8]:
    """The painted atlas, from the cache if these very programs and data painted this look before."""
    key = hashlib.sha256(_painters_digest() + msgspec.json.encode(look)).hexdigest()[:32]
    file = _cache_folder() / f"{key}.npy"
    try:
        atlas = np.load(file)
        if atlas.dtype == np.uint8 and atlas.shape == ATLAS_SHAPE:
            return np.asarray(atlas)
    except (OSError, ValueError):  # not there yet, or cut short: paint it
        pass
    atlas = paint(look)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            np.save(part, atlas)
        os.replace(part.name, file)
    except OSError as exc:
        _log.debug("painted people are not kept: %s", exc)
    return atlas


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nod" / "people"


@cache
def _painters_digest() -> bytes:
    digest = hashlib.sha256(np.__version__.encode())
    for file in (
        mesh.DATA,
        *(
            Path(__file__).with_name(name)
            for name in ("mesh.py", "surfaces.py", "paint.py", "raster.py", "compiled.py")
        ),
    ):
        digest.update(file.read_bytes())
    return digest.digest()


def halve(atlas: NDArray[np.uint8], times: int = 4) -> tuple[NDArray[np.uint8], ...]:
    """The atlas and so many smaller ones, each half the one before."""
    levels = [np.ascontiguousarray(atlas)]
    for _ in range(times):
        a = levels[-1].astype(np.uint16)
        mean = (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2] + 2) // 4
        levels.append(np.ascontiguousarray(mean.astype(np.uint8)))
    return tuple(levels)


_OPPOSITES = (
    ("-decr", "-incr"),
    ("-down", "-up"),
    ("-in", "-out"),
    ("-backward", "-forward"),
    ("-concave", "-convex"),
    ("-compress", "-uncompress"),
)
_LEFT_ALONE = (
    "head-trans",
    "head-back",
    "head-angle",
    "mouth-trans-in",
    "nose-trans-in",
    "head-age",
    "/r-",
    ".r-",
)
_GENTLE = (
    "trans",
    "ears",
    "septum",
    "head.",
    "forehead",
    "mouth-angles",
    "lip-ext",
    "eyebrows-angle",
    "eyefold",
)


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    """Morphs that have an opposite; of left and right only the left, which moves both."""
    names = mesh.base().morphs
    found = []
    for name in sorted(names):
        if name.startswith(("macrodetails", "fu.", "neck")) or any(part in name for part in _LEFT_ALONE):
            continue
        for low, high in _OPPOSITES:
            other = name.removesuffix(low) + high
            if name.endswith(low) and other in names:
                found.append((name, other))
    return tuple(found)


def head(look: Look, spread: float = MORPH_SPREAD) -> Floats:
    """The head's vertices as the look has them (decimetres); `spread` says how far features stray from the mean."""
    rng = np.random.default_rng((look.seed, 0))
    vertices = mesh.base().vertices.copy()
    _add_kind(vertices, look, float(rng.uniform(0.15, 0.85)))
    for low, high in _pairs():
        amount = float(np.clip(rng.normal(0.0, spread), -1.0, 1.0))
        if any(part in low for part in _GENTLE):
            amount *= 0.5
        _add(vertices, high if amount > 0 else low, abs(amount))
    for form in ("oval", "round", "rectangular", "square", "triangular", "invertedtriangular", "diamond"):
        _add(vertices, "head.head-" + form, max(0.0, float(rng.normal(-0.4, 0.5))))
    _grow_hair(vertices, look, rng)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        _add(vertices, "fu." + name, RELAXED_LIDS)
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        _add(vertices, "fu." + name, RESTING_SMILE)
    base = mesh.base()
    teeth = np.unique(base.triangles[base.kind == mesh.TEETH])
    vertices[teeth] = (vertices[teeth] - TEETH_MIDDLE_DM) * TEETH_SIZE + TEETH_MIDDLE_DM + TEETH_BACK_DM
    return vertices


def shape_of(vertices: Floats, look: Look) -> Shape:
    """Dress a head: hair as its style has it, a body, glasses."""
    mean = mesh.base()
    kept = np.ones(len(mean.triangles), dtype=np.bool_)
    if look.style not in LONG_STYLES:
        kept &= mean.kind != mesh.HAIR
    else:
        middle = mean.vertices[mean.triangles].mean(axis=1)
        over_face = (middle[:, 2] > 0.62) & (middle[:, 1] < 7.95) | (middle[:, 2] > 0.95) & (
            middle[:, 1] < 8.15
        )
        kept &= ~((mean.kind == mesh.HAIR) & over_face)
    shape = mesh.assemble(vertices, kept, 1.0 - CHILD_SMALLER * look.child)
    if look.glasses is None:
        return shape
    left, right = (vertices[mean.joints[joint]].mean(axis=0) for joint in ("l-eye", "r-eye"))
    x, y, z = (vertices - (left + right) / 2.0).T
    temples = (np.abs(y - 0.24) < 0.08) & (z < -0.3) & (z > -0.8) & (mean.with_head == 1.0)
    temples[np.unique(mean.triangles[mean.kind == mesh.HAIR])] = False
    return put_on(
        shape, float(left[0] - right[0]) / 2.0, float(np.abs(x[temples]).max()) + 0.01, look.glasses
    )


def _add(vertices: Floats, name: str, weight: float) -> None:
    for each in {name, name.replace(".l-", ".r-")}:
        index, delta = mesh.base().morphs[each]
        vertices[index] += np.float32(weight) * delta


def _add_kind(vertices: Floats, look: Look, weight: float) -> None:
    """Sex, age, origin and weight: MakeHuman's corners, mixed."""
    thin, heavy = max(0.0, 1.0 - 2.0 * weight), max(0.0, 2.0 * weight - 1.0)
    young, old = (1.0 - look.child) * (1.0 - look.age), (1.0 - look.child) * look.age
    total = sum(look.origin)
    for sex, of_sex in (("female", 1.0 - look.sex), ("male", look.sex)):
        for age, of_age in (("young", young), ("old", old), ("child", look.child)):
            for origin, share in zip(("caucasian", "asian", "african"), look.origin, strict=True):
                _add(vertices, f"macrodetails.{origin}-{sex}-{age}", of_sex * of_age * share / total)
            if age == "child":
                continue
            for build_name, share in (("min", thin), ("average", 1.0 - thin - heavy), ("max", heavy)):
                name = f"macrodetails.universal-{sex}-{age}-averagemuscle-{build_name}weight"
                _add(vertices, name, of_sex * of_age * share)


def _grow_hair(vertices: Floats, look: Look, rng: np.random.Generator) -> None:
    """Lift the scalp by the hair's thickness, and the hair helper a little off the head."""
    mean = mesh.base()
    x, y, z = mean.vertices.T.astype(np.float64)
    azimuth = np.arctan2(x, z - mesh.AXIS_DM)
    is_skin = np.zeros(len(x), dtype=np.bool_)
    is_skin[np.unique(mean.triangles[np.isin(mean.kind, (mesh.SKIN, mesh.CLOTH))])] = True
    is_ear = (np.abs(x) > 0.66) & (y < 7.35) & (y > 6.7)
    cap = smoothstep(y - hairline_dm(azimuth, look.style), -0.05, 0.35) * is_skin * ~is_ear
    thickness = HAIR_THICKNESS_DM[look.style] * float(rng.uniform(0.8, 1.3))
    wave = 1.0 + 0.12 * np.sin(7 * azimuth + look.seed) * np.cos(9 * y)
    normals = vertex_normals(vertices, mean.triangles)
    vertices += (normals * (cap * thickness * wave)[:, None]).astype(np.float32)
    hair = np.unique(mean.triangles[mean.kind == mesh.HAIR])
    vertices[hair] += (0.02 * normals[hair]).astype(np.float32)
