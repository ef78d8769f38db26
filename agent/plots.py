"""Plots as SVG text for an HTML page: curves, and strips of labelled stretches of time. Colours are the page's."""

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

WIDTH, LEFT, RIGHT = 960, 58, 12
TOP, BOTTOM = 8, 22
HEIGHT = 150
ROW = 24
COLOURS = 6  # classes c0 … of the page's style
TICKS = 4


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Values over time; `colour` is a number below COLOURS, a gap in time of over `gap_s` is left open."""

    label: str
    times_s: Sequence[float]
    values: Sequence[float]
    colour: int = 0
    is_dashed: bool = False
    gap_s: float = 0.5


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Something that lasted."""

    start_s: float
    end_s: float
    label: str
    colour: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of stretches."""

    label: str
    stretches: Sequence[Stretch]


def curves(
    unit: str,
    drawn: Sequence[Curve],
    duration_s: float,
    shaded: Sequence[Stretch] = (),
    height: int = HEIGHT,
    *,
    has_zero: bool = False,
) -> str:
    """Curves over a run of `duration_s`, with the same time in the same place as in every other plot."""
    values = [value for curve in drawn for value in curve.values if math.isfinite(value)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if has_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.1
    low, high = low - room, high + room
    bottom = height - BOTTOM

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    parts = [_shade(stretch, duration_s, TOP, bottom) for stretch in shaded]
    for tick in _ticks(low, high, TICKS):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    parts.append(_time_axis(duration_s, bottom))
    for curve in drawn:
        dashed = " dashed" if curve.is_dashed else ""
        path = _path(curve, duration_s, y)
        parts.append(
            f'<path class="line c{curve.colour}{dashed}" d="{path}"><title>{escape(curve.label)}</title></path>'
        )
    parts.append(f'<text class="unit" x="6" y="{TOP + 10}">{escape(unit)}</text>')
    label = f"{', '.join(curve.label for curve in drawn)} in {unit}, over {duration_s:g} s"
    return _svg(parts, height, label)


def strips(rows: Sequence[Row], duration_s: float) -> str:
    """Rows of coloured stretches; what a stretch is stands in it where there is room, and in its tooltip."""
    height = TOP + ROW * len(rows) + BOTTOM
    parts = []
    for number, row in enumerate(rows):
        top = TOP + number * ROW
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{top + 16}">{escape(row.label)}</text>')
        for stretch in row.stretches:
            x, width = _span(stretch, duration_s)
            tip = f"{stretch.label}, {stretch.start_s:.2f} to {stretch.end_s:.2f} s"
            parts.append(
                f'<rect class="fill c{stretch.colour}" x="{x:.1f}" y="{top + 2}" width="{width:.1f}" '
                f'height="{ROW - 4}"><title>{escape(tip)}</title></rect>'
            )
            if width > 7 * len(stretch.label) + 6:
                parts.append(
                    f'<text class="in" x="{x + 4:.1f}" y="{top + 16}">{escape(stretch.label)}</text>'
                )
    parts.append(_time_axis(duration_s, height - BOTTOM))
    return _svg(parts, height, ", ".join(row.label for row in rows))


def _svg(parts: Sequence[str], height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _x(time_s: float, duration_s: float) -> float:
    return LEFT + min(max(time_s / duration_s, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)


def _span(stretch: Stretch, duration_s: float) -> tuple[float, float]:
    """Left edge and width; what is over at once is a thin line."""
    x = _x(stretch.start_s, duration_s)
    return x, max(_x(stretch.end_s, duration_s) - x, 1.5)


def _shade(stretch: Stretch, duration_s: float, top: float, bottom: float) -> str:
    x, width = _span(stretch, duration_s)
    return (
        f'<rect class="shade" x="{x:.1f}" y="{top}" width="{width:.1f}" height="{bottom - top}">'
        f"<title>{escape(stretch.label)}</title></rect>"
    )


def _time_axis(duration_s: float, bottom: float) -> str:
    parts = [f'<path class="axis" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>']
    for tick in _ticks(0.0, duration_s, 10):
        parts.append(f'<text class="x" x="{_x(tick, duration_s):.1f}" y="{bottom + 16}">{tick:g} s</text>')
    return "".join(parts)


def _path(curve: Curve, duration_s: float, y: Callable[[float], float]) -> str:
    """Points with their turning points kept: of those in one column of pixels the first, least, most and last."""
    moves: list[str] = []
    before_s: float | None = None
    for column in _columns(curve, duration_s):
        is_gap = before_s is None or column[0][0] - before_s > curve.gap_s
        least = min(column, key=lambda point: point[1])
        most = max(column, key=lambda point: point[1])
        for point in dict.fromkeys((column[0], *sorted((least, most)), column[-1])):
            moves.append(f"{'M' if is_gap else 'L'}{_x(point[0], duration_s):.1f} {y(point[1]):.1f}")
            is_gap = False
        before_s = column[-1][0]
    return "".join(moves)


def _columns(curve: Curve, duration_s: float) -> list[list[tuple[float, float]]]:
    columns: list[list[tuple[float, float]]] = []
    last = -1
    for time_s, value in zip(curve.times_s, curve.values, strict=True):
        if not math.isfinite(value):
            continue
        column = int(_x(time_s, duration_s))
        if column != last:
            columns.append([])
            last = column
        columns[-1].append((time_s, value))
    return columns


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two others, about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]
