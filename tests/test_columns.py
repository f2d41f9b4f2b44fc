"""Columns do what the calls for single keys do, in every shape, and fail as cleanly.

Held against a dict and tests/support/reference_columns.py. Which arrays are taken and refused, and
the kernels alone: native/test_columns.py; every failing allocation: test_memory_failures.py.
"""

from __future__ import annotations

import errno
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lsmkv
from lsmkv import Column
from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.support.checked_database import Range
from tests.support.reference_columns import BYTES_MAX, ROWS_MAX, Pair, chunks, rows_of

SMALL: dict[str, Any] = {"background": "inline", "write_buffer_size": 4096, "table_size": 4096,
                         "block_size": 256, "level0_trigger": 3, "block_cache_size": 4096,
                         "max_open_files": 16, "row_cache_size": 4096}  # fmt: skip


def fixed(rows: list[bytes], width: int) -> Any:
    """Rows of one size as an array of shape (rows, width)."""
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), width)


def columns_of(pairs: list[Pair]) -> tuple[Column, Column]:
    return Column.from_bytes([key for key, _ in pairs]), Column.from_bytes(
        [value for _, value in pairs]
    )


def put(db: lsmkv.DB, pairs: list[Pair], **options: Any) -> None:
    db.put_columns(*columns_of(pairs), **options)


def scanned(batches: Iterator[tuple[Column, Column]]) -> list[Pair]:
    found: list[Pair] = []
    for keys, values in batches:
        assert len(keys) == len(values) > 0
        found += zip(keys.to_list(), values.to_list(), strict=True)
    return found


def check_reads(source: Any, model: dict[bytes, bytes], wanted: list[bytes]) -> None:
    """get_columns of a database or snapshot against the dict it has to equal."""
    values, found = source.get_columns(Column.from_bytes(wanted))
    assert found.tolist() == [key in model for key in wanted]
    assert values.to_list() == [model.get(key, b"") for key in wanted]
    assert source.get_many(wanted) == [model.get(key) for key in wanted]


def numbered(count: int, value: Callable[[int], bytes] = lambda number: b"%d" % number) -> Any:
    return {b"%08d" % number: value(number) for number in range(count)}


# --- against a dict ------------------------------------------------------------------------------

key_bytes = st.one_of(
    st.binary(max_size=3),
    st.text("ab\0\xff", max_size=20).map(lambda text: text.encode("latin-1")),
    st.integers(0, 50).map(lambda number: b"a long prefix that all share %04d" % number),
)
pair_lists = st.lists(st.tuples(key_bytes, st.binary(max_size=40)), max_size=60)
ranges = st.builds(
    Range,
    start=st.none() | key_bytes,
    stop=st.none() | key_bytes,
    reverse=st.booleans(),
    limit=st.none() | st.integers(0, 20),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pair_lists, max_size=5), st.lists(key_bytes, max_size=30), ranges, st.data())
def test_any_columns_equal_the_same_puts(
    loads: list[list[Pair]], others: list[bytes], chosen: Range, data: st.DataObject
) -> None:
    model: dict[bytes, bytes] = {}
    with lsmkv.open(":memory:", **SMALL) as db:
        snapshots = []
        for pairs in loads:
            snapshots.append((db.snapshot(), dict(model)))
            put(db, pairs)
            model.update(pairs)
            if others and data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(others))
                db.delete(gone)
                model.pop(gone, None)
            if data.draw(st.booleans()):
                data.draw(st.sampled_from([db.flush, db.compact]))()
        wanted = [*others, *model, *others]
        count = data.draw(st.integers(1, 9))
        for source, expected in [*snapshots, (db, model)]:
            check_reads(source, expected, wanted)
            pairs = chosen.select(expected)[: chosen.limit]
            batches = source.scan_columns(**chosen.keywords(), batch_count=count)
            assert scanned(batches) == pairs == list(source.scan(**chosen.keywords()))


