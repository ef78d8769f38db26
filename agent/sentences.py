"""The fast path: sentences that the skills' own examples cover, recognised in milliseconds without a model.

One sentence is one step here; several orders in one sentence are for the model. *Stop* is matched on the raw
text before anything else, and rather once too often: stopping by mistake costs a repetition.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from hassil import Intents, TextSlotList, WildcardSlotList, parse_sentence, recognize_all, sample_expression
from hassil.intents import SlotList

from agent.plan import Language, Step
from agent.skill import Choice, Count, Example, Parameter, Skill, Text, Value
from drivers.errors import ConfigError

STOP_WORDS = ("stop", "halt", "freeze")
COUNT_WORDS = {
    1: "(once|one time|a single time|a time)",
    2: "(twice|two times|two|two more times)",
    3: "(thrice|three times|three)",
    4: "(four times|four)",
    5: "(five times|five)",
}

_NOT_STOP = re.compile(
    r"\b(?:do not|don[’']?t|never|without)\s+(?:you\s+)?(?:stop\w*|halt|freeze)\b", re.IGNORECASE
)
_STOP = re.compile(rf"\b(?:{'|'.join(STOP_WORDS)})\b", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»')
_BEFORE = re.compile(
    r"(?:(?:hey|hi|ok|okay|so|now|well|um|uh|and|then|robot|nod(?=,)|please|kindly|just|also|"
    r"(?:can|could|would|will) you|i (?:want|would like|need) you to|i[’']d like you to|"
    r"go ahead and|try to)\b[\s,]*)+",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?:[\s,.!?;]+|\b(?:please|now|for me|right now|robot|thanks|thank you|would you|will you|again))+$",
    re.IGNORECASE,
)
_JOINT = re.compile(
    r"\s*(?:[,;.!?]+\s*(?:and\s+)?(?:then\s+)?|\band\s+then\s+|\band\s+|\bthen\s+)", re.IGNORECASE
)
_JOINING_WORD = re.compile(r"[,;]|\b(?:and|then|before|after|afterwards|while|until|but)\b", re.IGNORECASE)
_STANDING_IN = "xqx"  # a word that nobody says, in place of quoted text
_SLOT = re.compile(r"{(\w+)}")


class Sample(msgspec.Struct, frozen=True):
    """A sentence and the plan that it means."""

    sentence: str
    plan: str


class Sentences:
    """Recognises the skills' examples."""

    def __init__(self, skills: Mapping[str, Skill], language: Language) -> None:
        self._language = language
        self._examples = [(skill, example) for skill in skills.values() for example in skill.examples]
        self._lists: dict[str, SlotList] = {}
        for skill in skills.values():
            for parameter in skill.signature.parameters:
                self._lists[f"{skill.name}_{parameter.name}"] = _slot_list(parameter)
        try:
            self._intents = Intents.from_dict(
                {
                    "language": "en",
                    "intents": {
                        f"{skill.name}-{number}": {"data": [{"sentences": [_template(skill, example)]}]}
                        for number, (skill, example) in enumerate(self._examples)
                    },
                }
            )
            recognise_nothing = list(recognize_all("-", self._intents, slot_lists=self._lists))
        except Exception as exc:  # noqa: BLE001  hassil's parser raises bare Exceptions of many kinds
            raise ConfigError(f"a skill's example is no hassil template: {exc}") from exc
        if recognise_nothing:
            raise ConfigError("a skill's example matches any sentence; give it at least one word of its own")

    def recognise(self, text: str) -> Step | None:
        """The one step that the sentence means, or None if the examples do not cover it, or disagree."""
        plain = strip_courtesy(text)
        if not plain:
            return None
        has_joint = _JOINING_WORD.search(_QUOTED.sub('""', plain)) is not None
        found: set[Step] = set()
        quoted: list[str] = []  # kept aside, as hassil drops punctuation

        def keep(match: re.Match[str]) -> str:
            quoted.append(match[0][1:-1].strip())
            return f" {_STANDING_IN}{len(quoted) - 1} "

        shortened = " ".join(_QUOTED.sub(keep, plain).split())
        for result in recognize_all(shortened, self._intents, slot_lists=self._lists):
            skill, example = self._examples[int(result.intent.name.rpartition("-")[2])]
            arguments: dict[str, Value] = dict(example.fixed)
            for name, entity in result.entities.items():
                arguments[name] = _value(entity.value, quoted)
            is_open = any(isinstance(each.kind, Text) for each in skill.signature.parameters)
            if is_open and has_joint:
                continue  # “say hello and nod” is two orders
            step = self._language.step(skill.name, arguments) if self._is_sound(skill, arguments) else None
            if step is not None:
                found.add(step)
        return found.pop() if len(found) == 1 else None

    def clauses(self, text: str) -> list[str]:
        """The sentence cut at commas and at `and` and `then`, quoted text left whole."""
        kept: list[str] = []

        def keep(match: re.Match[str]) -> str:
            kept.append(match[0])
            return f"\x00{len(kept) - 1}\x00"

        parts = _JOINT.split(_QUOTED.sub(keep, text.replace("\x00", " ")))
        whole = [re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match[1])], part or "") for part in parts]
        return [part.strip() for part in whole if part.strip()]

    def samples(self, per_example: int = 2) -> list[Sample]:
        """A few sentences that each example covers, with their plans, for the model's prompt."""
        made: list[Sample] = []
        for skill, example in self._examples:
            for sentence in _spread(_sentences(skill, example, self._lists), per_example):
                step = self.recognise(sentence)
                if step is not None:
                    made.append(Sample(sentence, self._language.print_step(step)))
        return made

    def _is_sound(self, skill: Skill, arguments: dict[str, Value]) -> bool:
        for parameter in skill.signature.parameters:
            value = arguments.get(parameter.name, parameter.default)
            if isinstance(parameter.kind, Text) and not 1 <= len(str(value)) <= parameter.kind.max_length:
                return False
        return True


