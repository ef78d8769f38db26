"""The plan language, on one line: `look left; nod 2; say "Hello"`.

A step is a skill's name and its arguments in the order of its signature. Arguments at their default are left
out from the end, so that a plan has exactly one spelling, which costs the model the fewest tokens. `ask` and
`refuse` are always possible, alone. One `Language` reads, writes and gives the grammar that bounds the model.
"""

import re
import typing
from collections.abc import Iterable

import msgspec

from agent.skill import Choice, Count, Parameter, Signature, Text, Value, describe
from drivers.errors import ConfigError, PlanError

MAX_STEPS = 6  # more than anybody says in one sentence; bounds what one misunderstanding can do
MAX_PLAN = 2000  # characters; six steps of text fit
MAX_QUESTION = 100  # characters of ask and refuse: one line on the page
ESCAPED = {'"': '\\"', "\\": "\\\\"}

ASK = Signature(
    name="ask",
    parameters=(
        Parameter(
            name="question", kind=Text(MAX_QUESTION), default="I did not understand; please say it otherwise"
        ),
    ),
    description="Ask the person, when the order is unclear.",
)
REFUSE = Signature(
    name="refuse",
    parameters=(Parameter(name="reason", kind=Text(MAX_QUESTION), default="I cannot do that"),),
    description="Say no, when no skill can do it or it would hurt.",
)
ALONE = frozenset({ASK.name, REFUSE.name})

_TOKEN = re.compile(r'\s*(?:(?P<word>[a-z][a-z_]*)|(?P<number>[0-9]{1,9})|(?P<end>;)|(?P<quote>"))')
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")  # half a surrogate pair could not be sent on
_QUOTED = re.compile(r'(?:[^"\\\x00-\x1f\x7f]|\\["\\])*')