@settings(max_examples=40)
@given(
    st.integers(0, 20).flatmap(
        lambda width: st.lists(st.binary(min_size=width, max_size=width), min_size=1, max_size=40)
    ),
    st.integers(0, 5),
)
def test_rows_of_one_width(keys: list[bytes], value_width: int) -> None:
    values = [bytes([number % 7]) * value_width for number in range(len(keys))]
    model = dict(zip(keys, values, strict=True))
    with lsmkv.open(":memory:") as db:
        wanted = fixed(keys, len(keys[0]))
        db.put_columns(wanted, fixed(values, value_width))
        assert dict(db.scan()) == model
        rows, found = db.get_columns(wanted, width=value_width)
        assert found.all()
        assert rows.shape == (len(keys), value_width)
        assert rows_of(rows) == [model[key] for key in keys]


@pytest.mark.parametrize("prepared", ["memtable", "frozen", "level 0", "bottom", "everywhere"])
def test_many_rows_wherever_they_are(prepared: str) -> None:
    """More rows than a window, a slice and a chunk have, some missing, some deleted."""
    model = numbered(150_000, lambda number: b"%d" % number * (number % 4))
    pairs = list(model.items())
    random.Random(1).shuffle(pairs)
    options = {} if prepared == "memtable" else {"write_buffer_size": 4 << 20}
    with lsmkv.open(":memory:", bloom_bits_per_key=0, **options) as db:
        put(db, pairs)
        if prepared in ("level 0", "everywhere"):
            db.flush()
        if prepared == "bottom":
            db.compact()
        if prepared in ("everywhere", "frozen"):
            for key, _ in pairs[:1000]:
                db.delete(key)
                del model[key]
            renewed = [(key, b"new") for key, _ in pairs[900:3000]]
            put(db, renewed)
            model.update(renewed)
        wanted = [key for key, _ in pairs] + [key + b"x" for key, _ in pairs[:70_000]]
        check_reads(db, model, wanted)
        assert scanned(db.scan_columns()) == sorted(model.items())
        assert scanned(db.scan_columns(reverse=True)) == sorted(model.items(), reverse=True)


def test_the_last_of_equal_keys_wins() -> None:
    pairs = [(b"%d" % (number % 3), b"%d" % number) for number in range(1000)]
    with lsmkv.open(":memory:") as db:
        put(db, pairs)
        assert dict(db.scan()) == dict(pairs)
        assert db.stats()["memtable_entries"] == 3
        assert db.stats()["last_sequence"] == 1000


def test_nothing_at_all() -> None:
    empty = Column.from_bytes([])
    with lsmkv.open(":memory:") as db:
        db.put_columns(empty, empty)
        db.put_columns(np.empty((0, 8), np.uint8), np.empty((0, 5)))
        assert db.stats()["last_sequence"] == 0
        values, found = db.get_columns(empty)
        assert (len(values), found.shape) == (0, (0,))
        rows, found = db.get_columns(empty, width=3)
        assert (rows.shape, found.shape) == ((0, 3), (0,))
        assert list(db.scan_columns()) == []


def test_the_empty_key_and_the_empty_value() -> None:
    with lsmkv.open(":memory:") as db:
        put(db, [(b"", b"empty"), (b"key", b"")])
        for prepare in (lambda: None, db.flush):
            prepare()
            check_reads(db, {b"": b"empty", b"key": b""}, [b"key", b"", b"other"])
        rows, found = db.get_columns(Column.from_bytes([b"key", b"no"]), width=0)
        assert rows.shape == (2, 0)
        assert found.tolist() == [True, False]


def test_the_largest_rows() -> None:
    pairs = [(b"k" * 65536, b"v" * (BYTES_MAX + 1)), (b"small", b"s"), (b"k" * 65535, b"w" * 3)]
    with lsmkv.open(":memory:") as db:
        put(db, pairs)
        check_reads(db, dict(pairs), [key for key, _ in pairs])
        assert db.stats()["batch_count"] == len(list(chunks(pairs))) == 2
        assert scanned(db.scan_columns(batch_bytes=1)) == sorted(pairs)


def test_heads_that_do_not_tell_keys_apart() -> None:
    """Two groups of keys that share more than a head each, and nothing between the groups."""
    keys = [b"%s the same for all of its group %05d" % (group, number)
            for group in (b"a", b"b") for number in range(3000)]  # fmt: skip
    pairs = [(key, b"%d" % position) for position, key in enumerate(keys * 2)]
    random.Random(2).shuffle(pairs)
    with lsmkv.open(":memory:") as db:
        put(db, pairs)
        assert list(db.scan()) == sorted(dict(pairs).items())
        check_reads(db, dict(pairs), keys)


