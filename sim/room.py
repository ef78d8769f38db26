"""Furnished rooms, as blocks that the renderer draws and the page's 3-D view shows.

Room frame: x forward from the robot, y left, z up, the floor at z = 0. The robot stands on the table at the
origin's end of the room and looks along +x.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

Pattern = Literal[
    "plain", "wood", "books", "window", "wallpaper", "fabric", "rug", "picture", "leaves", "tiles"
]


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


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """A rectangle on the floor that is taken: centre (x, y), size along its own x and y, a turn about z."""

    name: str
    centre_m: tuple[float, float]
    size_m: tuple[float, float]
    yaw_rad: float


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that stands still. `table_m` is where the robot's foot stands."""

    boxes: tuple[Block, ...]
    table_m: tuple[float, float, float]

    @property
    def corners_m(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """The lowest and the highest corner of the air in it: what is under its ceiling."""
        ceilings = [block for block in self.boxes if block.name == "ceiling"]
        low_x, low_y = (
            min(each.centre_m[axis] - each.size_m[axis] / 2 for each in ceilings) for axis in (0, 1)
        )
        high_x, high_y = (
            max(each.centre_m[axis] + each.size_m[axis] / 2 for each in ceilings) for axis in (0, 1)
        )
        return (low_x, low_y, 0.0), (high_x, high_y, HEIGHT_M)

    def footprints(self, tall_m: float = 1.9) -> tuple[Footprint, ...]:
        """What somebody so tall would run into, walls too; who is low passes under a table's top."""
        return tuple(
            Footprint(
                name=block.name,
                centre_m=block.centre_m[:2],
                size_m=block.size_m[:2],
                yaw_rad=block.yaw_rad,
            )
            for block in self.boxes
            if block.centre_m[2] + block.size_m[2] / 2 > STEP_OVER_M
            and block.centre_m[2] - block.size_m[2] / 2 < tall_m
        )


FRONT_M, BACK_M, SIDE_M, HEIGHT_M = 4.6, -1.6, 2.7, 2.6
TABLE_TOP_M = 0.74
STEP_OVER_M = 0.05  # what is lower is a rug: walked and driven over
_DOOR_M = 2.0  # height of an opening


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
        *_table("table", (0.0, 0.0), (0.6, 1.3), wood),
    ]
    return Room(boxes=tuple(blocks), table_m=(0.0, 0.0, TABLE_TOP_M))


