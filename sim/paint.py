"""Paint on people: skin, lips, brows, beard, hair, eyes and clothes, by code, into one picture per person."""

from functools import cache
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from sim import mesh
from sim.mesh import ATLAS_WIDTH_PX, EYE_PX, HAIR_LEFT_PX, PATCH_PX, SKIN_ROWS_PX, STRIP_PX
from sim.raster import bake
from sim.surfaces import smoothstep

Field = NDArray[np.float32]
Colour = tuple[float, float, float]  # red, green, blue; 0 … 255


Share = tuple[float, float, float]  # red, green, blue; 0 … 1
LIPS: Share = (0.93, 0.68, 0.70)  # lips against the skin around them


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one person looks like. The seed decides all that is not named."""

    seed: int
    sex: float  # 0 female … 1 male
    age: float  # 0 young … 1 old
    origin: tuple[float, float, float]  # shares of MakeHuman's caucasian, asian, african shapes
    skin: Colour
    hair: Colour
    style: str  # a key of `people.HAIR_THICKNESS_DM`
    child: float = 0.0  # 1: about eight years old
    beard: float = 0.0
    glasses: Literal["round", "square"] | None = None
    frame: Colour = (34, 32, 36)
    shirt: Colour = (90, 110, 150)
    trousers: Colour = (60, 64, 78)
    iris: Colour = (80, 55, 35)
    lips: Share = LIPS  # as a share of the skin's colour


class Texels(msgspec.Struct, frozen=True):
    """Where each skin texel lies on the mean head (decimetres), and how lip-, lid- and mouth-like it is."""

    x: Field
    y: Field
    z: Field
    lips: Field
    lids: Field
    inside: Field


@cache
def texels() -> Texels:
    """The mean head over the atlas, worked out once."""
    mean = mesh.base()
    radius = np.hypot(mean.vertices[:, 0], mean.vertices[:, 2] - mesh.AXIS_DM).astype(np.float32)
    values = np.column_stack([mean.vertices, mean.lips, mean.lids, mean.inside]).astype(np.float32)
    out = np.zeros((SKIN_ROWS_PX, ATLAS_WIDTH_PX, values.shape[1]), dtype=np.float32)
    best = np.full((SKIN_ROWS_PX, ATLAS_WIDTH_PX), -1.0, dtype=np.float32)
    bake(mean.uv, mean.triangles, mean.kind, values, radius, out, best)
    return Texels(*(np.ascontiguousarray(out[..., k]) for k in range(6)))


def hairline_dm(azimuth: NDArray[np.floating], style: str) -> NDArray[np.floating]:
    """Height of the hair's edge around the head, 0 = front, for the mean head."""
    away = np.abs(azimuth)
    line = np.interp(away, [0, 0.35, 0.7, 0.85, 1.2, 1.6, 2.0, 2.6, 3.15],
                     [8.02, 8.0, 7.85, 7.5, 7.25, 7.2, 6.75, 6.45, 6.4])  # fmt: skip
    if style == "fringe":
        line = line - 0.3 * np.exp(-((away / 0.5) ** 2))
    if style == "receding":
        line = line + 0.28 * np.exp(-(((away - 0.5) / 0.4) ** 2)) + 0.1 * (away < 1.0)
    return np.asarray(line)


def paint(look: Look) -> NDArray[np.uint8]:
    """The person's atlas: skin rows, then the strip; blue, green, red and a mask of holes."""
    rng = np.random.default_rng((look.seed, 1))
    atlas = np.full((SKIN_ROWS_PX + STRIP_PX, ATLAS_WIDTH_PX, 4), 255.0, dtype=np.float32)
    atlas[:SKIN_ROWS_PX, :, :3] = _skin(look, rng)
    _strip(look, rng, atlas[SKIN_ROWS_PX:])
    return np.clip(atlas, 0.0, 255.0).astype(np.uint8)


