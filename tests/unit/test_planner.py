"""The planner with a twin of the model's process that speaks the same lines, and a robot that remembers."""

import asyncio
import sys
from pathlib import Path
from typing import Literal

import pytest

from agent.events import Order, PlannerStatus, Reply
from agent.planner import Planner, PlanReport
from drivers.errors import Refused

TWIN = r"""
import json, sys, time
plans = json.loads(sys.argv[1])
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] == "Prime":
        print(json.dumps({"type": "Ready", "seconds": 0.1, "prompt_tokens": 9}), flush=True)
    elif request["type"] == "Ask":
        sentence = request["messages"][-1]["content"].splitlines()[0]
        if sentence == "die":
            sys.exit(3)
        if sentence == "hang":
            continue
        for step, probability in plans[sentence]:
            written = {"type": "Written", "id": request["id"], "step": step, "seconds": 0.2}
            print(json.dumps({**written, "probability": probability}), flush=True)
        print(json.dumps({"type": "Done", "id": request["id"], "passes": 3, "tokens": 5, "seconds": 0.3,
                          "least_probability": 0.5}), flush=True)
    elif request["type"] == "Cancel":
        print(json.dumps({"type": "Done", "id": request["id"], "passes": 0, "tokens": 0, "seconds": 0.0,
                          "least_probability": 1.0, "is_cancelled": True}), flush=True)
"""


class RecordingRobot:
    """Remembers what it was told; nobody is on its right; gestures take a while."""

    def __init__(self, gesture_s: float = 0.0) -> None:
        self.did: list[str] = []
        self._gesture_s = gesture_s

    async def look(self, where: str) -> str:
        if where == "right":
            raise Refused("nobody is on the right")
        self.did.append(f"look {where}")
        return f"I look {where}"

    async def gesture(self, kind: Literal["nod", "shake", "tilt"], times: int) -> None:
        self.did.append(f"{kind} {times} begins")
        await asyncio.sleep(self._gesture_s)
        self.did.append(f"{kind} {times}")

    async def rest(self) -> None:
        self.did.append("rest")

    async def stop(self) -> None:
        self.did.append("stop")

    async def say(self, text: str) -> None:
        self.did.append(f"say {text}")

    def people(self) -> tuple[str, ...]:
        return ()


class Talk:
    """One conversation with a planner."""

    def __init__(self, planner: Planner | None = None, robot: RecordingRobot | None = None) -> None:
        self.planner = planner or Planner()
        self.robot = robot or RecordingRobot()
        self.replies: list[Reply] = []

    async def say(self, text: str) -> PlanReport:
        self.replies.clear()
        order = Order(id="7", text=text, source="cli", time_s=0.0)
        return await self.planner.run(order, self.robot, self.replies.append)

    @property
    def last(self) -> str:
        assert [reply.last for reply in self.replies].count(True) == 1
        assert self.replies[-1].last
        return self.replies[-1].text


def twin(plans: str) -> list[str]:
    return [sys.executable, "-c", TWIN, plans]


async def ready(planner: Planner) -> None:
    async with asyncio.timeout(10):
        while planner.status.state != "ready":  # noqa: ASYNC110  a status is no event
            await asyncio.sleep(0.01)


async def test_the_fast_path_needs_no_model() -> None:
    talk = Talk()
    report = await talk.say("nod twice")
    assert (report.path, report.plan, report.passes) == ("fast", "nod 2", 0)
    assert talk.robot.did == ["nod 2 begins", "nod 2"]
    assert talk.last == "nod 2: done"


async def test_a_refusal_is_the_answer() -> None:
    talk = Talk()
    await talk.say("look right")
    assert talk.last == "nobody is on the right"
    assert talk.replies[-1].kind == "error"


async def test_without_a_model_the_answer_is_honest() -> None:
    talk = Talk()
    talk.planner.set_status(PlannerStatus(state="preparing", progress=0.43))
    report = await talk.say("look left, then nod twice")
    assert report.path == "refused"
    assert "43%" in talk.last
    assert "nod twice" in talk.last
    assert talk.robot.did == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "x" * 1_000_000,
        "\x00\x01",
        "nod\x1b[2J",
        "\ud800",
        "点头两次",
        "кивни дважды",
        "123",
        "🙂",
    ],
)
async def test_what_is_no_order_gets_one_clear_line(text: str) -> None:
    talk = Talk()
    report = await talk.say(text)
    assert report.path == "refused"
    assert "\n" not in talk.last and len(talk.last) < 200
    assert talk.robot.did == []


