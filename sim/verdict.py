"""How a scenario ended: what was seen while it ran, held against what it expects."""

import msgspec

from sim.scenario import Scenario

DIP_RAD = 0.12  # of the screen, out of where it was: a nod that a person in the room notices
LEVEL_S = 1.5  # where it was: the middle of this long before


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a scenario. No failures: it passed."""

    scenario: str
    seed: int
    simulated_s: float
    wall_s: float
    frames: int
    lock_share: float
    locked_onto: tuple[str, ...]
    nods: int
    failures: tuple[str, ...]


class Judge:
    """Watches a run from the room's side: whom the robot truly held on to, how the screen truly moved."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._frames = 0
        self._locked: list[str | None] = []
        self._tilts: list[tuple[float, float]] = []
        self._replies: list[str] = []

    def see_lock(self, person: str | None) -> None:
        """One frame: the person at whom the robot's lock truly points, None for nobody."""
        self._frames += 1
        self._locked.append(person)

    def see_tilt(self, time_s: float, tilt_rad: float) -> None:
        """The screen's true tilt."""
        self._tilts.append((time_s, tilt_rad))

    def hear(self, text: str) -> None:
        """Something that the robot said."""
        self._replies.append(text)

    def verdict(self, simulated_s: float, wall_s: float) -> Verdict:
        """Hold it against the scenario's expectations."""
        expect = self._scenario.expect
        held = [person for person in self._locked if person is not None]
        share = len(held) / self._frames if self._frames else 0.0
        onto = tuple(dict.fromkeys(held))
        nods = self._count_nods()
        failures = []
        if expect.lock_share is not None and share < expect.lock_share:
            failures.append(f"held on to somebody in {share:.0%} of the frames, not {expect.lock_share:.0%}")
        if expect.same_person and len(onto) > 1:
            failures.append(f"held on to {', '.join(onto)}, not to one person")
        if expect.nods is not None and nods < expect.nods:
            failures.append(f"the screen nodded {nods} times, not {expect.nods}")
        for words in expect.replies:
            if not any(words in reply for reply in self._replies):
                failures.append(f"never said “{words}”; it said {self._replies}")
        return Verdict(
            scenario=self._scenario.name,
            seed=self._seed,
            simulated_s=simulated_s,
            wall_s=wall_s,
            frames=self._frames,
            lock_share=share,
            locked_onto=onto,
            nods=nods,
            failures=tuple(failures),
        )

    def _count_nods(self) -> int:
        count, is_down = 0, False
        before: list[tuple[float, float]] = []
        for time_s, tilt_rad in self._tilts:
            before = [entry for entry in before if entry[0] > time_s - LEVEL_S]
            level = sorted(tilt for _, tilt in before)[len(before) // 2] if before else tilt_rad
            before.append((time_s, tilt_rad))
            if not is_down and tilt_rad - level > DIP_RAD:
                is_down, count = True, count + 1
            elif is_down and tilt_rad - level < DIP_RAD / 2:
                is_down = False
        return count