def _noise(
    rng: np.random.Generator, grain_px: int, shape: tuple[int, int] = (SKIN_ROWS_PX, ATLAS_WIDTH_PX)
) -> Field:
    small = rng.standard_normal(
        (max(2, shape[0] // grain_px), max(2, shape[1] // grain_px)), dtype=np.float32
    )
    out = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out / out.std(), dtype=np.float32)


def _strands(rng: np.random.Generator, long_px: int) -> Field:
    """Noise that runs down the atlas as hair does."""
    small = rng.standard_normal((SKIN_ROWS_PX // long_px, ATLAS_WIDTH_PX), dtype=np.float32)
    out = cv2.GaussianBlur(
        cv2.resize(small, (ATLAS_WIDTH_PX, SKIN_ROWS_PX), interpolation=cv2.INTER_CUBIC), (3, 3), 0
    )
    return np.asarray(out / out.std(), dtype=np.float32)


def _bgr(colour: Colour) -> Field:
    return np.array(colour[::-1], dtype=np.float32)


def _tint(picture: Field, mask: NDArray[np.floating], colour: Field) -> None:
    """Move the picture towards a colour where the mask says so."""
    picture += (colour - picture) * np.clip(mask, 0.0, 1.0).astype(np.float32)[..., None]


def _multiply(picture: Field, mask: NDArray[np.floating], factor: tuple[float, float, float]) -> None:
    """Multiply by a red, green, blue factor where the mask says so."""
    picture *= 1.0 - np.clip(mask, 0.0, 1.0).astype(np.float32)[..., None] * (1.0 - _bgr(factor))


def _skin(look: Look, rng: np.random.Generator) -> Field:
    at = texels()
    away = np.abs(at.x)
    front = smoothstep(at.z, 0.3, 0.8).astype(np.float32)

    def spot(x: float, y: float, wide: float, high: float) -> Field:
        return np.asarray(np.exp(-(((away - x) / wide) ** 2) - ((at.y - y) / high) ** 2) * front)

    is_dark = sum(look.skin) < 330
    skin = np.empty((SKIN_ROWS_PX, ATLAS_WIDTH_PX, 3), dtype=np.float32)
    skin[:] = _bgr(look.skin)
    # Blood and melanin vary over a face: towards red in one place, towards yellow in another, more in dark skin.
    hue = (0.035 if is_dark else 0.02) * (_noise(rng, 120) + 0.5 * _noise(rng, 40))
    skin *= 1.0 + hue[..., None] * np.array((-0.9, -0.1, 0.7), dtype=np.float32)
    blush = 0.05 if is_dark else 0.11
    _multiply(skin, spot(0.42, 6.95, 0.2, 0.17) * rng.uniform(0.5, 1.3), (1.0, 1 - blush, 1 - blush))
    _multiply(skin, spot(0.0, 6.93, 0.14, 0.14) * rng.uniform(0.5, 1.3), (1.0, 1 - blush, 1 - 1.3 * blush))
    # Light skin is paler on the forehead and greyer around the mouth; dark skin is lighter where it is worn.
    lighter = spot(0.0, 7.75, 0.45, 0.25) + spot(0.42, 7.05, 0.16, 0.1) + spot(0.0, 7.0, 0.05, 0.3)
    _multiply(skin, lighter * (0.8 if is_dark else 0.25), (1.24, 1.2, 1.16) if is_dark else (1.2, 1.18, 1.18))
    if is_dark:
        _multiply(skin, spot(0.0, 6.78, 0.32, 0.1) + spot(0.62, 6.9, 0.16, 0.3), (0.86, 0.82, 0.84))
        _multiply(skin, np.clip(at.inside, 0, 1) * 0.2 + spot(0.72, 7.0, 0.1, 0.25), (1.06, 0.94, 0.92))
    _multiply(skin, spot(0.31, 7.12, 0.17, 0.07) * (0.35 + 0.6 * look.age), (0.88, 0.82, 0.84))
    _multiply(skin, spot(0.31, 7.37, 0.18, 0.05), (0.9, 0.86, 0.86))
    grain = (
        1.0
        + 0.03 * _noise(rng, 90)
        + 0.02 * _noise(rng, 26)
        + 0.016 * _noise(rng, 7)
        + 0.012 * _noise(rng, 2)
    )
    skin *= grain[..., None]
    if rng.random() < 0.4 and not is_dark:
        freckles = smoothstep(_noise(rng, 5), 1.5, 2.2) * spot(0.25, 6.98, 0.35, 0.2)
        _multiply(skin, freckles, (0.88, 0.78, 0.7))
    for height in np.linspace(7.62, 7.95, 4):
        furrow = np.exp(-(((at.y - height - 0.02 * np.sin(9 * at.x)) / 0.012) ** 2)) * spot(
            0, float(height), 0.4, 0.3
        )
        _multiply(skin, furrow * look.age * 0.7, (0.8, 0.74, 0.72))
    _multiply(skin, spot(0.27, 6.84, 0.03, 0.17) * (0.15 + 0.6 * look.age), (0.8, 0.74, 0.74))
    _multiply(skin, np.clip(at.lids, 0, 1) * 0.5, (0.86, 0.8, 0.8))
    lips = cv2.GaussianBlur(at.lips, (7, 7), 0)
    _multiply(skin, lips * 1.1, look.lips)
    if is_dark:  # the lower lip's middle shows the blood
        _multiply(
            skin, lips * np.exp(-((at.x / 0.16) ** 2) - ((at.y - 6.53) / 0.045) ** 2), (1.25, 1.02, 1.06)
        )
    _multiply(skin, np.abs(lips - cv2.GaussianBlur(lips, (0, 0), 2.5)), (0.86, 0.8, 0.8))
    _multiply(skin, at.inside * (1 - lips), (0.45, 0.2, 0.2))
    hair = _bgr(look.hair)
    _brows(look, rng, skin, front, hair)
    if look.beard > 0:
        bare_lips = 1.0 - np.clip(lips * 1.3, 0, 1)
        chin = smoothstep(-at.y, -6.72, -6.5) * smoothstep(at.z, 0.35, 0.75) * smoothstep(at.y, 5.95, 6.15)
        jaw = smoothstep(away, 0.55, 0.66) * smoothstep(-at.y, -7.05, -6.8) * smoothstep(at.z, 0.2, 0.5)
        jaw = jaw * smoothstep(at.y, 6.1, 6.3) * (away < 0.8)
        moustache = np.exp(-((away / 0.3) ** 4) - ((at.y - 6.74) / 0.06) ** 2) * front
        region = np.maximum(np.maximum(chin * bare_lips, jaw), moustache * bare_lips)
        bristles = np.clip(0.8 + 0.22 * _strands(rng, 24) + 0.12 * _noise(rng, 2), 0, 1)
        soft = cv2.GaussianBlur(np.asarray(region, dtype=np.float32), (0, 0), 6.0)
        _tint(skin, look.beard * soft * (0.35 + 0.65 * soft) * bristles, hair * 0.75 + _bgr(look.skin) * 0.08)
    _hair_cap(look, rng, skin, hair)
    weave = 1.0 + 0.04 * _noise(rng, 2) * smoothstep(
        at.y, 5.0, 5.3
    )  # the last row is stretched over the chest
    shirt = _bgr(look.shirt) * weave.astype(np.float32)[..., None]
    neckline = 5.55 + 0.16 * np.cos(np.arctan2(at.x, at.z - mesh.AXIS_DM) * 2.0)
    from_neck = np.hypot(at.x, at.z - 0.15)
    mask = np.maximum(
        smoothstep(neckline - at.y, -0.01, 0.015),
        smoothstep(from_neck, 0.74, 0.77) * smoothstep(-at.y, -6.05, -6.0),
    )
    _multiply(skin, np.exp(-(((at.y - neckline - 0.03) / 0.05) ** 2)) * 0.4, (0.6, 0.6, 0.6))
    skin += (shirt - skin) * mask.astype(np.float32)[..., None]
    return skin


def _brows(look: Look, rng: np.random.Generator, skin: Field, front: Field, hair: Field) -> None:
    at = texels()
    away = np.abs(at.x)
    height = 7.285 + rng.uniform(0.15, 0.27)
    thick = rng.uniform(0.02, 0.07) * (1.2 if look.sex > 0.5 else 0.85)
    inner, outer = rng.uniform(0.1, 0.15), rng.uniform(0.5, 0.56)
    along = np.clip((away - inner) / (outer - inner), 0, 1)
    line = height + rng.uniform(-0.08, 0.08) * (along - 0.3) + rng.uniform(0.0, 0.06) * np.sin(np.pi * along)
    mask = np.exp(-(((at.y - line) / (thick * (1.1 - 0.6 * along))) ** 4)) * front
    mask = (
        mask
        * smoothstep(away, inner - 0.03, inner + 0.03)
        * (1 - smoothstep(away, outer - 0.06, outer + 0.02))
    )
    colour = hair * 0.8 if sum(look.hair) < 330 else hair * 0.5 + _bgr(look.skin) * 0.15
    slanted = cv2.warpAffine(
        _noise(rng, 2), np.array([[1, 0.7, 0], [0, 1, 0]], dtype=np.float32), (ATLAS_WIDTH_PX, SKIN_ROWS_PX),
        borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    hairs = cv2.GaussianBlur(np.asarray(mask, dtype=np.float32), (0, 0), 1.6)
    _tint(skin, 0.85 * hairs * np.clip(0.85 + 0.13 * slanted, 0, 1), colour)


def _hair_cap(look: Look, rng: np.random.Generator, skin: Field, hair: Field) -> None:
    if look.style == "bald":
        return
    at = texels()
    azimuth = np.arctan2(at.x, at.z - mesh.AXIS_DM)
    fine, coarse = _strands(rng, 48), _strands(rng, 90)
    is_curly = look.style in ("curly", "afro", "buzz")
    ragged = 0.02 * _noise(rng, 5) if is_curly else 0.045 * coarse + 0.02 * fine
    edge = at.y - hairline_dm(azimuth, look.style) + ragged + 0.02 * _noise(rng, 30)
    mask = smoothstep(edge, -0.1, 0.16)
    mask = np.clip(mask * (1.0 + 0.3 * (_noise(rng, 2) if is_curly else fine) * (1.0 - mask)), 0.0, 1.0)
    ear = smoothstep(np.abs(at.x), 0.63, 0.68) * smoothstep(-at.y, -7.38, -7.3) * smoothstep(at.y, 6.68, 6.76)
    if is_curly:
        shades = 1 + 0.2 * _noise(rng, 6) * _noise(rng, 3) + 0.1 * _noise(rng, 14)
    else:
        shades = 1 + 0.13 * fine + 0.1 * coarse + 0.06 * _noise(rng, 30)
    texture = hair * np.clip(shades, 0.5, 1.6)[..., None]
    strength = (0.8 if look.style == "buzz" else 1.0) * mask * (1.0 - ear)
    skin += (texture - skin) * strength.astype(np.float32)[..., None]


def _strip(look: Look, rng: np.random.Generator, strip: Field) -> None:
    row, column = np.mgrid[:EYE_PX, :EYE_PX].astype(np.float32) - EYE_PX / 2 + 0.5
    off_axis = np.hypot(row, column) / (EYE_PX / 2) * 180.0
    eye = np.empty((EYE_PX, EYE_PX, 3), dtype=np.float32)
    eye[:] = (222, 226, 230)
    eye *= np.clip(1.03 - 0.004 * off_axis, 0.6, 1.0)[..., None]
    rays = 1.0 + 0.14 * np.sin(np.arctan2(row, column) * 23.0)
    iris = _bgr(look.iris) * (rays * (1.2 - 0.55 * smoothstep(off_axis, 19, 27)))[..., None]
    eye += (iris - eye) * (1.0 - smoothstep(off_axis, 26, 29)).astype(np.float32)[..., None]
    eye *= (0.06 + 0.94 * smoothstep(off_axis, 9, 11.5)).astype(np.float32)[..., None]
    strip[:EYE_PX, :EYE_PX, :3] = eye
    colours = {
        "lash": _bgr(look.hair) * 0.3 + _bgr(look.skin) * (0.1 + 0.25 * look.sex + 0.1 * look.child),
        "teeth": np.array((205, 222, 228), dtype=np.float32),
        "shirt": _bgr(look.shirt),
        "trousers": _bgr(look.trousers),
        "hand": _bgr(look.skin),
        "shoe": np.array((40, 38, 42), dtype=np.float32),
        "frame": _bgr(look.frame),
    }
    for place, name in enumerate(mesh.PATCHES):
        left = EYE_PX + place * PATCH_PX
        strip[:, left : left + PATCH_PX, :3] = colours[name]
    lash = EYE_PX + mesh.PATCHES.index("lash") * PATCH_PX
    strip[PATCH_PX:, lash : lash + PATCH_PX, :3] = _bgr(look.hair) * 0.2 + _bgr(look.skin) * 0.55
    _teeth(strip)
    _lens(strip)
    wide = ATLAS_WIDTH_PX - HAIR_LEFT_PX
    strands = _noise(rng, 3, (8, wide))
    streaks = cv2.resize(strands, (wide, STRIP_PX), interpolation=cv2.INTER_LINEAR)
    strip[:, HAIR_LEFT_PX:, :3] = _bgr(look.hair) * np.clip(1 + 0.18 * streaks, 0.4, 1.6)[..., None]
    end = {"bob": 0.42, "long": 0.75, "fringe": 0.6}.get(look.style, 0.5) * STRIP_PX
    ends = end + 4.0 * _noise(rng, 4, (4, wide))[:1] + 4.0 * _noise(rng, 60, (60, wide))[:1]
    strip[:, HAIR_LEFT_PX:, 3] = np.where(np.arange(STRIP_PX)[:, None] < ends, 255.0, 0.0)


def _teeth(strip: Field) -> None:
    """Single teeth, greyer towards the gums and the corners of the mouth, over one square of the strip."""
    left = EYE_PX + mesh.PATCHES.index("teeth") * PATCH_PX
    wide = mesh.TEETH_DM[0]
    across = ((np.arange(PATCH_PX) - 2.0) / (PATCH_PX - 4) * 2.0 - 1.0) * wide
    gaps = 1.0 - 0.35 * np.exp(-((((across / 0.075 + 0.5) % 1.0 - 0.5) / 0.09) ** 2))
    shade = gaps * (1.0 - 0.55 * smoothstep(np.abs(across), 0.1, 0.3))
    rows = np.arange(STRIP_PX)[:, None]
    bite = np.abs(np.minimum(rows, PATCH_PX) / PATCH_PX - 0.5)  # upper and lower teeth meet in the middle
    strip[:, left : left + PATCH_PX, :3] *= (shade * (1.0 - 0.5 * smoothstep(bite, 0.2, 0.5)))[..., None]


def _lens(strip: Field) -> None:
    """A lens is not there but for the window that it mirrors: a slanted band near its upper corner."""
    left, top, wide, high = mesh.LENS_PX
    row, column = np.mgrid[:high, :wide].astype(np.float32)
    along = column / wide + 0.45 * row / high
    band = (np.abs(along - 0.36) < 0.045) | (np.abs(along - 0.47) < 0.015)
    is_glint = band & (row > 0.12 * high) & (row < 0.5 * high)
    strip[PATCH_PX:, left - 4 : HAIR_LEFT_PX, 3] = 0.0
    part = strip[top - SKIN_ROWS_PX : top - SKIN_ROWS_PX + high, left : left + wide]
    part[..., :3] = (235.0, 232.0, 228.0)
    part[..., 3] = np.where(is_glint, 255.0, 0.0)
