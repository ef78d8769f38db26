"""Landmarks mode against pixels mode: the same verdicts, vision's own rules, and a fit that is up to date.

A short scene in both modes is in test_living_room.
"""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent import app, rehearsal, weights
from agent.config import Config, ModelConfig
from agent.vision import VisionConfig
from drivers.body import rotation, transform
from drivers.camera import lens_for
from drivers.errors import ConfigError
from sim import landmarks, people, sightlines, vision_errors
from sim.landmarks import Instant, Landmarks
from sim.people import Actor
from sim.room import Block, Room, living_room
from sim.stage import Fidelity
from sim.verdict import Verdict

LENS = lens_for(640, 480, 1.1)
WITHOUT_MODEL = Config(model=ModelConfig(enabled=False))
EYE = transform(rotation("z", 0.0), (0.0, 0.0, 1.5))
AHEAD = Actor(name="Anna", position_m=(1.2, 0.1, 1.5), yaw_rad=np.pi, body_yaw_rad=np.pi)


def play(name: str, fidelity: Fidelity) -> Verdict:
    options = app.Options(scenario=name, seed=1, fidelity=fidelity)
    return rehearsal.simulate(WITHOUT_MODEL, options, None, None)


def model(*actors: Actor, seed: int = 1) -> Landmarks:
    instant = Instant(0.0, EYE, actors, 1.0)
    return Landmarks(LENS, lambda _: instant, sightlines.blocks_of(living_room()), seed)


def test_the_fit_is_of_todays_people_and_networks() -> None:
    _, about = vision_errors.load()
    fitted = json.loads(about)
    looks = {
        name: hashlib.sha256(msgspec.json.encode(look)).hexdigest()[:16] for name, look in people.CAST.items()
    }
    assert fitted["looks"] == looks, f"the cast changed: run `{vision_errors.COMMAND}`"
    assert fitted["networks"] == {
        name: weights.WEIGHTS[name].sha256 for name in ("face_detection", "face_landmark")
    }


def test_it_follows_faces_by_visions_rules() -> None:
    config = VisionConfig()
    assert landmarks.DETECT_EVERY == config.detect_every
    assert landmarks.COAST_S == config.coast_s
    assert landmarks.UNCONFIRMED_S == config.unconfirmed_s
    assert landmarks.SAME_FACE == config.same_face
    assert landmarks.MOST_FACES == config.most_faces


def test_somebody_unknown_is_refused_with_the_command() -> None:
    stranger = msgspec.structs.replace(AHEAD, name="Nobody")
    with pytest.raises(ConfigError, match=r"^vision_errors.npz does not know .* Nobody; run `python tools/"):
        model(stranger).see(0.0, 0)


def test_a_face_is_hidden_by_a_nearer_head_and_by_furniture_and_cut_by_the_edge() -> None:
    behind = msgspec.structs.replace(AHEAD, name="Ben", position_m=(2.4, 0.2, 1.5))
    wide = msgspec.structs.replace(AHEAD, name="Jun", position_m=(1.2, 0.735, 1.5))
    view = sightlines.faces_in_view(EYE, LENS, (AHEAD, behind, wide), sightlines.blocks_of(None))
    assert view[0, sightlines.HIDDEN] == 0.0
    assert view[1, sightlines.HIDDEN] > 0.9 and view[1, sightlines.BY] == 0.0
    assert 0.2 < view[2, sightlines.CUT] < 0.8
    board = Block(
        name="board", centre_m=(0.6, 0.05, 1.0), size_m=(0.02, 0.6, 0.98)
    )  # its top: the lower half
    blocks = sightlines.blocks_of(Room(boxes=(board,), table_m=(0.0, 0.0, 0.7)))
    half = sightlines.faces_in_view(EYE, LENS, (AHEAD,), blocks)[0, sightlines.HIDDEN]
    assert 0.2 < half < 0.8


def test_the_same_seed_gives_the_same_faces_and_another_seed_others() -> None:
    def film(seed: int) -> list[tuple[float, ...]]:
        one = model(AHEAD, seed=seed)
        return [
            (face.x_px, face.pitch_rad, face.distance_m, float(face.embedding.sum()))
            for k in range(20)
            for face in one.see(k / 20, k)
            if face.embedding is not None
        ]

    assert film(3) == film(3)
    assert film(3) != film(4)
    assert len(film(3)) > 15


def test_a_dark_room_shows_nobody_and_a_lost_face_comes_back_with_its_number() -> None:
    light = 1.0
    one = Landmarks(LENS, lambda time_s: Instant(time_s, EYE, (AHEAD,), light), sightlines.blocks_of(None), 1)
    first = [one.see(k / 20, k) for k in range(10)][-1]
    light = 0.0002
    assert [one.see(k / 20, k) for k in range(10, 18)] == [()] * 8
    light = 1.0
    again = [one.see(k / 20, k) for k in range(18, 28)][-1]
    assert [face.track for face in first] == [face.track for face in again] == [1]
    light = 0.0002
    for k in range(28, 60):
        assert one.see(k / 20, k) == ()
    light = 1.0
    later = [one.see(k / 20, k) for k in range(60, 70)][-1]
    assert [face.track for face in later] == [2], "gone for longer than vision coasts: a new number"


def test_the_same_seed_gives_the_same_recording(tmp_path: Path) -> None:
    first, second = tmp_path / "first.mcap", tmp_path / "second.mcap"
    for recording in (first, second):
        options = app.Options(seed=7, fidelity="landmarks")
        rehearsal.simulate(WITHOUT_MODEL, options, 2.0, recording)
    assert first.read_bytes() == second.read_bytes()


# Pixels mode takes as long as it simulates: a quarter of an hour over two processes.
@pytest.mark.e2e
def test_both_modes_give_the_same_verdict_on_every_scenario() -> None:
    names = [each.name for each in rehearsal.scenarios() if not each.needs_real_time]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(play, names, ["pixels"] * len(names)))
        modelled = list(pool.map(play, names, ["landmarks"] * len(names)))
    for name, one, other in zip(names, drawn, modelled, strict=True):
        failures = [*one.failures, *other.failures]
        print(
            f"{name:20} held on {one.lock_share:.2f} in pixels, {other.lock_share:.2f} in landmarks {failures}"
        )
    differing = [
        n for n, a, b in zip(names, drawn, modelled, strict=True) if bool(a.failures) != bool(b.failures)
    ]
    assert not differing
    apart = np.array([one.lock_share - other.lock_share for one, other in zip(drawn, modelled, strict=True)])
    assert abs(apart.mean()) < 0.05 and np.abs(apart).mean() < 0.1
