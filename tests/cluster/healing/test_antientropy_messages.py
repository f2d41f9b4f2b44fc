"""Questions and answers survive the wire; what no owner can have written is malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_messages import (
    COMPARE,
    Answer,
    Node,
    Outcome,
    Question,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)

u64 = st.integers(0, 2**64 - 1)
digests = st.lists(u64, min_size=16, max_size=16).map(tuple)


def nodes(level: int, children: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy:
    indices = st.sets(st.integers(0, 16**level - 1), max_size=4).map(sorted)
    return indices.flatmap(
        lambda found: st.tuples(*[st.builds(Node, st.just(i), children) for i in found])
    )


questions = st.integers(0, 4).flatmap(
    lambda level: st.builds(
        Question,
        u64,
        st.integers(0, 2**16 - 1),
        u64,
        st.integers(4, 64),
        st.integers(level + 1, 5),
        u64,
        u64,
        st.integers(1, 1024),
        st.just(level),
        nodes(level, digests),
    )
)
answers = st.integers(0, 4).flatmap(
    lambda level: st.one_of(
        st.builds(
            Answer,
            u64,
            st.integers(0, 2**16 - 1),
            st.integers(level + 1, 5),
            st.just(Outcome.NARROWED),
            st.just(level),
            st.booleans(),
            nodes(level, digests),
        ),
        st.builds(
            Answer,
            u64,
            st.integers(0, 2**16 - 1),
            st.integers(max(level, 1), 5),
            st.just(Outcome.LEAVES),
            st.just(level),
            st.booleans(),
            nodes(level, st.just(())),
        ),
    )
)


@given(questions)
def test_questions(question):
    data = encode_question(question)
    assert decode_question(data) == question
    for wrong in (*(data[:size] for size in range(len(data))), data + b"\0"):
        with pytest.raises(Malformed):
            decode_question(wrong)


@given(answers)
def test_answers(answer):
    data = encode_answer(answer)
    assert decode_answer(data) == answer
    for wrong in (*(data[:size] for size in range(len(data))), data + b"\0"):
        with pytest.raises(Malformed):
            decode_answer(wrong)


@given(st.one_of(questions.map(encode_question), answers.map(encode_answer)), st.data())
def test_flipped_bits_are_messages_again_or_malformed(data, draw):
    """There is no checksum at this level; but what decodes has one encoding, its own."""
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    for decode, encode in ((decode_question, encode_question), (decode_answer, encode_answer)):
        try:
            assert encode(decode(bytes(damaged))) == damaged
        except Malformed:
            pass


def test_what_cannot_be_encoded_is_our_mistake():
    question = Question(1, 0, 0, 44, 3, 0, 5, 64, 1)
    for wrong in ((Node(3),), (Node(4, (0,) * 16), Node(4, (0,) * 16))):
        with pytest.raises(ValueError):
            encode_question(Question(1, 0, 0, 44, 3, 0, 5, 64, 1, wrong))
    with pytest.raises(Malformed, match="node 16"):
        decode_question(encode_question(question)[:-1] + b"\x02\x0f\x00")
    with pytest.raises(Malformed, match="limit"):
        decode_question(encode_question(question)[:-1] + b"\x81\x08")


def test_golden_messages():
    """Persistent between versions that meet in a rolling upgrade."""
    assert COMPARE == 0x0601
    question = Question(1, 2, 1 << 56, 44, 3, 1 << 56, 0xAB, 64)
    assert encode_question(question).hex() == (
        "0100000000000000" "0200" "0000000000000001" "2c03"
        "0000000000000001" "ab00000000000000" "4000" "00" "00"
    )  # fmt: skip
    answer = Answer(1, 2, 3, Outcome.LEAVES, 2, True, (Node(3), Node(5), Node(255)))
    assert encode_answer(answer).hex() == "0100000000000000020003030201030301f901"
