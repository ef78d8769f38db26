"""How a scenario ended: what was seen while it ran, held against what it expects and what must always hold."""

import itertools

import msgspec

from drivers.body import Body
from sim.expectations import lock_failures
from sim.faults import Fault
from sim.invariants import Invariants, Rest, Signs
from sim.scenario import Scenario
from sim.truth import Truth

DIP_RAD = 0.12  # of the screen, out of where it was: a nod that a person in the room notices
LEVEL_S = 1.5  # where it was: the middle of this long before
BEFORE_S = 1.0  # whom it held on to before a fault: in most of the frames of so long


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a scenario. No failures: it passed."""

    scenario: str
    seed: int
    simulated_s: float
    wall_s: float
    frames: int
    lock_share: float
    locked_onto: tuple[str, ...]
    lock_changes: int  # from one person to another
    nods: int
    latency_s: float | None  # from a frame to the set-point that answers it, in the middle
    most_speed_share: float  # of the joints' true speeds, by the body file's limits
    least_margin_m: float | None  # of the zero-moment point
    most_tilt_rad: float | None
    rests: tuple[Rest, ...]  # after each fault that stops it
    failures: tuple[str, ...]


class Judge:
    """Watches a run from the room's side: whom the robot truly held on to, how its body truly moved.

    `start_s` is the loop time at which the scenario began; all times that it is given are loop times.
    """

    def __init__(self, scenario: Scenario, seed: int, body: Body, start_s: float = 0.0) -> None:
        self.invariants = Invariants(body, scenario.fault, scenario.throughout, start_s)
        self._scenario = scenario
        self._seed = seed
        self._start_s = start_s
        self._tilt = body.index("tilt")
        self._locked: list[tuple[float, str | None]] = []
        self._tilts: list[tuple[float, float]] = []
        self._replies: list[str] = []

    def see_lock(self, time_s: float, person: str | None) -> None:
        """One frame: the person at whom the robot's lock truly points, None for nobody."""
        self._locked.append((time_s - self._start_s, person))

    def see_truth(self, truth: Truth) -> None:
        """How the body truly is."""
        self._tilts.append((truth.time_s, truth.angles_rad[self._tilt]))
        self.invariants.see_truth(truth)

    def see_signs(self, signs: Signs) -> None:
        """What the robot says of itself."""
        self.invariants.see_signs(signs)

    def hear(self, text: str) -> None:
        """Something that the robot said."""
        self._replies.append(text)

    def verdict(self, simulated_s: float, wall_s: float, latency_s: float | None = None) -> Verdict:
        """Hold it against the scenario's expectations."""
        invariants = self.invariants
        invariants.end()
        held = [person for _, person in self._locked if person is not None]
        share = len(held) / len(self._locked) if self._locked else 0.0
        onto = tuple(dict.fromkeys(held))
        changes = sum(before != after for before, after in itertools.pairwise(held))
        nods = self._count_nods()
        failures = [*invariants.failures, *self._judge_lock(changes), *self._unmet(share, onto, nods)]
        return Verdict(
            scenario=self._scenario.name,
            seed=self._seed,
            simulated_s=simulated_s,
            wall_s=wall_s,
            frames=len(self._locked),
            lock_share=share,
            locked_onto=onto,
            lock_changes=changes,
            nods=nods,
            latency_s=latency_s,
            most_speed_share=invariants.most_speed_share,
            least_margin_m=invariants.least_margin_m,
            most_tilt_rad=invariants.most_tilt_rad,
            rests=invariants.rests,
            failures=tuple(failures),
        )

    def _unmet(self, share: float, onto: tuple[str, ...], nods: int) -> list[str]:
        """What was expected at the end and is not so."""
        expect = self._scenario.expect
        failures = []
        if expect.lock_share is not None and share < expect.lock_share:
            failures.append(f"held on to somebody in {share:.0%} of the frames, not {expect.lock_share:.0%}")
        if expect.same_person and len(onto) > 1:
            failures.append(f"held on to {', '.join(onto)}, not to one person")
        if expect.nods is not None and nods < expect.nods:
            failures.append(f"the screen nodded {nods} times, not {expect.nods}")
        if expect.most_nods is not None and nods > expect.most_nods:
            failures.append(f"the screen nodded {nods} times, more than {expect.most_nods}")
        failures += lock_failures(expect, self._locked)
        for words in expect.replies:
            if not any(words in reply for reply in self._replies):
                failures.append(f"never said “{words}”; it said {self._replies}")
        return failures

    def _judge_lock(self, changes: int) -> list[str]:
        throughout = self._scenario.throughout
        failures = []
        if throughout.max_lock_changes is not None and changes > throughout.max_lock_changes:
            failures.append(
                f"its look moved from one person to another {changes} times, "
                f"more than {throughout.max_lock_changes}"
            )
        if throughout.regains_within_s is not None:
            for fault in self._scenario.fault:
                failures += self._judge_regained(fault, throughout.regains_within_s)
        return failures

    def _judge_regained(self, fault: Fault, within_s: float) -> list[str]:
        """Whether the person held on to before a fault was held on to again after it."""
        before = [who for time_s, who in self._locked if fault.at_s - BEFORE_S < time_s <= fault.at_s]
        person = max(sorted(set(before) - {None}, key=str), key=before.count, default=None)
        last_s = self._locked[-1][0] if self._locked else 0.0
        if last_s < fault.at_s:
            return []  # the run ended before it
        if person is None or before.count(person) <= len(before) / 2:
            return [f"at {fault.at_s:.2f} s: it held on to nobody when {fault.name} came"]
        after = [time_s for time_s, who in self._locked if who == person and time_s > fault.end_s]
        if last_s > fault.end_s + within_s and not (after and after[0] <= fault.end_s + within_s):
            until_s = fault.end_s + within_s
            return [
                f"at {until_s:.2f} s: it does not hold on to {person} again {within_s:g} s after {fault.name}"
            ]
        return []

    def _count_nods(self) -> int:
        count, is_down = 0, False
        before: list[tuple[float, float]] = []
        for time_s, tilt_rad in self._tilts[::5]:
            before = [entry for entry in before if entry[0] > time_s - LEVEL_S]
            level = sorted(tilt for _, tilt in before)[len(before) // 2] if before else tilt_rad
            before.append((time_s, tilt_rad))
            if not is_down and tilt_rad - level > DIP_RAD:
                is_down, count = True, count + 1
            elif is_down and tilt_rad - level < DIP_RAD / 2:
                is_down = False
        return count
