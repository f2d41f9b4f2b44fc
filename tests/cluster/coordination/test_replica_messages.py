"""Replica operations decode to what was encoded, and nothing else decodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.coordination.replica_messages import (
    KEY_SIZE_MAX,
    Found,
    decode_failure,
    decode_found,
    decode_merge,
    decode_read,
    encode_failure,
    encode_found,
    encode_merge,
    encode_read,
)
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.storage.storage_orders import Failure

FOUND = st.one_of(
    st.just(Found()),
    st.builds(Found, record=st.binary(min_size=1)),
    st.builds(Found, digest=st.integers(0, (1 << 64) - 1)),
)


@given(st.binary(), st.binary(min_size=1))
def test_merge(key, record):
    assert decode_merge(encode_merge(key, record)) == (key, record)


@given(st.binary())
def test_read(key):
    assert decode_read(encode_read(key)) == key


@given(FOUND)
def test_found(found):
    assert decode_found(encode_found(found)) == found


@pytest.mark.parametrize("failure", Failure)
def test_failure(failure):
    """Every failure has a number: the store may say any of them."""
    assert decode_failure(encode_failure(failure)) is failure


def test_the_shortest_and_the_longest_key():
    """The longest is what the engine takes beside the head of its own key."""
    for key in (b"", bytes(KEY_SIZE_MAX)):
        assert decode_merge(encode_merge(key, b"r")) == (key, b"r")
        assert decode_read(encode_read(key)) == key
    for encode in (encode_read, lambda key: encode_merge(key, b"r")):
        with pytest.raises(ValueError, match="key"):
            encode(bytes(KEY_SIZE_MAX + 1))
    with pytest.raises(ValueError, match="record"):
        encode_merge(b"k", b"")


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (decode_merge, b""),
        (decode_merge, b"\x00"),
        (decode_merge, b"\x01k"),
        (decode_merge, b"\x05k"),
        (decode_merge, b"\xf9\xff\x03" + bytes(KEY_SIZE_MAX + 2)),
        (decode_read, bytes(KEY_SIZE_MAX + 1)),
        (decode_found, b""),
        (decode_found, b"\x00x"),
        (decode_found, b"\x01"),
        (decode_found, b"\x02\x01"),
        (decode_found, b"\x03"),
        (decode_failure, b""),
        (decode_failure, b"\x00"),
        (decode_failure, b"\x06"),
        (decode_failure, b"\x01\x01"),
    ],
)
def test_malformed(decode, payload):
    with pytest.raises(Malformed):
        decode(payload)