# --- batches, widths, sequences ------------------------------------------------------------------


def test_batches_end_at_a_count_or_at_a_size() -> None:
    model = numbered(5000, lambda number: b"x" * 92)
    with lsmkv.open(":memory:") as db:
        put(db, list(model.items()))
        sizes = [len(keys) for keys, _ in db.scan_columns(batch_count=1999)]
        assert sizes == [1999, 1999, 1002]
        sizes = [len(keys) for keys, _ in db.scan_columns(batch_bytes=100_001)]
        assert sizes == [1001, 1001, 1001, 1001, 996]
        assert [len(keys) for keys, _ in db.scan_columns(limit=3000, batch_count=1500)] == [
            1500
        ] * 2
        for bad in ({"batch_count": 0}, {"batch_bytes": -1}):
            with pytest.raises(ValueError, match="must be 1 or more"):
                db.scan_columns(**bad)
        with pytest.raises(TypeError):
            db.scan_columns(batch_count="many")
        assert db.stats()["pinned_sequences"] == 0


def test_a_width_that_values_do_not_have() -> None:
    with lsmkv.open(":memory:") as db:
        put(db, [(b"a", b"1234"), (b"b", b"12345")])
        with pytest.raises(ValueError, match="row 1 has 5 bytes, not 4"):
            db.get_columns(Column.from_bytes([b"a", b"b"]), width=4)
        for width in (-1, (1 << 30) + 1, 1 << 70):
            with pytest.raises(ValueError, match="width must be"):
                db.get_columns(Column.from_bytes([b"a"]), width=width)
        with pytest.raises(TypeError):
            db.get_columns(Column.from_bytes([b"a"]), width="4")
        assert db.stats()["pinned_sequences"] == 0


def test_a_scan_that_is_closed_or_dropped() -> None:
    with lsmkv.open(":memory:") as db:
        put(db, list(numbered(100).items()))
        with db.scan_columns(batch_count=10) as scan:
            keys, values = next(scan)
        with pytest.raises(lsmkv.ClosedError):
            next(scan)
        del scan
        assert keys.to_list()[9] == b"%08d" % 9
        scan = db.scan_columns(batch_count=10)
        scan.seek(b"%08d" % 95)
        assert len(next(scan)[0]) == 5
        assert next(scan, None) is None
        left = db.scan_columns()
        next(left)
        assert left.count() == 0
    assert values.to_list()[9] == b"9"


def test_results_outlive_the_database() -> None:
    before = memory.usage()
    with lsmkv.open(":memory:") as db:
        put(db, [(b"key", b"value")])
        values, found = db.get_columns(Column.from_bytes([b"key"]))
        (keys, _), *_ = db.scan_columns()
    del db
    assert values.to_list() == [b"value"]
    assert keys.to_list() == [b"key"]
    assert found.all()
    values.data[0] = ord("V")  # it is the caller's
    assert values.to_list() == [b"Value"]
    del values, found, keys, _
    assert memory.usage() == before


# --- durability and atomicity --------------------------------------------------------------------


def test_a_load_survives(tmp_path: Any) -> None:
    model = numbered(ROWS_MAX + 1000, lambda number: b"v%d" % number)
    for mode in ("mapped", "written"):
        with lsmkv.open(tmp_path / mode, log_mode=mode) as db:
            put(db, list(model.items()), sync=True)
            db.put(b"after", b"it")
        with lsmkv.open(tmp_path / mode) as db:
            assert dict(db.scan()) == model | {b"after": b"it"}


def test_a_synced_load_survives_a_power_loss_and_another_a_kill() -> None:
    files = MemoryFileSystem()
    model = numbered(2000)
    db = lsmkv.open("/db", filesystem=files, background="inline")
    put(db, list(model.items()), sync=True)
    put(db, [(b"more", b"not synced")])
    with lsmkv.open("/db", filesystem=files.crash()) as lost:
        assert dict(lost.scan()) == model
    with lsmkv.open("/db", filesystem=files.clone()) as killed:
        assert dict(killed.scan()) == model | {b"more": b"not synced"}
    db.close()


