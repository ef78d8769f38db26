"""From an order to steps that are carried out: stop words, then the fast path, then the model.

The first step is reviewed and carried out while the model still writes the next. A doubtful step is asked
back ("Did you mean …?") rather than done: where the fast path knows every clause of the sentence, one that
differs from it; elsewhere, one in which the model was unsure. One order runs at a time; *stop* ends all.
"""

import asyncio
import logging
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from agent.events import Order, PlannerStatus, Reply
from agent.model import Done, Model, Written
from agent.plan import ALONE, ASK, REFUSE, Language, Plan, Step
from agent.prompt import Prompt
from agent.sentences import Sentences, is_stop
from agent.skill import Robot, Skill, registry
from drivers.errors import ConfigError, DeviceError, PlanError, RobotError

MAX_ORDER = 300  # characters: a long sentence; with its draft it fits the model's context many times
MAX_WAITING = 3  # orders behind the running one; a person who gives more has lost patience
CONFIDENT = 0.75  # least probability in a step; of 50 sentences of ours, 1 wrong plan and 1 right one pass
PLAN_S = 60.0  # a plan takes a second; on a busy machine ten
WATCH_S = 0.5  # how often the model's process is looked after
FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 30.0
SETTLED_S = 60.0  # a process that lived this long did not die of its start
EXAMPLES = "“nod twice”, “look at the person on the left” or “say hello”"
AGREEING = frozenset({"yes", "yes please", "yeah", "yep", "do it", "exactly", "right", "correct", "i did"})

