"""Where one can sit in a room, and by which doors one comes and goes."""

import msgspec

from sim.room import ROOMS, Room

Point = tuple[float, float]
LEFT, RIGHT, BACK = 1.5708, -1.5708, 3.1416  # where a seat faces


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A place to sit: where, how high, which way one faces, and where one stands before and after."""

    name: str
    at_m: Point
    high_m: float
    yaw_rad: float
    before_m: Point


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A way out: just inside it, and where nobody in the room sees one any more."""

    name: str
    inside_m: Point
    outside_m: Point


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What a room offers to people."""

    seats: tuple[Seat, ...]
    doors: tuple[Door, ...]

    def seat(self, name: str) -> Seat:
        """By name. Raises StopIteration for one that isn't there: scenarios are checked before."""
        return next(seat for seat in self.seats if seat.name == name)

    def door(self, name: str | None, near_m: Point | None = None) -> Door:
        """By name; without one, the nearest to a point, or the first."""
        if name is not None:
            return next(door for door in self.doors if door.name == name)
        if near_m is None:
            return self.doors[0]
        x, y = near_m
        return min(self.doors, key=lambda door: (door.inside_m[0] - x) ** 2 + (door.inside_m[1] - y) ** 2)


PLACES: dict[str, Places] = {
    "living-room": Places(
        seats=(
            Seat(name="sofa", at_m=(4.0, 0.9), high_m=0.46, yaw_rad=BACK, before_m=(3.36, 0.9)),
            Seat(name="sofa right", at_m=(4.0, 0.1), high_m=0.46, yaw_rad=BACK, before_m=(3.36, 0.1)),
            Seat(name="chair", at_m=(1.9, 2.1), high_m=0.46, yaw_rad=-2.44, before_m=(1.45, 1.72)),
        ),
        doors=(Door(name="door", inside_m=(0.9, -2.35), outside_m=(0.9, -3.4)),),
    ),
    "flat": Places(
        seats=(
            Seat(name="sofa", at_m=(1.3, 2.2), high_m=0.44, yaw_rad=RIGHT, before_m=(1.3, 1.56)),
            Seat(name="sofa left", at_m=(0.5, 2.2), high_m=0.44, yaw_rad=RIGHT, before_m=(0.5, 1.56)),
            Seat(name="bed", at_m=(2.6, 1.55), high_m=0.54, yaw_rad=RIGHT, before_m=(2.6, 1.0)),
            Seat(name="kitchen chair", at_m=(3.4, -3.3), high_m=0.45, yaw_rad=0.15, before_m=(3.4, -2.75)),
            Seat(name="far kitchen chair", at_m=(5.2, -3.3), high_m=0.45, yaw_rad=BACK, before_m=(5.2, -2.75)),
        ),
        doors=(Door(name="front door", inside_m=(5.75, -0.9), outside_m=(6.9, -0.9)),),
    ),
}  # fmt: skip


def room_of(name: str) -> Room:
    """A room by the name that scenarios use."""
    return ROOMS[name]()
