"""The real model in its real process: what it plans, how fast, and which files it will not take."""

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import weights
from agent.engine import check_memory
from agent.model import Done, Message, Model, Written
from agent.planner import Planner
from drivers.errors import ConfigError, DeviceError, PlanError

pytestmark = pytest.mark.e2e
llama_cpp = pytest.importorskip("llama_cpp", reason="the model's library is not installed yet")

# Written before the prompt was tuned; none of these sentences is in it.
SENTENCES = (
    ("look at the person on the left, then nod twice", "look left; nod 2"),
    ("nod three times and then go to sleep", "nod 3; rest"),
    ("please look up, shake your head twice and say no way", 'look up; shake 2; say "no way"'),
    ("turn to whoever is closest and tilt your head", "look nearest; tilt"),
    ("could you give a double nod", "nod 2"),
    ("look right, look left, look right again", "look right; look left; look right"),
    ("say good night and then rest", 'say "good night"; rest'),
    ("before you rest, nod once", "nod; rest"),
    ("stare at the ceiling for me", "look up"),
    ("nod, shake, tilt", "nod; shake; tilt"),
    ("I want you to face the guy in the middle and nod four times", "look middle; nod 4"),
    ("look at the other person and tell them welcome home", 'look next; say "welcome home"'),
    ("shake your head three times, then look straight ahead", "shake 3; look ahead"),
    ("agree with me by nodding", "nod"),
    ("look down in shame and then rest", "look down; rest"),
    ("disagree with the person on the right", "look right; shake"),
    ("make coffee", "refuse"),
    ("drive to the kitchen", "refuse"),
    ("what time is it", "refuse"),
    ("throw something at the man on the left", "refuse"),
    ("wake me up at seven", "refuse"),
    ("tilt your head twice and look away from us", "tilt 2; look away"),
    ("say hi, nod and rest", 'say "hi"; nod; rest'),
    ("greet the person on the right with a nod", "look right; nod"),
    ("look at the woman on the left and then at the man on the right", "look left; look right"),
    ("nod at the nearest person five times", "look nearest; nod 5"),
    ("relax, but first shake your head", "shake; rest"),
    ("turn your head to the right and give them a nod", "look right; nod"),
    ("look up and down and up", "look up; look down; look up"),
    ('say "see you tomorrow", then look away and rest', 'say "see you tomorrow"; look away; rest'),
)
LEAST_EXACT = 14  # of 30; 16 when this was written, and another CPU rounds otherwise


@pytest.fixture(scope="module")
def file() -> Path:
    try:
        return weights.path("smollm2")
    except ConfigError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner()


@pytest.fixture(scope="module")
def model(file: Path, planner: Planner) -> Iterator[Model]:
    model = Model(file, planner.prompt.prefix(), planner.language.grammar())
    ready = model.open()
    assert ready.seconds < 60
    yield model
    model.close()


def plan(model: Model, planner: Planner, text: str) -> tuple[list[Written], Done]:
    id = model.ask(planner.prompt.question(text))
    steps: list[Written] = []
    while True:
        match model.read(id):
            case Written() as step:
                steps.append(step)
            case Done() as done:
                return steps, done


def test_the_order_of_the_first_page_is_planned(model: Model, planner: Planner) -> None:
    sentence = "look at the person on the left, then nod twice"
    assert not any(sentence in message.content for message in planner.prompt.prefix())
    steps, done = plan(model, planner, sentence)
    assert [step.step for step in steps] == ["look left", "nod 2"]
    assert steps[0].seconds < done.seconds  # the first step comes before the plan is whole
    assert plan(model, planner, sentence)[1].passes == done.passes  # greedy: the same again


def test_sentences_it_has_not_seen(
    model: Model, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    exact, first_s, passes, wrong = 0, [], [], []
    for sentence, wanted in SENTENCES:
        steps, done = plan(model, planner, sentence)
        text = "; ".join(step.step for step in steps)
        assert planner.language.print(planner.language.parse(text)) == text  # the grammar held
        exact += text == wanted
        wrong += [] if text == wanted else [f"{sentence}: {text}"]
        first_s.append(steps[0].seconds)
        passes.append(done.passes)
    with capsys.disabled():
        sys.stdout.write(
            f"\nplans: {exact} of {len(SENTENCES)} exact, first step p50 {statistics.median(first_s):.2f} s, "
            f"passes mean {statistics.mean(passes):.1f}\n"
        )
    assert exact >= LEAST_EXACT, wrong


def test_forced_tokens_cost_no_pass(model: Model, planner: Planner) -> None:
    _, done = plan(model, planner, "make coffee")
    assert done.tokens >= 2  # “ref”, “use”
    assert done.passes == 2  # one to begin, one to end


def test_a_cancelled_plan_ends_and_the_next_begins(model: Model, planner: Planner) -> None:
    id = model.ask(planner.prompt.question("say " + "la " * 20))
    model.cancel(id)
    while not isinstance(answer := model.read(id), Done):
        pass
    assert answer.id == id
    assert plan(model, planner, "nod three times and then go to sleep")[0]


def test_a_sentence_too_long_for_the_model_is_declined(model: Model, planner: Planner) -> None:
    id = model.ask([Message("user", "点头 " * 2000)])
    with pytest.raises(PlanError, match="too long"):
        model.read(id)
    assert plan(model, planner, "nod and rest")[0]


def test_a_killed_process_is_told_and_leaves_no_zombie(file: Path, planner: Planner) -> None:
    model = Model(file, planner.prompt.prefix(), planner.language.grammar())
    model.open()
    process = model._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(DeviceError, match="SIGKILL|ended"):
        model.read(model.ask([Message("user", "nod")]))
    model.close()
    assert not Path(f"/proc/{process.pid}").exists()
    assert model.open().seconds > 0
    model.close()


@pytest.mark.parametrize("kind", ["missing", "empty", "garbage", "cut", "folder"])
def test_a_useless_file_is_one_clear_line(kind: str, file: Path, tmp_path: Path) -> None:
    useless = tmp_path / "model.gguf"
    match kind:
        case "empty":
            useless.touch()
        case "garbage":
            useless.write_bytes(b"GGUF" + bytes(range(256)) * 100)
        case "cut":
            useless.write_bytes(file.read_bytes()[:40_000_000])
        case "folder":
            useless.mkdir()
    with pytest.raises(ConfigError, match="model.gguf") as caught:
        Model(useless, [], 'root ::= "a"').open()
    assert "\n" not in str(caught.value)
    done = subprocess.run(
        [sys.executable, "-m", "agent.model", str(useless)],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr


def test_too_little_memory_is_told(file: Path) -> None:
    with pytest.raises(ConfigError, match="298 MB of memory, 100 MB are free"):
        check_memory(file, 100_000_000)
