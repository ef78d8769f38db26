"""The fast path: which sentences it takes, and which it leaves to the model."""

import time
from collections.abc import Callable

import pytest

from agent.plan import Language
from agent.sentences import Sentences, is_stop
from agent.skill import registry

SKILLS = registry()
LANGUAGE = Language(skill.signature for skill in SKILLS.values())
SENTENCES = Sentences(SKILLS, LANGUAGE)


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("nod", "nod"),
        ("Nod twice.", "nod 2"),
        ("Could you nod three times, please?", "nod 3"),
        ("nod 4 times", "nod 4"),
        ("look at the person on the left", "look left"),
        ("hey robot, look up please", "look up"),
        ("LOOK LEFT!", "look left"),
        ("turn to whoever is nearest", "look nearest"),
        ("shake your head", "shake"),
        ("tilt your head to the side", "tilt"),
        ("rest", "rest"),
        ("say Hello World", 'say "Hello World"'),
        ('say "Hello, and welcome!"', 'say "Hello, and welcome!"'),
    ],
)
def test_one_order_is_recognised(sentence: str, plan: str) -> None:
    step = SENTENCES.recognise(sentence)
    assert step is not None
    assert LANGUAGE.print_step(step) == plan


@pytest.mark.parametrize(
    "sentence",
    [
        "look at the person on the left, then nod twice",
        "say hello and nod",
        "nod nine times",
        "nod 0 times",
        "fly",
        "do not nod",
        "why did you nod",
        "the person on the left nods",
        "my head hurts",
        "say " + "x" * 121,
        "-",
        "",
    ],
)
def test_anything_else_is_left_to_the_model(sentence: str) -> None:
    assert SENTENCES.recognise(sentence) is None


@pytest.mark.parametrize(
    "sentence",
    ["stop", "STOP!", "please stop it", "nod and stop", "ok freeze", "halt", "stop following me", "say stop"],
)
def test_stop_is_heard_anywhere(sentence: str) -> None:
    assert is_stop(sentence)


@pytest.mark.parametrize(
    "sentence", ["don't stop", "do not stop now", 'say "stop"', "unstoppable", "a stopper", "nod"]
)
def test_what_is_no_stop(sentence: str) -> None:
    assert not is_stop(sentence)


def test_clauses_leave_quoted_text_whole() -> None:
    assert SENTENCES.clauses('say "a, b and c", then nod and rest') == ['say "a, b and c"', "nod", "rest"]


@pytest.mark.parametrize(
    "sentence",
    ["look at the person on the left", "tell me something about the weather over there on the left"],
)
def test_a_sentence_takes_a_fraction_of_what_reading_the_examples_took(sentence: str) -> None:
    def cost_s(work: Callable[[], object]) -> float:
        began_s = time.thread_time()
        work()
        return time.thread_time() - began_s

    read_s = min(cost_s(lambda: Sentences(SKILLS, LANGUAGE)) for _ in range(3))
    assert min(cost_s(lambda: SENTENCES.recognise(sentence)) for _ in range(10)) < read_s / 3


def test_every_sample_for_the_prompt_is_recognised_as_its_plan() -> None:
    samples = SENTENCES.samples(3)
    assert {LANGUAGE.parse(sample.plan).steps[0].name for sample in samples} == set(SKILLS)
