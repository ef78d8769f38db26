"""What makes no sense in a scenario, though every value by itself is allowed."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from drivers.toml_lines import KeyPath
from sim.paths import Ground, ground_for
from sim.places import PLACES, Places, Point, room_of
from sim.timeline import Enter, Leave, Look, Return, Sit, Stand, Walk

if TYPE_CHECKING:
    from sim.scenario import CallerPart, PersonPart, Scenario

Problem = tuple[KeyPath, str]
"""A key of the file, and what is wrong with it."""

ROBOT, AWAY, CAMERA = "robot", "away", "camera"


def errors(scenario: "Scenario", people: tuple[str, ...]) -> Iterator[Problem]:
    """All problems, in the order of the file's parts."""
    places = PLACES[scenario.room]
    cast = [part.name for part in scenario.person]
    yield from _names(scenario, people)
    yield from _times(("order",), scenario.order, scenario.duration_s)
    if isinstance(scenario.light, tuple):
        yield from _times(("light",), scenario.light, scenario.duration_s)
    ground = ground_for(room_of(scenario.room))
    for index, part in enumerate(scenario.person):
        path: KeyPath = ("person", index)
        yield from _kind_of_person(path, part)
        for spot, place in enumerate(part.spots_m or ()):
            yield from _place((*path, "spots_m", spot), place, ground, places, "stand")
        if part.starts_m is not None:
            yield from _place((*path, "starts_m"), part.starts_m, ground, places, "stand")
        yield from _times((*path, "does"), part.does, scenario.duration_s)
        yield from _person_steps((*path, "does"), part, cast, ground, places)
    under = ground_for(room_of(scenario.room), is_pet=True)
    for index, pet in enumerate(scenario.pet):
        yield from _pauses(("pet", index, "pause_s"), pet.pause_s)
        for spot, place in enumerate(pet.spots_m):
            yield from _place(("pet", index, "spots_m", spot), place, under, places, "be")
    if scenario.caller is not None:
        yield from _times(("caller", "does"), scenario.caller.does, scenario.duration_s)
        yield from _caller_steps(scenario.caller)


def _names(scenario: "Scenario", people: tuple[str, ...]) -> Iterator[Problem]:
    cast: list[tuple[KeyPath, str]] = [
        (("person", index, "name"), part.name) for index, part in enumerate(scenario.person)
    ]
    if scenario.caller is not None:
        cast.append((("caller", "name"), scenario.caller.name))
    names = [name for _, name in cast]
    for place, (path, name) in enumerate(cast):
        if name not in people:
            yield (
                path,
                f"nobody is called {name!r}; {_nearest(name, people)}the people are {', '.join(people)}",
            )
        if name in names[:place]:
            yield path, f"{name} is in it twice"
    here = [part.name for part in scenario.person]
    for index, lock in enumerate(scenario.expect.locked_onto_at):
        yield from _known(("expect", "locked_onto_at", index, "names"), lock.names, [*here, "nobody"])
        if lock.at_s > scenario.duration_s:
            path = ("expect", "locked_onto_at", index, "at_s")
            yield path, f"comes after the scenario's end at {scenario.duration_s:g} s"
    yield from _known(("expect", "never_locked_onto"), scenario.expect.never_locked_onto, [*here, "anybody"])


def _known(path: KeyPath, names: Sequence[str], allowed: list[str]) -> Iterator[Problem]:
    for name in names:
        if name not in allowed:
            yield (
                path,
                f"{name!r} is not in the room; {_nearest(name, allowed)}allowed are {', '.join(allowed)}",
            )


def _times(path: KeyPath, steps: Sequence[object], end_s: float) -> Iterator[Problem]:
    before_s = 0.0
    for index, step in enumerate(steps):
        at_s = float(getattr(step, "at_s"))  # noqa: B009 - steps, orders and lights have no base in common
        if at_s < before_s:
            yield (*path, index, "at_s"), f"time runs backwards: {at_s:g} s comes after {before_s:g} s"
        if at_s > end_s:
            yield (*path, index, "at_s"), f"{at_s:g} s comes after the scenario's end at {end_s:g} s"
        before_s = at_s


def _pauses(path: KeyPath, pause_s: tuple[float, float]) -> Iterator[Problem]:
    if pause_s[0] > pause_s[1]:
        yield path, "needs its smaller number first"


