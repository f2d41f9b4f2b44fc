"""Frames decode to what was encoded, however they are cut; what is wrong is refused, and why.

One table of frames drives encoder and decoder. Each is decoded whole, byte by byte, cut off at
every length, followed by other bytes, and with every bit flipped. Layouts and refusals stand as
text in testdata/wire.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.operations import Operation
from lsmkv_cluster.refusals import Refusal
from lsmkv_cluster.transport.wire import (
    FRAME_HEADER_SIZE,
    HANDSHAKE_LIMITS,
    LANE_LIMITS,
    Frame,
    FrameDecoder,
    FrameKind,
    Lane,
    Limits,
    crc32c,
    encode_frame,
)
from tests.support import datadriven

SCRIPTS = datadriven.scripts(Path(__file__).resolve().parents[2] / "testdata" / "wire")
CLUSTER = bytes(range(16))
DEADLINE = 1_800_000_000_000


def request(*operations: Operation, lane: Lane = Lane.DATA, request_id: int = 1) -> Frame:
    return Frame(FrameKind.REQUEST, lane, CLUSTER, operations, 7, DEADLINE, request_id=request_id)


FRAMES = [
    request(Operation(0x0301, b"kv")),
    request(Operation(0xFFFF, b"", 0xFF, 0xFF), request_id=2**64 - 1),
    request(*(Operation(0x0301 + i, bytes([i]) * i) for i in range(20))),
    Frame(FrameKind.RESPONSE, Lane.DATA, CLUSTER, (Operation(0x0301, b"", 0, 2),), 2**64 - 1),
    Frame(FrameKind.REFUSAL, Lane.CONTROL, CLUSTER, (Operation(0x0102, b"why"),)),
]


def decoder(lane: Lane = Lane.DATA, limits: Limits | None = None) -> FrameDecoder:
    made = FrameDecoder(CLUSTER)
    made.admit(lane, limits)
    return made


def drain(source: FrameDecoder) -> list[Frame]:
    found = []
    while (frame := source.next_frame()) is not None:
        found.append(frame)
    return found


def decode(data: bytes, step: int | None = None, source: FrameDecoder | None = None) -> list[Frame]:
    """All frames of a stream, fed `step` bytes at a time."""
    source = source or decoder()
    found: list[Frame] = []
    step = step or max(1, len(data))
    for start in range(0, len(data), step):
        source.feed(data[start : start + step])
        found += drain(source)
    source.end()
    return found


def refusal_of(data: bytes, source: FrameDecoder | None = None) -> Refusal:
    """Why the stream is refused: the same whole and byte by byte."""
    reasons = []
    for step in (None, 1):
        with pytest.raises(ProtocolError) as raised:
            decode(data, step, source)
        reasons.append(raised.value.refusal)
        if source is not None:
            break
    assert len(set(reasons)) == 1
    return reasons[0]


# --- the table, five ways ------------------------------------------------------------------------


@pytest.mark.parametrize("frame", FRAMES)
def test_whole_and_byte_by_byte(frame):
    data = encode_frame(frame)
    assert decode(data) == [frame]
    assert decode(data, 1) == [frame]
    assert decode(data * 3, 7) == [frame] * 3


@pytest.mark.parametrize("frame", FRAMES)
def test_truncated_at_every_length(frame):
    """A cut is no frame and, at the end of the stream, a refusal."""
    data = encode_frame(frame)
    for size in range(1, len(data)):
        source = decoder()
        source.feed(data[:size])
        assert source.next_frame() is None
        with pytest.raises(ProtocolError) as raised:
            source.end()
        assert raised.value.refusal is Refusal.TRUNCATED
        source.feed(data[size:])
        assert source.next_frame() == frame
        source.end()


@pytest.mark.parametrize("frame", FRAMES)
def test_trailing_bytes(frame):
    """The frame comes out; what follows is refused at its first byte, or waited for."""
    data = encode_frame(frame)
    source = decoder()
    source.feed(data + b"HTTP/1.1")
    assert source.next_frame() == frame
    with pytest.raises(ProtocolError, match="not a frame"):
        source.next_frame()
    source = decoder()
    source.feed(data + b"LSM")
    assert source.next_frame() == frame
    assert source.next_frame() is None
    assert source.held_bytes == 3


@pytest.mark.parametrize("frame", FRAMES)
def test_every_flipped_bit_is_refused(frame):
    data = encode_frame(frame)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        expected = {Refusal.DAMAGED}
        if bit < 32:
            expected = {Refusal.NOT_A_FRAME}
        elif bit < 40:
            expected = {Refusal.UNKNOWN_VERSION}
        assert refusal_of(bytes(damaged)) in expected, bit


frames = st.builds(
    Frame,
    st.sampled_from([FrameKind.REQUEST, FrameKind.RESPONSE]),
    st.just(Lane.DATA),
    st.just(CLUSTER),
    st.lists(
        st.builds(
            Operation,
            st.integers(0, 2**16 - 1),
            st.binary(max_size=100),
            st.integers(0, 255),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=10,
    ).map(tuple),
    st.integers(0, 2**64 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)


@given(st.lists(frames, max_size=5), st.integers(1, 200))
def test_round_trip_in_any_pieces(wanted, step):
    assert decode(b"".join(map(encode_frame, wanted)), step) == wanted


@given(st.binary(max_size=300), st.integers(0, 5))
def test_any_bytes_give_frames_or_a_refusal(data, prefix):
    beginning = encode_frame(FRAMES[0])[: [0, 4, 5, 16, 63, 64][prefix]]
    try:
        assert decode(beginning + data) == []
    except ProtocolError as error:
        assert error.refusal in Refusal


# --- limits --------------------------------------------------------------------------------------


def test_limits_are_checked_before_the_body_is_there():
    """The header alone decides: nothing is waited for, nothing allocated."""
    limits = Limits(body_size_max=100, operation_count_max=3)
    good = request(Operation(0x0301, bytes(92)))
    assert decode(encode_frame(good), source=decoder(limits=limits)) == [good]
    for frame in (
        request(Operation(0x0301, bytes(93))),
        request(*[Operation(0x0301)] * 4),
    ):
        header = encode_frame(frame)[:FRAME_HEADER_SIZE]
        assert refusal_of(header, decoder(limits=limits)) is Refusal.TOO_LARGE


@pytest.mark.parametrize("lane", Lane)
def test_an_encoder_keeps_the_limits_of_its_lane(lane):
    limits = LANE_LIMITS[lane]
    largest = request(Operation(0x0301, bytes(limits.body_size_max - 8)), lane=lane)
    assert decode(encode_frame(largest), source=decoder(lane)) == [largest]
    for frame in (
        request(Operation(0x0301, bytes(limits.body_size_max - 7)), lane=lane),
        request(*[Operation(0x0301)] * (limits.operation_count_max + 1), lane=lane),
        request(lane=lane),
    ):
        with pytest.raises(ValueError, match="a frame of"):
            encode_frame(frame)


@pytest.mark.parametrize(
    "changes", [{"cluster_id": b"short"}, {"epoch": 2**64}, {"deadline_ms": 0}, {"epoch": -1}]
)
def test_what_cannot_be_encoded_is_our_mistake(changes):
    fields = {"epoch": 1, "deadline_ms": DEADLINE, "cluster_id": CLUSTER} | changes
    frame = Frame(FrameKind.REQUEST, Lane.DATA, operations=(Operation(1),), **fields)
    with pytest.raises(ValueError):
        encode_frame(frame)


def test_the_decoder_never_holds_more_than_a_frame_and_a_feed():
    """Consumed bytes go: ten thousand frames in a row leave nothing behind."""
    data = encode_frame(FRAMES[2])
    source = decoder()
    for _ in range(10_000):
        source.feed(data)
        assert source.next_frame() == FRAMES[2]
        assert source.next_frame() is None
        assert source.held_bytes == 0
    assert len(source._buffer) <= len(data)


def test_a_frame_in_tiny_pieces_costs_a_constant_per_piece():
    """No byte of a waiting body is looked at again: what each feed adds is all that moves."""
    data = encode_frame(request(Operation(0x0301, bytes(50_000))))
    source = decoder()
    for byte in data[:-1]:
        source.feed(bytes([byte]))
        position = source._position
        assert source.next_frame() is None
        assert source._position in (position, FRAME_HEADER_SIZE)
    source.feed(data[-1:])
    assert len(drain(source)) == 1


# --- order ---------------------------------------------------------------------------------------


def test_only_hello_and_refusal_come_before_the_handshake():
    hello = Frame(FrameKind.HELLO, Lane.BULK, CLUSTER, (Operation(0x0101, b"hello"),))
    refusal = FRAMES[-1]
    assert decode(encode_frame(hello), source=FrameDecoder(CLUSTER)) == [hello]
    assert decode(encode_frame(refusal), source=FrameDecoder(CLUSTER)) == [refusal]
    assert refusal_of(encode_frame(FRAMES[0]), FrameDecoder(CLUSTER)) is Refusal.NO_HANDSHAKE
    assert refusal_of(encode_frame(hello), decoder()) is Refusal.MALFORMED
    large = Frame(FrameKind.HELLO, Lane.DATA, CLUSTER, (Operation(0x0101, bytes(4089)),))
    assert refusal_of(encode_frame(large), FrameDecoder(CLUSTER)) is Refusal.TOO_LARGE
    with pytest.raises(ValueError):
        encode_frame(large, HANDSHAKE_LIMITS)


def test_the_handshake_opens_the_frames_that_came_with_it():
    """What was fed together with the hello is judged by what admit allowed."""
    hello = Frame(FrameKind.HELLO, Lane.DATA, CLUSTER, (Operation(0x0101, b"hello"),))
    source = FrameDecoder(CLUSTER)
    source.feed(encode_frame(hello) + encode_frame(FRAMES[0]))
    assert source.next_frame() == hello
    source.admit(Lane.DATA)
    assert source.next_frame() == FRAMES[0]


def test_a_connection_has_one_lane_and_one_cluster():
    assert refusal_of(encode_frame(FRAMES[0]), decoder(Lane.BULK)) is Refusal.WRONG_LANE
    other = Frame(FrameKind.RESPONSE, Lane.DATA, bytes(16), (Operation(1),))
    assert refusal_of(encode_frame(other)) is Refusal.WRONG_CLUSTER


def test_frames_before_an_error_come_out_and_nothing_after_it():
    source = decoder()
    source.feed(encode_frame(FRAMES[0]) + b"x" + encode_frame(FRAMES[1]))
    assert source.next_frame() == FRAMES[0]
    for call in (source.next_frame, source.next_frame, source.end, lambda: source.feed(b"LSMF")):
        with pytest.raises(ProtocolError) as raised:
            call()
        assert raised.value.refusal is Refusal.NOT_A_FRAME
    assert source.held_bytes == 0


# --- scripts -------------------------------------------------------------------------------------


def sealed(data: bytearray) -> bytes:
    """With both checksums as an encoder would set them, so that the fields alone are judged."""
    body = bytes(data[FRAME_HEADER_SIZE:])
    data[56:60] = crc32c(body).to_bytes(4, "little")
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    return bytes(data)


def shown(frame: Frame) -> str:
    head = f"{frame.kind.name} {frame.lane.name} epoch={frame.epoch} deadline={frame.deadline_ms}"
    lines = [f"{head} id={frame.request_id}"]
    for number, operation in enumerate(frame.operations):
        fields = f"flags={operation.flags} status={operation.status}"
        lines.append(f"  {number}: 0x{operation.opcode:04x} {fields} {operation.payload.hex()}")
    return "\n".join(lines)


def run_case(case: datadriven.Case) -> str:
    """`frame`, with seal: hexadecimal bytes, comments after #, are decoded on lane= (or first)."""
    text = "".join(re.sub(r"#.*", "", line) for line in case.input)
    data = bytearray.fromhex(text)
    stream = sealed(data) if "seal" in case.arguments else bytes(data)
    source = FrameDecoder(CLUSTER)
    if "lane" in case.options:
        source.admit(Lane[case.options["lane"].upper()])
    source.feed(stream)
    lines = []
    try:
        lines += [shown(frame) for frame in drain(source)]
        source.end()
    except ProtocolError as error:
        lines.append(f"{error.refusal.name}: {error.message}")
    return "\n".join(lines)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts(path, rewrite):
    datadriven.run_script(path, run_case, rewrite)
