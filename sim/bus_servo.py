"""Bus servos without servos: a pseudo-terminal whose far side answers as they do, and joints that move as theirs.

Each servo plans its own way to its goal under the speed and acceleration in its registers. There is no load, no
gravity and no lag of the motor behind that plan, unless `sag_steps` says that a load pulls. A thread serves the
line in real time; what a test does to the servos takes effect between two packets.
"""

import enum
import math
import os
import random
import select
import threading
import tty
from collections.abc import Callable

import msgspec

from drivers.body import Joint
from drivers.servo_registers import ALERT_BIT, STEPS, STS3215, XL330, Kind, Register, fitting_of
from sim.bus_packets import BROADCAST, DynamixelWire, FeetechWire, Ping, Read, Request, Strange, Wire, Write

STEP_S = 0.001
SAMPLE_S = 0.002
POLL_S = 0.002
QUIET_S = 0.005  # after which half a packet is forgotten; a byte takes 10 µs
WATCHDOG_UNIT_S = 0.02
WATCHDOG_FIRED = 0xFF
ACCESS_ERROR = 7  # of an XL330: this register cannot be written now
TABLE_BYTES = 256
OVERLOAD_BIT = 5


class Fault(enum.Enum):
    """What can be wrong with a servo."""

    MISSING = enum.auto()  # does not answer, does not move
    BABBLING = enum.auto()  # answers with noise


class Sample(msgspec.Struct, frozen=True):
    """Where the joints truly are, in steps, at a loop time."""

    time_s: float
    steps: tuple[int, ...]


