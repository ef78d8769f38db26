"""Frames, against literal bytes that the firmware's own encoder has to give too."""

import ctypes

import pytest

from drivers import messages, wire
from sim.board import load_library

VECTORS: tuple[tuple[messages.Message, int, int, str], ...] = (
    (messages.Detach(), 1, 0, "030401036d2300"),
    (messages.Stop(token=1), 0, 0, "02200102010101038ce900"),
    (messages.Hello(table_hash=0x01020304, session=0xBEEF), 0, 0, "0201010904030201efbee38700"),
    (messages.Pong(number=7, time_us=0xFFFFFFFF), 0, 9, "025103090707ffffffff348500"),
    (
        messages.SetPoint(
            time_us=0x80000000,
            position_urad=(-1, 1, -1400000, 700000),
            velocity_mrad_s=(-1, 0, 3000, -3000),
            previous_time_us=0x7FFFD8F0,
            previous_position_urad=(0, 0, -1399999, 699999),
            previous_velocity_mrad_s=(0, 0, 2999, -2999),
        ),
        0,
        0,
        "0210010101010680ffffff01010940a3ea60ae0affff0109b80b48f4f0d8ff7f01010101010741a3ea5fae0a"
        "01010107b70b49f4b90100",
    ),
)


@pytest.mark.parametrize(("message", "sequence", "ack", "text"), VECTORS)
def test_python_writes_and_reads_the_literal_bytes(
    message: messages.Message, sequence: int, ack: int, text: str
) -> None:
    data = bytes.fromhex(text)
    assert wire.encode(message, sequence, ack) == data
    assert wire.Decoder().feed(data) == [wire.Frame(message=message, sequence=sequence, ack=ack)]


@pytest.mark.parametrize(("message", "sequence", "ack", "text"), VECTORS)
def test_the_firmware_writes_the_literal_bytes(
    message: messages.Message, sequence: int, ack: int, text: str
) -> None:
    out = ctypes.create_string_buffer(64)
    body = message.pack()
    size = load_library().nod_encode(message.TYPE, sequence, ack, body, len(body), out)
    assert out.raw[:size] == bytes.fromhex(text)


def test_checksum_is_the_published_one() -> None:
    assert wire.checksum(b"123456789") == 0x29B1


def test_one_byte_at_a_time_gives_the_same_frames() -> None:
    data = b"".join(wire.encode(message, sequence, ack) for message, sequence, ack, _ in VECTORS)
    whole, slow = wire.Decoder(), wire.Decoder()
    frames = [frame for at in range(len(data)) for frame in slow.feed(data[at : at + 1])]
    assert frames == whole.feed(data)
    assert [frame.message for frame in frames] == [message for message, *_ in VECTORS]
    assert slow.errors == whole.errors == 0


def test_every_single_bit_error_is_noticed() -> None:
    data = wire.encode(messages.Stop(token=0xCAFE), 3, 4)
    for bit in range(8 * (len(data) - 1)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        decoder = wire.Decoder()
        assert decoder.feed(bytes(bad)) == []
        assert decoder.errors >= 1


def test_noise_and_overlong_input_cost_only_themselves() -> None:
    decoder = wire.Decoder()
    good = wire.encode(messages.Ping(number=1))
    assert decoder.feed(b"\xff" * 10_000) == []
    assert decoder.feed(b"\0" + good + b"\x01\x02\0" + good) == 2 * wire.Decoder().feed(good)
    assert decoder.errors == 2


@pytest.mark.parametrize("body", [b"", b"\x01\x02\x03", b"\x01\x02\x03\x04\x05"])
def test_a_body_of_the_wrong_length_is_thrown_away(body: bytes) -> None:
    plain = bytes((messages.Stop.TYPE, 0, 0)) + body
    plain += wire.checksum(plain).to_bytes(2, "little")
    coded = b"".join(bytes((len(part) + 1,)) + part for part in plain.split(b"\0")) + b"\0"
    decoder = wire.Decoder()
    assert decoder.feed(coded) == []
    assert decoder.errors == 1


def test_negative_numbers_of_three_bytes_survive() -> None:
    for urad in (-(1 << 23), -65536, -65535, -256, -1, 0, 255, 65536, (1 << 23) - 1):
        status = messages.Status(
            time_us=0,
            session=1,
            state=0,
            last_reason=0,
            position_urad=(urad, 0, urad, -urad // 2),
            stop_token=0,
            accepted=0,
            refused=0,
            rx_errors=0,
            underruns=0,
            is_stop_line_open=0,
            reset_cause=0,
        )
        assert messages.Status.unpack(status.pack()) == status
