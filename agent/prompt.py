"""The model's prompt: what the skills are, sentences with their plans, and hints for the sentence at hand.

A small model plans badly from a description alone. So the sentence is cut into clauses, and each clause gets
the step of the fast path if it knows the clause, else of the example nearest to it in words: a draft, which
stands under the sentence. The model decides what to make of it: order, what to leave out, when to refuse.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from agent.model import Message
from agent.plan import MAX_STEPS, REFUSE, Language, Plan
from agent.sentences import Sample, Sentences, strip_courtesy
from drivers.errors import ConfigError

SYSTEM = "You write plans for a robot's head: correct the draft, or refuse if it cannot be done."
EVERY = 3  # of the skills' examples one in so many is shown; all of them made the plans worse, and slower
NEAR = 0.5  # share of a clause's words, weighted by rarity, from which an example counts as near
UNKNOWN = "?"
MAX_HINTS = 8  # clauses; what is longer is no order but a story
SAMPLES_PER_EXAMPLE = 12  # sentences compared with a clause

# Orders of several steps, and such as no skill covers. The examples of the skills show what can be joined.
SEVERAL = (
    "turn to the person on the right and shake your head",
    "nod three times, then take a rest",
    "look up and then look down",
    "look at the nearest person, tilt your head, then say good morning",
    "say hello and nod twice",
    "shake your head twice and look away",
    "look at the person in the middle, then nod four times, then look down",
    "tilt your head and look ahead",
)
BEYOND = (
    "bring me a beer",
    "what is the weather like in Paris",
    "hit the person on the left",
    "play some music",
    "close the door and come here",
    "how old are you",
)


class Prompt:
    """Makes the turns for the skills behind a language and its sentences."""

    def __init__(self, language: Language, sentences: Sentences) -> None:
        self._language = language
        self._sentences = sentences
        self._samples = sentences.samples(SAMPLES_PER_EXAMPLE)
        self._words = [frozenset(_words(sample.sentence)) for sample in self._samples]
        seen = Counter(word for words in self._words for word in words)
        self._weights = {word: math.log(1 + len(self._words) / count) for word, count in seen.items()}
        self._rare = math.log(1 + len(self._words))

    def prefix(self) -> tuple[Message, ...]:
        """The turns that every prompt begins with."""
        turns = [Message("system", SYSTEM)]
        for sample in self._shown():
            turns += self.question(sample.sentence)
            turns.append(Message("assistant", sample.plan))
        return tuple(turns)

    def question(self, text: str) -> tuple[Message, ...]:
        """The turns for one sentence, after the prefix."""
        draft = "; ".join(self._hint(clause) for clause in self._clauses(text))
        return (Message("user", f"{text}\n{draft}"),)

    def known(self, text: str) -> Plan | None:
        """What the sentence means clause by clause, if the fast path knows every one: a second opinion."""
        steps = [self._sentences.recognise(clause) for clause in self._sentences.clauses(text)]
        known = tuple(step for step in steps if step is not None)
        return Plan(known) if len(known) == len(steps) and 1 <= len(known) <= MAX_STEPS else None

    def _clauses(self, text: str) -> list[str]:
        return self._sentences.clauses(text)[:MAX_HINTS]

    def _shown(self) -> Sequence[Sample]:
        several = []
        for text in SEVERAL:
            plan = self.known(text)
            if plan is None:
                raise ConfigError(f"prompt: the skills' examples do not cover {text!r}; change one of them")
            several.append(Sample(text, self._language.print(plan)))
        beyond = [Sample(text, REFUSE.name) for text in BEYOND]
        mixed = [sample for pair in zip_longest(several, beyond) for sample in pair if sample is not None]
        return [
            *self._sentences.samples(1)[::EVERY],
            *mixed,
        ]  # the last weigh most: no kind may stand there alone

    def _hint(self, clause: str) -> str:
        step = self._sentences.recognise(clause)
        if step is not None:
            return self._language.print_step(step)
        words = frozenset(_words(strip_courtesy(clause)))
        total = sum(self._weights.get(word, self._rare) for word in words)
        best, plan = 0.0, UNKNOWN
        for sample, known in zip(self._samples, self._words, strict=True):
            common = sum(self._weights[word] for word in words & known)
            whole = total + sum(self._weights[word] for word in known) - common
            if whole and common / whole > best:
                best, plan = common / whole, sample.plan
        return plan if best >= NEAR else UNKNOWN


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+", text.lower())
