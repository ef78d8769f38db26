"""Skills: the signature is the schema, and what is missing is an error at import."""

import asyncio
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from agent.skill import Example, Robot, registry, skill
from drivers.errors import ConfigError, Refused


class StillRobot:
    """Does nothing, and refuses to look at anybody."""

    async def look(self, where: str) -> str:
        raise Refused(f"nobody is on the {where}")

    async def gesture(self, kind: Literal["nod", "shake", "tilt"], times: int) -> None:
        await asyncio.sleep(3600)

    async def rest(self) -> None: ...

    async def stop(self) -> None: ...

    async def say(self, text: str) -> None: ...

    def people(self) -> tuple[str, ...]:
        return ()


def test_every_file_of_skills_is_collected() -> None:
    assert set(registry()) == {"look", "nod", "shake", "tilt", "rest", "say", "stop"}


def test_the_signature_is_the_schema() -> None:
    properties = registry()["nod"].schema["$defs"]["nod"]["properties"]
    assert properties["times"] == {"type": "integer", "minimum": 1, "maximum": 5, "default": 1}


async def test_a_refusal_goes_back_as_text() -> None:
    outcome = await registry()["look"].call(StillRobot(), {"where": "left"})
    assert outcome.is_refused
    assert outcome.text == "nobody is on the left"


@pytest.mark.parametrize(
    "arguments", [{"times": 6}, {"times": 0}, {"times": "2"}, {"times": True}, {"often": 2}]
)
async def test_arguments_are_decoded_strictly(arguments: dict[str, object]) -> None:
    outcome = await registry()["nod"].call(StillRobot(), arguments)
    assert outcome.is_refused
    assert "nod" in outcome.text


async def test_a_skill_that_hangs_is_given_up() -> None:
    @skill(examples=["wave"], timeout_s=0.01)
    async def wave(robot: Robot) -> None:
        """Wave."""
        await robot.gesture("nod", 1)

    outcome = await wave.call(StillRobot(), {})
    assert outcome.is_refused
    assert "0.01 s" in outcome.text


async def _no_docstring(robot: Robot) -> None: ...


async def _untyped(robot: Robot, times=1) -> None:  # type: ignore[no-untyped-def]
    """Do it."""


async def _unbounded(robot: Robot, times: int = 1) -> None:
    """Do it."""


async def _no_robot(times: Annotated[int, Meta(ge=1, le=2)]) -> None:
    """Do it."""


def _not_async(robot: Robot) -> None:
    """Do it."""


@pytest.mark.parametrize("function", [_no_docstring, _untyped, _unbounded, _no_robot, _not_async])
def test_what_no_schema_can_be_made_of_is_an_error_at_import(function: Any) -> None:
    function.__name__ = "act"
    with pytest.raises(ConfigError, match="skill "):
        skill(examples=["act"])(function)


@pytest.mark.parametrize(
    "examples", [[], ["go {speed}"], ["go"], [Example("go", {"place": "up"})], [Example("go", {})]]
)
def test_an_example_must_fit_the_signature(examples: list[str | Example]) -> None:
    with pytest.raises(ConfigError, match="example"):

        @skill(examples=examples)
        async def go(robot: Robot, where: Literal["up", "down"]) -> None:
            """Go."""
