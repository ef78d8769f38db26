"""What recording costs: the tick's time, and the disk."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from agent import events, rehearsal
from agent.app import Options
from agent.config import Config, ModelConfig
from agent.events import Bus
from agent.figures import Figure
from agent.glance import CallGlance, Glance
from agent.motion import PERIOD_S
from agent.record import Recorder
from agent.record_files import Row
from drivers.camera import Frame, lens_for

DAY_S = 86_400.0
TICKS_A_BLOCK = 200  # two seconds with the recorder, two without, and so on
TICKS_BETWEEN = 50  # not counted: what was noted down before is still being written
FRAME_EVERY = 3  # ticks: 33 frames a second from both cameras
KEEP_BYTES = 1_000_000_000


def measure(*, quick: bool) -> list[Figure]:
    """All of them; about two minutes, or half of one."""
    taps_ms, added_ms, n = asyncio.run(_tick_cost(4 if quick else 15))
    bytes_s = _rate(10.0 if quick else 30.0)
    return [
        Figure(name="record_tick_cost_p99_ms", value=taps_ms, unit="ms", n=n),
        Figure(name="record_tick_late_added_p99_ms", value=added_ms, unit="ms", n=n),
        Figure(name="disk_gb_day", value=bytes_s * DAY_S / 1e9, unit="GB", n=1),
    ]


async def _tick_cost(blocks: int) -> tuple[float, float, int]:
    """The 99th percentile of what a tick's messages cost more with a recorder than without, and how much later
    ticks are while it writes. Both kinds of tick alternate, so that a busy machine is the same to both.
    """
    loop = asyncio.get_running_loop()
    costs_s: dict[bool, list[float]] = {True: [], False: []}
    late_s: dict[bool, list[float]] = {True: [], False: []}
    messages = _Messages()
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        with Recorder(Row(Path(folder), "20000101T000000Z", KEEP_BYTES), has_thread=True) as recorder:
            buses = {False: Bus(), True: Bus()}
            recorder.listen(buses[True])
            for block in range(2 * blocks):
                is_recorded = bool(block % 2)
                start_s = loop.time()
                for tick in range(TICKS_A_BLOCK):
                    due_s = start_s + tick * PERIOD_S
                    await asyncio.sleep(due_s - loop.time())
                    late = loop.time() - due_s
                    began_s = perf_counter()
                    messages.put(buses[is_recorded], tick, due_s)
                    if tick >= TICKS_BETWEEN:
                        costs_s[is_recorded].append(perf_counter() - began_s)
                        late_s[is_recorded].append(late)
    plain_s = float(np.median(costs_s[False]))
    added_s = np.percentile(late_s[True], 99) - np.percentile(late_s[False], 99)
    taps_s = np.percentile(costs_s[True], 99) - plain_s
    return 1e3 * float(taps_s), 1e3 * float(added_s), len(costs_s[True])


class _Messages:
    """What a robot with five people before it puts on its bus in one tick."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        pose = events.HeadPose(pitch_rad=0.12345, yaw_rad=-0.23456, roll_rad=0.01234)
        self._faces = tuple(
            events.Face(
                track=track,
                box=events.Box(100.25 * track, 200.5, 60.75, 80.25),
                score=0.9876,
                landmarks=rng.random((468, 3)).astype(np.float32),
                pose=pose,
                distance_m=1.2345,
                embedding=rng.normal(0.0, 0.1, 128).astype(np.float32) if track == 1 else None,
            )
            for track in range(1, 6)
        )
        self._images = [rng.integers(0, 255, (480, 640, 3), np.uint8) for _ in range(8)]
        self._nod = events.NodSignal(time_s=0.0, pose=pose, confidence=1.0)
        self._lens = lens_for(640, 480)

    def put(self, bus: Bus, tick: int, time_s: float) -> None:
        angles_rad = (0.1, 0.2, 0.3, 0.4)
        bus.set_point.put(
            events.SetPoint(time_s=time_s, position_rad=angles_rad, velocity_rad_s=angles_rad), time_s
        )
        bus.pose.put(events.Pose(time_s=time_s, position_rad=angles_rad), time_s)
        if tick % FRAME_EVERY:
            return
        count = tick // FRAME_EVERY
        frame = Frame(image=self._images[count % len(self._images)], time_s=time_s, index=count)
        sight = events.Sight(time_s=time_s, frame=count, faces=self._faces)
        bus.frames.put(frame, time_s)
        bus.call_frames.put(frame, time_s)
        bus.glance.put(
            Glance(time_s=time_s, count=count, dt_s=0.03, angles_rad=angles_rad, lens=self._lens), time_s
        )
        bus.sight.put(sight, time_s)
        bus.lock.put(events.Lock(phase="locked", face=0, reason="sure of the nearest person"), time_s)
        bus.aim.put(events.Aim(time_s=time_s, point_m=(1.0, 0.2, 0.3)), time_s)
        bus.call_glance.put(CallGlance(time_s=time_s, count=count, dt_s=0.03), time_s)
        bus.call_sight.put(msgspec.structs.replace(sight, faces=self._faces[1:2]), time_s)
        bus.nod.put(self._nod, time_s)


class _Tape:
    """A witness who records what the robot itself would record; not the truth, which a house does not know."""

    def __init__(self, file: Path, stack: contextlib.ExitStack) -> None:
        self._file = file
        self._stack = stack

    def begin(self, played: rehearsal.Rehearsal) -> None:
        recorder = self._stack.enter_context(Recorder(self._file, played.app.origin()))
        recorder.listen(played.app.bus)

    def see(self, truth: rehearsal.Truth) -> None:
        """Nothing of it is recorded."""


def _rate(seconds: float) -> float:
    """Bytes a second that a recording takes at defaults, five people before the robot's two cameras."""
    config = Config(model=ModelConfig(enabled=False))
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as folder:
        file = Path(folder) / "x.mcap"
        with contextlib.ExitStack() as stack:
            rehearsal.simulate(config, Options(seed=7), seconds, None, witnesses=(_Tape(file, stack),))
        return file.stat().st_size / seconds