async def test_stop_ends_the_running_order_and_those_that_wait() -> None:
    talk = Talk(robot=RecordingRobot(gesture_s=60))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(talk.say("nod"))
        waiting = group.create_task(talk.say("rest"))
        await asyncio.sleep(0.01)
        await talk.say("please stop")
    assert running.result().is_cancelled and waiting.result().is_cancelled
    assert talk.robot.did == ["nod 1 begins", "stop"]


async def test_too_many_waiting_orders_are_refused() -> None:
    talk = Talk(robot=RecordingRobot(gesture_s=60))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(talk.say("nod")) for _ in range(5)]
        await asyncio.sleep(0.01)
        await talk.say("stop")
    assert [task.result().is_cancelled for task in tasks] == [True, True, True, True, False]


PLANS = """{"look left, then nod twice": [["look left", 0.3], ["nod 2", 0.9]],
"look left and rest": [["look left", 0.9], ["nod 5", 0.99]],
"give a double nod": [["nod 2", 0.5]], "glance upwards": [["look up", 0.9]],
"make coffee": [["refuse", 0.9]], "do it": [["ask \\"What?\\"", 0.9]],
"glance right twice": [["look right", 0.9], ["rest", 0.9]]}"""


async def test_plans_of_the_model() -> None:
    talk = Talk()
    told: list[PlannerStatus] = []
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(talk.planner.keep(Path("unused"), told.append, twin(PLANS)))
        await ready(talk.planner)

        report = await talk.say("look left, then nod twice")
        assert (report.path, report.plan, report.passes, report.tokens) == ("model", "look left; nod 2", 3, 5)
        assert talk.robot.did == ["look left", "nod 2 begins", "nod 2"]
        assert talk.last == "look left; nod 2"

        talk.robot.did.clear()
        assert (await talk.say("look left and rest")).path == "asked"
        assert talk.robot.did == ["look left"]  # the fast path knows “rest”, the model differs: ask
        assert "“rest”" in talk.last
        await talk.say("yes")
        assert talk.robot.did == ["look left", "rest"]

        talk.robot.did.clear()
        assert (await talk.say("give a double nod")).path == "asked"
        assert talk.last == "Did you mean: “nod 2”? Say yes, or say it otherwise"
        assert (await talk.say("glance upwards")).path == "model"
        assert talk.robot.did == ["look up"]
        assert (await talk.say("make coffee")).path == "refused"
        assert (await talk.say("do it")).path == "asked"
        assert talk.last == "What?"

        await talk.say("glance right twice")
        assert talk.last == "nobody is on the right"
        assert talk.robot.did == ["look up"]  # what follows a refused step is not done

        async with asyncio.TaskGroup() as both:
            hanging = both.create_task(talk.say("hang"))
            await asyncio.sleep(0.05)
            await talk.say("stop")
        assert hanging.result().is_cancelled
        assert (await talk.say("glance upwards")).path == "model"  # the cancelled plan leaves nothing behind
        keeping.cancel()
    assert [status.state for status in told] == ["loading", "ready"]


async def test_a_model_that_dies_is_started_again() -> None:
    talk = Talk()
    told: list[PlannerStatus] = []
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(talk.planner.keep(Path("unused"), told.append, twin(PLANS)))
        await ready(talk.planner)
        report = await talk.say("die")
        assert report.path == "refused"
        assert "exit code 3" in talk.last
        async with asyncio.timeout(10):
            while [status.state for status in told].count("ready") < 2:  # noqa: ASYNC110  a list is no event
                await asyncio.sleep(0.02)
        assert (await talk.say("glance upwards")).path == "model"
        keeping.cancel()


async def test_a_model_that_hangs_is_ended_and_started_again() -> None:
    talk = Talk(Planner(plan_s=0.2))
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(talk.planner.keep(Path("unused"), lambda status: None, twin(PLANS)))
        await ready(talk.planner)
        assert (await talk.say("hang")).path == "refused"
        assert "0.2 s" in talk.last
        async with asyncio.timeout(10):
            while (await talk.say("glance upwards")).path != "model":  # noqa: ASYNC110  asked anew each time
                await asyncio.sleep(0.05)
        keeping.cancel()


async def test_a_useless_file_is_told_once() -> None:
    talk = Talk()
    told: list[PlannerStatus] = []
    failing = [sys.executable, "-c", """print('{"type":"Failed","text":"weights: no"}')"""]
    await talk.planner.keep(Path("unused"), told.append, failing)
    assert [status.state for status in told] == ["loading", "failed"]
    assert told[-1].note == "weights: no"
