"""Portraits of the cast from near and far, straight on and turned: what their likeness is judged on."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from drivers.camera import Image, Lens
from sim.people import NAMES, Actor
from sim.render import Renderer
from sim.room import living_room
from sim.sensor import Imager, Sensor

LENS = Lens(width_px=640, height_px=480, focal_px=527.0)


class View(NamedTuple):
    """Distance of the camera, and how the face is turned against it (REP 103: left, chin down)."""

    distance_m: float
    yaw_rad: float
    pitch_rad: float


VIEWS: tuple[View, ...] = (
    View(0.7, 0.0, 0.0),
    View(0.9, 0.7, 0.0),
    View(1.2, -0.7, 0.1),
    View(1.2, 0.3, 0.0),
    View(2.0, 0.0, -0.1),
    View(2.0, -0.35, 0.0),
)
MORE_VIEWS: tuple[View, ...] = (
    *VIEWS,
    View(0.9, -0.5, -0.15),
    View(1.0, 0.1, 0.2),
    View(1.5, 0.5, 0.1),
    View(1.8, -0.15, -0.2),
)


def views(
    names: tuple[str, ...] = NAMES, seen_from: tuple[View, ...] = MORE_VIEWS
) -> Iterator[tuple[str, View, Image, Lens]]:
    """Every person in every view, one after the other, as a usual camera takes them."""
    renderer = Renderer(LENS, living_room(), ())
    for name in names:
        for view in seen_from:
            imager = Imager(Sensor(), LENS, f"{name} {view}")
            yield name, view, imager.develop(portrait(renderer, name, view), 1.0, np.eye(4), 0.0), LENS


def portrait(renderer: Renderer, name: str, view: View) -> Image:
    """One person, whom the renderer may not know yet, in one view."""
    actor = Actor(name=name, position_m=(0.0, 0.0, 1.6), yaw_rad=view.yaw_rad, pitch_rad=view.pitch_rad)
    return renderer.draw_portrait(actor, view.distance_m)
