"""What nodes ask of owners to list keys.

    list keys, opcode 0x0a01                    answer, the same opcode
    u64     first cursor (scan_cursor.py)       DONE:
    u64     end cursor                          u64     all below this cursor are told
    varint  about how many keys                 u64     bytes of the records, about
                                                varint  count of keys, then each sized

Both cursors lie within one partition; the keys are in no particular order, and may be deleted ones.
Example: two keys at most in [1, 2^39); and the answer that there is one, "k" with a record of 56
bytes, and no other below 9:

    01000000 00000000  00000000 80000000  02
    09000000 00000000  38000000 00000000  01  01 6b
"""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.scanning.key_listing import LISTED_COUNT_MAX
from lsmkv_cluster.scanning.scan_cursor import CURSOR_END
from lsmkv_cluster.storage.engine_key import CLIENT_KEY_SIZE_MAX

__all__ = ["LIST_KEYS", "Keys", "KeysQuestion", "decode_keys", "decode_keys_question"]
__all__ += ["encode_keys", "encode_keys_question"]

LIST_KEYS = opcode(Machine.SCAN, 1)


class KeysQuestion(NamedTuple):
    first: int
    end: int
    key_count: int


class Keys(NamedTuple):
    """All of the cursors from the first one that was asked for up to `complete_to`."""

    keys: tuple[bytes, ...]
    complete_to: int
    size: int = 0  # bytes of their records, about


def encode_keys_question(question: KeysQuestion) -> bytes:
    first, end, key_count = question
    return Writer().u64(first).u64(end).varint(key_count).finish()


def decode_keys_question(payload: bytes) -> KeysQuestion:
    """Malformed for what no encoder writes."""
    reader = Reader(payload)
    question = KeysQuestion(reader.u64(), reader.u64(), reader.varint(LISTED_COUNT_MAX))
    reader.end()
    if not question.first < question.end <= CURSOR_END or not question.key_count:
        raise Malformed(f"keys of the cursors {question.first} to {question.end}")
    return question


def encode_keys(answer: Keys) -> bytes:
    writer = Writer().u64(answer.complete_to).u64(answer.size).varint(len(answer.keys))
    for key in answer.keys:
        writer.sized(key, CLIENT_KEY_SIZE_MAX)
    return writer.finish()


def decode_keys(payload: bytes, question: KeysQuestion) -> Keys:
    """Malformed for what no encoder writes, and for what does not get anywhere."""
    reader = Reader(payload)
    complete_to, size = reader.u64(), reader.u64()
    keys = tuple([reader.sized(CLIENT_KEY_SIZE_MAX) for _ in range(reader.varint(len(payload)))])
    reader.end()
    if not question.first < complete_to <= question.end:
        raise Malformed(f"keys up to the cursor {complete_to}")
    return Keys(keys, complete_to, size)
