"""Questions about deleted records travel unchanged, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.tombstone_messages import (
    ENTRIES_MAX,
    Question,
    decode_hint_age,
    decode_question,
    decode_same,
    encode_hint_age,
    encode_question,
    encode_same,
)
from tests.support.damaged_payloads import damaged

QUESTION = Question(16383, (1 << 64) - 1, ((b"key", 7), (b"", 0), (b"\xff" * 300, (1 << 64) - 1)))


def test_questions_travel_unchanged_and_nothing_else_is_taken() -> None:
    data = encode_question(QUESTION)
    assert decode_question(data) == QUESTION
    for is_flipped, payload in damaged(data):
        try:
            assert is_flipped
            assert decode_question(payload) != QUESTION
        except (Malformed, AssertionError):
            with pytest.raises(Malformed):
                decode_question(payload)


@pytest.mark.parametrize("count", [0, ENTRIES_MAX + 1])
def test_a_question_has_a_bounded_number_of_entries(count: int) -> None:
    with pytest.raises(Malformed):
        decode_question(encode_question(Question(0, 1, ((b"", 0),) * count)))


@pytest.mark.parametrize("same", [(True,), (False, True, True)])
def test_answers_travel_unchanged_and_nothing_else_is_taken(same: tuple[bool, ...]) -> None:
    data = encode_same(same)
    assert decode_same(data, len(same)) == same
    for is_flipped, payload in damaged(data):
        if is_flipped and max(payload) <= 1:
            assert decode_same(payload, len(same)) != same
        else:
            with pytest.raises(Malformed):
                decode_same(payload, len(same))


@pytest.mark.parametrize("age_ms", [None, 0, (1 << 64) - 1])
def test_ages_travel_unchanged_and_nothing_else_is_taken(age_ms: int | None) -> None:
    data = encode_hint_age(age_ms)
    assert decode_hint_age(data) == age_ms
    for is_flipped, payload in damaged(data):
        if is_flipped and payload[0] == data[0]:
            assert decode_hint_age(payload) != age_ms
        else:
            with pytest.raises(Malformed):
                decode_hint_age(payload)