def whole_chunks(pairs: list[Pair]) -> list[dict[bytes, bytes]]:
    """What may be there after each number of chunks."""
    states: list[dict[bytes, bytes]] = [{}]
    for chunk in chunks(pairs):
        states.append(states[-1] | dict(chunk))
    return states


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("operation", ["log_reserve", "log_commit"])
def test_a_log_that_fails_leaves_whole_chunks(number: int, operation: str) -> None:
    """Also on the disk; with a full disk writing goes on afterwards."""
    pairs = [(b"%07d" % number, b"x" * (BYTES_MAX // 4)) for number in range(12)]
    states = whole_chunks(pairs)
    assert len(states) == 5
    for attempt in range(1, len(states)):
        files = MemoryFileSystem()
        faulty = FaultFileSystem(files)
        with lsmkv.open("/db", filesystem=faulty, background="inline") as db:
            faulty.fail(attempt, number, operations=[operation])
            with pytest.raises(lsmkv.StorageError):
                put(db, pairs)
            assert dict(db.scan()) == states[attempt - 1]
            with lsmkv.open("/db", filesystem=files.clone()) as killed:
                assert dict(killed.scan()) == states[attempt - 1]
            if number == errno.ENOSPC:
                put(db, pairs)
                assert dict(db.scan()) == states[-1]
            else:
                with pytest.raises(lsmkv.ReadOnlyError):
                    put(db, pairs)


def test_a_sync_that_fails_ends_the_writing() -> None:
    faulty = FaultFileSystem(MemoryFileSystem())
    with lsmkv.open("/db", filesystem=faulty, background="inline") as db:
        faulty.fail(1, errno.EIO, operations=["log_sync"])
        with pytest.raises(lsmkv.StorageError):
            put(db, [(b"key", b"value")], sync=True)
        with pytest.raises(lsmkv.ReadOnlyError):
            put(db, [(b"other", b"value")])
        check_reads(db, {b"key": b"value"}, [b"key", b"other"])


# --- other states of a database ------------------------------------------------------------------


def test_a_read_only_and_a_closed_database(tmp_path: Any) -> None:
    keys, values = columns_of([(b"key", b"value")])
    with lsmkv.open(tmp_path / "db") as db:
        db.put_columns(keys, values)
        scan, snapshot = db.scan_columns(), db.snapshot()
    with lsmkv.open(tmp_path / "db", read_only=True) as db:
        for rows in ((keys, values), (Column.from_bytes([]), Column.from_bytes([]))):
            with pytest.raises(lsmkv.ReadOnlyError):
                db.put_columns(*rows)
        check_reads(db, {b"key": b"value"}, [b"key", b"no"])
    for use in (
        lambda: db.put_columns(keys, values), lambda: db.get_columns(keys),
        lambda: db.scan_columns(), lambda: next(scan), lambda: snapshot.get_columns(keys),
        lambda: snapshot.scan_columns(),
    ):  # fmt: skip
        with pytest.raises(lsmkv.ClosedError):
            use()


def test_a_snapshot_that_was_closed() -> None:
    with lsmkv.open(":memory:") as db:
        snapshot = db.snapshot()
        snapshot.close()
        for use in (lambda: snapshot.get_columns(Column.from_bytes([])), snapshot.scan_columns):
            with pytest.raises(lsmkv.ClosedError):
                use()


def test_a_snapshot_keeps_what_large_loads_replace() -> None:
    """Loads above one slice are linked while others may read, smaller ones are not."""
    with lsmkv.open(":memory:") as db:
        expected: list[tuple[lsmkv.Snapshot, dict[bytes, bytes]]] = []
        for turn, count in enumerate((20_000, 100, 20_000, 100)):
            model = (expected[-1][1] if expected else {}) | numbered(
                count, lambda number, turn=turn: b"%d of %d" % (number, turn)
            )
            put(db, list(model.items()))
            expected.append((db.snapshot(), model))
        for snapshot, model in expected:
            check_reads(snapshot, model, list(model))
            assert scanned(snapshot.scan_columns()) == list(model.items())


# --- beside other threads ------------------------------------------------------------------------


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def beside(work: Callable[[], object], *others: Callable[[], object]) -> None:
    """Run `others` over and over in threads while `work` runs; what they raise is raised."""
    done = threading.Event()
    failures: list[BaseException] = []

    def repeat(other: Callable[[], object]) -> None:
        try:
            while not done.is_set():
                other()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=[other]) for other in others]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_readers_and_writers_see_whole_chunks(quick_switches: None, tmp_path: Any) -> None:
    rounds, keys = 6, [b"%07d" % number for number in range(ROWS_MAX)]
    array = fixed(keys, 7)
    counter = [0]

    def read_one_moment() -> None:
        values, found = db.get_columns(array[::1000].copy(), width=8)
        assert found.all()
        assert len(set(rows_of(values))) == 1

    def scan_one_moment() -> None:
        seen = {row for _, values in db.scan_columns(b"0", b"1") for row in values.to_list()}
        assert len(seen) == 1

    def write_other_keys() -> None:
        counter[0] += 1
        db.put(b"other %d" % counter[0], b"")

    def load() -> None:
        for number in range(1, rounds):
            db.put_columns(array, np.full(ROWS_MAX, number, dtype="<u8"))

    with lsmkv.open(tmp_path / "db", write_buffer_size=4 << 20) as db:
        db.put_columns(array, np.zeros(ROWS_MAX, dtype="<u8"))
        beside(load, read_one_moment, scan_one_moment, write_other_keys)
        assert len(db) == ROWS_MAX + counter[0]
        assert set(db.values(b"0", b"1")) == {(rounds - 1).to_bytes(8, "little")}


def test_close_beside_a_load_and_reads(quick_switches: None, tmp_path: Any) -> None:
    pairs = list(numbered(3 * ROWS_MAX).items())
    random.Random(3).shuffle(pairs)
    keys, values = columns_of(pairs)
    ended: list[type] = []

    def until_closed(use: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                while True:
                    use()
            except lsmkv.Error as error:
                ended.append(type(error))

        return run

    db = lsmkv.open(tmp_path / "db", write_buffer_size=1 << 20)
    uses = (
        lambda: db.put_columns(keys, values),
        lambda: db.get_columns(keys),
        lambda: sum(len(batch[0]) for batch in db.scan_columns()),
    )
    threads = [threading.Thread(target=until_closed(use)) for use in uses]
    for thread in threads:
        thread.start()
    while db.stats()["batch_count"] < 2:
        pass
    db.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert ended == [lsmkv.ClosedError] * 3
    with lsmkv.open(tmp_path / "db") as again:
        assert dict(again.scan()) in whole_chunks(pairs)


def test_ctrl_c_leaves_whole_chunks() -> None:
    pairs = list(numbered(3 * ROWS_MAX).items())
    keys, values = columns_of(pairs)

    def interrupt() -> None:
        while db.stats()["batch_count"] < 2:
            pass
        signal.raise_signal(signal.SIGINT)

    with lsmkv.open(":memory:") as db:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                db.put_columns(keys, values)
        thread.join(60)
        assert dict(db.scan()) in whole_chunks(pairs)
        db.put(b"still", b"open")


def test_bytes_that_change_under_a_load_and_a_read(quick_switches: None) -> None:
    """What is written is some of what was there, offsets that go wild included."""
    generator = np.random.default_rng(4)
    keys, values = columns_of([(b"%06d" % number, b"v" * 50) for number in range(20_000)])
    sound = keys.offsets.copy()
    data = keys.data.copy()
    changing = Column(keys.offsets, data)

    def change() -> None:
        data[:] = generator.integers(48, 58, len(data), dtype=np.uint8)
        keys.offsets[generator.integers(0, len(sound))] = generator.integers(-(2**62), 2**62)
        keys.offsets[:] = sound

    def use() -> None:
        for _ in range(20):
            try:
                db.put_columns(changing, values)
                db.get_columns(changing)
            except ValueError as error:
                assert "offsets" in str(error) or "limit" in str(error)

    with lsmkv.open(":memory:") as db:
        beside(use, change)
        listed = [key for key, _ in db.scan()]
        assert listed == sorted(set(listed))
        assert all(len(key) == 6 and key.isdigit() for key in listed)
        check_reads(db, dict(db.scan()), listed)
