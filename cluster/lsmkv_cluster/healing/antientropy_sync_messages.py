"""What a member that hands its copy over asks before the first and after the last of it.

    sync, opcode 0x0603                         answer, the same opcode
    u64    first token of the partition         DONE: u64 number of the copy
                                                FAILED: u8 why, as in replica_messages.py

DONE: everything that the answerer's copy had when it was asked is on stable storage. The number is
random, and another one whenever the copy may have lost something or was begun anew: after a
restart, when it was given up, when the partition has moved. So whoever gets the same number twice
knows that all it saw there in between was there all the time, and is durable now.

Example: the partition that begins with the token 2^56, and the copy 0x1122334455667788:

    00000000 00000001
    88776655 44332211
"""

from __future__ import annotations

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.operations import Machine, opcode

__all__ = [
    "SYNC",
    "decode_sync_answer",
    "decode_sync_question",
    "encode_sync_answer",
    "encode_sync_question",
]

SYNC = opcode(Machine.ANTIENTROPY, 3)


def encode_sync_question(first_token: int) -> bytes:
    return Writer().u64(first_token).finish()


def decode_sync_question(payload: bytes) -> int:
    """Malformed for what cannot be one."""
    return _decode(payload)


def encode_sync_answer(copy: int) -> bytes:
    return Writer().u64(copy).finish()


def decode_sync_answer(payload: bytes) -> int:
    """Malformed for what cannot be one."""
    return _decode(payload)


def _decode(payload: bytes) -> int:
    reader = Reader(payload)
    value = reader.u64()
    reader.end()
    return value
