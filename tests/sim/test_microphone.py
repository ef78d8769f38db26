"""The simulated microphone: distance, echo, motors and words, as a listener would measure them."""

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sim import clock, voices
from sim.microphone import QUIET_PA, Acoustics, Place, SimMicrophone, Utterance
from sim.speech import SMALL_TALK
from sim.timeline import saying_s
from sim.voices import RATE_HZ

LOW_M, HIGH_M = (-1.6, -2.7, 0.0), (4.6, 2.7, 2.6)
EAR_M = (0.0, 0.0, 1.1)


def level_db(samples: NDArray[np.generic]) -> float:
    return 20 * math.log10(float(np.sqrt(np.mean(np.asarray(samples, dtype=np.float64) ** 2))) + 1e-12)


def listen(
    spoken: tuple[Utterance, ...] = (),
    joints: Callable[[], tuple[float, ...]] = lambda: (0.0, 0.0, 0.0),
    seconds: float = 1.0,
    seed: int = 1,
) -> NDArray[np.int16]:
    async def hear() -> NDArray[np.int16]:
        def speech(from_s: float, to_s: float) -> tuple[Utterance, ...]:
            return tuple(each for each in spoken if from_s <= each.start_s < to_s)

        parts: list[NDArray[np.int16]] = []
        async with SimMicrophone(Acoustics(LOW_M, HIGH_M), speech, lambda: EAR_M, joints, seed) as microphone:
            while sum(map(len, parts)) < seconds * RATE_HZ:
                sound = await microphone.read()
                assert sound.time_s == pytest.approx(sum(map(len, parts)) / RATE_HZ)
                parts.append(sound.samples)
        return np.concatenate(parts)

    return clock.run(hear())


def moving(speed_rad_s: float) -> Callable[[], tuple[float, ...]]:
    return lambda: (speed_rad_s * asyncio.get_running_loop().time(), 0.0, 0.0)


def test_a_sound_comes_late_and_weaker_by_its_distance() -> None:
    acoustics = Acoustics(LOW_M, HIGH_M)
    for distance_m in (1.0, 2.0, 3.5):
        response = acoustics.response((distance_m, 0.0, 1.1), EAR_M)
        first = int(np.argmax(np.abs(response) > 0.3 / distance_m))
        assert first / RATE_HZ == pytest.approx(distance_m / 343, abs=3 / RATE_HZ)
        direct = float(np.abs(response[first : first + 8]).max())
        assert direct == pytest.approx(0.85 / distance_m, rel=0.25)  # between two samples some of it is lost


def test_the_echo_dies_as_in_a_furnished_room() -> None:
    energy = np.cumsum(Acoustics(LOW_M, HIGH_M).response((3.0, 1.0, 1.5), EAR_M)[::-1] ** 2)[::-1]
    fall_db = 10 * np.log10(energy / energy[0])
    first, last = int(np.argmax(fall_db < -5)), int(np.argmax(fall_db < -25))
    assert 3 * (last - first) / RATE_HZ == pytest.approx(0.45, abs=0.12)


def test_motors_are_heard_the_louder_the_faster_they_turn() -> None:
    still, slow, fast = (level_db(listen(joints=moving(speed), seconds=0.4)) for speed in (0.0, 0.5, 2.0))
    assert still == pytest.approx(level_db(np.array([QUIET_PA * 32767])), abs=1.0)
    assert still + 6 < slow < fast - 9


def test_a_spoken_sentence_stands_out_and_the_same_seed_is_the_same_sound() -> None:
    samples = voices.speak("Ben", "Look at me, please.")
    spoken = (Utterance(0.5, lambda: samples, (1.5, 0.5, 1.5)),)
    heard = listen(spoken, seconds=2.0)
    before, during = heard[: RATE_HZ // 2], heard[RATE_HZ // 2 : RATE_HZ // 2 + len(samples)]
    assert level_db(during) > level_db(before) + 15
    assert np.array_equal(heard, listen(spoken, seconds=2.0))
    assert not np.array_equal(heard, listen(spoken, seconds=2.0, seed=2))


def test_people_have_voices_of_their_own() -> None:
    sounds = [voices.speak(name, "Good morning.").tobytes() for name in ("Anna", "Ben", "Chidi")]
    assert len(set(sounds)) == 3


def test_two_people_speak_at_once() -> None:
    place: Place = (1.5, 0.5, 1.5)
    one = Utterance(0.1, lambda: voices.speak("Ben", "Good morning."), place)
    two = Utterance(0.2, lambda: voices.speak("Anna", "Nice to see you."), (2.0, -1.0, 1.4))
    both, alone = listen((one, two), seconds=1.5), listen((one,), seconds=1.5)
    assert level_db(both) > level_db(alone) + 1


@pytest.mark.parametrize("name", ["Anna", "Ben"])
def test_a_voice_lasts_about_as_long_as_the_lips_move(name: str) -> None:
    for text in (*SMALL_TALK[:3], "nod twice"):
        samples = voices.speak(name, text)
        assert 0.7 < len(samples) / RATE_HZ / saying_s(text) < 1.1  # flite's women speak faster than that
        assert np.abs(samples[: RATE_HZ // 50]).max() > 0.03 * np.abs(samples).max()  # and without delay