def _kind_of_person(path: KeyPath, part: "PersonPart") -> Iterator[Problem]:
    yield from _pauses((*path, "pause_s"), part.pause_s)
    if part.spots_m is not None and (part.does or part.starts_m is not None):
        key = "does" if part.does else "starts_m"
        yield (*path, key), f"{part.name} wanders by `spots_m`; whoever has a timeline has `starts_m` instead"
    if part.spots_m is None and part.starts_m is None and not part.does:
        yield path, f"{part.name} is nowhere: give `starts_m`, `spots_m`, or a step that enters"


def _place(path: KeyPath, place: Point, ground: Ground, places: Places, verb: str) -> Iterator[Problem]:
    where = f"({place[0]:g}, {place[1]:g})"
    if (name := ground.name_at(*place)) is not None:
        yield path, f"nobody can {verb} at {where}: the {name} is there, or too near"
    elif ground.way(places.doors[0].inside_m, place) is None:
        yield path, f"{where} lies outside the room, or cannot be reached in it"


def _person_steps(
    path: KeyPath, part: "PersonPart", cast: list[str], ground: Ground, places: Places
) -> Iterator[Problem]:
    is_here, seat = part.spots_m is not None or part.starts_m is not None, None
    for index, step in enumerate(part.does):
        here: KeyPath = (*path, index)
        what = str(step.__struct_config__.tag)
        if not is_here and not isinstance(step, Enter):
            yield (*here, "what"), f"{part.name} is outside then, and cannot {what}; enter first"
        if seat is not None and isinstance(step, Walk | Leave | Sit):
            yield (*here, "what"), f"{part.name} sits on the {seat} then, and cannot {what}; stand first"
        match step:
            case Walk():
                yield from _place((*here, "to_m"), step.to_m, ground, places, "stand")
            case Sit():
                seats = [known.name for known in places.seats]
                if step.on not in seats:
                    yield (
                        (*here, "on"),
                        f"the room has no seat {step.on!r}; {_nearest(step.on, seats)}seats are "
                        + ", ".join(seats),
                    )
                seat = step.on
            case Stand():
                if seat is None:
                    yield (*here, "what"), f"{part.name} is not sitting then, and cannot stand up"
                seat = None
            case Leave():
                yield from _door(here, step, places)
                is_here = False
            case Enter():
                if is_here:
                    yield (*here, "what"), f"{part.name} is in the room already, and cannot enter"
                yield from _door(here, step, places)
                yield from _place((*here, "to_m"), step.to_m, ground, places, "stand")
                is_here = True
            case Look():
                others = [ROBOT, AWAY, *(name for name in cast if name != part.name)]
                yield from _look(here, step, others)
            case _:
                pass


def _door(here: KeyPath, step: Leave | Enter, places: Places) -> Iterator[Problem]:
    doors = [door.name for door in places.doors]
    if step.by is not None and step.by not in doors:
        yield (
            (*here, "by"),
            f"the room has no door {step.by!r}; {_nearest(step.by, doors)}doors are {', '.join(doors)}",
        )


def _look(here: KeyPath, step: Look, allowed: list[str]) -> Iterator[Problem]:
    if (step.at is None) == (step.bearing_rad is None):
        yield here, "a look needs either `at` or `bearing_rad`"
    if step.at is not None and step.at not in allowed:
        yield (
            (*here, "at"),
            f"nobody can look at {step.at!r}; {_nearest(step.at, allowed)}allowed are {', '.join(allowed)}",
        )


def _caller_steps(part: "CallerPart") -> Iterator[Problem]:
    is_here = True
    for index, step in enumerate(part.does):
        here: KeyPath = ("caller", "does", index)
        if isinstance(step, Return) == is_here:
            state = "in the picture already, and cannot" if is_here else "out of the picture, and cannot"
            yield (*here, "what"), f"{part.name} is {state} {step.__struct_config__.tag}"
        if isinstance(step, Look):
            if step.bearing_rad is not None:
                yield (*here, "bearing_rad"), f"a caller looks at {CAMERA!r} or {AWAY!r}"
            else:
                yield from _look(here, step, [CAMERA, AWAY])
        if isinstance(step, Leave) and step.by is not None:
            yield (*here, "by"), "a caller leaves the picture by no door"
        is_here = isinstance(step, Return) or (is_here and not isinstance(step, Leave))


def _nearest(word: str, words: Sequence[str]) -> str:
    close = get_close_matches(word, words, n=1)
    return f"did you mean {close[0]!r}? " if close else ""
