"""Which arrays are columns, what is refused in which words, and the kernels on their own.

The C program tests/native/c/columns_check.c sorts and grows; what columns do in a database is in
tests/test_columns.py.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lsmkv
from lsmkv import Column
from lsmkv._native.arrays import as_rows
from tests.support import c_program
from tests.support.reference_columns import rows_of

KERNELS = ["columns", "allocator", "status"]


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    with lsmkv.open(":memory:") as database:
        yield database
        assert database.stats()["pinned_sequences"] == 0


def values_for(count: int) -> Any:
    return np.arange(count, dtype=np.uint64)


# --- taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        np.array([b"ab", b"c", b"", b"abcd"]),  # S4: the padding counts
        np.array([b"ab", b"c"], dtype="V3"),
        np.array([3, 256, 255], dtype=">u2"),
        np.array([3, 1 << 31, 255], dtype=">u4"),
        np.array([3, 1 << 63, 255], dtype=">u8"),
        np.arange(12, dtype=np.uint8).reshape(4, 3),
        np.empty((1, 0), dtype=np.uint8),
        memoryview(bytes(range(12))).cast("B", (3, 4)),
        memoryview(bytearray(b"abcdef")).cast("B", (6, 1)),
        Column(np.array([0, 2, 2, 5]), np.frombuffer(b"abcde", np.uint8)),
        Column(np.array([1, 2, 4], np.int32), np.frombuffer(b"abcde", np.uint8)),
        Column(array.array("q", [0, 1]), b"x"),
        Column(memoryview(array.array("i", [0, 1, 3])), bytearray(b"xyz")),
    ],
)
def test_keys_are_the_bytes_of_their_rows(db: lsmkv.DB, keys: Any) -> None:
    rows = rows_of(keys)
    db.put_columns(keys, values_for(len(rows)))
    assert dict(db.scan()) == {key: number.to_bytes(8, "little") for number, key in enumerate(rows)}
    values, found = db.get_columns(keys, width=8)
    assert found.all()
    assert [int.from_bytes(row.tobytes(), "little") for row in values] == list(range(len(rows)))


def test_big_endian_integers_sort_as_numbers(db: lsmkv.DB) -> None:
    numbers = np.array([1 << 40, 5, 300, 0, 70_000], dtype=">u8")
    db.put_columns(numbers, numbers)
    ((keys, _),) = db.scan_columns()
    assert keys.to_rows(8).reshape(-1).view(">u8").tolist() == sorted(numbers.tolist())


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.5, -2.5]),
        np.array([True, False]),
        np.arange(12, dtype=np.int16).reshape(2, 3, 2),
        np.zeros(2, dtype=[("Offset", "<u4"), ("u", "V3")]),
        np.array([1 + 2j, 3], dtype=np.complex64),
        array.array("d", [1.0, 2.0]),
        np.empty((2, 0)),
    ],
)
def test_values_are_the_bytes_of_any_plain_items(db: lsmkv.DB, values: Any) -> None:
    db.put_columns(np.array([1, 2], dtype=">u4"), values)
    assert list(db.values()) == rows_of(values)


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        b"bytes", bytearray(b"bytes"), "text", None, 7, [b"a", b"b"], object(),
        np.frombuffer(b"abcd", np.uint8), np.array(7), np.array(["text"]), np.array([object()]),
        np.arange(12, dtype=np.uint8).reshape(4, 3)[:, :2],
        np.asfortranarray(np.ones((3, 3), "u1")),
        np.arange(12, dtype=">u4")[::2], np.zeros(2, dtype=[("a", object)]),
        np.array(["2020-01-01"], dtype="M8[s]"),
    ],
)  # fmt: skip
def test_neither_keys_nor_values(db: lsmkv.DB, bad: Any) -> None:
    good = np.array([1], dtype=">u4")
    for use in (lambda: db.put_columns(bad, good), lambda: db.put_columns(good, bad),
                lambda: db.get_columns(bad)):  # fmt: skip
        with pytest.raises(TypeError):
            use()
    assert list(db) == []


@pytest.mark.parametrize("kind", ["<u8", "i4", ">i8", "f8", "?", ">f4", [("a", ">u4")], "u2", "c8"])
def test_keys_that_would_not_sort(db: lsmkv.DB, kind: Any) -> None:
    with pytest.raises(TypeError, match="would not sort"):
        db.put_columns(np.zeros(3, dtype=kind), values_for(3))
    with pytest.raises(TypeError, match="would not sort"):
        db.get_columns(np.zeros((2, 3), dtype=">u4"))


@pytest.mark.parametrize(
    ("offsets", "match"),
    [
        ([0, 2, 1, 3], "descend at row 1"), ([-1, 2, 3, 3], "begin below 0"),
        ([0, 1, 2, 4], "end at 4, the data has 3"), ([3, 2, 1, 0], "descend at row 0"),
        ([0, 0, 0, (1 << 31) - 1], "limit"), ([0, -(1 << 31), 0, 0], "descend"),
        ([5, 5, 5, 5], "end at 5"), ([], "one element more"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_offsets_are_not_trusted(db: lsmkv.DB, offsets: Any, match: str, kind: Any) -> None:
    column = Column(np.array(offsets, dtype=kind), np.frombuffer(b"abc", np.uint8))
    good = Column.from_bytes([b"a", b"b", b"c"])
    for use in (lambda: db.put_columns(column, good), lambda: db.put_columns(good, column),
                lambda: db.get_columns(column)):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            use()
    assert list(db) == []


@pytest.mark.parametrize(
    ("offsets", "data"),
    [
        (np.array([0.0, 1.0]), b"x"), (np.array([0, 1], dtype=np.uint64), b"x"),
        (np.array([0, 1], dtype=">i8"), b"x"), (np.array([[0, 1]]), b"x"), ([0, 1], b"x"),
        (np.array([0, 9, 1])[::2], b"x"), (np.array([0, 1], dtype=np.int16), b"x"),
        (np.array([0, 1]), "x"), (np.array([0, 1]), np.array([1.0])),
        (np.array([0, 1]), np.ones((1, 1), np.uint8)), (None, None),
    ],
)  # fmt: skip
def test_parts_of_a_column_of_the_wrong_type(db: lsmkv.DB, offsets: Any, data: Any) -> None:
    with pytest.raises(TypeError, match=r"keys\.(offsets|data)"):
        db.put_columns(Column(offsets, data), values_for(1))


def test_rows_over_the_limit(db: lsmkv.DB) -> None:
    long = np.zeros((1, 65537), dtype=np.uint8)
    ends = Column(np.array([0, 65537]), long.reshape(-1))
    for keys in (long, ends):
        for use in (lambda keys=keys: db.put_columns(keys, values_for(1)),
                    lambda keys=keys: db.get_columns(keys)):  # fmt: skip
            with pytest.raises(ValueError, match="65537 bytes is over the limit of 65536 bytes"):
                use()
    huge = np.broadcast_to(np.zeros(1, np.uint8), ((1 << 30) + 1,))
    with pytest.raises(TypeError):  # it is not contiguous
        db.put_columns(np.array([1], dtype=">u2"), huge.reshape(1, -1))


def test_as_many_keys_as_values(db: lsmkv.DB) -> None:
    with pytest.raises(ValueError, match="3 keys and 2 values"):
        db.put_columns(np.arange(3, dtype=">u4"), values_for(2))


# --- Column and numpy ----------------------------------------------------------------------------


def test_a_column_of_bytes_and_back() -> None:
    rows = [b"", b"one", b"\0" * 3, b""]
    column = Column.from_bytes(iter(rows))
    assert (len(column), column.to_list()) == (4, rows)
    assert (column.offsets.dtype, column.data.dtype) == (np.int64, np.uint8)
    assert len(Column.from_bytes([])) == 0
    part = Column(column.offsets[1:3], column.data)
    assert part.to_list() == [b"one"]
    assert rows_of(part.to_rows(3)) == [b"one"]
    with pytest.raises(ValueError, match="not every row has 3 bytes"):
        column.to_rows(3)
    with pytest.raises(AttributeError):
        part.data = b""  # type: ignore[misc,assignment]


def test_without_numpy_writing_goes_on_and_reading_says_what_is_missing(
    db: lsmkv.DB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    db.put_columns(Column(array.array("q", [0, 1]), b"k"), array.array("d", [1.0]))
    keys = memoryview(b"k").cast("B", (1, 1))
    assert Column(array.array("q", [0, 1]), b"k").to_list() == [b"k"]
    with db.snapshot() as snapshot:
        for use in (lambda: db.get_columns(keys), db.scan_columns, snapshot.scan_columns,
                    lambda: snapshot.get_columns(keys), lambda: Column.from_bytes([]),
                    lambda: as_rows(b"", 0, 0)):  # fmt: skip
            with pytest.raises(ImportError, match=r"pip install 'lsmkv\[numpy\]'"):
                use()


# --- the kernels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sort", "rows"])
@pytest.mark.parametrize(
    "flags", [c_program.OPTIMISED, c_program.SANITIZED], ids=["fast", "checked"]
)
def test_kernels(tmp_path: Any, mode: str, flags: list[str]) -> None:
    program = c_program.build(tmp_path, "columns_check", KERNELS, flags)
    assert c_program.run(program, mode) == "ok\n"
