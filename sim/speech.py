"""What people say: whole sentences one after another, so that lips move only while there is a voice."""

import math
import random
from functools import lru_cache

import msgspec

from sim.timeline import saying_s

BREATH_S = 0.35  # between two sentences
SMALL_TALK = (
    "It rained the whole way here.",
    "I still have to water the plants.",
    "The bread from the corner shop is good.",
    "My sister moves into her new place soon.",
    "We should paint that wall some day.",
    "I slept badly because of the wind.",
    "There was a long queue at the post.",
    "Have you read the book that I gave you?",
    "The soup needs a little more salt.",
    "The train was late again this morning.",
    "That was a very long week for me.",
    "I like the light in here at noon.",
    "Her garden is full of roses now.",
    "Yes, I thought so too.",
    "Oh, really?",
    "I see.",
    "Sure.",
)  # about people and weather: none of it asks a robot for anything


class Said(msgspec.Struct, frozen=True):
    """One sentence and when its first word comes."""

    start_s: float
    text: str


class Speech(msgspec.Struct, frozen=True):
    """One sentence in the room: who says it, from when, and where their mouth is (room frame)."""

    name: str
    start_s: float
    text: str
    position_m: tuple[float, float, float]


@lru_cache(maxsize=16)  # a caller's is asked for at every frame
def small_talk(start_s: float, end_s: float, seed: str) -> tuple[Said, ...]:
    """As many sentences as fit, at least one word."""
    rng = random.Random(seed)
    said: list[Said] = []
    now_s, last = start_s, ""
    while True:
        fitting = [text for text in SMALL_TALK if now_s + saying_s(text) <= end_s and text != last]
        if not fitting:
            return tuple(said)
        longest = [text for text in fitting if saying_s(text) > 1.8]
        last = rng.choice(longest or fitting)
        said.append(Said(now_s, last))
        now_s += saying_s(last) + BREATH_S


def mouth(said: tuple[Said, ...], time_s: float) -> float:
    """How far the mouth is open: uneven syllables at four a second while a sentence lasts."""
    for sentence in said:
        into_s = time_s - sentence.start_s
        if 0.0 <= into_s < saying_s(sentence.text):
            t = into_s + 0.11 * len(sentence.text)
            wave = 0.5 * math.sin(2 * math.pi * 4.1 * t) + 0.35 * math.sin(2 * math.pi * 2.7 * t + 1.0)
            return max(0.0, wave)
    return 0.0
