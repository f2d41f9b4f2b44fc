"""Pipelined SETs parsed and replies written (c/resp.c), and the same as called from Python.

The least for a request is to copy its bytes once, for a reply to copy its value; from Python also
one call, and for each argument an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from benchmarks.kernels.case import Case, PythonWork, Scale, wrapping_sum
from benchmarks.kernels.cases.floors import REQUEST_SIZE, copy_name
from benchmarks.kernels.cases.python import EMPTY_ONE
from benchmarks.kernels.inputs import Items, keys, pack, random_items
from lsmkv.kernel import ReplyWriter, RequestParser

__all__ = ["cases"]

PIPELINE = 16  # commands
PIPELINE_COUNT = 4
VALUE_SIZE = 100
OK = b"OK"
PARSE = f"parse SET, {PIPELINE} at once"
WRITE = f"write {VALUE_SIZE} bytes as bulk string"


@cache
def _values() -> Items:
    return random_items(VALUE_SIZE, PIPELINE * PIPELINE_COUNT)


@cache
def _pipelines() -> Items:
    """Keys of 16 and values of 100 bytes: as many as fit the first cache level."""
    commands = [
        b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value)
        for key, value in zip(keys("decimal", len(_values())), _values(), strict=True)
    ]
    assert {len(command) for command in commands} == {REQUEST_SIZE}
    return pack(b"".join(commands[at : at + PIPELINE]) for at in range(0, len(commands), PIPELINE))


def cases(scale: Scale) -> list[Case]:
    return [_parse(), _take(), _write(), _write_ok(), _value()]


def _parsed(operations: int) -> int:
    return wrapping_sum((VALUE_SIZE + value[0] for value in _values()), operations)


def _parse() -> Case:
    return Case(
        kernel="resp",
        name=PARSE,
        operations=62_500 * PIPELINE,
        create=lambda native: native.create("resp_parse", _pipelines(), PIPELINE),
        expected=_parsed,
        floors=(copy_name(REQUEST_SIZE),),
    )


def _take() -> Case:
    def create(native: object) -> PythonWork:
        parser = RequestParser(1 << 20, 512 << 20, 1 << 30)
        feed, take = parser.feed, parser.take

        def loop(commands: Sequence[bytes]) -> None:
            for pipeline in commands[::PIPELINE]:
                feed(pipeline)
                take(PIPELINE)

        def verify(commands: Sequence[bytes]) -> int:
            total = 0
            for pipeline in commands[::PIPELINE]:
                feed(pipeline)
                total += sum(len(value) + value[0] for _, _, value in take(PIPELINE))
            return total

        return PythonWork(
            [pipeline for pipeline in _pipelines() for _ in range(PIPELINE)], loop, verify
        )

    return Case(
        kernel="resp",
        name=f"feed and take SET, {PIPELINE} at once, from Python",
        operations=1250 * PIPELINE,
        create=create,
        expected=_parsed,
        floors=(PARSE, copy_name(REQUEST_SIZE)),
    )


def _write() -> Case:
    header_size = len(b"$100\r\n\r\n")
    return Case(
        kernel="resp",
        name=WRITE,
        operations=1_000_000,
        create=lambda native: native.create("resp_write", _values(), ord("$")),
        expected=lambda operations: wrapping_sum(
            (header_size + VALUE_SIZE + value[-1] for value in _values()), operations
        ),
        floors=(copy_name(VALUE_SIZE),),
    )


def _write_ok() -> Case:
    return Case(
        kernel="resp",
        name="write OK",
        operations=1_000_000,
        create=lambda native: native.create("resp_write", pack([OK]), ord("+")),
        expected=lambda operations: operations * (len(b"+OK\r\n") + OK[-1]),
        floors=(copy_name(16),),
    )


def _value() -> Case:
    def create(native: object) -> PythonWork:
        writer = ReplyWriter(1 << 30)
        value = writer.value

        def loop(values: Sequence[bytes]) -> None:
            for item in values:
                value(item)

        return PythonWork(list(_values()), loop, lambda _: len(writer.take()))

    return Case(
        kernel="resp",
        name=f"{WRITE}, from Python",
        operations=20_000,
        create=create,
        expected=lambda operations: operations * (VALUE_SIZE + len(b"$100\r\n\r\n")),
        floors=(EMPTY_ONE, WRITE),
    )
