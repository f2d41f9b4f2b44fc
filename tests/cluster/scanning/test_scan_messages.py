"""Questions for keys and their answers survive the wire, and junk does not get in."""

from __future__ import annotations

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.scanning.scan_cursor import CURSOR_END
from lsmkv_cluster.scanning.scan_messages import (
    LIST_KEYS,
    Keys,
    KeysQuestion,
    decode_keys,
    decode_keys_question,
    encode_keys,
    encode_keys_question,
)

QUESTION = KeysQuestion(1, 1 << 39, 2)


def test_the_example_of_the_documentation():
    assert LIST_KEYS == 0x0A01
    question = bytes.fromhex("0100000000000000 0000000080000000 02")
    assert encode_keys_question(QUESTION) == question
    assert decode_keys_question(question) == QUESTION
    answer = bytes.fromhex("0900000000000000 3800000000000000 01 01 6b")
    assert encode_keys(Keys((b"k",), 9, 56)) == answer
    assert decode_keys(answer, QUESTION) == Keys((b"k",), 9, 56)


@pytest.mark.parametrize(
    "question",
    [
        KeysQuestion(2, 2, 1),
        KeysQuestion(3, 2, 1),
        KeysQuestion(0, CURSOR_END + 1, 1),
        KeysQuestion(0, 1, 0),
        KeysQuestion(0, 1, 1025),
    ],
)
def test_questions_that_nobody_asks(question: KeysQuestion):
    with pytest.raises(Malformed):
        decode_keys_question(encode_keys_question(question))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        encode_keys(Keys((), 1)),
        encode_keys(Keys((), (1 << 39) + 1)),
        encode_keys(Keys((b"k",), 9)) + b"!",
        encode_keys(Keys((b"k",), 9))[:-1],
    ],
)
def test_answers_that_get_nowhere_or_are_damaged(payload: bytes):
    with pytest.raises(Malformed):
        decode_keys(payload, QUESTION)
