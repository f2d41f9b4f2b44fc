"""The public API of an open database, on real files and in memory: every name in the contract,
every error.

Durability has its own tests (test_crash.py, test_power_loss.py), equivalence with a dict too
(test_model.py).
"""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

import lsmkv
from lsmkv._native import memory


@pytest.fixture(params=["files", "memory"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[lsmkv.DB]:
    path = str(tmp_path / "db") if request.param == "files" else ":memory:"
    with lsmkv.open(path) as database:
        yield database


def fill(database: lsmkv.DB, count: int) -> dict[bytes, bytes]:
    model = {b"%05d" % i: b"value %d" % i for i in range(count)}
    database.put_many(model)
    return model


class TestReadingAndWriting:
    def test_put_get_delete(self, db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        assert db.get(b"a") == b"1"
        db.put(b"a", b"2", sync=True)
        assert db.get(b"a") == b"2"
        db.delete(b"a")
        assert db.get(b"a") is None
        assert db.get(b"a", b"none") == b"none"
        db.delete(b"never there", sync=True)

    def test_mapping_syntax(self, db: lsmkv.DB) -> None:
        db[b"k"] = b"v"
        assert db[b"k"] == b"v"
        assert b"k" in db
        del db[b"k"]
        assert b"k" not in db
        with pytest.raises(KeyError) as caught:
            db[b"k"]
        assert caught.value.args == (b"k",)
        with pytest.raises(KeyError):
            del db[b"k"]

    def test_is_a_mutable_mapping(self, db: lsmkv.DB) -> None:
        assert isinstance(db, MutableMapping)
        assert not db
        db.update({b"a": b"1", b"b": b"2"})
        assert db
        assert len(db) == 2
        assert list(db) == [b"a", b"b"]
        assert list(reversed(db)) == [b"b", b"a"]
        assert db.setdefault(b"a", b"9") == b"1"
        assert db.pop(b"a") == b"1"
        assert db.popitem() == (b"b", b"2")
        with pytest.raises(KeyError):
            db.popitem()
        db[b"c"] = b"3"
        db.clear()
        assert len(db) == 0
        assert db != {}
        assert hash(db) == hash(db)

    def test_any_buffer_goes_in_and_bytes_come_out(self, db: lsmkv.DB) -> None:
        db.put(bytearray(b"key"), memoryview(b"xvaluex")[1:-1])
        value = db.get(memoryview(b"key"))
        assert type(value) is bytes
        assert value == b"value"

    def test_the_empty_key_and_value(self, db: lsmkv.DB) -> None:
        db.put(b"", b"")
        assert db.get(b"") == b""
        assert list(db.scan()) == [(b"", b"")]

    def test_get_many_keeps_order_and_marks_missing(self, db: lsmkv.DB) -> None:
        fill(db, 10)
        assert db.get_many([b"00003", b"x", b"00001", b"00003"]) == [
            b"value 3",
            None,
            b"value 1",
            b"value 3",
        ]
        db.flush()
        assert db.get_many(iter([b"00003"])) == [b"value 3"]

    def test_put_many_is_atomic(self, db: lsmkv.DB) -> None:
        with pytest.raises(TypeError):
            db.put_many([(b"a", b"1"), ("b", b"2")])  # type: ignore[list-item]
        assert len(db) == 0
        db.put_many([(b"a", b"1"), (b"a", b"2")], sync=True)
        assert db[b"a"] == b"2"

    def test_a_batch_is_written_when_its_block_ends(self, db: lsmkv.DB) -> None:
        db[b"gone"] = b"x"
        with db.write_batch(sync=True) as batch:
            batch.put(b"a", b"1")
            batch.delete(b"gone")
            batch[b"b"] = b"2"
            assert len(batch) == 3
            assert b"a" not in db
        assert dict(db.scan()) == {b"a": b"1", b"b": b"2"}
        with pytest.raises(lsmkv.ClosedError):
            batch.put(b"c", b"3")

    def test_a_batch_is_dropped_when_its_block_raises(self, db: lsmkv.DB) -> None:
        with pytest.raises(RuntimeError), db.write_batch() as batch:
            batch.put(b"a", b"1")
            raise RuntimeError
        assert b"a" not in db


class TestScanning:
    @pytest.mark.parametrize("flushed", [False, True])
    def test_bounds_prefix_reverse_limit(self, db: lsmkv.DB, flushed: bool) -> None:
        model = fill(db, 50)
        model |= {b"x\xff": b"1", b"x\xff\xff": b"2", b"y": b"3"}
        db.put_many(model)
        if flushed:
            db.flush()
        pairs = sorted(model.items())
        for start, stop in [
            (None, None),
            (b"00010", b"00020"),
            (b"0001", None),
            (b"z", None),
            (b"00020", b"00010"),
            (b"", b"00001"),
        ]:
            expected = [
                pair
                for pair in pairs
                if (start is None or pair[0] >= start) and (stop is None or pair[0] < stop)
            ]
            assert list(db.scan(start, stop)) == expected
            assert list(db.scan(start, stop, reverse=True)) == expected[::-1]
            assert list(db.keys(start, stop, limit=3)) == [key for key, _ in expected[:3]]
            assert list(db.values(start, stop, reverse=True, limit=2)) == [
                value for _, value in expected[::-1][:2]
            ]
        for prefix in [b"", b"0001", b"x\xff", b"\xff", b"y"]:
            expected = [pair for pair in pairs if pair[0].startswith(prefix)]
            assert list(db.items(prefix=prefix)) == expected
            assert list(db.scan(prefix=prefix, reverse=True)) == expected[::-1]
        assert list(db.scan(limit=0)) == []

    def test_bad_arguments(self, db: lsmkv.DB) -> None:
        with pytest.raises(ValueError):
            db.scan(b"a", prefix=b"b")
        with pytest.raises(ValueError):
            db.scan(limit=-1)
        with pytest.raises(TypeError):
            db.scan("a")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            db.scan(prefix="a")  # type: ignore[arg-type]

    def test_a_scan_shows_the_moment_it_was_made(self, db: lsmkv.DB) -> None:
        model = fill(db, 100)
        scan = db.scan()
        first = next(scan)
        for key in model:
            db.put(key, b"new")
        db.delete(b"00050")
        db.flush()
        db.compact()
        assert [first, *scan] == sorted(model.items())

    def test_a_scan_can_be_closed_and_sought(self, db: lsmkv.DB) -> None:
        fill(db, 10)
        with db.scan() as scan:
            next(scan)
            scan.seek(b"00007")
            assert next(scan)[0] == b"00007"
        with pytest.raises(lsmkv.ClosedError):
            next(scan)
        scan.close()
        exhausted = db.scan()
        list(exhausted)
        with pytest.raises(StopIteration):
            next(exhausted)


class TestSnapshots:
    def test_a_snapshot_stays(self, db: lsmkv.DB) -> None:
        model = fill(db, 100)
        with db.snapshot() as snapshot:
            db.put(b"00001", b"new")
            db.delete(b"00002")
            db.compact()
            assert snapshot.get(b"00001") == b"value 1"
            assert snapshot.get_many([b"00002", b"zz"]) == [b"value 2", None]
            assert dict(snapshot.scan()) == model
            assert snapshot[b"00002"] == b"value 2"
            assert b"00002" in snapshot
            assert b"00002" not in db
        with pytest.raises(lsmkv.ClosedError):
            snapshot.get(b"00001")
        snapshot.close()

    def test_compaction_drops_what_no_snapshot_needs(self, db: lsmkv.DB) -> None:
        fill(db, 100)
        with db.snapshot():
            for _ in range(3):
                fill(db, 100)
        db.compact()
        assert sum(level["entry_count"] for level in db.stats()["levels"]) == 100

    def test_keys_written_again_in_order(self, tmp_path: Path) -> None:
        """Small tables of level 0 are merged again and again, and stay in the order of writing."""
        with lsmkv.open(tmp_path / "db", write_buffer_size=4096, background="inline") as db:
            for turn in range(3):
                for number in range(1000):
                    db.put(b"%04d" % number, b"%d" % turn * 50)
            assert set(db.values()) == {b"2" * 50}


class TestLifeTime:
    def test_everything_after_close_raises_closed_error(self, tmp_path: Path) -> None:
        db = lsmkv.open(tmp_path / "db")
        fill(db, 10)
        snapshot, scan, batch = db.snapshot(), db.scan(), db.write_batch()
        view, sub = db.view(key="utf8"), db.prefixed(b"0")
        db.close()
        db.close()
        assert db.closed
        for call in (
            lambda: db.put(b"a", b"b"),
            lambda: db.get(b"a"),
            lambda: db.delete(b"a"),
            lambda: db[b"a"],
            lambda: b"a" in db,
            lambda: len(db),
            lambda: bool(db),
            lambda: db.get_many([b"a"]),
            lambda: db.put_many([(b"a", b"b")]),
            db.write_batch,
            db.scan,
            db.keys,
            db.snapshot,
            db.flush,
            db.compact,
            db.sync,
            db.stats,
            db.verify,
            db.approximate_len,
            lambda: db.checkpoint("x"),
            db.__enter__,
            db.clear,
            lambda: snapshot.get(b"a"),
            snapshot.scan,
            lambda: next(scan),
            batch.write,
            lambda: view["a"],
            lambda: sub[b"a"],
            lambda: list(sub),
        ):
            with pytest.raises(lsmkv.ClosedError):
                call()
        snapshot.close()
        scan.close()

    def test_objects_may_outlive_the_database(self, tmp_path: Path) -> None:
        gc.collect()
        before = memory.usage()[1]
        db = lsmkv.open(tmp_path / "db")
        fill(db, 1000)
        db.flush()
        scan, snapshot = db.scan(), db.snapshot()
        next(scan)
        db.close()
        del db
        gc.collect()
        del scan
        del snapshot
        gc.collect()
        assert memory.usage()[1] == before

    def test_an_unclosed_database_warns_and_closes(self, tmp_path: Path) -> None:
        db = lsmkv.open(tmp_path / "db")
        db.put(b"a", b"1")
        with pytest.warns(ResourceWarning, match="unclosed database"):  # noqa: PT031
            del db
            gc.collect()
        with lsmkv.open(tmp_path / "db") as again:
            assert again[b"a"] == b"1"

    def test_cannot_be_pickled(self, db: lsmkv.DB) -> None:
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(db)

    def test_reopening_finds_everything(self, tmp_path: Path) -> None:
        model: dict[bytes, bytes] = {}
        for round_number in range(4):
            with lsmkv.open(tmp_path / "db", write_buffer_size=64 << 10) as db:
                assert dict(db.scan()) == model
                for i in range(2000):
                    key = b"%05d" % (i * 7 % 3000)
                    model[key] = b"%d %d" % (round_number, i)
                    db.put(key, model[key])
                assert dict(db.scan()) == model


class TestLookingAfterIt:
    def test_stats(self, db: lsmkv.DB) -> None:
        fill(db, 100)
        db.flush()
        stats = db.stats()
        assert stats["flushes"] == 1
        assert stats["levels"][0]["entry_count"] == 100
        assert "flushes" in db.stats_text()
        assert db.approximate_len() == 100

    def test_verify(self, db: lsmkv.DB) -> None:
        fill(db, 100)
        db.flush()
        report = db.verify()
        assert report
        assert report.entry_count == 100
        assert "no damage" in str(report)

    def test_a_checkpoint_opens_on_its_own(self, tmp_path: Path) -> None:
        with lsmkv.open(tmp_path / "db") as db:
            model = fill(db, 1000)
            db.checkpoint(str(tmp_path / "copy"))
            db.put(b"later", b"x")
            with pytest.raises(lsmkv.Error):
                db.checkpoint(str(tmp_path / "copy"))
        with lsmkv.open(tmp_path / "copy", create=False) as copy:
            assert dict(copy.scan()) == model

    def test_destroy_leaves_nothing_of_ours(self, tmp_path: Path) -> None:
        with lsmkv.open(tmp_path / "db") as db:
            fill(db, 10)
            with pytest.raises(lsmkv.LockedError):
                lsmkv.destroy(tmp_path / "db")
        (tmp_path / "db" / "mine.txt").write_text("kept")
        lsmkv.destroy(tmp_path / "db")
        assert [path.name for path in (tmp_path / "db").iterdir()] == ["mine.txt"]
        lsmkv.open(tmp_path / "new").close()
        lsmkv.destroy(tmp_path / "new")
        assert not (tmp_path / "new").exists()
        lsmkv.destroy(tmp_path / "new")
