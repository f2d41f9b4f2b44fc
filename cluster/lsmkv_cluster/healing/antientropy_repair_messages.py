"""What an owner asks about a range of tokens that differs: which keys are in it, in which state.

    list, opcode 0x0602                         answer, the same opcode
    u64    first token                          DONE:
    u64    last token                           varint count, then for each, in the order of the
    u16    count limit                                 tokens, sized key, u64 entry hash,
                                                       varint bytes of the record
                                                u64    last token that the answer covers
                                                FAILED: u8 why, as in replica_messages.py

An answer is complete up to the token that it covers; the asker goes on behind it. So nothing is
kept between two questions, and whoever is asked bounds what it reads and sends. The limit yields
only to keys that share one token, a hash of 40 bits: those are never parted.

Example: the tokens 2^56 to 2^57 - 1, at most 256 keys:

    00000000 00000001 ffffffff ffffff01 0001
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsmkv_cluster.coding import U64_MAX, Reader, Writer
from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.storage.storage_orders import Entry
from lsmkv_cluster.versions.record_format import RECORD_SIZE_MAX

__all__ = [
    "LIST",
    "LIST_COUNT_MAX",
    "LIST_SIZE_MAX",
    "ListAnswer",
    "ListQuestion",
    "decode_list_answer",
    "decode_list_question",
    "encode_list_answer",
    "encode_list_question",
    "entries_size",
]

LIST = opcode(Machine.ANTIENTROPY, 2)
LIST_COUNT_MAX = 16384  # entries of one answer, whatever the limit that was asked for
LIST_SIZE_MAX = 256 << 10  # bytes of an answer with more than one token
ENTRY_SIZE_MAX = 17  # of an entry without its key


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """Which keys have tokens in [first, end)?"""

    first: int
    end: int
    count_max: int


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """All with tokens in [first, end) are here; what was asked for may go on behind."""

    entries: tuple[Entry, ...]
    end: int


def entries_size(entries: Sequence[Entry]) -> int:
    """How many bytes they take at most."""
    return sum(len(entry.key) + ENTRY_SIZE_MAX for entry in entries)


def encode_list_question(question: ListQuestion) -> bytes:
    """REQUIRES: the range is not empty."""
    return Writer().u64(question.first).u64(question.end - 1).u16(question.count_max).finish()


def decode_list_question(payload: bytes) -> ListQuestion:
    reader = Reader(payload)
    first, last, count_max = reader.u64(), reader.u64(), reader.u16()
    reader.end()
    if last < first or not 1 <= count_max <= LIST_COUNT_MAX:
        raise Malformed(f"at most {count_max} keys with tokens {first} to {last}")
    return ListQuestion(first, last + 1, count_max)


def encode_list_answer(answer: ListAnswer) -> bytes:
    writer = Writer().varint(len(answer.entries))
    for entry in answer.entries:
        writer.sized(entry.key, KEY_SIZE_MAX).u64(entry.digest).varint(entry.size)
    return writer.u64(answer.end - 1).finish()


def decode_list_answer(payload: bytes, question: ListQuestion) -> ListAnswer:
    """Malformed also for what is no answer to this question."""
    reader = Reader(payload)
    entries = []
    for _ in range(reader.varint(LIST_COUNT_MAX)):
        key = reader.sized(KEY_SIZE_MAX)
        entries.append(Entry(key, reader.u64(), reader.varint(RECORD_SIZE_MAX)))
    last = reader.u64()
    reader.end()
    if last == U64_MAX or not question.first <= last < question.end:
        raise Malformed(f"a list up to token {last}")
    if len({entry.key for entry in entries}) < len(entries):
        raise Malformed("a list with a key that stands in it twice")
    return ListAnswer(tuple(entries), last + 1)
