"""Whatever is printed is read back; whatever is read prints to itself; nothing else escapes as an error."""

from hypothesis import given
from hypothesis import strategies as st

from agent.plan import ALONE, Language, Plan, Step
from agent.planner import check_order
from agent.sentences import Sentences, is_stop
from agent.skill import Choice, Count, Parameter, Value, registry
from drivers.errors import PlanError

SKILLS = registry()
LANGUAGE = Language(skill.signature for skill in SKILLS.values())
SENTENCES = Sentences(SKILLS, LANGUAGE)


def _values(parameter: Parameter) -> st.SearchStrategy[Value]:
    match parameter.kind:
        case Choice(values=values):
            return st.sampled_from(values)
        case Count(low=low, high=high):
            return st.integers(low, high)
        case text:
            letters = st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32)
            return st.text(letters, min_size=1, max_size=text.max_length)


def _steps(name: str) -> st.SearchStrategy[Step]:
    return st.tuples(*(_values(each) for each in LANGUAGE.signatures[name].parameters)).map(
        lambda values: Step(name, values)
    )


SINGLE = st.sampled_from(sorted(ALONE)).flatmap(_steps).map(lambda step: Plan((step,)))
SEVERAL = st.lists(
    st.sampled_from(sorted(set(LANGUAGE.signatures) - ALONE)).flatmap(_steps), min_size=1, max_size=6
).map(lambda steps: Plan(tuple(steps)))


@given(SINGLE | SEVERAL)
def test_a_plan_survives_printing(plan: Plan) -> None:
    assert LANGUAGE.parse(LANGUAGE.print(plan)) == plan


@given(
    st.text()
    | st.lists(st.sampled_from([*LANGUAGE.signatures, ";", " ", "2", "left", '"', "\\"])).map("".join)
)
def test_any_text_is_a_plan_or_a_plan_error(text: str) -> None:
    try:
        plan = LANGUAGE.parse(text)
    except PlanError:
        return
    assert LANGUAGE.parse(LANGUAGE.print(plan)) == plan


@given(st.text(max_size=80))
def test_any_text_is_an_order_or_a_plan_error(text: str) -> None:
    is_stop(text)
    SENTENCES.clauses(text)
    try:
        plain = check_order(text)
    except PlanError:
        return
    step = SENTENCES.recognise(plain)
    assert step is None or LANGUAGE.arguments(step) is not None


@given(
    st.text(
        alphabet=st.characters(exclude_categories=("L", "N", "Pc", "Mn", "Mc"), exclude_characters="\"“”«»’'")
    )
)
def test_stop_is_heard_through_any_noise(noise: str) -> None:
    assert is_stop(f"{noise}StOp{noise}")
