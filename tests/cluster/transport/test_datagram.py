"""A datagram opens only as it was sealed, by who has the key, in its own cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.operations import Operation
from lsmkv_cluster.refusals import Refusal
from lsmkv_cluster.transport.datagram import (
    DATAGRAM_SIZE_MAX,
    MAC_SIZE,
    OPERATIONS_SIZE_MAX,
    Datagram,
    DatagramOpener,
    DatagramSealer,
    _mac,
)

KEY, NEW_KEY = b"k" * 32, b"n" * 32
CLUSTER, NODE = bytes(range(16)), b"n" * 16
BOOT = 1 << 32 | 5
PING = (Operation(0x0201, b"ping"),)


def sealer(key: bytes = KEY) -> DatagramSealer:
    return DatagramSealer(key, CLUSTER, NODE, BOOT)


def refusal_of(data: bytes) -> Refusal:
    with pytest.raises(ProtocolError) as raised:
        DatagramOpener([KEY], CLUSTER).open(data)
    return raised.value.refusal


def resealed(data: bytes) -> bytes:
    """What somebody who has the key could send."""
    return data + _mac(KEY, data)


@given(
    st.lists(
        st.builds(
            Operation, st.integers(0, 2**16 - 1), st.binary(max_size=100), st.just(0), st.just(0)
        ),
        min_size=1,
        max_size=10,
    )
)
def test_round_trip(operations):
    source = sealer()
    for sequence in (1, 2, 3):
        data = source.seal(operations)
        assert len(data) <= DATAGRAM_SIZE_MAX
        found = DatagramOpener([KEY], CLUSTER).open(data)
        assert found == Datagram(NODE, BOOT, sequence, tuple(operations))


def test_every_flipped_bit_is_refused():
    data = sealer().seal(PING)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        expected = Refusal.UNAUTHENTIC
        if bit < 32:
            expected = Refusal.NOT_A_FRAME
        elif bit < 40:
            expected = Refusal.UNKNOWN_VERSION
        elif 64 <= bit < 192:
            expected = Refusal.WRONG_CLUSTER
        assert refusal_of(bytes(damaged)) is expected, bit


def test_every_truncation_and_trailing_bytes_are_refused():
    data = sealer().seal(PING)
    for size in range(len(data)):
        refusal = refusal_of(data[:size])
        assert refusal in (Refusal.NOT_A_FRAME, Refusal.TRUNCATED, Refusal.UNAUTHENTIC)
    assert refusal_of(data + b"\0") is Refusal.UNAUTHENTIC
    assert refusal_of(data + bytes(DATAGRAM_SIZE_MAX)) is Refusal.TOO_LARGE


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    for text in (data, b"LSMD\x01\x00\x01\x00" + CLUSTER + data):
        assert refusal_of(text) in Refusal


def test_another_key_is_refused_until_it_is_known():
    """Keys are replaced one node at a time: all accept both before the first seals with the new."""
    data = sealer(NEW_KEY).seal(PING)
    assert refusal_of(data) is Refusal.UNAUTHENTIC
    for keys in ([KEY, NEW_KEY], [NEW_KEY, KEY], [NEW_KEY]):
        assert DatagramOpener(keys, CLUSTER).open(data).operations == PING


@pytest.mark.parametrize(
    ("offset", "value", "refusal"),
    [
        (5, 1, Refusal.UNKNOWN_FLAGS),
        (6, 0, Refusal.MALFORMED),
        (6, 2, Refusal.MALFORMED),
        (48, 0, Refusal.MALFORMED),
        (60, 200, Refusal.MALFORMED),
    ],
)
def test_impossible_fields_under_a_right_mac(offset, value, refusal):
    data = bytearray(sealer().seal(PING)[:-MAC_SIZE])
    data[offset] = value
    assert refusal_of(resealed(bytes(data))) is refusal


def test_the_limit_is_the_whole_datagram():
    largest = Operation(1, bytes(OPERATIONS_SIZE_MAX - 8))
    data = sealer().seal([largest])
    assert len(data) == DATAGRAM_SIZE_MAX == 1200
    assert DatagramOpener([KEY], CLUSTER).open(data).operations == (largest,)
    for operations in ([Operation(1, bytes(OPERATIONS_SIZE_MAX - 7))], []):
        with pytest.raises(ValueError, match="in a datagram"):
            sealer().seal(operations)


def test_arguments():
    for key in (b"", bytes(15), bytes(65)):
        with pytest.raises(ValueError, match="key"):
            sealer(key)
    with pytest.raises(ValueError, match="no key"):
        DatagramOpener([], CLUSTER)
    with pytest.raises(ValueError, match="ids"):
        DatagramSealer(KEY, CLUSTER, b"short", BOOT)
    with pytest.raises(ValueError, match="boot"):
        DatagramSealer(KEY, CLUSTER, NODE, 0)