ReplyTo = Callable[[Reply], None]
StatusTo = Callable[[PlannerStatus], None]
_log = logging.getLogger(__name__)


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order, and what it cost. Zero passes and tokens where no model was asked."""

    order_id: str
    path: Literal["fast", "model", "asked", "refused"]
    plan: str = ""
    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0
    first_step_s: float | None = None
    least_probability: float = 1.0
    is_cancelled: bool = False


class Planner:
    """Plans and carries out orders. `run` may be called again while it runs, from other tasks.

    With `has_model` its prompt is made here, which takes 0.2 s: later the robot moves and could not wait.
    """

    def __init__(
        self, skills: Mapping[str, Skill] | None = None, plan_s: float = PLAN_S, *, has_model: bool = True
    ) -> None:
        self.skills, self.language, self.sentences = _shipped() if skills is None else _read(skills)
        self._prompt = Prompt(self.language, self.sentences) if has_model else None
        self.status = PlannerStatus(state="off")
        self._plan_s = plan_s
        self._model: Model | None = None
        self._one_at_a_time = asyncio.Lock()
        self._running: asyncio.Task[PlanReport] | None = None
        self._stops = 0
        self._waiting = 0
        self._proposed: Plan | None = None

    @property
    def prompt(self) -> Prompt:
        """How the model is asked; there is none without one."""
        assert self._prompt is not None
        return self._prompt

    def set_status(self, status: PlannerStatus) -> None:
        """What to answer while there is no model; the preparation tells it."""
        self.status = status

    async def keep(self, weights: Path, tell: StatusTo, command: list[str] | None = None) -> None:
        """Load the model and keep it alive, with bounded back-off, until cancelled or the file is no use."""

        def show(status: PlannerStatus) -> None:
            self.status = status
            tell(status)

        loop = asyncio.get_running_loop()
        model = Model(weights, self.prompt.prefix(), self.language.grammar(), command)
        backoff_s = FIRST_BACKOFF_S
        try:
            while True:
                show(PlannerStatus(state="loading"))
                try:
                    ready = await loop.run_in_executor(None, model.open)
                except ConfigError as exc:
                    show(PlannerStatus(state="failed", note=str(exc)))
                    return
                except DeviceError as exc:
                    show(PlannerStatus(state="failed", note=f"{exc}; trying again in {backoff_s:g} s"))
                else:
                    self._model = model
                    note = f"loaded in {ready.seconds:.1f} s"
                    show(PlannerStatus(state="ready", progress=1.0, note=note))
                    started_s = loop.time()
                    while model.is_alive:  # noqa: ASYNC110  a process's end is seen by looking only
                        await asyncio.sleep(WATCH_S)
                    self._model = None
                    if loop.time() - started_s > SETTLED_S:
                        backoff_s = FIRST_BACKOFF_S
                    _log.warning("the planner's process ended; starting it again in %g s", backoff_s)
                    show(PlannerStatus(state="failed", note=f"it ended; starting again in {backoff_s:g} s"))
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, LAST_BACKOFF_S)
        finally:
            self._model = None
            model.close()

    async def run(self, order: Order, robot: Robot, reply: ReplyTo) -> PlanReport:
        """Carry an order out, answering as it goes; the last answer has `last` set.

        Nothing that a person may say raises; only bugs do.
        """
        if is_stop(order.text):
            return await self._stop(order, robot, reply)
        if self._waiting >= MAX_WAITING:
            return self._refuse(
                order, reply, f"{MAX_WAITING} orders are waiting already; say stop to end them all"
            )
        stops = self._stops
        self._waiting += 1
        try:
            await self._one_at_a_time.acquire()
        finally:
            self._waiting -= 1
        try:
            if self._stops != stops:
                return self._cancelled(order, reply)
            async with asyncio.TaskGroup() as group:  # a stop cancels the task, never whoever called run
                self._running = group.create_task(self._run(order, robot, reply), name=f"order {order.id}")
            return self._cancelled(order, reply) if self._running.cancelled() else self._running.result()
        finally:
            self._running = None
            self._one_at_a_time.release()

    async def _stop(self, order: Order, robot: Robot, reply: ReplyTo) -> PlanReport:
        self._stops += 1
        self._proposed = None
        if self._running is not None:
            self._running.cancel()
        try:
            await robot.stop()
        except RobotError as exc:
            return self._refuse(order, reply, str(exc))
        reply(Reply(order_id=order.id, kind="answer", text="I stopped", last=True))
        return PlanReport(order_id=order.id, path="fast", plan="stop")

    async def _run(self, order: Order, robot: Robot, reply: ReplyTo) -> PlanReport:
        started_s = asyncio.get_running_loop().time()
        try:
            text = check_order(order.text)
        except PlanError as exc:
            return self._refuse(order, reply, str(exc))
        proposed, self._proposed = self._proposed, None
        if proposed is not None and text.lower().strip(" .!") in AGREEING:
            return await self._carry_out_known(order, proposed, robot, reply, started_s)
        step = self.sentences.recognise(text)
        if step is not None:
            return await self._carry_out_known(order, Plan((step,)), robot, reply, started_s)
        model = self._model
        if model is None:
            return self._refuse(order, reply, self._why_no_model())
        try:
            async with asyncio.timeout(self._plan_s) as writing:
                return await self._with_model(model, text, order, robot, reply, writing)
        except TimeoutError:
            # a process that hangs is ended, and `keep` starts another
            await asyncio.get_running_loop().run_in_executor(None, model.close)
            return self._refuse(
                order, reply, f"my planner wrote no plan within {self._plan_s:g} s; say it in simpler words"
            )
        except (PlanError, DeviceError) as exc:
            return self._refuse(order, reply, f"{exc}; simple orders work: {EXAMPLES}")

    async def _carry_out_known(
        self, order: Order, plan: Plan, robot: Robot, reply: ReplyTo, started_s: float
    ) -> PlanReport:
        text = self.language.print(plan)
        reply(Reply(order_id=order.id, kind="plan", text=text))
        for place, step in enumerate(plan.steps):
            if not await self._carry_out(order, step, robot, reply, is_last=place == len(plan.steps) - 1):
                break
        seconds = asyncio.get_running_loop().time() - started_s
        return PlanReport(order_id=order.id, path="fast", plan=text, seconds=seconds, first_step_s=0.0)

    async def _with_model(
        self, model: Model, text: str, order: Order, robot: Robot, reply: ReplyTo, writing: asyncio.Timeout
    ) -> PlanReport:
        """`writing` bounds the model's part alone: how long steps take to carry out is the skills' affair."""
        loop = asyncio.get_running_loop()
        id = await loop.run_in_executor(None, model.ask, self.prompt.question(text))
        known = self.prompt.known(text)
        steps: list[Step] = []
        sure = 0  # steps from the first that are beyond doubt
        first_step_s: float | None = None
        is_going = True
        done: Done | None = None
        try:
            reading = loop.run_in_executor(None, model.read, id)
            while done is None:
                match await reading:
                    case Written() as written:
                        # it writes on while this step is carried out
                        reading = loop.run_in_executor(None, model.read, id)
                        steps.append(self.language.parse(written.step).steps[0])
                        first_step_s = written.seconds if first_step_s is None else first_step_s
                        is_next = is_going and sure == len(steps) - 1 and steps[-1].name not in ALONE
                        if is_next and _is_sure(steps, written.probability, known):
                            sure += 1
                            writing.reschedule(None)
                            is_going = await self._carry_out(order, steps[-1], robot, reply, is_last=False)
                            writing.reschedule(loop.time() + self._plan_s)
                    case Done() as done:
                        pass
        finally:
            if done is None:
                model.cancel(id)
        path = self._conclude(order, steps, known, sure, reply) if is_going else "model"
        return PlanReport(
            order_id=order.id,
            path=path,
            plan="; ".join(self.language.print_step(step) for step in steps),
            passes=done.passes,
            tokens=done.tokens,
            seconds=done.seconds,
            first_step_s=first_step_s,
            least_probability=done.least_probability,
        )

    def _conclude(
        self, order: Order, steps: list[Step], known: Plan | None, sure: int, reply: ReplyTo
    ) -> Literal["model", "asked", "refused"]:
        """Say how the plan ended, once it is written."""

        def say(text: str, kind: Literal["answer", "plan"] = "answer") -> None:
            reply(Reply(order_id=order.id, kind=kind, text=text, last=True))

        if not steps:
            say(f"I found no plan for that; try {EXAMPLES}")
            return "refused"
        meant = tuple(steps) if known is None else known.steps
        if meant[0].name == ASK.name:
            say(str(meant[0].values[0]))
            return "asked"
        if meant[0].name == REFUSE.name:
            say(str(meant[0].values[0]))
            return "refused"
        if sure < len(meant):
            self._proposed = Plan(meant[sure:])
            say(f"Did you mean: “{self.language.print(self._proposed)}”? Say yes, or say it otherwise")
            return "asked"
        say(self.language.print(Plan(meant)), "plan")
        return "model"

    async def _carry_out(self, order: Order, step: Step, robot: Robot, reply: ReplyTo, is_last: bool) -> bool:
        """Review one step and do it; False if it was refused."""
        name = self.language.print_step(step)  # raises what is no step of this language: the fixed rule
        outcome = await self.skills[step.name].call(robot, self.language.arguments(step))
        kind: Literal["error", "step"] = "error" if outcome.is_refused else "step"
        text = (
            outcome.text if outcome.is_refused else f"{name}: {outcome.text.removeprefix(f'{step.name}: ')}"
        )
        reply(Reply(order_id=order.id, kind=kind, text=text, last=is_last or outcome.is_refused))
        return not outcome.is_refused

    def _why_no_model(self) -> str:
        match self.status.state:
            case "preparing" | "loading":
                part = f" ({self.status.progress:.0%})" if self.status.state == "preparing" else ""
                return (
                    f"my planner is still being prepared{part}; I understand simple orders such as {EXAMPLES}"
                )
            case "failed":
                return f"my planner is out of order: {self.status.note}; simple orders work: {EXAMPLES}"
            case _:
                return f"I have no planner here; I understand simple orders such as {EXAMPLES}"

    def _refuse(self, order: Order, reply: ReplyTo, text: str) -> PlanReport:
        reply(Reply(order_id=order.id, kind="error", text=text, last=True))
        return PlanReport(order_id=order.id, path="refused")

    def _cancelled(self, order: Order, reply: ReplyTo) -> PlanReport:
        reply(Reply(order_id=order.id, kind="answer", text="that order was stopped", last=True))
        return PlanReport(order_id=order.id, path="refused", is_cancelled=True)


def _read(skills: Mapping[str, Skill]) -> tuple[Mapping[str, Skill], Language, Sentences]:
    language = Language(skill.signature for skill in skills.values())
    return skills, language, Sentences(skills, language)


@cache
def _shipped() -> tuple[Mapping[str, Skill], Language, Sentences]:
    """The skills that come with Nod, read once a process: that takes 20 ms, and a sweep makes many robots."""
    return _read(registry())


def _is_sure(steps: list[Step], probability: float, known: Plan | None) -> bool:
    """Whether the newest step may be carried out without asking."""
    if known is None:
        return probability >= CONFIDENT
    return len(steps) <= len(known.steps) and steps[-1] == known.steps[len(steps) - 1]


def check_order(text: str) -> str:
    """The order on one line. Raises PlanError, for the person, if it is nothing that can be understood."""
    if len(text) > MAX_ORDER:
        raise PlanError(f"that is {len(text):,} characters long; an order has at most {MAX_ORDER}")
    plain = " ".join(text.split())
    if not plain:
        raise PlanError(f"that is empty; say for instance {EXAMPLES}")
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") for sign in plain):
        raise PlanError("that contains signs which are no text; write plain words")
    letters = [sign for sign in plain if sign.isalpha()]
    if not letters:
        raise PlanError(f"I see no words in that; say for instance {EXAMPLES}")
    if 2 * sum(sign.isascii() for sign in letters) < len(letters):
        raise PlanError(f"I understand English only so far, for instance {EXAMPLES}")
    return plain
