"""A furnished living room, as blocks that the renderer draws and the page's 3-D view shows.

Room frame: x forward from the robot, y left, z up, the floor at z = 0. The robot stands on the table at the
origin's end of the room and looks along +x.
"""

from typing import Literal

import msgspec

Pattern = Literal["plain", "wood", "books", "window", "wallpaper", "fabric", "rug", "picture", "leaves"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A box: centre, size along its own x, y, z, a turn about z, colour (red, green, blue; 0 … 1), pattern.

    `tile_m` is how much of the surface one copy of the pattern covers; 0 stretches one copy over each face.
    """

    name: str
    centre_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pattern: Pattern = "plain"
    tile_m: float = 1.0


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that stands still. `table_m` is where the robot's foot stands."""

    boxes: tuple[Block, ...]
    table_m: tuple[float, float, float]


FRONT_M, BACK_M, SIDE_M, HEIGHT_M = 4.6, -1.6, 2.7, 2.6
TABLE_TOP_M = 0.74


def living_room() -> Room:
    """Six metres by five: window on the left, sofa and shelf at the far wall, a table for the robot."""
    length, middle = FRONT_M - BACK_M, (FRONT_M + BACK_M) / 2.0
    wall, wood = (0.86, 0.82, 0.73), (0.62, 0.44, 0.29)
    blocks = [
        _block("floor", (middle, 0, -0.05), (length, 2 * SIDE_M, 0.1), (0.66, 0.49, 0.34), "wood", 1.2),
        _block(
            "ceiling", (middle, 0, HEIGHT_M + 0.05), (length, 2 * SIDE_M, 0.1), (0.93, 0.92, 0.89), "plain"
        ),
        _block(
            "far wall", (FRONT_M + 0.05, 0, HEIGHT_M / 2), (0.1, 2 * SIDE_M, HEIGHT_M), wall, "wallpaper", 0.6
        ),
        _block(
            "near wall", (BACK_M - 0.05, 0, HEIGHT_M / 2), (0.1, 2 * SIDE_M, HEIGHT_M), wall, "wallpaper", 0.6
        ),
        _block(
            "left wall",
            (middle, SIDE_M + 0.05, HEIGHT_M / 2),
            (length, 0.1, HEIGHT_M),
            (0.72, 0.79, 0.78),
            "wallpaper",
            0.6,
        ),  # fmt: skip
        _block(
            "right wall",
            (middle, -SIDE_M - 0.05, HEIGHT_M / 2),
            (length, 0.1, HEIGHT_M),
            (0.83, 0.74, 0.64),
            "wallpaper",
            0.6,
        ),  # fmt: skip
        _block("window", (2.6, SIDE_M - 0.02, 1.5), (1.7, 0.06, 1.3), (1.0, 1.0, 1.0), "window", 0.0),
        _block("window sill", (2.6, SIDE_M - 0.1, 0.82), (1.8, 0.22, 0.05), (0.95, 0.94, 0.92), "plain"),
        _block("door", (0.9, -SIDE_M + 0.02, 1.0), (0.85, 0.05, 2.0), (0.55, 0.36, 0.22), "wood", 1.4),
        _block("shelf", (FRONT_M - 0.18, -1.5, 0.95), (0.34, 1.3, 1.9), (1.0, 1.0, 1.0), "books", 0.0),
        _block(
            "sofa seat", (FRONT_M - 0.55, 0.75, 0.24), (0.85, 2.0, 0.44), (0.28, 0.42, 0.48), "fabric", 0.4
        ),
        _block("sofa back", (FRONT_M - 0.2, 0.75, 0.5), (0.26, 2.0, 0.86), (0.25, 0.38, 0.44), "fabric", 0.4),
        _block(
            "sofa left arm", (FRONT_M - 0.55, 1.85, 0.33), (0.85, 0.2, 0.6), (0.25, 0.38, 0.44), "fabric", 0.4
        ),
        _block(
            "sofa right arm",
            (FRONT_M - 0.55, -0.35, 0.33),
            (0.85, 0.2, 0.6),
            (0.25, 0.38, 0.44),
            "fabric",
            0.4,
        ),
        _block(
            "cushion", (FRONT_M - 0.45, 1.45, 0.62), (0.18, 0.45, 0.42), (0.85, 0.55, 0.25), "fabric", 0.3
        ),
        _block("picture", (FRONT_M - 0.02, 0.7, 1.62), (0.04, 1.1, 0.75), (1.0, 1.0, 1.0), "picture", 0.0),
        _block("rug", (2.5, 0.2, 0.006), (2.0, 2.6, 0.012), (0.72, 0.33, 0.28), "rug", 0.0),
        _block("plant pot", (FRONT_M - 0.45, -2.4, 0.2), (0.34, 0.34, 0.4), (0.72, 0.42, 0.3), "plain"),
        _block("plant", (FRONT_M - 0.45, -2.4, 0.8), (0.5, 0.5, 0.8), (0.5, 0.75, 0.4), "leaves", 0.4, 0.5),
        _block("chair seat", (1.9, 2.1, 0.43), (0.45, 0.45, 0.06), wood, "wood", 0.8, -0.7),
        _block("chair back", (2.08, 2.25, 0.75), (0.05, 0.45, 0.6), wood, "wood", 0.8, -0.7),
        _block("chair leg", (1.9, 2.1, 0.2), (0.3, 0.3, 0.4), (0.3, 0.22, 0.16), "wood", 0.8, -0.7),
        _block("table", (0.0, 0.0, TABLE_TOP_M - 0.02), (0.6, 1.3, 0.04), wood, "wood", 0.9),
    ]
    for x in (-0.26, 0.26):
        for y in (-0.6, 0.6):
            blocks.append(
                _block("table leg", (x, y, TABLE_TOP_M / 2 - 0.02), (0.05, 0.05, 0.7), wood, "wood")
            )
    return Room(boxes=tuple(blocks), table_m=(0.0, 0.0, TABLE_TOP_M))


def _block(
    name: str,
    centre_m: tuple[float, float, float],
    size_m: tuple[float, float, float],
    colour: tuple[float, float, float],
    pattern: Pattern,
    tile_m: float = 1.0,
    yaw_rad: float = 0.0,
) -> Block:
    return Block(
        name=name,
        centre_m=centre_m,
        size_m=size_m,
        colour=colour,
        pattern=pattern,
        tile_m=tile_m,
        yaw_rad=yaw_rad,
    )
