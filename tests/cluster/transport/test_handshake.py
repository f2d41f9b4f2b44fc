"""Two nodes agree from two hellos, alike on both sides, or say why they must not talk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.refusals import Refusal
from lsmkv_cluster.transport.handshake import (
    HELLO,
    REFUSED,
    Agreement,
    Hello,
    RefusalNotice,
    boot_number,
    decode_hello,
    decode_refusal,
    encode_hello,
    encode_refusal,
    hello_frame,
    negotiate,
    refusal_frame,
)
from lsmkv_cluster.transport.wire import FrameDecoder, FrameKind, Lane

CLUSTER = bytes(range(16))
ALICE = Hello(1, 2, Lane.DATA, 3, 2, b"a" * 16, b"A" * 16, boot_number(4, 9), "alice")
BOB = Hello(1, 2, Lane.DATA, 3, 2, b"b" * 16, b"B" * 16, boot_number(1, 7), "bob")

hellos = st.builds(
    lambda low, more, lane, level, above, node_id, incarnation, boot, name: Hello(
        low, min(low + more, 255), lane, level + above, level, node_id, incarnation, boot, name
    ),
    st.integers(1, 255),
    st.integers(0, 9),
    st.sampled_from(Lane),
    st.integers(0, 2**31),
    st.integers(0, 9),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**64 - 1),
    st.text(max_size=16),
)


@given(hellos)
def test_round_trip_and_every_truncation(hello):
    data = encode_hello(hello)
    assert decode_hello(data) == hello
    for wrong in (*(data[:size] for size in range(len(data))), data + b"\0"):
        with pytest.raises(ProtocolError):
            decode_hello(wrong)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_hello_or_refused(data):
    for text in (data, b"\x01" + data, encode_hello(ALICE)[:50] + data):
        try:
            assert encode_hello(decode_hello(text)) == text
        except ProtocolError:
            pass


@pytest.mark.parametrize(
    ("offset", "value", "refusal"),
    [
        (0, 2, Refusal.UNKNOWN_VERSION),
        (1, 0, Refusal.MALFORMED),
        (1, 3, Refusal.MALFORMED),
        (3, 0, Refusal.UNKNOWN_LANE),
        (3, 9, Refusal.UNKNOWN_LANE),
        (8, 4, Refusal.MALFORMED),
        (52, 65, Refusal.MALFORMED),
        (53, 0xFF, Refusal.MALFORMED),
    ],
)
def test_impossible_fields(offset, value, refusal):
    data = bytearray(encode_hello(ALICE))
    data[offset] = value
    with pytest.raises(ProtocolError) as raised:
        decode_hello(bytes(data))
    assert raised.value.refusal is refusal


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ((1, 2), 2),
        ((1, 1), 1),
        ((2, 9), 2),
        ((3, 9), None),
    ],
)
def test_the_highest_common_version(theirs, expected):
    bob = replace(BOB, version_min=theirs[0], version_max=theirs[1])
    for ours, other in ((ALICE, bob), (bob, ALICE)):
        if expected is not None:
            assert negotiate(ours, other) == Agreement(expected, Lane.DATA)
            continue
        with pytest.raises(ProtocolError) as raised:
            negotiate(ours, other)
        assert raised.value.refusal is Refusal.NO_COMMON_VERSION


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"feature_level_max": 1, "feature_level": 1}, Refusal.FEATURE_LEVEL),
        ({"feature_level_max": 4, "feature_level": 4}, Refusal.FEATURE_LEVEL),
        ({"node_id": ALICE.node_id}, Refusal.CLONED_NODE),
        ({"lane": Lane.BULK}, Refusal.WRONG_LANE),
    ],
)
def test_who_must_not_talk(changes, refusal):
    """Both sides see it, and see the same."""
    bob = replace(BOB, **changes)
    for ours, other in ((ALICE, bob), (bob, ALICE)):
        with pytest.raises(ProtocolError) as raised:
            negotiate(ours, other)
        assert raised.value.refusal is refusal


def test_a_newer_node_may_serve_an_older_level():
    """Rolling upgrade: what counts is the level in use, not the level known."""
    bob = replace(BOB, feature_level_max=9)
    assert negotiate(ALICE, bob) == negotiate(bob, ALICE) == Agreement(2, Lane.DATA)


@given(hellos, hellos)
def test_both_sides_decide_alike(ours, theirs):
    outcomes = []
    for pair in ((ours, theirs), (theirs, ours)):
        try:
            outcomes.append(negotiate(*pair))
        except ProtocolError as error:
            outcomes.append(error.refusal)
    assert outcomes[0] == outcomes[1]


def test_frames_of_a_handshake():
    source = FrameDecoder(CLUSTER)
    source.feed(hello_frame(ALICE, CLUSTER, 7))
    error = ProtocolError(Refusal.NO_COMMON_VERSION, "ü" * 150)
    source.feed(refusal_frame(error, Lane.DATA, CLUSTER))
    hello, refusal = source.next_frame(), source.next_frame()
    assert hello is not None
    assert refusal is not None
    assert (hello.kind, hello.lane, hello.epoch) == (FrameKind.HELLO, Lane.DATA, 7)
    [operation] = hello.operations
    assert operation.opcode == HELLO == 0x0101
    assert decode_hello(operation.payload) == ALICE
    assert refusal.kind is FrameKind.REFUSAL
    [operation] = refusal.operations
    assert operation.opcode == REFUSED == 0x0102
    notice = decode_refusal(operation.payload)
    assert notice == RefusalNotice(Refusal.NO_COMMON_VERSION, 1, 1, "ü" * 100)


@given(st.integers(0, 2**16 - 1), st.integers(0, 255), st.text(max_size=50))
def test_refusals_of_any_version_are_read(number, version, message):
    notice = RefusalNotice(number, version, 255, message)
    data = encode_refusal(notice)
    assert decode_refusal(data) == notice
    with pytest.raises(ProtocolError):
        decode_refusal(data + b"\0")


def test_boot_numbers_rise_with_starts():
    assert boot_number(2, 0) > boot_number(1, 2**32 - 1) > boot_number(1, 0)
    for wrong in ((0, 0), (2**32, 0), (1, 2**32), (1, -1)):
        with pytest.raises(ValueError):
            boot_number(*wrong)


def test_refusal_numbers_are_persistent():
    assert [refusal.value for refusal in Refusal] == list(range(1, 18))
