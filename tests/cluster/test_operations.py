"""Lists of operations: exact sizes, and a typed answer to each operation that is not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import (
    Machine,
    Operation,
    OperationStatus,
    decode_operations,
    encode_operations,
    encoded_size,
    opcode,
    refused,
    sort_out,
)

operation_lists = st.lists(
    st.builds(
        Operation,
        st.integers(0, 2**16 - 1),
        st.binary(max_size=60),
        st.integers(0, 255),
        st.integers(0, 255),
    ),
    max_size=8,
)


@given(operation_lists)
def test_round_trip(operations):
    encoded = encode_operations(operations)
    assert len(encoded) == encoded_size(operations)
    assert decode_operations(encoded, len(operations)) == tuple(operations)


@given(operation_lists)
def test_other_counts_and_sizes_are_malformed(operations):
    encoded = encode_operations(operations)
    with pytest.raises(Malformed):
        decode_operations(encoded, len(operations) + 1)
    with pytest.raises(Malformed):
        decode_operations(encoded + b"\0", len(operations))
    for size in range(len(encoded)):
        with pytest.raises(Malformed):
            decode_operations(encoded[:size], len(operations))
    if operations:
        with pytest.raises(Malformed, match="after the last"):
            decode_operations(encoded, len(operations) - 1)


def test_a_payload_that_claims_the_world():
    with pytest.raises(Malformed, match="4294967295"):
        decode_operations(bytes.fromhex("01030000ffffffff"), 1)


@pytest.mark.parametrize(
    "operation",
    [Operation(1 << 16), Operation(-1), Operation(1, b"", 256), Operation(1, b"", 0, 256)],
)
def test_what_does_not_fit_is_our_mistake(operation):
    with pytest.raises(ValueError, match="does not fit"):
        encode_operations([operation])


def test_opcodes_have_ranges():
    assert opcode(Machine.REPLICA, 1) == 0x0301
    for number in (0, 256, -1):
        with pytest.raises(ValueError):
            opcode(Machine.REPLICA, number)


def test_each_unknown_operation_is_refused_alone():
    """Unknown opcodes and flags get typed answers at their place; the others stay to be done."""
    known = {0x0301: 0x01, 0x0302: 0x00}
    operations = [
        Operation(0x0301, b"a", flags=0x01),
        Operation(0x7F01, b"from a later version"),
        Operation(0x0302, b"b", flags=0x80),
        Operation(0x0302, b"c"),
    ]
    found = sort_out(operations, known)
    assert found.known == ((0, operations[0]), (3, operations[3]))
    assert found.refused == (
        (1, Operation(0x7F01, b"", 0, OperationStatus.UNKNOWN_OPCODE)),
        (2, Operation(0x0302, b"", 0, OperationStatus.UNKNOWN_FLAGS)),
    )
    assert sort_out([], known).known == ()


def test_numbers_are_persistent():
    assert [status.value for status in OperationStatus] == list(range(1, 9))
    assert [machine.value for machine in Machine] == list(range(1, 12))
    assert refused(Operation(5, b"x", 3), OperationStatus.EXPIRED) == Operation(5, b"", 0, 5)
