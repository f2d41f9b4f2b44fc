"""Objects end in any order, in collected cycles, in finalizers, half-made: never a crash, no leak.

What a cycle or a finalizer touches is decided by the collector, so these tests collect often and at
the worst moments.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv import engine as engine_module
from lsmkv import kernel
from lsmkv._native import memory
from lsmkv._native.batch import OperationBuffer
from lsmkv._native.scan import Scan
from lsmkv._native.snapshot import Snapshot
from lsmkv._native.store import Store
from lsmkv._native.vfs import MemoryFileSystem

SMALL: dict[str, Any] = {"write_buffer_size": 4096, "block_size": 256, "level0_trigger": 2}
DEADLINE_S = 30.0


def open_filled(path: str = ":memory:", **options: Any) -> lsmkv.DB:
    """A database with something in a table and something in memory."""
    db = lsmkv.open(path, **({"background": "inline"} | SMALL | options))
    db.put_many({b"%03d" % number: b"value %d" % number for number in range(100)})
    db.flush()
    db.put(b"in memory", b"1")
    return db


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Native memory is given back by the end of the test."""
    gc.collect()
    before = memory.usage()
    yield
    gc.collect()
    assert memory.usage() == before


# --- any order -----------------------------------------------------------------------------------


def objects_of(db: lsmkv.DB) -> dict[str, Any]:
    """One of each, all in use."""
    snapshot = db.snapshot()
    scan, back, of_snapshot = db.scan(), db.scan(reverse=True), snapshot.scan()
    for iterator in (scan, back, of_snapshot):
        next(iterator)
    batch = db.write_batch()
    batch.put(b"a", b"1")
    view = db.prefixed(b"0").view(key="utf8")
    return {
        "snapshot": snapshot, "scan": scan, "back": back, "of_snapshot": of_snapshot,
        "batch": batch, "view": view, "items": iter(view.items()),
    }  # fmt: skip


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("closed_first", [True, False])
def test_dropped_in_every_order(closed_first: bool) -> None:
    names = ["db", "snapshot", "scan", "of_snapshot", "batch"]
    for order in itertools.permutations(names):
        db = open_filled()
        alive = {"db": db, **objects_of(db)}
        del db  # others may be the last to hold it
        if closed_first:
            alive["db"].close()
        for name in order:
            if name == "db":
                alive["db"].close()
            del alive[name]


@pytest.mark.usefixtures("no_leak")
def test_closed_in_every_order() -> None:
    for order in itertools.permutations(["db", "snapshot", "scan", "of_snapshot"]):
        db = open_filled()
        alive = {"db": db, **objects_of(db)}
        for name in order:
            alive[name].close()
            alive[name].close()
        with pytest.raises(lsmkv.ClosedError):
            next(alive["back"])


