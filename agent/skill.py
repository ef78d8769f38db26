"""A skill is one decorated async function: its signature is the schema, its docstring the description.

    @skill(examples=["nod [your head]", "nod [your head] {times}"])
    async def nod(robot: Robot, times: Annotated[int, Meta(ge=1, le=5)] = 1) -> None:
        \"\"\"Nod the screen, as for yes.\"\"\"

The first parameter is the robot, passed beside the schema. Every other one is a `Literal` of words, a bounded
`int` or a bounded `str`, so that a grammar can be made from it; anything else is an error at import. Examples
are hassil templates in which `{times}` stands for a value of that parameter.
"""

import asyncio
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from drivers.errors import ConfigError, Refused

WORD = re.compile(r"[a-z][a-z_]*")
DEFAULT_TIMEOUT_S = 20.0  # five slow gestures take about twelve seconds
MAX_COUNT_SPAN = 100  # each number becomes an alternative of the grammar
MAX_TEXT = 500  # a screen of text; more is no longer one step

Value: TypeAlias = str | int


class Robot(Protocol):
    """What a skill may do. Every method raises Refused, with a sentence, when a limit or a rule says no."""

    async def look(self, where: str) -> str:
        """Look at a person ("left", "next" …) or a way ("up", "away" …); a sentence of what it did."""

    async def gesture(self, kind: Literal["nod", "shake", "tilt"], times: int) -> None:
        """Make a gesture and return when it is done."""

    async def rest(self) -> None:
        """Go to the rest pose."""

    async def stop(self) -> None:
        """End everything that moves, gently; nothing stays latched."""

    async def say(self, text: str) -> None:
        """Say as text."""

    def people(self) -> tuple[str, ...]:
        """Words for who is in view, left to right."""


class Choice(msgspec.Struct, frozen=True, tag=True):
    """One of a few words."""

    values: tuple[str, ...]


class Count(msgspec.Struct, frozen=True, tag=True):
    """A whole number, both ends included."""

    low: int
    high: int


class Text(msgspec.Struct, frozen=True, tag=True):
    """A line of text."""

    max_length: int


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a skill. `default` is None where the argument must be given."""

    name: str
    kind: Choice | Count | Text
    default: Value | None = None


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan language needs to know of a skill."""

    name: str
    parameters: tuple[Parameter, ...]
    description: str


class Example(msgspec.Struct, frozen=True):
    """A template of sentences that mean this skill, with arguments that the sentence does not name."""

    template: str
    fixed: dict[str, Value] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended: done, or refused with the sentence that says why."""

    is_refused: bool
    text: str


class Skill:
    """A function with its schema. Made by `@skill`; `call` is the only way in."""

    def __init__(
        self,
        function: Callable[..., Awaitable[str | None]],
        signature: Signature,
        arguments: type[msgspec.Struct],
        examples: tuple[Example, ...],
        timeout_s: float,
    ) -> None:
        self.signature = signature
        self.arguments = arguments
        self.examples = examples
        self.timeout_s = timeout_s
        self._function = function

    @property
    def name(self) -> str:
        return self.signature.name

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments, for whoever speaks JSON rather than the plan language."""
        return msgspec.json.schema(self.arguments)

    def decode(self, arguments: Mapping[str, object]) -> msgspec.Struct:
        """Check arguments against the signature. Raises Refused naming the argument and what it may be."""
        try:
            return msgspec.convert(dict(arguments), type=self.arguments, strict=True)
        except msgspec.ValidationError as exc:
            raise Refused(f"{self.name}: {exc}; it takes {describe(self.signature)}") from exc

    async def call(self, robot: Robot, arguments: Mapping[str, object]) -> Outcome:
        """Run the skill. A refusal or a time-out is an outcome, not an exception; the rest are bugs."""
        try:
            decoded = msgspec.structs.asdict(self.decode(arguments))
            async with asyncio.timeout(self.timeout_s):
                said = await self._function(robot, **decoded)
        except Refused as exc:
            return Outcome(is_refused=True, text=str(exc))
        except TimeoutError:
            return Outcome(
                is_refused=True, text=f"{self.name}: not done within {self.timeout_s:g} s; given up"
            )
        return Outcome(is_refused=False, text=said or f"{self.name}: done")


