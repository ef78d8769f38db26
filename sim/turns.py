"""Turning about the upright axis, in machine code for the loops that do it: cosine and sine come in ready."""

from sim.compiled import compiled


@compiled
def turn(cos: float, sin: float, x: float, y: float) -> tuple[float, float]:
    """A vector of something that is turned, along its own axes, as one of the room."""
    return cos * x - sin * y, sin * x + cos * y


@compiled
def turn_back(cos: float, sin: float, x: float, y: float) -> tuple[float, float]:
    """A vector of the room along the axes of something that is turned, such as a block."""
    return cos * x + sin * y, cos * y - sin * x
