"""Lists of keys decode to what was encoded, and nothing else decodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST_COUNT_MAX,
    ListAnswer,
    ListQuestion,
    decode_list_answer,
    decode_list_question,
    encode_list_answer,
    encode_list_question,
    entries_size,
)
from lsmkv_cluster.storage.storage_orders import Entry

QUESTION = ListQuestion(100, 200, 256)
TOKENS = st.integers(0, (1 << 64) - 1)
ENTRIES = st.lists(
    st.builds(Entry, st.binary(min_size=1), TOKENS, st.integers(0, 1 << 20)),
    unique_by=lambda entry: entry.key,
)


@given(TOKENS, TOKENS, st.integers(1, LIST_COUNT_MAX))
def test_question(first, last, count_max):
    question = ListQuestion(min(first, last), max(first, last) + 1, count_max)
    assert decode_list_question(encode_list_question(question)) == question


@given(ENTRIES, st.integers(101, 200))
def test_answer(entries, end):
    answer = ListAnswer(tuple(entries), end)
    payload = encode_list_answer(answer)
    assert decode_list_answer(payload, QUESTION) == answer
    assert len(payload) <= entries_size(entries) + 8 + 3


def test_questions_that_nobody_asks():
    good = encode_list_question(QUESTION)
    backwards = good[8:16] + good[:8] + good[16:]
    for payload in (b"", good[:-1], good + b"\0", backwards, good[:16] + b"\0\0"):
        with pytest.raises(Malformed):
            decode_list_question(payload)
    with pytest.raises(Malformed):
        decode_list_question(good[:16] + (LIST_COUNT_MAX + 1).to_bytes(2, "little"))


def test_answers_that_do_not_fit_the_question():
    """A list that ends outside the range would make the asker skip or repeat; a key twice would
    be repaired twice."""
    entry = Entry(b"k", 1, 1)
    good = encode_list_answer(ListAnswer((entry,), 150))
    wrong = [
        encode_list_answer(ListAnswer((entry,), 100)),
        encode_list_answer(ListAnswer((entry,), 201)),
        encode_list_answer(ListAnswer((entry,), 1 << 64)),
        encode_list_answer(ListAnswer((entry, entry), 150)),
        good[:-1],
        good + b"\0",
        b"\xff\xff\x7f",
    ]
    assert decode_list_answer(good, QUESTION).end == 150
    for payload in wrong:
        with pytest.raises(Malformed):
            decode_list_answer(payload, QUESTION)
