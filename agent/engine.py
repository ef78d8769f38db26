"""What runs inside the model's process: weights, prompt, grammar and greedy decoding, counted in passes.

A pass over the weights is spent only where there is a choice: where the grammar leaves one way, its tokens
wait and go into the next pass together. The prompt's beginning stays in the cache from plan to plan.
"""

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.model import Done, Message, Ready, Written
from drivers.errors import ConfigError, PlanError

CONTEXT_TOKENS = 2048  # the prompt takes about half; more costs memory that vision needs
MAX_PLAN_TOKENS = 400  # six steps of text
SPARE_BYTES = 200_000_000  # the cache, the vocabulary and Python itself, beside the file
REMEMBERED_CHOICES = 500  # sets of allowed tokens
REMEMBERED_SIZE = 2_000  # tokens in such a set; inside a text nearly all are allowed


class _Least(msgspec.Struct):
    """The least probability of the choices in the running step and in the plan."""

    step: float = 1.0
    plan: float = 1.0

    def see(self, probability: float) -> None:
        self.step = min(self.step, probability)
        self.plan = min(self.plan, probability)


class Engine:
    """One loaded model. Raises ConfigError if the file, the memory or the library does not allow it."""

    def __init__(self, weights: Path) -> None:
        self._started_s = time.perf_counter()
        check_file(weights)
        check_memory(weights, available_bytes())
        try:
            import llama_cpp
        except (ImportError, OSError, RuntimeError) as exc:  # a wheel for another CPU fails as it likes
            raise ConfigError(f"planner: llama-cpp-python cannot be loaded ({_first_line(exc)})") from exc
        self._library: Any = llama_cpp
        try:
            self._llama: Any = llama_cpp.Llama(
                model_path=str(weights), n_ctx=CONTEXT_TOKENS, n_threads=1, n_threads_batch=1, verbose=False
            )
        except (ValueError, RuntimeError, MemoryError, OSError) as exc:
            raise ConfigError(
                f"{weights}: cannot be loaded ({_first_line(exc)}); the file is damaged or of another kind: "
                "delete it and let set-up fetch it again"
            ) from exc
        self._template = self._llama.metadata.get("tokenizer.chat_template")
        if not self._template:
            raise ConfigError(f"{weights}: has no chat template; take an instruction-tuned model")
        model = self._llama._model
        self._vocabulary = model.vocab
        self._pieces = [self._piece(token) for token in range(self._llama.n_vocab())]
        self._candidates = np.zeros(
            len(self._pieces), np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        )
        self._choices: dict[bytes, NDArray[np.int32]] = {}
        self._primed: tuple[Message, ...] = ()
        self._grammar = b""

    def prime(self, messages: Sequence[Message], grammar: str) -> Ready:
        """Take the turns that begin every prompt into the cache. Raises ConfigError on a bad grammar."""
        self._primed = tuple(messages)
        self._grammar = grammar.encode()
        self._choices.clear()
        self._library.llama_sampler_free(self._sampler())
        tokens = self._tokens(self._primed, is_question=False)
        self._evaluate(self._after_cache(tokens))
        return Ready(time.perf_counter() - self._started_s, len(tokens))

    def write(
        self,
        id: int,
        messages: Sequence[Message],
        answer: Callable[[Written], None],
        cancelled: set[int],
    ) -> Done:
        """Write a plan, giving each step as soon as it is complete."""
        begun_s = time.perf_counter()
        tokens = self._tokens((*self._primed, *messages), is_question=True)
        waiting = self._after_cache(tokens)
        written, complete = b"", 0
        passes = count = 0
        least = _Least()
        is_cancelled = False
        sampler = self._sampler()

        def give(text: bytes) -> None:
            step = text.decode(errors="replace").strip("; ")
            seconds = time.perf_counter() - begun_s
            answer(Written(id=id, step=step, probability=least.step, seconds=seconds))
            least.step = 1.0

        try:
            while count < MAX_PLAN_TOKENS:
                if id in cancelled:
                    is_cancelled = True
                    break
                allowed = self._allowed(sampler, written)
                token = self._only_way(allowed)
                if token is None:
                    passes += self._evaluate(waiting)
                    waiting = []
                    token, probability = self._greedy(allowed)
                    least.see(probability)
                if self._library.llama_vocab_is_eog(self._vocabulary, token):
                    give(written[complete:])
                    break
                self._library.llama_sampler_accept(sampler, token)
                waiting.append(token)
                count += 1
                written += self._pieces[token]
                if (end := _step_end(written, complete)) is not None:
                    give(written[complete:end])
                    complete = end
        finally:
            self._library.llama_sampler_free(sampler)
        return Done(
            id=id,
            passes=passes,
            tokens=count,
            seconds=time.perf_counter() - begun_s,
            least_probability=least.plan,
            is_cancelled=is_cancelled or count >= MAX_PLAN_TOKENS,
        )

    def _tokens(self, messages: Sequence[Message], is_question: bool) -> list[int]:
        text = self._render(messages, is_question)
        tokens: list[int] = self._llama.tokenize(text.encode(), add_bos=False, special=True)
        if len(tokens) > CONTEXT_TOKENS - MAX_PLAN_TOKENS:
            raise PlanError(f"this makes a prompt of {len(tokens)} tokens, too long for me; say it shorter")
        return tokens

    def _render(self, messages: Sequence[Message], is_question: bool) -> str:
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
        from transformers.utils.chat_template_utils import render_jinja_template  # takes seconds to import

        turns = [[{"role": each.role, "content": each.content} for each in messages]]
        rendered, _ = render_jinja_template(
            conversations=turns,
            chat_template=self._template,
            add_generation_prompt=is_question,
            bos_token=self._pieces[self._llama.token_bos()].decode(),
            eos_token=self._pieces[self._llama.token_eos()].decode(),
        )
        return str(rendered[0])

    def _after_cache(self, tokens: list[int]) -> list[int]:
        """Wind the cache back to what it shares with these tokens; give the others, at least one."""
        cached = self._llama.input_ids[: self._llama.n_tokens]
        shared = 0
        for old, new in zip(cached, tokens[:-1], strict=False):
            if old != new:
                break
            shared += 1
        self._llama.n_tokens = shared
        return tokens[shared:]

    def _evaluate(self, tokens: list[int]) -> int:
        if not tokens:
            return 0
        self._llama.eval(tokens)
        return -(-len(tokens) // int(self._llama.n_batch))

    def _sampler(self) -> Any:
        sampler = self._library.llama_sampler_init_grammar(self._vocabulary, self._grammar, b"root")
        if not sampler:
            raise ConfigError(
                "planner: the grammar of the skills is not accepted by llama.cpp; this is a bug"
            )
        return sampler

    def _allowed(self, sampler: Any, written: bytes) -> NDArray[np.int32]:
        """Tokens that the grammar allows next; remembered, as sifting the vocabulary takes milliseconds."""
        known = self._choices.get(written)
        if known is not None:
            return known
        self._candidates["id"] = np.arange(len(self._pieces), dtype=np.int32)
        self._candidates["logit"] = 0.0
        pointer = self._candidates.ctypes.data_as(ctypes.POINTER(self._library.llama_token_data))
        array = self._library.llama_token_data_array(pointer, len(self._pieces), -1, False)
        self._library.llama_sampler_apply(sampler, ctypes.byref(array))
        allowed: NDArray[np.int32] = self._candidates["id"][np.isfinite(self._candidates["logit"])].copy()
        if len(allowed) == 0:
            raise ConfigError("planner: the grammar has no way on; this is a bug")
        if len(allowed) <= REMEMBERED_SIZE and len(self._choices) < REMEMBERED_CHOICES:
            self._choices[written] = allowed
        return allowed

    def _only_way(self, allowed: NDArray[np.int32]) -> int | None:
        """The longest allowed token if all others are only its beginnings."""
        if len(allowed) > REMEMBERED_SIZE:
            return None
        longest = max(allowed, key=lambda token: len(self._pieces[token]))
        whole = self._pieces[longest]
        return int(longest) if all(whole.startswith(self._pieces[token]) for token in allowed) else None

    def _greedy(self, allowed: NDArray[np.int32]) -> tuple[int, float]:
        pointer = self._llama._ctx.get_logits_ith(-1)
        logits = np.ctypeslib.as_array(pointer, shape=(len(self._pieces),))[allowed].astype(np.float64)
        best = int(np.argmax(logits))
        return int(allowed[best]), float(1.0 / np.exp(logits - logits[best]).sum())

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        size = self._library.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, True)
        return buffer.raw[: max(size, 0)]


def check_file(path: Path) -> None:
    """Raise ConfigError unless the file can be read and begins as a GGUF file does."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        raise ConfigError(f"{path}: the model cannot be read ({exc.strerror}); let set-up fetch it") from exc
    if magic != b"GGUF":
        raise ConfigError(f"{path}: is no GGUF file; delete it and let set-up fetch it again")


def check_memory(path: Path, available: int | None) -> None:
    """Raise ConfigError if the file does not fit into the memory that is available."""
    needed = path.stat().st_size + SPARE_BYTES
    if available is not None and available < needed:
        raise ConfigError(
            f"{path}: needs {needed / 1e6:.0f} MB of memory, {available / 1e6:.0f} MB are free; "
            "close other programs or take a smaller model"
        )


def available_bytes() -> int | None:
    """Memory that can be had without swapping, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else None


def _step_end(written: bytes, start: int) -> int | None:
    """Where the step that begins at `start` ends, if its semicolon is written."""
    is_quoted = False
    for place in range(start, len(written)):
        if written[place : place + 1] == b'"':
            is_quoted = not is_quoted
        elif written[place : place + 1] == b";" and not is_quoted:
            return place + 1
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
