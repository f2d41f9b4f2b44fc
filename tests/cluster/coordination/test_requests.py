"""Client requests and their answers decode to what was encoded, nothing else decodes, and what no
frame could carry is refused before it is encoded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.coordination.requests import (
    REQUEST_SIZE_MAX,
    VALUE_SIZE_MAX,
    VALUES_MAX,
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    is_within_limits,
)
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.transport.traffic import CALL_ID
from lsmkv_cluster.transport.wire import LANE_LIMITS, Lane
from lsmkv_cluster.versions.context import CONTEXT_SIZE_MAX
from tests.support.damaged_payloads import damaged

CONSISTENCIES = st.none() | st.one_of(
    st.sampled_from([level for level in Level if level is not Level.COUNT]).map(Consistency),
    st.integers(1, 255).map(lambda count: Consistency(Level.COUNT, count)),
)
REQUESTS = st.builds(
    ClientRequest,
    verb=st.sampled_from(Verb),
    key=st.binary(max_size=20),
    values=st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    context=st.binary(max_size=40),
    delta=st.integers(-(1 << 63), (1 << 63) - 1),
    expiry_ms=st.integers(0, (1 << 64) - 1),
    read=CONSISTENCIES,
    write=CONSISTENCIES,
    mode=st.none() | st.sampled_from(Mode),
    wants_context=st.booleans(),
)
ANSWERS = st.builds(
    ClientAnswer,
    outcome=st.sampled_from(Outcome),
    reason=st.sampled_from(Reason),
    answered=st.integers(0, 255),
    needed=st.integers(0, 255),
    context=st.binary(max_size=40),
    record=st.none() | st.binary(min_size=1, max_size=40),
)
GET = ClientRequest(Verb.GET, b"")


@given(REQUESTS)
def test_a_request_decodes_to_what_was_encoded(request):
    assert decode_request(encode_request(request)) == request


@given(ANSWERS)
def test_an_answer_decodes_to_what_was_encoded(answer):
    assert decode_answer(encode_answer(answer)) == answer


def test_counts_of_an_answer_that_do_not_fit_a_byte_are_capped():
    answer = ClientAnswer(Outcome.DONE, answered=300, needed=256)
    assert decode_answer(encode_answer(answer)) == replace(answer, answered=255, needed=255)


@given(st.one_of(st.tuples(st.just(decode_request), st.just(encode_request), REQUESTS),
                 st.tuples(st.just(decode_answer), st.just(encode_answer), ANSWERS)))  # fmt: skip
def test_damage_is_refused_or_is_another_message(case):
    """Cut anywhere or one byte too long it is refused; with a bit flipped it is refused, or it is
    the one encoding of something else: no two payloads mean the same."""
    decode, encode, message = case
    payload = encode(message)
    for is_flipped, wrong in damaged(payload):
        try:
            found = decode(wrong)
        except Malformed:
            continue
        assert is_flipped
        assert found != message
        assert encode(found) == wrong


@pytest.mark.parametrize(
    "payload",
    [
        bytes([99]) + encode_request(GET)[1:],  # verb
        bytes([1, 3]) + encode_request(GET)[2:],  # mode
        bytes([1, 0, 0, 1]) + encode_request(GET)[4:],  # a count without its level
        bytes([1, 0, 6, 0]) + encode_request(GET)[4:],  # a level without its count
        bytes([1, 0, 7, 0]) + encode_request(GET)[4:],
        encode_request(GET)[:-1] + b"\x81\x20" + bytes(VALUES_MAX + 1),  # values
    ],
)
def test_numbers_that_mean_nothing(payload):
    with pytest.raises(Malformed):
        decode_request(payload)


# --- limits --------------------------------------------------------------------------------------

MEBIBYTE = bytes(1 << 20)
LARGEST = (
    ClientRequest(Verb.PUT, bytes(KEY_SIZE_MAX), (bytes(VALUE_SIZE_MAX),)),
    replace(GET, context=bytes(CONTEXT_SIZE_MAX)),
    replace(GET, values=(b"",) * VALUES_MAX),
    replace(GET, values=(MEBIBYTE,) * 15),
    replace(GET, delta=(1 << 63) - 1),
    replace(GET, delta=-1 << 63),
    replace(GET, expiry_ms=(1 << 64) - 1),
)
TOO_LARGE = (
    replace(GET, key=bytes(KEY_SIZE_MAX + 1)),
    replace(GET, context=bytes(CONTEXT_SIZE_MAX + 1)),
    replace(GET, values=(bytes(VALUE_SIZE_MAX + 1),)),
    replace(GET, values=(b"",) * (VALUES_MAX + 1)),
    replace(GET, key=b"k", values=(MEBIBYTE,) * 15),
    replace(GET, delta=1 << 63),
    replace(GET, delta=(-1 << 63) - 1),
    replace(GET, expiry_ms=1 << 64),
    replace(GET, expiry_ms=-1),
)


@pytest.mark.parametrize("request_", LARGEST, ids=range(len(LARGEST)))
def test_the_largest_are_carried(request_):
    assert is_within_limits(request_)
    assert decode_request(encode_request(request_)) == request_


@pytest.mark.parametrize("request_", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_larger_ones_are_refused(request_):
    """A delta of 64 bits would come out as another number, the others could not be sent."""
    assert not is_within_limits(request_)
    with pytest.raises(ValueError, match="over its limits"):
        encode_request(request_)


def test_values_over_the_limit_together_are_malformed():
    single = encode_request(replace(GET, values=(MEBIBYTE,) * 15))
    values = single[-15 * (len(MEBIBYTE) + 3) :]
    payload = encode_request(GET)[:-1] + b"\x10" + values + values[: len(MEBIBYTE) + 3]
    with pytest.raises(Malformed, match="a request of"):
        decode_request(payload)


def test_the_largest_request_fits_a_frame():
    overhead = 1024 + VALUES_MAX * 4 + CALL_ID.size
    assert REQUEST_SIZE_MAX + overhead <= LANE_LIMITS[Lane.DATA].body_size_max