class Step(msgspec.Struct, frozen=True):
    """One call of a skill; `values` in the order of its parameters, defaults filled in."""

    name: str
    values: tuple[Value, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """One to six steps, in order."""

    steps: tuple[Step, ...]


class PlanSyntaxError(PlanError):
    """A plan that is not in the language. `position` counts characters from 0."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"plan, character {position + 1}: {reason}")
        self.position = position


class Language:
    """The plan language of a set of skills."""

    def __init__(self, skills: Iterable[Signature]) -> None:
        self.signatures = {signature.name: signature for signature in skills}
        for own in (ASK, REFUSE):
            if own.name in self.signatures:
                raise ConfigError(f"a skill may not be named {own.name!r}: the plan language has that word")
            self.signatures[own.name] = own

    def parse(self, text: str) -> Plan:
        """Read a plan. Raises PlanSyntaxError with the place and what may stand there."""
        if len(text) > MAX_PLAN:
            raise PlanSyntaxError(MAX_PLAN, f"a plan has at most {MAX_PLAN} characters, this has {len(text)}")
        steps: list[Step] = []
        position, end = 0, len(text.rstrip())
        while True:
            step, position = self._parse_step(text, position, end)
            steps.append(step)
            if len(steps) > MAX_STEPS:
                raise PlanSyntaxError(position, f"a plan has at most {MAX_STEPS} steps")
            if position >= end:
                break
            position = text.index(";", position) + 1
        if len(steps) > 1 and (alone := ALONE.intersection(step.name for step in steps)):
            raise PlanSyntaxError(0, f"{sorted(alone)[0]} stands alone")
        return Plan(tuple(steps))

    def print(self, plan: Plan) -> str:
        """Write a plan so that `parse` gives it back. Raises PlanError if it is not one of this language."""
        if not 1 <= len(plan.steps) <= MAX_STEPS:
            raise PlanError(f"a plan has 1 to {MAX_STEPS} steps, this has {len(plan.steps)}")
        return "; ".join(self.print_step(step) for step in plan.steps)

    def print_step(self, step: Step) -> str:
        """Write one step. Raises PlanError if it is not one of this language."""
        self.arguments(step)
        parameters = self.signatures[step.name].parameters
        shown = len(parameters)
        while shown and parameters[shown - 1].default == step.values[shown - 1]:
            shown -= 1
        values = zip(parameters[:shown], step.values[:shown], strict=True)
        return " ".join([step.name, *(_print_value(parameter, value) for parameter, value in values)])

    def arguments(self, step: Step) -> dict[str, Value]:
        """The step's arguments by name, each checked. Raises PlanError naming what is wrong."""
        signature = self.signatures.get(step.name)
        if signature is None:
            raise PlanError(
                f"no skill is named {step.name!r}; there are {', '.join(sorted(self.signatures))}"
            )
        if len(step.values) != len(signature.parameters):
            raise PlanError(f"{step.name} takes {len(signature.parameters)} arguments: {describe(signature)}")
        for parameter, value in zip(signature.parameters, step.values, strict=True):
            if not _fits(parameter, value):
                raise PlanError(
                    f"{step.name}: {value!r} is no {parameter.name}; it takes {describe(signature)}"
                )
        return {each.name: value for each, value in zip(signature.parameters, step.values, strict=True)}

    def step(self, name: str, arguments: dict[str, Value]) -> Step:
        """Make a step from arguments by name, defaults filled in. Raises PlanError naming what is wrong."""
        signature = self.signatures.get(name)
        if signature is None:
            raise PlanError(f"no skill is named {name!r}; there are {', '.join(sorted(self.signatures))}")
        values = [arguments.get(each.name, each.default) for each in signature.parameters]
        if None in values or set(arguments) - {each.name for each in signature.parameters}:
            raise PlanError(f"{name} takes {describe(signature)}, not {sorted(arguments)}")
        step = Step(name, tuple(value for value in values if value is not None))
        self.arguments(step)
        return step

    def grammar(self) -> str:
        """The language as GBNF, as llama.cpp reads it. The model may not write quotes within a text."""
        names = [name for name in self.signatures if name not in ALONE]
        again = "" if MAX_STEPS == 1 else f' ("; " step){{0,{MAX_STEPS - 1}}}'
        rules = [
            f"root ::= {' | '.join(f'{name}-step' for name in sorted(ALONE))} | step{again}",
            f"step ::= {' | '.join(f'{_rule(name)}-step' for name in names)}",
        ]
        for name, signature in self.signatures.items():
            body = ""
            for parameter in reversed(signature.parameters):
                # a value at its default may be spelled out only where a later one needs its place
                value = _gbnf(parameter, without_default=not body)
                if not value:
                    continue  # nothing but the default, and nothing after it
                body = f' " " {value}{body}'
                if parameter.default is not None:
                    body = f" ({body})?"
            rules.append(f'{_rule(name)}-step ::= "{name}"{body}')
        rules.append(r'char ::= [^"\\\x00-\x1f\x7f]')
        return "\n".join(rules) + "\n"

    def _parse_step(self, text: str, position: int, end: int) -> tuple[Step, int]:
        match = _TOKEN.match(text, position, end)
        if match is None or match["word"] is None:
            raise PlanSyntaxError(
                _skip(text, position), f"a skill is missing; there are {sorted(self.signatures)}"
            )
        name, start, position = match["word"], match.start("word"), match.end()
        signature = self.signatures.get(name)
        if signature is None:
            raise PlanSyntaxError(start, f"no skill is named {name!r}; there are {sorted(self.signatures)}")
        values: list[Value] = []
        while position < end:
            match = _TOKEN.match(text, position, end)
            if match is None:
                raise PlanSyntaxError(
                    _skip(text, position), f"{text[_skip(text, position)]!r} has no place here"
                )
            start = match.start(match.lastgroup or 0)
            if match["end"]:
                position = start
                break
            if len(values) == len(signature.parameters):
                raise PlanSyntaxError(start, f"too much for {describe(signature)}")
            if start == position:
                raise PlanSyntaxError(start, "a space is missing")
            value, position = _parse_value(text, match, signature.parameters[len(values)])
            if not _fits(signature.parameters[len(values)], value):
                raise PlanSyntaxError(start, f"{value!r} does not fit {describe(signature)}")
            values.append(value)
        for parameter in signature.parameters[len(values) :]:
            if parameter.default is None:
                raise PlanSyntaxError(position, f"{parameter.name} is missing: {describe(signature)}")
            values.append(parameter.default)
        return Step(name, tuple(values)), position


def _parse_value(text: str, match: re.Match[str], parameter: Parameter) -> tuple[Value, int]:
    start = match.start(match.lastgroup or 0)
    match parameter.kind:
        case Choice() if match["word"]:
            return match["word"], match.end()
        case Count() if match["number"]:
            return int(match["number"]), match.end()
        case Text() if match["quote"]:
            quoted = _QUOTED.match(text, match.end())
            assert quoted is not None  # it matches the empty text
            if text[quoted.end() : quoted.end() + 1] != '"':
                raise PlanSyntaxError(
                    quoted.end(), "a closing quotation mark is missing, or a sign is not allowed"
                )
            return re.sub(r"\\(.)", r"\1", quoted[0]), quoted.end() + 1
        case Choice(values=values):
            raise PlanSyntaxError(start, f"{parameter.name} is one of {', '.join(values)}")
        case Count(low=low, high=high):
            raise PlanSyntaxError(start, f"{parameter.name} is a number from {low} to {high}")
        case Text():
            raise PlanSyntaxError(start, f"{parameter.name} is a text in quotation marks")
        case _:
            typing.assert_never(parameter.kind)


def _print_value(parameter: Parameter, value: Value) -> str:
    if not isinstance(parameter.kind, Text):
        return str(value)
    return '"' + "".join(ESCAPED.get(sign, sign) for sign in str(value)) + '"'


def _fits(parameter: Parameter, value: Value) -> bool:
    match parameter.kind:
        case Choice(values=values):
            return value in values
        case Count(low=low, high=high):
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case Text(max_length=length):
            return isinstance(value, str) and len(value) <= length and _TEXT.fullmatch(value) is not None
        case _:
            typing.assert_never(parameter.kind)


def _skip(text: str, position: int) -> int:
    """The place of the next sign that is no space, or the last one."""
    return min(len(text) - len(text[position:].lstrip()), max(len(text) - 1, 0))


def _rule(name: str) -> str:
    return name.replace("_", "-")  # GBNF's names have no underscore


def _gbnf(parameter: Parameter, without_default: bool) -> str:
    match parameter.kind:
        case Choice(values=values):
            words = list(values)
        case Count(low=low, high=high):
            words = [str(number) for number in range(low, high + 1)]
        case Text(max_length=length):
            return rf'"\"" char{{1,{length}}} "\""'
        case _:
            typing.assert_never(parameter.kind)
    if without_default:
        words = [word for word in words if word != str(parameter.default)]
    return "(" + " | ".join(f'"{word}"' for word in words) + ")" if words else ""