class Servo:
    """One servo: its registers and the joint on it."""

    def __init__(self, kind: Kind, id_: int, steps: int, now_s: float) -> None:
        self.kind = kind
        self.id = id_
        self.sag_steps = 0
        self.fault: Fault | None = None
        self.kept_writes = 0  # how often its lasting memory was worn
        self._table = bytearray(TABLE_BYTES)
        self._position = float(steps)
        self._speed = 0.0
        self._time_s = now_s
        self._heard_s = now_s
        self.put(Register.MODEL, kind.models[-1])
        self.put(Register.LOW_POSITION, 0)
        self.put(Register.HIGH_POSITION, STEPS - 1)
        self.put(Register.GOAL, steps)
        self.put(Register.TORQUE_LIMIT, kind.full_torque)
        if kind is XL330:
            self.put(Register.RETURN_DELAY, 250)
            self.put(Register.MODE, 3)
        else:
            self.put(Register.LOCK, 1)
            self.put(Register.TOP_ACCELERATION, 50)

    @property
    def steps(self) -> int:
        """Where the joint is."""
        return round(self._position) - (self.sag_steps if self.get(Register.TORQUE_ON) else 0)

    def get(self, register: Register) -> int:
        """A register's number."""
        place = self.kind.table[register]
        return self.kind.number(register, bytes(self._table[place.address : place.address + place.size]))

    def put(self, register: Register, value: int) -> None:
        """Set a register from inside."""
        place = self.kind.table[register]
        self._table[place.address : place.address + place.size] = self.kind.bytes_of(register, value)

    def overload(self) -> None:
        """What a blocked joint ends in: an alarm, and the torque gone."""
        self.put(Register.ERRORS, 1 << OVERLOAD_BIT)
        self.put(Register.TORQUE_ON, 0)

    @property
    def error(self) -> int:
        """What stands in every answer."""
        errors = self.get(Register.ERRORS)
        return errors if self.kind is STS3215 else (1 << ALERT_BIT if errors else 0)

    def read(self, address: int, size: int) -> bytes:
        """Registers as the host sees them."""
        self.put(Register.PRESENT, max(self.steps, 0))
        return bytes(self._table[address : address + size])

    def write(self, address: int, data: bytes) -> int:
        """Registers from the host; the error it is answered with."""
        places = [
            (register, place)
            for register, place in self.kind.table.items()
            if address <= place.address and place.address + place.size <= address + len(data)
        ]
        if not self._may_write({register for register, _ in places}):
            return ACCESS_ERROR if self.kind is XL330 else 0
        self.kept_writes += any(place.is_kept for _, place in places)
        before = self.get(Register.GOAL)
        self._table[address : address + len(data)] = data
        low, high = self.get(Register.LOW_POSITION), self.get(Register.HIGH_POSITION)
        if not low <= self.get(Register.GOAL) <= high:
            self.put(Register.GOAL, before)
        if self.kind is STS3215 and any(register is Register.GOAL for register, _ in places):
            self.put(Register.TORQUE_ON, 1)  # as its firmware does
        return 0

    def hear(self, now_s: float) -> None:
        """A packet came by; the watchdog counts from here."""
        self._heard_s = now_s

    def advance(self, now_s: float) -> None:
        """Move up to a time."""
        while self._time_s + STEP_S <= now_s:
            self._time_s += STEP_S
            self._watch()
            self._move()

    def _may_write(self, registers: set[Register]) -> bool:
        kept = any(self.kind.table[register].is_kept for register in registers)
        if self.kind is XL330:
            is_fired = self.get(Register.WATCHDOG) == WATCHDOG_FIRED
            is_goal = bool(registers & {Register.GOAL, Register.VELOCITY, Register.ACCELERATION})
            return not (kept and self.get(Register.TORQUE_ON)) and not (is_fired and is_goal)
        return not kept or not self.get(Register.LOCK)

    def _watch(self) -> None:
        """The watchdog, where there is one: silence stops the joint where it is."""
        if not self.kind.watchdog:
            return
        limit = self.get(Register.WATCHDOG)
        if limit not in (0, WATCHDOG_FIRED) and self._time_s - self._heard_s > limit * WATCHDOG_UNIT_S:
            self.put(Register.WATCHDOG, WATCHDOG_FIRED)
            self.put(Register.GOAL, round(self._position))

    def _move(self) -> None:
        if not self.get(Register.TORQUE_ON):
            self._speed = 0.0
            return
        gap = self.get(Register.GOAL) - self._position
        unit = 2 * math.pi / STEPS
        fastest = self.get(Register.VELOCITY) * self.kind.velocity_rad_s / unit or math.inf
        steepest = self.get(Register.ACCELERATION) * self.kind.acceleration_rad_s2 / unit or 1e6
        # Speeds that can still be braked before the goal, one step of time ahead.
        wanted = math.copysign(min(math.sqrt(2 * steepest * abs(gap)), fastest, abs(gap) / STEP_S), gap)
        change = steepest * STEP_S
        self._speed += min(max(wanted - self._speed, -change), change)
        self._position += self._speed * STEP_S


