"""The rooms: whole furniture, obstacles where they stand, ways through the doors."""

import math

import pytest

from sim.room import ROOMS, STEP_OVER_M, Footprint, Room


def taken(room: Room, x_m: float, y_m: float, tall_m: float = 1.9, radius_m: float = 0.25) -> list[str]:
    """What somebody round would touch who stands there."""
    names = []
    for foot in room.footprints(tall_m):
        x, y = x_m - foot.centre_m[0], y_m - foot.centre_m[1]
        c, s = math.cos(foot.yaw_rad), math.sin(foot.yaw_rad)
        along, across = abs(c * x + s * y), abs(c * y - s * x)
        beyond = max(along - foot.size_m[0] / 2, 0.0), max(across - foot.size_m[1] / 2, 0.0)
        if math.hypot(*beyond) < radius_m:
            names.append(foot.name)
    return names


@pytest.mark.parametrize("name", list(ROOMS))
def test_a_room_holds_its_furniture_and_the_robot(name: str) -> None:
    room = ROOMS[name]()
    names = [block.name for block in room.boxes]
    assert {"floor", "ceiling", "window", "sofa seat", "shelf", "table"} <= set(names)
    table = next(block for block in room.boxes if block.name == "table")
    assert room.table_m[2] == pytest.approx(table.centre_m[2] + table.size_m[2] / 2)
    for block in room.boxes:
        assert min(block.size_m) > 0.0 and all(0.0 <= share <= 1.0 for share in block.colour)


def test_what_is_flat_or_overhead_stands_in_nobodys_way() -> None:
    for room in (make() for make in ROOMS.values()):
        blocks = {block.name: block for block in room.boxes}
        names = {foot.name for foot in room.footprints()}
        assert names.isdisjoint({"floor", "rug", "ceiling", "lintel", "kitchen floor"})
        assert {"sofa seat", "table", "shelf", "left wall"} <= names
        assert all(blocks[name].centre_m[2] + blocks[name].size_m[2] / 2 > STEP_OVER_M for name in names)
        low = {foot.name for foot in room.footprints(tall_m=0.3)}
        assert "table" not in low and "table leg" in low  # a small robot drives under a table's top


def test_a_turned_block_has_a_turned_footprint() -> None:
    room = ROOMS["living-room"]()
    seat = next(foot for foot in room.footprints() if foot.name == "chair seat")
    assert seat == Footprint(name="chair seat", centre_m=(1.9, 2.1), size_m=(0.45, 0.45), yaw_rad=-0.7)


def test_the_flats_doorways_are_open_and_its_walls_are_not() -> None:
    room = ROOMS["flat"]()
    ways = {
        "living room to hall": [(3.0 + 0.1 * step, -1.35) for step in range(20)],
        "living room to kitchen": [(2.0, -1.0 - 0.1 * step) for step in range(25)],
        "hall to kitchen": [(5.1, 0.0 - 0.1 * step) for step in range(26)],
        "across the kitchen": [(2.0 + 0.1 * step, -2.5) for step in range(32)],
    }
    for way, points in ways.items():
        touched = {name for x, y in points for name in taken(room, x, y)}
        assert not touched, f"{way} is blocked by {touched}"
    assert "inner wall" in taken(room, 1.0, -2.05)
    assert "hall wall" in taken(room, 4.05, 0.5)