def skill(
    *, examples: list[str | Example], timeout_s: float = DEFAULT_TIMEOUT_S
) -> Callable[[Callable[..., Awaitable[str | None]]], Skill]:
    """Make a skill of an async function. Raises ConfigError for a missing type, docstring or example."""

    def make(function: Callable[..., Awaitable[str | None]]) -> Skill:
        where = f"skill {function.__module__}.{function.__qualname__}"
        signature, arguments = _read_signature(function, where)
        made = tuple(Example(each) if isinstance(each, str) else each for each in examples)
        if not made:
            raise ConfigError(f"{where}: has no example; give at least one sentence that means it")
        known = {parameter.name: parameter for parameter in signature.parameters}
        for example in made:
            slots = set(re.findall(r"{(\w+)}", example.template))
            needed = {name for name, parameter in known.items() if parameter.default is None}
            if unknown := (slots | set(example.fixed)) - set(known):
                raise ConfigError(
                    f"{where}: example {example.template!r} names {sorted(unknown)}, not a parameter"
                )
            if missing := needed - slots - set(example.fixed):
                raise ConfigError(f"{where}: example {example.template!r} gives no {sorted(missing)}")
        return Skill(function, signature, arguments, made, timeout_s)

    return make


def registry(package: str = "agent.skills") -> Mapping[str, Skill]:
    """All skills of a package's modules, by name; a new file is enough. Raises ConfigError on one twice."""
    found: dict[str, Skill] = {}
    for info in sorted(
        pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda each: each.name
    ):
        module = importlib.import_module(f"{package}.{info.name}")
        for value in vars(module).values():
            if not isinstance(value, Skill) or found.get(value.name) is value:
                continue
            if value.name in found:
                raise ConfigError(
                    f"{module.__name__}: a skill named {value.name!r} exists already; rename one"
                )
            found[value.name] = value
    return found


def describe(signature: Signature) -> str:
    """A skill's form in words, such as `nod [1-5]`."""
    parts = [signature.name]
    for parameter in signature.parameters:
        match parameter.kind:
            case Choice(values=values):
                form = "|".join(values)
            case Count(low=low, high=high):
                form = f"{low}-{high}"
            case Text(max_length=length):
                form = f'"at most {length} characters"'
            case _:
                typing.assert_never(parameter.kind)
        parts.append(form if parameter.default is None else f"[{form}]")
    return " ".join(parts)


def _read_signature(
    function: Callable[..., Awaitable[str | None]], where: str
) -> tuple[Signature, type[msgspec.Struct]]:
    name = function.__name__
    if not inspect.iscoroutinefunction(function):
        raise ConfigError(f"{where}: must be an async function")
    if not WORD.fullmatch(name):
        raise ConfigError(f"{where}: a skill's name is lower case letters and _")
    if not (inspect.getdoc(function) or "").strip():
        raise ConfigError(f"{where}: has no docstring; the planner reads it, so say what the skill does")
    hints = typing.get_type_hints(function, include_extras=True)
    every = list(inspect.signature(function).parameters.values())
    if not every or hints.get(every[0].name) is not Robot:
        raise ConfigError(f"{where}: its first parameter must be `robot: Robot`")
    parameters: list[Parameter] = []
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for each in every[1:]:
        if each.name not in hints:
            raise ConfigError(f"{where}: parameter {each.name!r} has no type")
        has_default = each.default is not inspect.Parameter.empty
        kind = _kind(hints[each.name], f"{where}: parameter {each.name!r}")
        parameters.append(Parameter(name=each.name, kind=kind, default=each.default if has_default else None))
        fields.append(
            (each.name, hints[each.name], each.default) if has_default else (each.name, hints[each.name])
        )
    arguments = msgspec.defstruct(name, fields, forbid_unknown_fields=True, frozen=True, kw_only=True)
    description = inspect.cleandoc(function.__doc__ or "")
    return Signature(name=name, parameters=tuple(parameters), description=description), arguments


def _kind(hint: Any, where: str) -> Choice | Count | Text:
    match msgspec.inspect.type_info(hint):
        case msgspec.inspect.LiteralType(values=values) if all(
            isinstance(value, str) and WORD.fullmatch(value) for value in values
        ):
            # inspect sorts a Literal's values; the order of the source reads better in prompts and help
            return Choice(tuple(str(value) for value in typing.get_args(hint)))
        case msgspec.inspect.IntType(ge=int(low), le=int(high)) if 0 <= low <= high < low + MAX_COUNT_SPAN:
            return Count(low, high)
        case msgspec.inspect.StrType(max_length=int(length)) if 1 <= length <= MAX_TEXT:
            return Text(length)
    raise ConfigError(
        f"{where}: needs a Literal of lower-case words, an int with ge and le (from 0, at most "
        f"{MAX_COUNT_SPAN} values), or a str with max_length up to {MAX_TEXT}"
    )
