"""The plan language: what it reads, what it says about errors, and its grammar."""

import pytest

from agent.plan import Language, Plan, PlanSyntaxError, Step
from agent.skill import registry
from drivers.errors import PlanError

LANGUAGE = Language(skill.signature for skill in registry().values())


def test_a_plan_is_read_step_by_step() -> None:
    plan = LANGUAGE.parse('look left; nod 2; say "Hello"')
    assert plan == Plan((Step("look", ("left",)), Step("nod", (2,)), Step("say", ("Hello",))))


def test_a_default_is_filled_in_and_left_out_again() -> None:
    assert LANGUAGE.parse("nod") == LANGUAGE.parse("nod 1") == Plan((Step("nod", (1,)),))
    assert LANGUAGE.print(LANGUAGE.parse("nod 1")) == "nod"


def test_quotation_marks_survive() -> None:
    plan = Plan((Step("say", ('a "b" \\ ; c',)),))
    assert LANGUAGE.parse(LANGUAGE.print(plan)) == plan


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("fly", 0),
        ("nod 9", 4),
        ("nod 2;", 5),
        ("nod2", 3),
        ("nod 2 3", 6),
        ("look left; dance", 11),
        ("say hello", 4),
        ('say "hello', 10),
        ('say "a\nb"', 6),
        ("refuse; nod", 0),
        ("look", 4),
        ("nod 2; " * 6 + "nod", 45),
    ],
)
def test_an_error_names_its_place(text: str, position: int) -> None:
    with pytest.raises(PlanSyntaxError) as caught:
        LANGUAGE.parse(text)
    assert caught.value.position == position
    assert "\n" not in str(caught.value)


def test_a_huge_plan_is_one_clear_error() -> None:
    with pytest.raises(PlanError, match="1000000"):
        LANGUAGE.parse("x" * 1_000_000)


@pytest.mark.parametrize(
    "step",
    [
        Step("fly"),
        Step("nod", (6,)),
        Step("nod", ("2",)),
        Step("nod"),
        Step("say", ("\x07",)),
        Step("nod", (True,)),
    ],
)
def test_only_steps_of_the_language_are_printed(step: Step) -> None:
    with pytest.raises(PlanError):
        LANGUAGE.print_step(step)


def test_the_grammar_has_one_spelling_for_a_default() -> None:
    rules = dict(line.split(" ::= ", 1) for line in LANGUAGE.grammar().splitlines())
    assert rules["nod-step"] == '"nod" ( " " ("2" | "3" | "4" | "5"))?'
    assert rules["root"].startswith("ask-step | refuse-step | step")
    assert "{1,120}" in rules["say-step"]