def flat() -> Room:
    """Living room with a bed corner, a hall behind its far wall, a kitchen on the right; open doorways.

    Living room: x -1.6 … 4, y -2 … 2.7. Hall: x 4.1 … 6.1, the same y. Kitchen: x .1 … 6.1, y -5.2 … -2.1.
    Doorways: living room to hall at (4.05, -1.35), to kitchen at (2, -2.05); hall to kitchen at (5.1, -2.05).
    """
    warm, cool, white = (0.86, 0.82, 0.73), (0.72, 0.79, 0.78), (0.92, 0.91, 0.88)
    wood, dark, sofa = (0.62, 0.44, 0.29), (0.36, 0.25, 0.17), (0.5, 0.34, 0.3)
    blocks = [
        _block("floor", (2.25, -1.25, -0.05), (7.9, 8.1, 0.1), (0.66, 0.49, 0.34), "wood", 1.2),
        _block("kitchen floor", (3.1, -3.6, 0.002), (6.0, 3.1, 0.004), (0.8, 0.8, 0.78), "tiles", 0.8),
        _block("ceiling", (2.25, -1.25, HEIGHT_M + 0.05), (7.9, 8.1, 0.1), (0.93, 0.92, 0.89), "plain"),
        _wall("near wall", (-1.65, 0.35), (0.1, 4.9), warm),
        _wall("left wall", (2.25, 2.75), (7.9, 0.1), cool),
        _wall("front wall", (6.15, -1.25), (0.1, 8.1), white),
        _wall("kitchen near wall", (0.05, -3.65), (0.1, 3.1), white),
        _wall("kitchen right wall", (3.1, -5.25), (6.2, 0.1), white),
        _wall("hall wall", (4.05, 0.9), (0.1, 3.6), warm),
        _wall("hall wall", (4.05, -1.9), (0.1, 0.2), warm),
        _wall("inner wall", (-0.05, -2.05), (3.1, 0.1), warm),
        _wall("inner wall", (3.55, -2.05), (2.1, 0.1), warm),
        _wall("inner wall", (5.85, -2.05), (0.5, 0.1), warm),
        _wall("lintel", (4.05, -1.35), (0.1, 0.9), warm, _DOOR_M),
        _wall("lintel", (2.0, -2.05), (1.0, 0.1), warm, _DOOR_M),
        _wall("lintel", (5.1, -2.05), (1.0, 0.1), warm, _DOOR_M),
        _block("window", (1.6, 2.68, 1.5), (1.7, 0.06, 1.3), (1.0, 1.0, 1.0), "window", 0.0),
        _block("picture", (3.98, 0.1, 1.65), (0.04, 1.0, 0.7), (1.0, 1.0, 1.0), "picture", 0.0),
        _block("rug", (2.1, 0.1, 0.006), (1.8, 2.2, 0.012), (0.4, 0.45, 0.6), "rug", 0.0),
        _block("sofa seat", (0.9, 2.25, 0.22), (1.7, 0.85, 0.44), sofa, "fabric", 0.4),
        _block("sofa back", (0.9, 2.57, 0.45), (1.7, 0.25, 0.9), sofa, "fabric", 0.4),
        _block("bed", (3.05, 1.98, 0.24), (1.85, 1.4, 0.48), (0.88, 0.88, 0.92), "fabric", 0.5),
        _block("blanket", (2.75, 1.98, 0.5), (1.25, 1.42, 0.08), (0.36, 0.46, 0.62), "fabric", 0.5),
        _block("pillow", (3.72, 1.98, 0.54), (0.36, 1.0, 0.12), (0.96, 0.95, 0.92), "fabric", 0.3),
        _block("bed head", (3.97, 1.98, 0.5), (0.06, 1.5, 1.0), dark, "wood", 0.9),
        _block("shelf", (3.85, 0.1, 0.6), (0.3, 1.3, 1.2), (1.0, 1.0, 1.0), "books", 0.0),
        _block("plant pot", (3.72, -0.72, 0.15), (0.24, 0.24, 0.3), (0.72, 0.42, 0.3), "plain"),
        _block("plant", (3.72, -0.72, 0.6), (0.36, 0.36, 0.6), (0.5, 0.75, 0.4), "leaves", 0.4, 0.5),
        _block("wardrobe", (5.8, 1.6, 1.0), (0.6, 1.8, 2.0), (0.82, 0.76, 0.66), "wood", 1.4),
        _block("front door", (6.08, -0.9, 1.0), (0.05, 0.95, 2.0), (0.35, 0.42, 0.38), "wood", 1.4),
        _block("shoe cabinet", (4.28, 0.6, 0.45), (0.34, 1.0, 0.9), wood, "wood", 0.9),
        _block("kitchen counter", (2.6, -4.9, 0.43), (3.4, 0.6, 0.86), (0.86, 0.88, 0.86), "plain"),
        _block("worktop", (2.6, -4.89, 0.885), (3.44, 0.64, 0.05), dark, "wood", 0.9),
        _block("cupboard", (2.6, -5.02, 1.75), (3.4, 0.36, 0.7), (0.86, 0.88, 0.86), "plain"),
        _block("fridge", (4.75, -4.88, 0.95), (0.65, 0.64, 1.9), (0.93, 0.94, 0.95), "plain"),
        _block("kitchen window", (6.08, -3.6, 1.5), (0.06, 1.5, 1.2), (1.0, 1.0, 1.0), "window", 0.0),
        *_table("kitchen table", (4.3, -3.3), (1.2, 0.75), wood),
        *_table("table", (0.0, 0.0), (0.6, 1.2), wood),
    ]
    for x, yaw_rad in ((3.4, 0.15), (5.2, 3.3)):
        blocks += [
            _block("chair seat", (x, -3.3, 0.225), (0.42, 0.42, 0.45), dark, "wood", 0.8, yaw_rad),
            _block(
                "chair back", (x + (0.19 if x > 4.3 else -0.19), -3.3, 0.7), (0.05, 0.42, 0.5), dark, "wood",
                0.8, yaw_rad,
            ),
        ]  # fmt: skip
    return Room(boxes=tuple(blocks), table_m=(0.0, 0.0, TABLE_TOP_M))


ROOMS: dict[str, Callable[[], Room]] = {"living-room": living_room, "flat": flat}


def _wall(
    name: str,
    centre_m: tuple[float, float],
    size_m: tuple[float, float],
    colour: tuple[float, float, float],
    above_m: float = 0.0,
) -> Block:
    """A wall up to the ceiling; a lintel begins above its opening."""
    high_m = HEIGHT_M - above_m
    return _block(name, (*centre_m, above_m + high_m / 2), (*size_m, high_m), colour, "wallpaper", 0.6)


def _table(
    name: str, centre_m: tuple[float, float], size_m: tuple[float, float], colour: tuple[float, float, float]
) -> list[Block]:
    x, y = centre_m
    across, deep = size_m[0] / 2 - 0.04, size_m[1] / 2 - 0.05
    return [
        _block(name, (x, y, TABLE_TOP_M - 0.02), (*size_m, 0.04), colour, "wood", 0.9),
        *(
            _block(f"{name} leg", (x + a, y + b, TABLE_TOP_M / 2 - 0.02), (0.05, 0.05, 0.7), colour, "wood")
            for a in (-across, across)
            for b in (-deep, deep)
        ),
    ]


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
