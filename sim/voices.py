"""Spoken sentences by flite, a program of its own: each simulated person has a voice by sex and age."""

import random
import shutil
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigError
from sim.people import CAST
from sim.timeline import saying_s

RATE_HZ = 16_000
SPEECH_RMS = 0.02  # Pa at one metre: 60 dB, talking to somebody across a table
SPEAK_TIMEOUT_S = 20.0
WOMEN, MEN = ("slt",), ("rms", "awb", "kal16")
PITCH_HZ = {True: (180.0, 225.0), False: (95.0, 135.0)}  # women, men; range of speaking means
CHILD_PITCH_HZ = 265.0
CHILD_EYES_BELOW_M = 1.3
LEAST_STRETCH, MOST_STRETCH = 0.75, 1.3  # of flite's own pace; beyond, nobody talks so
QUIET_SHARE = 0.05  # of the loudest sample: less is silence


def need_flite() -> str:
    """The program's path. Raises ConfigError when it is not installed."""
    program = shutil.which("flite")
    if program is None:
        raise ConfigError(
            "simulated voices are spoken by flite, which is not here; on Debian: apt install flite"
        )
    return program


@cache
def speak(name: str, text: str, is_child: bool = False) -> NDArray[np.float32]:
    """A sentence in somebody's voice: pressure in Pa at one metre from the mouth, RATE_HZ samples a second.

    It begins with its first sound, and takes about as long as the lips move for it (`saying_s`). The same words by
    the same person are the same samples. Raises ConfigError without flite or when it fails.
    """
    choose = random.Random(f"voice of {name}")
    is_woman = name not in CAST or CAST[name].sex < 0.5
    voice = choose.choice(WOMEN if is_woman or is_child else MEN)
    pitch_hz = CHILD_PITCH_HZ if is_child else choose.uniform(*PITCH_HZ[is_woman])
    samples = _spoken(voice, pitch_hz, 1.0, text)
    if len(samples):
        stretch = min(max(saying_s(text) * RATE_HZ / len(samples), LEAST_STRETCH), MOST_STRETCH)
        samples = _spoken(voice, pitch_hz, stretch, text)
    loud = samples[np.abs(samples) > QUIET_SHARE * float(np.abs(samples).max(initial=1.0))]
    level = float(np.sqrt(np.mean(loud**2))) if len(loud) else 1.0
    return samples * np.float32(SPEECH_RMS / level)


def _spoken(voice: str, pitch_hz: float, stretch: float, text: str) -> NDArray[np.float32]:
    """What flite says, without the silence around it; empty for a text without a sound."""
    with tempfile.TemporaryDirectory(prefix="nod-voice-") as folder:
        file = Path(folder) / "sentence.wav"
        settings = (f"int_f0_target_mean={pitch_hz:.0f}", f"duration_stretch={stretch:.3f}")
        words = [word for setting in settings for word in ("--setf", setting)]
        done = subprocess.run(
            [need_flite(), "-voice", voice, *words, "-t", text, "-o", str(file)],
            capture_output=True,
            text=True,
            timeout=SPEAK_TIMEOUT_S,
            check=False,
        )
        if done.returncode or not file.exists():
            raise ConfigError(f"flite could not say {text!r}: {done.stderr.strip() or 'no reason given'}")
        with wave.open(str(file)) as sound:
            rate_hz = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2").astype(np.float32)
    if rate_hz != RATE_HZ:
        raise ConfigError(
            f"flite's voice {voice} has {rate_hz} samples a second, not {RATE_HZ}; update flite"
        )
    heard = np.flatnonzero(np.abs(samples) > QUIET_SHARE * float(np.abs(samples).max(initial=1.0)))
    return samples[heard[0] : heard[-1] + 1] if len(heard) else samples[:0]
