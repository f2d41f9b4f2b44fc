"""What members say about topology travels unchanged, and nothing else is taken for it."""

from __future__ import annotations

from typing import Any

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.reconfiguration.paxos_messages import (
    DOCUMENT_SIZE_MAX,
    Accept,
    Fetch,
    MemberReport,
    Outbid,
    Prepare,
    Promise,
    decode_epoch,
    encode_epoch,
)
from lsmkv_cluster.transport.wire import LANE_LIMITS, Lane
from tests.support.damaged_payloads import damaged

FIXED = [Prepare(6, 1 << 32 | 7), Fetch(6, bytes(range(32))), Outbid(1 << 32 | 7)]
REPORTS = [
    MemberReport(6),
    MemberReport(1 << 32 | 6, (0, 1, 300), (SLOT_COUNT - 1,), has_hints=True),
    MemberReport(6, has_vote=False),
    MemberReport(6, tuple(range(200))),
]
WITH_DOCUMENTS = [Accept(6, 1 << 32 | 7, b"document"), Promise(5, b"document"), Promise()]


@pytest.mark.parametrize("message", [*FIXED, *REPORTS], ids=lambda m: type(m).__name__)
def test_they_travel_unchanged_and_nothing_else_is_taken(message: Any) -> None:
    data = message.encode()
    assert type(message).decode(data) == message
    for is_flipped, payload in damaged(data):
        try:
            found = type(message).decode(payload)
        except Malformed:
            continue
        assert is_flipped
        assert found != message
        assert found.encode() == payload, "there is one form of each"


@pytest.mark.parametrize("message", WITH_DOCUMENTS, ids=lambda m: type(m).__name__)
def test_a_document_reaches_to_the_end(message: Any) -> None:
    data = message.encode()
    assert type(message).decode(data) == message
    for _, payload in damaged(data):
        try:
            found = type(message).decode(payload)
        except Malformed:
            continue
        assert found != message
        assert found.encode() == payload


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Prepare, encode_epoch(6) + bytes(8)),
        (Accept, encode_epoch(6) + bytes(8) + b"document"),
        (Accept, Prepare(6, 7).encode()),
        (Accept, Accept(6, 7, bytes(DOCUMENT_SIZE_MAX + 1)).encode()),
        (Promise, encode_epoch(0) + b"document"),
        (Promise, encode_epoch(7)),
        (MemberReport, encode_epoch(6) + b"\x04\x00\x00"),
        (MemberReport, encode_epoch(6) + b"\x00\x01\x80\x80\x01\x00"),
        (MemberReport, encode_epoch(6) + b"\x00\x02\xff\x7f\x00\x00"),
    ],
    ids=[
        "ballot of nobody",
        "accept of nobody",
        "accept nothing",
        "accept too much",
        "no ballot",
        "no document",
        "flag",
        "large partition",
        "partition after the last",
    ],
)
def test_what_contradicts_itself_is_refused(kind: Any, payload: bytes) -> None:
    with pytest.raises(Malformed):
        kind.decode(payload)


def test_a_number_alone_travels() -> None:
    assert decode_epoch(encode_epoch(258)) == 258
    for size in (0, 7, 9):
        with pytest.raises(Malformed):
            decode_epoch(bytes(size))


def test_the_largest_document_fits_a_frame_of_the_control_lane() -> None:
    message = Accept(6, 7, bytes(DOCUMENT_SIZE_MAX))
    header_size = 16  # of the operation, with the id of the call
    limits = LANE_LIMITS[Lane.CONTROL]
    assert header_size + len(message.encode()) <= limits.body_size_max
