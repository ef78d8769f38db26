"""A rehearsal as one HTML file: the verdict, and over time the joints, the lock, latency, balance, faults and talk.

The file asks for nothing: no script, no font, no picture from elsewhere.
"""

import math
import os
from collections import deque
from collections.abc import Sequence
from html import escape
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from agent import plots
from agent.events import Inbox, Reply
from agent.plots import Curve, Row, Stretch
from agent.rehearsal import Rehearsal, Truth, Verdict
from drivers.balance import zmp_margins
from drivers.errors import ConfigError, DeviceError

MAX_SAMPLES = 20_000  # of each kind; then every second one goes, and only half as many come
SPEED_WINDOW = 4  # truths, as the judge's
PHASES = ("idle", "enrol", "locked", "ambiguous", "lost")
TRUTH_S = 0.01
STYLE = """
:root { --ground: #f4f3f0; --card: #fff; --ink: #1b1f26; --soft: #5a6270; --line: #dcd9d2; --shade: #b3261e26;
  --good: #1d7a46; --bad: #b3261e; --0: #1f6fb2; --1: #b35900; --2: #1d7a46; --3: #8a4fbf; --4: #b0891a; --5: #7a828f;
  color-scheme: light dark; font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --card: #1e2127; --ink: #eceef2; --soft: #a3abb8;
  --line: #343943; --shade: #ff8a8033; --good: #6fd39b; --bad: #ff8a80; --0: #6cb4f0; --1: #ffab5e; --2: #6fd39b;
  --3: #c79bf2; --4: #ffd166; --5: #98a1ae; } }
body { background: var(--ground); color: var(--ink); margin: 0 auto; max-width: 62rem; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 .3rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .7rem .9rem;
  margin: .8rem 0; }
p { margin: .2rem 0; color: var(--soft); } .passed { color: var(--good); } .failed { color: var(--bad); }
b.passed, b.failed { font-size: 1.1rem; } ul, ol { margin: .3rem 0; padding-left: 1.3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .4rem 0; } dd { margin: 0; }
dt, time { color: var(--soft); } time { display: inline-block; min-width: 4.5rem; font-variant-numeric: tabular-nums; }
ol { list-style: none; padding: 0; } .error { color: var(--bad); } .said { padding-left: 1rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; }
svg .y { text-anchor: end; } svg .x { text-anchor: middle; } svg text.in { fill: var(--card); font-weight: 600; }
.grid, .axis { stroke: var(--line); fill: none; } .line { fill: none; stroke-width: 1.4; stroke-linejoin: round; }
.dashed { stroke-dasharray: 4 3; } .shade { fill: var(--shade); }
.key { display: inline-block; width: 1.4em; height: .2em; vertical-align: middle; margin: 0 .3em 0 .8em; }
""" + "".join(
    f".line.c{n} {{ stroke: var(--{n}); }} .fill.c{n}, .key.c{n} {{ fill: var(--{n}); background: var(--{n}); }}\n"
    for n in range(plots.COLOURS)
)


class _Series:
    """Rows over time, bounded: a long run is told more coarsely."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.rows: list[tuple[float, ...]] = []
        self._every = 1
        self._seen = 0

    def add(self, time_s: float, *row: float) -> None:
        if self._seen % self._every == 0:
            self.times_s.append(time_s)
            self.rows.append(row)
        self._seen += 1
        if len(self.rows) >= MAX_SAMPLES:
            self._every *= 2
            self.times_s, self.rows = self.times_s[::2], self.rows[::2]

    def curve(
        self, place: int, label: str, colour: int, scale: float = 1.0, *, is_dashed: bool = False
    ) -> Curve:
        values = [row[place] * scale for row in self.rows]
        gap_s = max(0.5, 3 * TRUTH_S * self._every)
        return Curve(
            label=label, times_s=self.times_s, values=values, colour=colour, is_dashed=is_dashed, gap_s=gap_s
        )


class _Strip:
    """What was the case, from when to when."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def note(self, time_s: float, label: str, colour: int) -> None:
        last = self.stretches[-1] if self.stretches else None
        if last is not None:
            self.stretches[-1] = msgspec.structs.replace(last, end_s=time_s)
        if last is None or last.label != label:
            self.stretches.append(Stretch(start_s=time_s, end_s=time_s, label=label, colour=colour))

    def named(self) -> list[Stretch]:
        """Without the stretches of nothing."""
        return [stretch for stretch in self.stretches if stretch.label]


