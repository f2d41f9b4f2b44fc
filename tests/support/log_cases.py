"""The segments that the tests of the log share: scripts of calls, run against any writer.

`LogWriter` and the reference `Writer` answer to the same calls, so one table drives both.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from lsmkv._native.segment import LogSegment, Operation
from tests.support.reference_log import DELETE, PUT, Writer

__all__ = ["CASES", "Case", "SEGMENT", "put", "delete", "run", "reference_bytes"]

SEGMENT = LogSegment(
    number=7,
    nonce=0x1122334455667788,
    previous_number=6,
    previous_length=4096,
    previous_sequence=6,
    manifest_edit=3,
)


def put(key: bytes, value: bytes) -> Operation:
    return (PUT, key, value)


def delete(key: bytes) -> Operation:
    return (DELETE, key, None)


@dataclass(frozen=True)
class Case:
    """Steps are a batch to append, or the name of a call."""

    name: str
    steps: tuple[list[Operation] | str, ...]

    def __str__(self) -> str:
        return self.name


def random_batch(source: random.Random) -> list[Operation]:
    return [
        put(
            source.randbytes(source.choice([0, 1, 16])), source.randbytes(source.choice([0, 7, 40]))
        )
        if source.random() < 0.7
        else delete(source.randbytes(5))
        for _ in range(source.randint(1, 4))
    ]


def random_steps(seed: int) -> tuple[list[Operation] | str, ...]:
    source = random.Random(seed)
    return tuple("sync" if source.random() < 0.3 else random_batch(source) for _ in range(9))


CASES = (
    Case("nothing", ()),
    Case("header synced", ("sync",)),
    Case("one put", ([put(b"k", b"vv")],)),
    Case("empty key and value", ([put(b"", b""), delete(b"")],)),
    Case("every padding", tuple([put(b"k", bytes(n))] for n in range(9))),
    Case("synced in between", ([put(b"a", b"1")], "sync", [put(b"b", b"2")], [put(b"c", b"3")])),
    Case("synced at the end", ([put(b"a", b"1")], [delete(b"a")], "sync")),
    Case("synced twice", ([put(b"a", b"1")], "sync", "sync", [put(b"a", b"2")], "sync", "sync")),
    Case("closed", ([put(b"a", b"1")], "sync", [put(b"b", b"2")], "finish")),
    Case("closed and synced", ([put(b"a", b"1")], "finish", "sync")),
    Case("closed when empty", ("finish",)),
    Case("varints of two bytes", ([put(b"k" * 130, b"v" * 300), delete(b"d" * 128)], "sync")),
    Case("random 1", random_steps(1)),
    Case("random 2", random_steps(2)),
    Case("random 3", (*random_steps(3), "finish")),
)


def run(writer: Any, case: Case) -> Any:
    for step in case.steps:
        if isinstance(step, str):
            getattr(writer, step)()
        else:
            writer.append(step)
    return writer


def reference_bytes(case: Case) -> bytes:
    return bytes(run(Writer(SEGMENT), case).data)