def is_stop(text: str) -> bool:
    """Whether somebody says stop: the bare word anywhere, outside quotation marks and “don't stop”."""
    return _STOP.search(_NOT_STOP.sub(" ", _QUOTED.sub(" ", text))) is not None


def strip_courtesy(text: str) -> str:
    """The sentence without greeting, politeness and closing marks."""
    plain = " ".join(text.split())
    if match := _BEFORE.match(plain):
        plain = plain[match.end() :]
    return _AFTER.sub("", plain).strip(" ,")


def _template(skill: Skill, example: Example) -> str:
    return _SLOT.sub(rf"{{{skill.name}_\1:\1}}", example.template)


def _slot_list(parameter: Parameter) -> SlotList:
    match parameter.kind:
        case Choice(values=values):
            return TextSlotList.from_tuples([(value.replace("_", " "), value) for value in values])
        case Count(low=low, high=high):
            forms = [(str(number), number) for number in range(low, high + 1)]
            forms += [(f"{number} times", number) for number in range(low, high + 1)]
            forms += [(words, number) for number, words in COUNT_WORDS.items() if low <= number <= high]
            return TextSlotList.from_tuples(forms)
        case Text():
            return WildcardSlotList(name=parameter.name)


def _value(value: object, quoted: list[str]) -> Value:
    if isinstance(value, int):
        return value
    return re.sub(rf"{_STANDING_IN}(\d+)", lambda match: _at(quoted, int(match[1])), str(value).strip())


def _at(quoted: list[str], place: int) -> str:
    return quoted[place] if place < len(quoted) else ""


def _sentences(skill: Skill, example: Example, lists: dict[str, SlotList]) -> Iterator[str]:
    shown = {name: each for name, each in lists.items() if not isinstance(each, WildcardSlotList)}
    for name, each in lists.items():
        if isinstance(each, WildcardSlotList):
            shown[name] = TextSlotList.from_strings(["hello", "good morning"])
    yield from sample_expression(parse_sentence(_template(skill, example)).expression, shown, language="en")


def _spread(sentences: Iterable[str], count: int) -> list[str]:
    """A few, evenly from all of them: the first ones differ in one word only."""
    every = [" ".join(each.split()) for each in sentences]
    return list(dict.fromkeys(every[len(every) * place // count] for place in range(count))) if every else []
