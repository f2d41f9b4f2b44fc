"""Messages survive the wire; what no member can have written is malformed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.placement.members import MEMBERS_MAX
from lsmkv_cluster.swim import gossip_messages
from lsmkv_cluster.swim.gossip_messages import (
    INCARNATION_MAX,
    IndirectPing,
    Load,
    OwnState,
    Statement,
    Vitals,
    decode_exchange,
    decode_indirect_ping,
    decode_number,
    decode_ping,
    decode_statement,
    encode_exchange,
    encode_indirect_ping,
    encode_number,
    encode_ping,
    encode_statement,
)
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.transport.wire import LANE_LIMITS, Lane

u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
ids = st.binary(min_size=16, max_size=16)
incarnations = st.integers(0, INCARNATION_MAX)
vitals = st.builds(Vitals, u8, u8, u32, u64, u64, u64)
some_ids = st.sets(ids, min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))
statements = st.one_of(
    st.builds(Statement, st.sampled_from([Status.ALIVE, Status.LEFT]), ids, incarnations, vitals),
    st.builds(
        Statement,
        st.sampled_from([Status.SUSPECT, Status.DEAD]),
        ids,
        incarnations,
        st.none(),
        some_ids,
    ),
)
VITALS = Vitals(Load.DRAINING | Load.READ_ONLY, 3, 4, 1000, 0, 1_800_000_000_000)
ALIVE = Statement(Status.ALIVE, b"m" * 16, 5, VITALS)
SUSPECT = Statement(Status.SUSPECT, b"m" * 16, 5, None, (b"a" * 16, b"b" * 16))


@given(statements)
def test_statements_survive(statement: Statement):
    assert decode_statement(encode_statement(statement)) == statement


@given(st.builds(OwnState, u32, incarnations, vitals))
def test_pings_survive(state: OwnState):
    assert decode_ping(encode_ping(state)) == state


@given(u32, ids)
def test_indirect_pings_survive(number: int, target: bytes):
    asked = IndirectPing(number, target)
    assert decode_indirect_ping(encode_indirect_ping(asked)) == asked
    assert decode_number(encode_number(number)) == number


@given(st.lists(statements, max_size=8, unique_by=lambda statement: statement.member))
def test_tables_survive_in_the_order_of_ids(rows: list[Statement]):
    found = decode_exchange(encode_exchange(rows))
    assert list(found) == sorted(rows, key=lambda row: row.member)


def test_the_largest_table_fits_into_a_frame_many_times():
    row = Statement(Status.DEAD, b"", 1, None, (b"a" * 16, b"b" * 16, b"c" * 16))
    rows = [
        Statement(row.status, number.to_bytes(16, "big"), 1, None, row.accusers)
        for number in range(1, MEMBERS_MAX + 1)
    ]
    assert len(encode_exchange(rows)) * 8 < LANE_LIMITS[Lane.CONTROL].body_size_max


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (decode_ping, encode_ping(OwnState(1, 2, VITALS))),
        (decode_indirect_ping, encode_indirect_ping(IndirectPing(1, b"t" * 16))),
        (decode_number, encode_number(1)),
        (decode_statement, encode_statement(ALIVE)),
        (decode_statement, encode_statement(SUSPECT)),
        (decode_exchange, encode_exchange([ALIVE])),
    ],
)
def test_what_is_cut_off_or_too_long_is_malformed(
    decode: Callable[[bytes], object], payload: bytes
):
    for wrong in [payload[:size] for size in range(len(payload))] + [payload + b"\0"]:
        with pytest.raises(Malformed):
            decode(wrong)


def changed(payload: bytes, position: int, value: bytes) -> bytes:
    return payload[:position] + value + payload[position + len(value) :]


@pytest.mark.parametrize(
    "payload",
    [
        changed(encode_statement(ALIVE), 0, b"\0"),
        changed(encode_statement(SUSPECT), 0, b"\5"),  # unreachable, for somebody
        changed(encode_statement(ALIVE), 17, b"\xff" * 8),  # cannot be raised
        changed(encode_statement(SUSPECT), 26, b"b" * 16),  # twice the same accuser
        encode_statement(SUSPECT)[:25] + b"\0",  # by nobody
        encode_statement(SUSPECT)[:25] + b"\4" + b"".join(bytes([n]) * 16 for n in range(4)),
    ],
)
def test_statements_that_nobody_makes_are_malformed(payload: bytes):
    with pytest.raises(Malformed):
        decode_statement(payload)


def test_a_table_has_each_member_once_in_order():
    row = encode_statement(ALIVE)
    for wrong in (b"\2" + row + row, b"\x81\x08"):
        with pytest.raises(Malformed):
            decode_exchange(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        Statement(Status.UNREACHABLE, b"m" * 16, 1, None, (b"a" * 16,)),
        Statement(Status.ALIVE, b"m" * 16, 1),
        Statement(Status.SUSPECT, b"m" * 16, 1),
        Statement(Status.DEAD, b"m" * 16, 1, VITALS),
    ],
)
def test_our_own_mistakes_are_not_sent(wrong: Statement):
    with pytest.raises(ValueError):
        encode_statement(wrong)


def test_opcodes_belong_to_membership():
    codes = [
        getattr(gossip_messages, name)
        for name in gossip_messages.__all__
        if name.isupper() and not name.endswith("_MAX")
    ]
    assert sorted(codes) == [Machine.MEMBERSHIP << 8 | number for number in range(1, 8)]
