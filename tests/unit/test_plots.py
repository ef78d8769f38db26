"""Plots: what is drawn is where the numbers say, and is well-formed whatever they are."""

import math
import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from agent import plots
from agent.plots import Curve, Row, Stretch


def points(svg: str) -> list[tuple[float, float]]:
    line = re.search(r'class="line[^>]* d="([^"]*)"', svg)
    assert line is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([-\d.]+)", line[1])]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30),
    st.floats(min_value=0.01, max_value=86400.0),
)
def test_any_numbers_give_a_picture_that_holds_them(values: list[float], duration_s: float) -> None:
    times = [place * duration_s / 30 for place in range(len(values))]
    svg = plots.curves("<m&>", [Curve(label='"a" < b', times_s=times, values=values)], duration_s)
    ET.fromstring(svg)
    for x, y in points(svg):
        assert plots.LEFT <= x <= plots.WIDTH
        assert -1.0 <= y <= plots.HEIGHT


def test_a_peak_between_two_pixels_is_kept() -> None:
    times = [place / 1000 for place in range(100_000)]
    values = [0.0] * len(times)
    values[43_210] = 1.0
    drawn = points(plots.curves("m", [Curve(label="a", times_s=times, values=values)], 100.0))
    assert len(drawn) < 4 * plots.WIDTH
    highest = min(drawn, key=lambda point: point[1])
    assert math.isclose(
        highest[0], plots.LEFT + 0.4321 * (plots.WIDTH - plots.LEFT - plots.RIGHT), abs_tol=0.1
    )


def test_a_gap_stays_open() -> None:
    svg = plots.curves("m", [Curve(label="a", times_s=[0.0, 0.1, 5.0, 5.1], values=[1, 2, 3, 4])], 6.0)
    line = re.search(r'class="line[^>]* d="([^"]*)"', svg)
    assert line is not None and line[1].count("M") == 2


def test_stretches_are_told_when_pointed_at() -> None:
    svg = plots.strips([Row(label="lock", stretches=[Stretch(start_s=1.0, end_s=2.0, label="<lost>")])], 4.0)
    titles = [element.text for element in ET.fromstring(svg).iter() if element.tag == "title"]
    assert titles == ["<lost>, 1.00 to 2.00 s"]
