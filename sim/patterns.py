"""Surfaces of the room: small square pictures painted by code, each with its halved copies beside it."""

from functools import cache
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.room import Pattern

SIZE_PX = 256
INDEX: dict[str, int] = {name: place for place, name in enumerate(get_args(Pattern))}
Field = NDArray[np.float32]


@cache
def textures() -> NDArray[np.uint8]:
    """Pattern × 256 × 512 × 3, blue, green, red; halved copies lie to the right of each other."""
    rng = np.random.default_rng(7)
    painters = {
        "plain": _plain, "wood": _wood, "books": _books, "window": _window, "wallpaper": _wallpaper,
        "fabric": _fabric, "rug": _rug, "picture": _picture, "leaves": _leaves, "tiles": _tiles,
    }  # fmt: skip
    out = np.zeros((len(INDEX), SIZE_PX, 2 * SIZE_PX, 3), dtype=np.uint8)
    for name, place in INDEX.items():
        level = np.clip(painters[name](rng), 0.0, 255.0)
        left, side = 0, SIZE_PX
        while side >= 4:
            out[place, :side, left : left + side] = np.rint(level).astype(np.uint8)
            left += side
            side //= 2
            level = cv2.resize(level, (side, side), interpolation=cv2.INTER_AREA)
    return out


def _noise(rng: np.random.Generator, high: int, wide: int) -> Field:
    """Smooth noise that tiles, of unit spread; `high` and `wide` are its grains across the tile."""
    small = rng.standard_normal((high, wide)).astype(np.float32)
    padded = np.pad(small, 2, mode="wrap")
    scale_y, scale_x = SIZE_PX // high, SIZE_PX // wide
    big = cv2.resize(padded, None, fx=scale_x, fy=scale_y, interpolation=cv2.INTER_CUBIC)
    part = big[2 * scale_y : 2 * scale_y + SIZE_PX, 2 * scale_x : 2 * scale_x + SIZE_PX]
    return np.asarray(part / part.std(), dtype=np.float32)


def _grey(field: Field) -> Field:
    return np.repeat((235.0 * field)[..., None], 3, axis=2).astype(np.float32)


def _plain(rng: np.random.Generator) -> Field:
    return _grey(1.0 + 0.01 * _noise(rng, 8, 8) + 0.008 * _noise(rng, 64, 64))


def _wood(rng: np.random.Generator) -> Field:
    field = 0.95 + 0.05 * _noise(rng, 128, 4) + 0.05 * _noise(rng, 32, 2)
    for plank in range(8):
        rows = slice(plank * 32, plank * 32 + 32)
        field[rows] *= 1.0 + 0.1 * float(rng.uniform(-1, 1))
        field[plank * 32] *= 0.6
        joint = int(rng.integers(0, SIZE_PX))
        field[rows, joint] *= 0.65
    return _grey(field)


def _books(rng: np.random.Generator) -> Field:
    out = np.full((SIZE_PX, SIZE_PX, 3), (38, 52, 70), dtype=np.float32)
    for shelf in range(5):
        floor = 48 + shelf * 51
        x = 8
        while x < SIZE_PX - 12:
            width, height = int(rng.integers(5, 15)), int(rng.integers(26, 42))
            if rng.random() < 0.12:
                x += int(rng.integers(6, 24))
                continue
            colour = rng.uniform(30, 210, 3).astype(np.float32)
            right = min(x + width, SIZE_PX - 8)
            out[floor - height : floor, x:right] = colour
            out[floor - height + 6 : floor - height + 9, x + 1 : right - 1] = colour * 0.6 + 90
            out[floor - height : floor, right - 1 : right] *= 0.6
            x += width + 1
        out[floor : floor + 5] = (70, 98, 130)
    out[:, :6] = out[:, -6:] = (66, 92, 124)
    out[:5] = (70, 98, 130)
    return out


def _window(rng: np.random.Generator) -> Field:
    out = np.empty((SIZE_PX, SIZE_PX, 3), dtype=np.float32)
    down = np.linspace(0.0, 1.0, SIZE_PX, dtype=np.float32)[:, None, None]
    out[:] = np.array((250, 225, 190), dtype=np.float32) * (1 - down) + np.array((245, 245, 240)) * down
    clouds = np.clip(_noise(rng, 8, 4) * 0.5, 0, 1)[..., None]
    out += (252 - out) * clouds * (down < 0.6)
    trees = 165 + 16 * _noise(rng, 4, 16)[0]
    green = np.arange(SIZE_PX)[:, None] > trees[None]
    out[green] = np.array((80, 130, 95)) * (1.0 + 0.2 * _noise(rng, 32, 32)[green])[:, None]
    for edge in (0, 124, SIZE_PX - 8):
        out[edge : edge + 8] = out[:, edge : edge + 8] = (238, 240, 242)
    return out


def _wallpaper(rng: np.random.Generator) -> Field:
    row, column = np.mgrid[:SIZE_PX, :SIZE_PX].astype(np.float32)
    stripes = 0.03 * np.sign(np.sin(column * (2 * np.pi * 4 / SIZE_PX)))
    dots = np.exp(-(((row % 64 - 32) ** 2 + (column % 64 - 32 + 0 * row) ** 2) / 60.0))
    return _grey((0.97 + stripes - 0.09 * dots + 0.012 * _noise(rng, 64, 64)).astype(np.float32))


def _fabric(rng: np.random.Generator) -> Field:
    return _grey(0.95 + 0.05 * _noise(rng, 128, 32) + 0.05 * _noise(rng, 32, 128) + 0.04 * _noise(rng, 8, 8))


def _rug(rng: np.random.Generator) -> Field:
    row, column = np.mgrid[:SIZE_PX, :SIZE_PX].astype(np.float32)
    edge = np.minimum(np.minimum(row, column), np.minimum(SIZE_PX - row, SIZE_PX - column))
    field = 0.9 + 0.05 * _noise(rng, 128, 128)
    field += 0.18 * ((edge > 12) & (edge < 22)) - 0.25 * ((edge > 28) & (edge < 34))
    diamond = (np.abs(row % 64 - 32) + np.abs(column % 64 - 32)) < 14
    return _grey((field + 0.15 * (diamond & (edge > 40))).astype(np.float32))


def _picture(rng: np.random.Generator) -> Field:
    out = np.empty((SIZE_PX, SIZE_PX, 3), dtype=np.float32)
    warm, cool = np.array((70, 130, 215)), np.array((165, 120, 70))
    mix = 1.0 / (1.0 + np.exp(-_noise(rng, 4, 4)))[..., None]
    out[:] = warm * mix + cool * (1 - mix)
    cv2.circle(out, (170, 90), 34, (120, 205, 245), -1, cv2.LINE_AA)
    out *= (1.0 + 0.06 * _noise(rng, 64, 64))[..., None]
    for edge in (0, SIZE_PX - 14):
        out[edge : edge + 14] = out[:, edge : edge + 14] = (48, 42, 40)
    return out


def _leaves(rng: np.random.Generator) -> Field:
    return _grey(0.7 + 0.22 * _noise(rng, 32, 32) + 0.1 * _noise(rng, 8, 8))


def _tiles(rng: np.random.Generator) -> Field:
    row, column = np.mgrid[:SIZE_PX, :SIZE_PX]
    shade = 0.94 + 0.04 * rng.standard_normal((4, 4))
    field = shade[row // 64, column // 64] + 0.01 * _noise(rng, 64, 64)
    field[(row % 64 < 2) | (column % 64 < 2)] = 0.7
    return _grey(field.astype(np.float32))