class Page:
    """A witness that writes a page. Use it as a context, and call `write` when the verdict is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._true, self._asked, self._balance = _Series(), _Series(), _Series()
        self._to_sight, self._to_set_point = _Series(), _Series()
        self._phases, self._people, self._links, self._cameras = _Strip(), _Strip(), _Strip(), _Strip()
        self._window: deque[Truth] = deque(maxlen=2 * SPEED_WINDOW + 1)
        self._told: list[tuple[float, Reply]] = []
        self._counts = (0, 0)
        self._colours: dict[str, int] = {}

    def __enter__(self) -> "Page":
        """See that the file can be written. Raises ConfigError."""
        try:
            self._part.write_text("")
        except OSError as exc:
            raise ConfigError(f"{self._path}: cannot be written ({exc.strerror}); name another file") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.unlink(missing_ok=True)

    def begin(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._replies: Inbox[Reply] = rehearsal.app.bus.replies()

    def see(self, truth: Truth) -> None:
        rehearsal = self._rehearsal
        bus, time_s = rehearsal.app.bus, truth.time_s - rehearsal.start_s
        self._true.add(time_s, *truth.angles_rad)
        self._see_balance(truth)
        counts = (bus.set_point.count, bus.sight.count)
        set_point, lock, health = bus.set_point.get(), bus.lock.get(), bus.health.get()
        last = rehearsal.app.figures.last
        if set_point is not None and counts[0] != self._counts[0]:
            self._asked.add(set_point.time_s - rehearsal.start_s, *set_point.position_rad)
            if (latency_s := last("frame_to_setpoint_s")) is not None:
                self._to_set_point.add(time_s, latency_s)
        if counts[1] != self._counts[1] and (latency_s := last("frame_to_sight_s")) is not None:
            self._to_sight.add(time_s, latency_s)
        self._counts = counts
        if lock is not None:
            self._phases.note(time_s, lock.phase, PHASES.index(lock.phase))
            person = rehearsal.person or ""
            self._people.note(
                time_s, person, self._colours.setdefault(person, len(self._colours) % plots.COLOURS)
            )
        if health is not None:
            self._links.note(time_s, "" if health.is_link_up else "no link", 1)
            self._cameras.note(time_s, "" if health.is_camera_up else "no picture", 1)
        while (reply := self._replies.take()) is not None:
            self._told.append((time_s, reply))

    def _see_balance(self, truth: Truth) -> None:
        """Angles in the middle of a window of truths, with the speeds and their changes."""
        if truth.tilt_rad is not None:
            self._balance.add(truth.time_s - self._rehearsal.start_s, truth.tilt_rad)
            return
        self._window.append(truth)
        if len(self._window) < 2 * SPEED_WINDOW + 1:
            return
        times = [each.time_s for each in self._window]
        angles = np.array([each.angles_rad for each in self._window])
        first = (angles[SPEED_WINDOW] - angles[0]) / (times[SPEED_WINDOW] - times[0])
        second = (angles[-1] - angles[SPEED_WINDOW]) / (times[-1] - times[SPEED_WINDOW])
        change = (second - first) / (times[-1] - times[SPEED_WINDOW])
        row = (*angles[SPEED_WINDOW], *((first + second) / 2), *change)
        self._balance.add(times[SPEED_WINDOW] - self._rehearsal.start_s, *row)

    def write(self, verdict: Verdict) -> None:
        """Write the file, whole or not at all. Raises DeviceError if that fails."""
        try:
            self._part.write_text(self._html(verdict), encoding="utf-8")
            os.replace(self._part, self._path)
        except OSError as exc:
            raise DeviceError(f"{self._path}: cannot be written ({exc.strerror})") from exc

    def _html(self, verdict: Verdict) -> str:
        scenario = self._rehearsal.stage.scenario
        duration_s = max(verdict.simulated_s, TRUTH_S)
        faults = [
            Stretch(start_s=fault.at_s, end_s=fault.end_s, label=fault.name, colour=1)
            for fault in scenario.fault
            if fault.at_s < duration_s
        ]
        title = f"{verdict.scenario}, seed {verdict.seed}"
        return "\n".join(
            [
                "<!DOCTYPE html>",
                '<html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
                f"<h1>{escape(title)}</h1><p>{escape(scenario.about)}</p>",
                _verdict_html(verdict),
                self._lock_html(duration_s, faults),
                self._joints_html(duration_s, faults),
                self._latency_html(duration_s, faults),
                self._balance_html(duration_s, faults),
                self._talk_html(duration_s),
                "</body></html>\n",
            ]
        )

    def _lock_html(self, duration_s: float, faults: Sequence[Stretch]) -> str:
        rows = [
            Row(label="lock", stretches=self._phases.stretches),
            Row(label="truly on", stretches=self._people.named()),
        ]
        lost = [*self._links.named(), *self._cameras.named()]
        if lost:
            rows.append(Row(label="says", stretches=lost))
        if faults:
            rows.append(Row(label="fault", stretches=faults))
        return _section("Whom it holds on to", plots.strips(rows, duration_s))

    def _joints_html(self, duration_s: float, faults: Sequence[Stretch]) -> str:
        drawn = []
        for place, joint in enumerate(self._rehearsal.app.devices.body.joint):
            asked = self._asked.curve(place, f"{joint.name}, asked for", 1, math.degrees(1.0), is_dashed=True)
            true = self._true.curve(place, f"{joint.name}, true", 0, math.degrees(1.0))
            drawn.append(f"<p>{escape(joint.name)}</p>")
            drawn.append(plots.curves("°", [true, asked], duration_s, faults, height=110))
        return _section(f"Joints{_key(0, 'true')}{_key(1, 'asked for')}", "".join(drawn))

    def _latency_html(self, duration_s: float, faults: Sequence[Stretch]) -> str:
        drawn = [
            self._to_sight.curve(0, "frame to sight", 0, 1e3),
            self._to_set_point.curve(0, "frame to set-point", 1, 1e3),
        ]
        note = "<p>In virtual time computing takes none; what is left is waiting.</p>"
        plot = plots.curves("ms", drawn, duration_s, faults, has_zero=True)
        return _section(f"Latency{_key(0, 'frame to sight')}{_key(1, 'frame to set-point')}", note + plot)

    def _balance_html(self, duration_s: float, faults: Sequence[Stretch]) -> str:
        rows = np.array(self._balance.rows)
        if not len(rows):
            return ""
        if rows.shape[1] == 1:
            drawn = self._balance.curve(0, "tilt of the base", 2, math.degrees(1.0))
            return _section("Tilt of the base", plots.curves("°", [drawn], duration_s, faults, has_zero=True))
        angles, speeds, changes = np.split(rows, 3, axis=1)
        margins = zmp_margins(
            self._rehearsal.app.devices.body, angles, speeds, changes, np.zeros((len(rows), 4))
        )
        values = [float(margin) * 1e3 for margin in margins]
        curve = Curve(label="margin", times_s=self._balance.times_s, values=values, colour=2)
        note = (
            "<p>How far the zero-moment point lies inside the edge of what it stands on; below 0 it tips.</p>"
        )
        return _section("Balance", note + plots.curves("mm", [curve], duration_s, faults, has_zero=True))

    def _talk_html(self, duration_s: float) -> str:
        orders = self._rehearsal.stage.scenario.orders()
        lines = [(order.at_s, 0, "“", f"{order.text}”", "") for order in orders if order.at_s < duration_s]
        lines += [(time_s, 1, "", reply.text, f"said {reply.kind}") for time_s, reply in self._told]
        items = "".join(
            f'<li class="{kind}"><time>{time_s:.2f} s</time> {mark}{escape(text)}</li>'
            for time_s, _, mark, text, kind in sorted(lines, key=lambda line: line[:2])
        )
        return _section("Orders and replies", f"<ol>{items}</ol>") if items else ""


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>"


def _key(colour: int, label: str) -> str:
    return f'<span class="key c{colour}"></span>{escape(label)}'


def _verdict_html(verdict: Verdict) -> str:
    word = "failed" if verdict.failures else "passed"
    failures = "".join(f'<li class="failed">{escape(failure)}</li>' for failure in verdict.failures)
    facts = [
        ("simulated", f"{verdict.simulated_s:.2f} s in {verdict.wall_s:.1f} s"),
        ("frames", str(verdict.frames)),
        (
            "held on to",
            f"{', '.join(verdict.locked_onto) or 'nobody'}, in {verdict.lock_share:.0%} of the frames",
        ),
        ("changes of the lock", str(verdict.lock_changes)),
        ("nods of the screen", str(verdict.nods)),
        ("fastest joint", f"{verdict.most_speed_share:.0%} of its limit"),
    ]
    if verdict.least_margin_m is not None:
        facts.append(("least balance margin", f"{verdict.least_margin_m * 1e3:.0f} mm"))
    if verdict.most_tilt_rad is not None:
        facts.append(("most tilt", f"{math.degrees(verdict.most_tilt_rad):.2f}°"))
    for rest in verdict.rests:
        facts.append((f"at rest after {rest.fault}", f"{rest.rest_s * 1e3:.0f} ms"))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f'<section><b class="{word}">{word}</b><ul>{failures}</ul><dl>{listed}</dl></section>'