@pytest.mark.usefixtures("no_leak")
def test_a_scan_outlives_files_of_the_tree(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db", background="inline", **SMALL) as db:
        db.put_many({b"%03d" % number: b"old" * 30 for number in range(200)})
        db.flush()
        scan = db.scan()
        first = next(scan)
        db.put_many({b"%03d" % number: b"new" * 30 for number in range(200)})
        db.compact()
        tables = len(list((tmp_path / "db").glob("*.sst")))
        assert {first[1], *(value for _, value in scan)} == {b"old" * 30}
        del scan
        db.compact()
        db._tick()
        assert len(list((tmp_path / "db").glob("*.sst"))) < tables


# --- cycles --------------------------------------------------------------------------------------


class Holder:
    """Something of the user's that is part of a cycle."""

    def __init__(self, *held: object) -> None:
        self.held = held
        self.me = self


class FinalizedHolder(Holder):
    """The same with a finalizer, which runs before the cycle is taken apart."""

    def __del__(self) -> None:
        for thing in self.held:
            if hasattr(thing, "close"):
                thing.close()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("holder", [Holder, FinalizedHolder])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_cycles_are_collected(holder: type[Holder]) -> None:
    def make(order: tuple[int, ...]) -> None:
        db = open_filled()
        parts = [db, *objects_of(db).values()]
        holder(*[parts[index] for index in order])

    for order in itertools.permutations((0, 1, 2, 4)):  # one of each kind
        make(order)
        gc.collect()
    make((0,))
    make((1, 2, 3))


@pytest.mark.usefixtures("no_leak")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_database_that_holds_what_holds_it() -> None:
    for _ in range(5):
        db = open_filled()
        db.mine = objects_of(db)  # type: ignore[attr-defined]
        db.myself = db  # type: ignore[attr-defined]
        del db
        gc.collect()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_system_of_the_users_in_a_cycle() -> None:
    class Mine(MemoryFileSystem):
        pass

    for _ in range(5):
        files = Mine()
        db = open_filled("/db", filesystem=files)
        files.db, files.things = db, objects_of(db)  # type: ignore[attr-defined]
        del db, files
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_background_threads_end_with_a_forgotten_database(tmp_path: Path) -> None:
    before = threading.active_count()
    db = lsmkv.open(tmp_path / "db")
    assert threading.active_count() > before
    db.me = db  # type: ignore[attr-defined]
    del db
    gc.collect()
    assert threading.active_count() == before
    lsmkv.open(tmp_path / "db").close()


# --- finalizers ----------------------------------------------------------------------------------


class Finalizer:
    """Calls something when it is collected; in a cycle, so that the collector decides when."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.me = self

    def __del__(self) -> None:
        try:
            self.work()
        except lsmkv.Error as error:
            REFUSED.append(error)


REFUSED: list[lsmkv.Error] = []


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """A collection after every few new containers: finalizers run in the middle of anything."""
    threshold = gc.get_threshold()
    REFUSED.clear()
    gc.set_threshold(3, 1, 1)
    yield
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("busy_collector")
@pytest.mark.parametrize("background", ["inline", "threads"])
def test_finalizers_that_use_the_database(tmp_path: Path, background: str) -> None:
    with lsmkv.open(tmp_path / "db", background=background, **SMALL) as db:
        count = 0

        def write() -> None:
            nonlocal count
            db.put(b"finalizer/%05d" % count, b"x" * 100)
            count += 1

        works: list[Callable[[], object]] = [
            write, lambda: db.get(b"00001"), lambda: list(db.scan(limit=5)), db.flush, db.compact,
            lambda: kernel.drop_range(db, b"nothing", b"nothinh"), lambda: db.snapshot().close(),
        ]  # fmt: skip
        for number in range(600):
            Finalizer(works[number % len(works)])
            key = b"%05d" % (number % 300)
            db.put(key, key * 20)
            assert db.get(key) == key * 20
            if number % 50 == 0:
                found = list(db.scan(b"0", b"1"))
                assert len(found) == min(number + 1, 300)
                assert all(value == key * 20 for key, value in found)
                assert db.get_many([key]) == [key * 20]
        gc.collect()
        assert not db._is_inside()
        assert len(list(db.keys(prefix=b"finalizer/"))) == count
        for error in REFUSED:
            assert "finalizer" in str(error)


@pytest.mark.parametrize("background", ["inline", "threads"])
def test_close_from_a_finalizer_in_the_middle_of_a_flush(
    tmp_path: Path, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = lsmkv.open(tmp_path / "db", background=background, **SMALL)
    db.put(b"a", b"1")
    describe = engine_module.describe
    calls = []

    def closing(*arguments: Any) -> Any:
        if not calls:
            calls.append(db._is_inside())
            db.close()
        return describe(*arguments)

    monkeypatch.setattr(engine_module, "describe", closing)
    with pytest.raises(lsmkv.ClosedError):
        db.flush()
    db.close()  # waits for the one under way
    assert calls == [True]
    with lsmkv.open(tmp_path / "db") as again:
        assert again[b"a"] == b"1"
        assert again.verify()


def test_close_from_a_merge_function(tmp_path: Path) -> None:
    db = lsmkv.open(tmp_path / "db")

    def closing(_key: bytes, _old: bytes | None, operand: bytes) -> bytes:
        db.close()
        return operand

    with pytest.raises(lsmkv.ClosedError):
        kernel.merge_batch(db, [(b"a", b"1")], closing)
    db.close()
    with lsmkv.open(tmp_path / "db") as again:
        assert b"a" not in again


# --- half-made objects ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Store, lsmkv.DB.__new__, Store.__new__])
def test_a_store_without_its_constructor_is_closed(make: Callable[..., Store]) -> None:
    kind = lsmkv.DB if make is lsmkv.DB.__new__ else Store
    store = make() if make is Store else make(kind)
    for use in (
        lambda: store.get(b"a"), lambda: store.put(b"a", b"b"), lambda: store.delete(b"a"),
        lambda: store.get_many([b"a"]), lambda: store.put_many([(b"a", b"b")]), store.scan,
        lambda: len(store), lambda: bool(store), lambda: store[b"a"], lambda: b"a" in store,
        lambda: Snapshot(store), lambda: store._write(OperationBuffer()), store._sync_applied,
        store._refuse_read, store._refuse_write, store._begin_exclusive,
    ):  # fmt: skip
        with pytest.raises(lsmkv.ClosedError):
            use()
    assert store.closed


def test_snapshots_and_scans_without_their_constructor_are_closed() -> None:
    snapshot, scan = Snapshot.__new__(Snapshot), Scan.__new__(Scan)
    for use in (
        lambda: snapshot.get(b"a"), snapshot.scan, lambda: snapshot[b"a"], snapshot.__enter__,
        lambda: snapshot.get_many([]), lambda: next(scan), scan.count, scan.digest,
        lambda: scan.seek(b"a"),
    ):  # fmt: skip
        with pytest.raises(lsmkv.ClosedError):
            use()
    snapshot.close()
    scan.close()
    with pytest.raises(TypeError):
        Scan()


def test_a_snapshot_is_initialised_once() -> None:
    with open_filled() as db:
        snapshot = db.snapshot()
        with pytest.raises(TypeError):
            snapshot.__init__(db)  # type: ignore[misc]
        snapshot.close()
        with pytest.raises(TypeError):
            snapshot.__init__(db)  # type: ignore[misc]
        assert db.stats()["pinned_sequences"] == 0


def test_references_are_given_back(tmp_path: Path) -> None:
    """Nothing of the caller's is kept: keys, values, defaults, functions."""
    key, value, default = b"key %d" % 1, bytearray(b"value"), object()
    with lsmkv.open(tmp_path / "db") as db:
        counts = [sys.getrefcount(thing) for thing in (key, value, default)]
        for _ in range(100):
            db.put(key, value)
            db.get(b"missing", default)
            db.get_many([key, key])
            list(db.scan(key, limit=1))
            list(db.scan(prefix=key))
            kernel.merge_batch(db, [(key, value)], lambda _key, _old, operand: operand)
            with db.write_batch() as batch:
                batch.put(key, value)
            with pytest.raises(TypeError):
                db.put(key, "text")  # type: ignore[arg-type]
        assert [sys.getrefcount(thing) for thing in (key, value, default)] == counts
        value.append(1)  # no buffer is left exported