class ServoBus:
    """A line with a servo for every joint. `port` is what a driver opens; it changes when the cable is put back."""

    def __init__(
        self,
        joints: tuple[Joint, ...],
        now: Callable[[], float],
        *,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        """`loss` is the share of bytes, in both directions, that are lost or changed."""
        self.loss = loss
        self.port = ""
        self._fittings = tuple(fitting_of(joint) for joint in joints)
        self._kind = self._fittings[0].kind
        self._now = now
        self.servos = tuple(
            Servo(self._kind, fitting.id, fitting.steps(joint.rest_rad), now())
            for fitting, joint in zip(self._fittings, joints, strict=True)
        )
        self._chance = random.Random(seed)
        self._wire: Wire = FeetechWire() if self._kind is STS3215 else DynamixelWire()
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._near, self._far = -1, -1
        self._is_ending = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> "ServoBus":
        self.plug()
        self._thread = threading.Thread(target=self._serve, name="simulated servos", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._is_ending.set()
        if self._thread is not None:
            self._thread.join()
        self.cut()

    @property
    def angles_rad(self) -> tuple[float, ...]:
        """Where the joints truly are."""
        return tuple(
            fitting.radians(servo.steps) for fitting, servo in zip(self._fittings, self.servos, strict=True)
        )

    def samples(self) -> list[Sample]:
        """Where the joints were since the last call, every 2 ms or when the thread comes round."""
        with self._lock:
            samples, self._samples = self._samples, []
        return samples

    def cut(self) -> None:
        """Pull the cable: the port is gone, the servos stay powered."""
        with self._lock:
            for end in (self._near, self._far):
                if end >= 0:
                    os.close(end)
            self._near = self._far = -1

    def plug(self) -> None:
        """Put the cable in; the port has another name each time."""
        with self._lock:
            self._near, self._far = os.openpty()
            tty.setraw(self._far)
            os.set_blocking(self._near, False)
            self.port = os.ttyname(self._far)

    def _serve(self) -> None:
        quiet_since_s = sampled_s = self._now()
        while not self._is_ending.is_set():
            self._await_bytes()
            with self._lock:
                now_s = self._now()
                for servo in self.servos:
                    servo.advance(now_s)
                if now_s - sampled_s >= SAMPLE_S:
                    sampled_s = now_s
                    self._samples.append(Sample(now_s, tuple(servo.steps for servo in self.servos)))
                data = self._receive()
                if data:
                    quiet_since_s = now_s
                    for request in self._wire.feed(self._spoil(data)):
                        self._send(self._spoil(self._carry_out(request, now_s)))
                elif now_s - quiet_since_s > QUIET_S:
                    self._wire.forget()

    def _await_bytes(self) -> None:
        try:
            select.select([self._near], [], [], POLL_S)
        except (OSError, ValueError):  # the cable is out
            self._is_ending.wait(POLL_S)

    def _receive(self) -> bytes:
        try:
            return os.read(self._near, 4096) if self._near >= 0 else b""
        except OSError:
            return b""

    def _send(self, data: bytes) -> None:
        if data and self._near >= 0:
            try:
                os.write(self._near, data)
            except BlockingIOError:
                return  # nobody reads

    def _spoil(self, data: bytes) -> bytes:
        """Lose or change some bytes."""
        if not self.loss:
            return data
        spoiled = bytearray()
        for byte in data:
            if self._chance.random() >= self.loss:
                spoiled.append(byte)
            elif self._chance.random() < 0.5:
                spoiled.append(byte ^ 1 << self._chance.randrange(8))
        return bytes(spoiled)

    def _carry_out(self, request: Request, now_s: float) -> bytes:
        for servo in self.servos:
            servo.hear(now_s)
        wire = self._wire
        match request:
            case Ping(id_):
                model = self._kind.table[Register.MODEL]
                return b"".join(
                    wire.answer(
                        s.id, s.error, b"" if s.kind is STS3215 else s.read(model.address, 2) + b"\x34"
                    )
                    for s in self._called(id_)
                )
            case Read(ids, address, size):
                parts = []
                for id_ in ids:
                    called = self._called(id_)
                    if not called:
                        break  # each waits for the answer of the one before it
                    servo = called[0]
                    parts.append(
                        self._say(servo, wire.answer(servo.id, servo.error, servo.read(address, size)))
                    )
                return b"".join(parts)
            case Write(id_, address, data, is_answered):
                answers = [
                    wire.answer(servo.id, servo.error | servo.write(address, data))
                    for servo in self._called(id_)
                ]
                return b"".join(answers) if is_answered else b""
            case Strange(id_):
                return b"".join(
                    wire.answer(s.id, s.error | wire.strange_error)
                    for s in self._called(id_)
                    if id_ != BROADCAST
                )

    def _called(self, id_: int) -> list[Servo]:
        return [
            servo
            for servo in self.servos
            if id_ in (servo.id, BROADCAST) and servo.fault is not Fault.MISSING
        ]

    def _say(self, servo: Servo, answer: bytes) -> bytes:
        return self._chance.randbytes(len(answer)) if servo.fault is Fault.BABBLING else answer
