"""Questions and answers of handing over decode to what was encoded, and nothing else decodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_sync_messages import (
    decode_sync_answer,
    decode_sync_question,
    encode_sync_answer,
    encode_sync_question,
)

NUMBERS = st.integers(0, (1 << 64) - 1)


@given(NUMBERS)
def test_both_come_back(number: int):
    assert decode_sync_question(encode_sync_question(number)) == number
    assert decode_sync_answer(encode_sync_answer(number)) == number


@pytest.mark.parametrize("decode", [decode_sync_question, decode_sync_answer])
@pytest.mark.parametrize("payload", [b"", bytes(7), bytes(9)])
def test_other_sizes_are_refused(decode: Callable[[bytes], int], payload: bytes):
    with pytest.raises(Malformed):
        decode(payload)
