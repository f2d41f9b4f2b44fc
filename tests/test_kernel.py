"""The surface for the cluster: atomic merges, exports in chunks, dropped ranges, digests."""

from __future__ import annotations

import itertools
import random
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native.hashing import murmur3_x64_128
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.support import merge_hook
from tests.support.merge_hook import DELETE, KEEP, WRITE, MergeHook

SMALL: dict[str, Any] = {"write_buffer_size": 4096, "table_size": 4096, "block_size": 256,
                         "background": "inline", "level0_trigger": 2}  # fmt: skip


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    with lsmkv.open(":memory:", **SMALL) as database:
        yield database


def add(_key: bytes, old: bytes | None, operand: bytes) -> bytes:
    """Counters: eight bytes each."""
    before = 0 if old is None else struct.unpack("<q", old)[0]
    return struct.pack("<q", before + struct.unpack("<q", operand)[0])


def number(value: int) -> bytes:
    return struct.pack("<q", value)


class TestMergeBatch:
    def test_a_python_function(self, db: lsmkv.DB) -> None:
        db.put(b"b", number(10))
        before = kernel.merge_batch(
            db, [(b"a", number(1)), (b"b", number(5)), (b"a", number(2))], add, sync=True
        )
        assert before == [None, number(10), number(1)]
        assert dict(db.scan()) == {b"a": number(3), b"b": number(15)}
        assert db.stats()["durable_sequence"] == db.stats()["last_sequence"]

    def test_none_deletes_and_the_old_value_itself_writes_nothing(self, db: lsmkv.DB) -> None:
        db.put_many({b"a": b"1", b"b": b"2"})
        sequence = db.stats()["last_sequence"]
        kernel.merge_batch(db, [(b"a", b"")], lambda _key, old, _operand: old)
        kernel.merge_batch(db, [(b"missing", b"")], lambda _key, old, _operand: old)
        assert db.stats()["last_sequence"] == sequence
        answers = kernel.merge_batch(db, [(b"a", b""), (b"a", b"")], lambda *_: None)
        assert answers == [b"1", None]
        assert dict(db.scan()) == {b"b": b"2"}

    def test_any_buffers(self, db: lsmkv.DB) -> None:
        buffer = bytearray(b"one")

        def reusing(_key: bytes, old: bytes | None, operand: bytes) -> bytearray:
            assert old is None or type(old) is bytes
            buffer[:] = (old or b"") + operand
            return buffer

        records = [(bytearray(b"a"), memoryview(b"1")), (b"a", b"2"), (b"b", b"3")]
        assert kernel.merge_batch(db, records, reusing) == [None, b"1", None]
        assert dict(db.scan()) == {b"a": b"12", b"b": b"3"}

    def test_values_in_tables_and_in_memory(self, db: lsmkv.DB) -> None:
        model = {b"%03d" % key: number(key) for key in range(300)}
        db.put_many(model)
        db.compact()
        db.put(b"000", number(7))
        model[b"000"] = number(7)
        kernel.merge_batch(db, [(key, number(1)) for key in model], add)
        assert dict(db.scan()) == {key: add(key, value, number(1)) for key, value in model.items()}

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_nothing_is_written_when_the_function_raises(self, db: lsmkv.DB, place: int) -> None:
        db.put(b"0", b"old")
        calls = []

        def failing(key: bytes, _old: bytes | None, operand: bytes) -> bytes:
            if len(calls) == place:
                raise LookupError(key)
            calls.append(key)
            return operand

        with pytest.raises(LookupError):
            kernel.merge_batch(db, [(b"%d" % i, b"new") for i in range(3)], failing)
        assert dict(db.scan()) == {b"0": b"old"}
        db.put(b"1", b"writes go on")

    @pytest.mark.parametrize("answer", ["text", 7, ["list"]])
    def test_an_answer_that_is_not_bytes(self, db: lsmkv.DB, answer: Any) -> None:
        with pytest.raises(TypeError):
            kernel.merge_batch(db, [(b"a", b"1"), (b"b", b"2")], lambda *_: answer)
        assert not db

    @pytest.mark.parametrize("records", [7, [7], [b"a"], [(b"a",)], [(b"a", "text")], None])
    def test_records_that_are_none(self, db: lsmkv.DB, records: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            kernel.merge_batch(db, records, add)

    def test_no_records(self, db: lsmkv.DB) -> None:
        assert kernel.merge_batch(db, [], add) == []
        assert kernel.merge_batch(db, iter([]), add, sync=True) == []

    def test_pairs_say_what_was_written(self, db: lsmkv.DB) -> None:
        db.put_many({b"a": b"1", b"b": b"22"})

        def function(_key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            return {b"keep": old, b"delete": None}.get(operand, operand)

        records = [(b"a", b"keep"), (b"a", b"3"), (b"a", b"delete"), (b"c", b"keep"), (b"b", b"22")]
        pairs = kernel.merge_batch(db, records, function, pairs=True)
        assert pairs == [(b"1", b"1"), (b"1", b"3"), (b"3", None), (None, None), (b"22", b"22")]
        assert [new is old for old, new in pairs] == [True, False, False, True, False]
        assert dict(db.scan()) == {b"b": b"22"}

    def test_changes_keep_a_merkle_tree(self, db: lsmkv.DB) -> None:
        hash_key, keys = bytes(range(16)), [b"%09d" % i for i in range(50)]
        tree = kernel.MerkleTree(0, 64, depth=1)
        chooser = random.Random(5)

        def function(_key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            return {b"0": old, b"1": None}.get(operand, operand)

        for _ in range(20):
            records = [(chooser.choice(keys), b"%d" % chooser.randrange(8)) for _ in range(10)]
            changes = kernel.merge_batch(db, records, function, hash_key=hash_key)
            assert all(changes[i] is None for i, (_, operand) in enumerate(records)
                       if operand == b"0")  # fmt: skip
            tree.update_many(change for change in changes if change is not None)
        rebuilt = kernel.MerkleTree(0, 64, depth=1)
        rebuilt.add_entries(hash_key, db.scan())
        assert rebuilt.entry_count > 10
        assert tree.checkpoint() == rebuilt.checkpoint()

    def test_pairs_or_changes_not_both(self, db: lsmkv.DB) -> None:
        both: dict[str, Any] = {"pairs": True, "hash_key": bytes(16)}
        for options in (both, {"hash_key": b"short"}):
            with pytest.raises(ValueError):
                kernel.merge_batch(db, [(b"a", b"1")], add, **options)
        assert not db

    def test_a_function_that_is_none(self, db: lsmkv.DB) -> None:
        for function in (None, 7, merge_hook.named_otherwise()):
            with pytest.raises(TypeError):
                kernel.merge_batch(db, [(b"a", b"1")], function)
        assert not db

    def test_the_function_may_read_but_not_write(self, db: lsmkv.DB) -> None:
        db.put(b"other", b"seen")
        refused: list[str] = []
        writes: list[Callable[[], object]] = [
            lambda: db.put(b"x", b"y"), lambda: db.delete(b"x"), db.flush, db.compact, db.clear,
            lambda: db.put_many([(b"x", b"y")]), lambda: kernel.drop_range(db),
            lambda: kernel.merge_batch(db, [(b"x", b"y")], add),
        ]  # fmt: skip

        def curious(key: bytes, _old: bytes | None, operand: bytes) -> bytes:
            assert db.get(b"other") == b"seen"
            assert db.get(key) is None
            assert len(list(db.scan())) == 1
            with db.snapshot() as snapshot:
                assert snapshot[b"other"] == b"seen"
            for write in writes:
                with pytest.raises(lsmkv.Error) as caught:
                    write()
                refused.append(str(caught.value))
            return operand

        kernel.merge_batch(db, [(b"a", b"1")], curious)
        assert len(refused) == len(writes)
        assert dict(db.scan()) == {b"a": b"1", b"other": b"seen"}

    def test_no_writer_comes_between(self, db: lsmkv.DB) -> None:
        inside, written = threading.Event(), threading.Event()

        def write() -> None:
            inside.wait(10)
            db.put(b"a", b"from the other thread")
            written.set()

        other = threading.Thread(target=write)
        other.start()

        def slow(_key: bytes, old: bytes | None, operand: bytes) -> bytes:
            inside.set()
            assert not written.wait(0.2)
            return (old or b"") + operand

        assert kernel.merge_batch(db, [(b"a", b"1"), (b"a", b"2")], slow) == [None, b"1"]
        other.join(10)
        assert db[b"a"] == b"from the other thread"

    def test_threads_that_count(self, db: lsmkv.DB) -> None:
        def work() -> None:
            for _ in range(50):
                kernel.merge_batch(db, [(b"%d" % i, number(1)) for i in range(5)], add)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert dict(db.scan()) == {b"%d" % i: number(200) for i in range(5)}

    def test_a_disk_that_refuses_the_write(self) -> None:
        files = FaultFileSystem(MemoryFileSystem())
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            db.put(b"a", number(1))
            files.fail(1, 28, for_ever=True, operations=["log_reserve", "log_commit"])
            with pytest.raises(lsmkv.StorageError):
                kernel.merge_batch(db, [(b"a", number(1)), (b"b", number(1))], add)
            files.reset()
            assert dict(db.scan()) == {b"a": number(1)}
            kernel.merge_batch(db, [(b"a", number(1))], add)
            assert db[b"a"] == number(2)

    def test_read_only_and_closed(self) -> None:
        files = MemoryFileSystem()
        lsmkv.open("/db", filesystem=files).close()
        db = lsmkv.open("/db", filesystem=files, read_only=True)
        with pytest.raises(lsmkv.ReadOnlyError):
            kernel.merge_batch(db, [(b"a", b"1")], add)
        db.close()
        with pytest.raises(lsmkv.ClosedError):
            kernel.merge_batch(db, [(b"a", b"1")], add)


class TestNativeHook:
    def test_it_answers_as_the_function_would(self, db: lsmkv.DB) -> None:
        seen: list[Any] = []

        def apply(
            context: int | None, key: bytes, old: bytes | None, operand: bytes
        ) -> tuple[int, bytes]:
            seen.append((context, key, old, operand))
            if operand == b"keep":
                return KEEP, b"ignored"
            if operand == b"delete":
                return DELETE, b"ignored"
            return WRITE, (old or b"") + operand

        hook = MergeHook(apply, context=4711)
        db.put(b"b", b"old")
        db.flush()
        records = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", b"keep"), (b"a", b"delete"),
                   (b"a", b""), (b"new", b"keep")]  # fmt: skip
        before = kernel.merge_batch(db, records, hook.capsule)
        assert before == [None, b"old", b"1", b"old2", b"13", None, None]
        assert [old for _, _, old, _ in seen] == before
        assert {context for context, *_ in seen} == {4711}
        pairs = kernel.merge_batch(
            db, [(b"b", b"keep"), (b"b", b"3"), (b"b", b"delete")], hook.capsule, pairs=True
        )
        assert pairs == [(b"old2", b"old2"), (b"old2", b"old23"), (b"old23", None)]
        assert [new is old for old, new in pairs] == [True, False, False]
        db.put(b"b", b"old2")
        assert dict(db.scan()) == {b"a": b"", b"b": b"old2"}

    @pytest.mark.parametrize("status", [-1, -3, 99])
    def test_a_status_drops_the_whole_batch(self, db: lsmkv.DB, status: int) -> None:
        def apply(_context: Any, key: bytes, _old: Any, operand: bytes) -> tuple[int, bytes]:
            return (status, b"") if key == b"b" else (WRITE, operand)

        hook = MergeHook(apply)
        with pytest.raises((lsmkv.Error, MemoryError, ValueError)):
            kernel.merge_batch(db, [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], hook.capsule)
        assert not db
        db.put(b"a", b"writes go on")


class TestExportRange:
    @pytest.mark.parametrize("size", [1, 100, 1000, 1 << 20])
    def test_chunks_hold_everything_in_order(self, db: lsmkv.DB, size: int) -> None:
        model = {b"%03d" % key: b"x" * (key % 40) for key in range(200)}
        db.put_many(model)
        db.put(b"050", b"y" * 5000)
        model[b"050"] = b"y" * 5000
        chunks = list(kernel.export_range(db, chunk_size_bytes=size))
        assert [pair for chunk in chunks for pair in chunk] == sorted(model.items())
        for chunk in chunks:
            assert chunk
            assert sum(len(key) + len(value) for key, value in chunk[:-1]) < size
        inside = [pair for chunk in kernel.export_range(db, b"010", b"020") for pair in chunk]
        assert inside == [pair for pair in sorted(model.items()) if b"010" <= pair[0] < b"020"]

    def test_it_is_of_one_moment(self, db: lsmkv.DB) -> None:
        model = {b"%03d" % key: b"old" for key in range(100)}
        db.put_many(model)
        export = kernel.export_range(db, chunk_size_bytes=30)
        chunks = [next(export)]
        db.put_many(dict.fromkeys(model, b"new"))
        kernel.drop_range(db, b"050")
        db.compact()
        chunks += export
        assert dict(pair for chunk in chunks for pair in chunk) == model
        assert db.stats()["pinned_sequences"] == 0

    def test_it_can_be_closed(self, db: lsmkv.DB) -> None:
        db.put_many({b"%d" % key: b"" for key in range(100)})
        export = kernel.export_range(db, chunk_size_bytes=1)
        next(export)
        export.close()
        assert db.stats()["pinned_sequences"] == 0
        assert list(kernel.export_range(db, b"x", b"a")) == []

    @pytest.mark.parametrize("size", [0, -1])
    def test_a_size_that_is_none(self, db: lsmkv.DB, size: int) -> None:
        with pytest.raises(ValueError):
            next(kernel.export_range(db, chunk_size_bytes=size))


class TestDropRange:
    def test_against_a_model_with_frozen_moments(self, db: lsmkv.DB) -> None:
        chooser = random.Random(3)
        model: dict[bytes, bytes] = {}
        frozen: list[tuple[Any, dict[bytes, bytes]]] = []
        for turn in range(40):
            for _ in range(30):
                key = b"%04d" % chooser.randrange(2000)
                db.put(key, b"%d" % turn * 10)
                model[key] = b"%d" % turn * 10
            frozen.append((db.snapshot(), dict(model)))
            frozen.append((db.scan(), dict(model)))
            start, stop = sorted(b"%04d" % chooser.randrange(2000) for _ in range(2))
            kernel.drop_range(db, start, stop)
            model = {key: value for key, value in model.items() if not start <= key < stop}
            assert dict(db.scan()) == model
            assert db.get(start) is None
            frozen.append((db.snapshot(), dict(model)))
            if turn % 7 == 6:
                db.compact()
        for source, expected in frozen:
            pairs = source.scan() if isinstance(source, lsmkv.Snapshot) else source
            assert dict(pairs) == expected
            source.close()
        db.compact()
        assert dict(db.scan()) == model
        assert db.verify()

    def test_it_is_one_edit_and_no_rewrite(self, db: lsmkv.DB) -> None:
        chooser = random.Random(1)
        for key in range(500):
            db.put(b"%04d" % key, chooser.randbytes(100))
        db.compact()
        assert db._manifest is not None
        edits, before = db._manifest.state.last_edit, db.stats()
        kernel.drop_range(db, b"0100", b"0400")
        assert db._manifest.state.last_edit == edits + 2  # and a new manifest that begins with it
        after = db.stats()
        for name in ("flushes", "compactions", "compacted_bytes_written"):
            assert after[name] == before[name]
        tables_before, tables_after = (
            sum(level["table_count"] for level in stats["levels"]) for stats in (before, after)
        )
        assert tables_after < tables_before
        assert len(db) == 200
        kernel.drop_range(db, b"0100", b"0400")
        assert (
            db._manifest.state.last_edit == edits + 2
        )  # and a new manifest that begins with it, "nothing to drop"

    def test_it_survives(self) -> None:
        files = MemoryFileSystem()
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            db.put_many({b"%04d" % key: b"x" for key in range(100)})
            db.put(b"0050", b"newer, in memory")
            kernel.drop_range(db, b"0020", b"0080")
            db.put(b"0060", b"after")
            image = files.crash()
        for disk in (image, files):
            with lsmkv.open("/db", filesystem=disk, **SMALL) as again:
                keys = set(again)
                assert keys - {b"0060"} == {
                    b"%04d" % key for key in range(100) if not 20 <= key < 80
                }

    @pytest.mark.parametrize(
        ("start", "stop"), [(None, None), (b"", None), (None, b"0050"), (b"0050", None)]
    )
    def test_open_ends(self, db: lsmkv.DB, start: bytes | None, stop: bytes | None) -> None:
        db.put_many({b"%04d" % key: b"x" for key in range(100)} | {b"": b"empty key"})
        kernel.drop_range(db, start, stop)
        expected = {
            key
            for key in [b"", *(b"%04d" % key for key in range(100))]
            if key < (start or b"") or (stop is not None and key >= stop)
        }
        assert set(db) == expected


def hash_of(key: bytes, value: bytes) -> int:
    """The definition in Scan.digest, once more."""
    of_key = murmur3_x64_128(key, 0)
    of_value = murmur3_x64_128(value, of_key[0] & 0xFFFFFFFF)
    return (
        sum(word << 64 * i for i, word in enumerate(of_key))
        + sum(word << 64 * i for i, word in enumerate(of_value))
    ) % (1 << 128)


class TestDigestRange:
    def test_it_is_the_sum_of_the_hashes(self, db: lsmkv.DB) -> None:
        model = {b"%d" % key: b"value %d" % key for key in range(500)} | {b"": b""}
        db.put_many(model)
        digest = kernel.digest_range(db)
        assert digest.entry_count == len(model)
        assert digest.digest == sum(hash_of(*pair) for pair in model.items()) % (1 << 128)
        assert kernel.digest_range(db, b"x") == kernel.RangeDigest(0, 0)

    def test_parts_add_up(self, db: lsmkv.DB) -> None:
        db.put_many({b"%03d" % key: b"%d" % key for key in range(300)})
        whole = kernel.digest_range(db)
        parts = [kernel.digest_range(db, *bounds) for bounds in
                 [(None, b"100"), (b"100", b"250"), (b"250", None)]]  # fmt: skip
        assert sum(part.entry_count for part in parts) == whole.entry_count
        assert sum(part.digest for part in parts) % (1 << 128) == whole.digest

    def test_equal_contents_of_different_histories(self) -> None:
        model = {b"%03d" % key: b"value %d" % key for key in range(300)}
        histories: list[Callable[[lsmkv.DB], None]] = [
            lambda db: db.put_many(model),
            lambda db: [db.put(key, model[key]) for key in sorted(model, reverse=True)],
            lambda db: (db.put_many(dict.fromkeys(model, b"older")), db.flush(),
                        db.put_many(model), db.put(b"x", b"gone"), db.delete(b"x")),
            lambda db: (db.put_many(model), db.compact(), db.put_many(model), db.flush()),
            lambda db: (db.put_many({b"z" + key: b"" for key in model}), db.flush(),
                        kernel.drop_range(db, b"z"), db.put_many(model)),
        ]  # fmt: skip
        digests = set()
        for history in histories:
            with lsmkv.open(":memory:", **SMALL) as db:
                history(db)
                digests.add(kernel.digest_range(db))
        assert len(digests) == 1

    def test_any_difference_shows(self) -> None:
        contents = [{b"a": b"b"}, {b"a": b"c"}, {b"b": b"a"}, {b"ab": b""}, {b"": b"ab"}, {},
                    {b"a": b"b", b"": b""}, {b"a": b"", b"b": b""}]  # fmt: skip
        digests = []
        for content in contents:
            with lsmkv.open(":memory:") as db:
                db.put_many(content)
                digests.append(kernel.digest_range(db))
        for one, other in itertools.combinations(digests, 2):
            assert one != other


class TestSequences:
    def test_they_count_and_follow_syncs(self, db: lsmkv.DB) -> None:
        assert kernel.sequences(db) == kernel.Sequences(0, 0)
        db.put_many({b"a": b"1", b"b": b"2"})
        assert kernel.sequences(db) == kernel.Sequences(2, 0)
        db.sync()
        assert kernel.sequences(db) == kernel.Sequences(2, 2)

    def test_of_a_closed_database(self, db: lsmkv.DB) -> None:
        db.close()
        with pytest.raises(lsmkv.ClosedError):
            kernel.sequences(db)
