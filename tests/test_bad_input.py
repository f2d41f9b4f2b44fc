"""Bad input and misuse end in a clean exception that says what is wrong, and harm nothing.

Arguments of every kind, paths of every kind, a disk without room, files that are damaged or from
the future. Other processes and forked children: test_processes.py; threads: test_threads.py.
"""

from __future__ import annotations

import array
import errno
import logging
import mmap
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

import lsmkv
from lsmkv import kernel
from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import OPERATIONS, FaultFileSystem

KIB, GIB = 1024, 1024**3
SMALL: dict[str, Any] = {"write_buffer_size": 4096, "block_size": 256, "background": "inline"}
# A failed sync leaves the disk in doubt (test_power_loss.py); deleting needs no room.
TAKE_ROOM = [name for name in OPERATIONS if "sync" not in name and name != "remove"]
NOT_BYTES = ["text", 7, 1.5, None, ["list"], object(), memoryview(bytes(16))[::2]]


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    with lsmkv.open(":memory:", **SMALL) as database:
        database.put(b"key", b"value")
        yield database
        assert database.get(b"key") == b"value"
        assert list(database) == [b"key"]


class Huge:
    """A readable buffer of any size that takes no memory: untouched anonymous pages."""

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size, access=mmap.ACCESS_READ)

    def __enter__(self) -> memoryview:
        self.view = memoryview(self.map)
        return self.view

    def __exit__(self, *exception: object) -> None:
        self.view.release()
        self.map.close()


# --- keys and values -----------------------------------------------------------------------------


class TestKeysAndValues:
    @pytest.mark.parametrize("bad", [bad for bad in NOT_BYTES if bad is not None])
    def test_a_key_that_is_not_bytes(self, db: lsmkv.DB, bad: Any) -> None:
        snapshot, part = db.snapshot(), db.prefixed(b"p")
        scan = db.scan()
        for use in (
            lambda: db.put(bad, b"v"), lambda: db.get(bad), lambda: db.delete(bad),
            lambda: db[bad], lambda: db.__setitem__(bad, b"v"), lambda: db.__delitem__(bad),
            lambda: bad in db, lambda: db.get_many([b"key", bad]), lambda: db.setdefault(bad, b""),
            lambda: db.put_many([(b"other", b"v"), (bad, b"v")]), lambda: db.pop(bad),
            lambda: db.update({bad: b"v"} if isinstance(bad, str | int) else [(bad, b"v")]),
            lambda: db.scan(bad), lambda: db.scan(None, bad), lambda: db.scan(prefix=bad),
            lambda: db.keys(bad), lambda: db.values(bad), lambda: db.items(bad),
            lambda: scan.seek(bad), lambda: db.compact(bad), lambda: db.prefixed(bad),
            lambda: snapshot.get(bad), lambda: snapshot.get_many([bad]),
            lambda: snapshot.scan(prefix=bad), lambda: bad in snapshot, lambda: part.get(bad),
            lambda: part.put(bad, b""), lambda: list(part.scan(bad)), lambda: part[bad],
            lambda: kernel.merge_batch(db, [(bad, b"")], lambda *_: b""),
            lambda: kernel.drop_range(db, bad), lambda: kernel.digest_range(db, bad),
            lambda: db.write_batch().put(bad, b""), lambda: db.write_batch().delete(bad),
        ):  # fmt: skip
            with pytest.raises(TypeError) as caught:
                use()
            if isinstance(bad, str):
                assert "utf8" in str(caught.value)

    @pytest.mark.parametrize("bad", NOT_BYTES)
    def test_a_value_that_is_not_bytes(self, db: lsmkv.DB, bad: Any) -> None:
        for use in (
            lambda: db.put(b"new", bad), lambda: db.__setitem__(b"new", bad),
            lambda: db.put_many([(b"new", b"good"), (b"newer", bad)]),
            lambda: db.put_many({b"new": bad}), lambda: db.write_batch().put(b"new", bad),
            lambda: db.prefixed(b"p").put(b"new", bad),
            lambda: kernel.merge_batch(db, [(b"new", bad)], lambda *_: b""),
        ):  # fmt: skip
            with pytest.raises(TypeError):
                use()

    def test_a_missing_key_as_none(self, db: lsmkv.DB) -> None:
        for use in (lambda: db.get(None), lambda: db.put(None, b""), lambda: db.delete(None)):
            with pytest.raises(TypeError, match="not NoneType"):
                use()

    @pytest.mark.parametrize("other", [bytearray, memoryview, lambda data: array.array("b", data)])
    def test_buffers_of_other_types_are_taken(
        self, db: lsmkv.DB, other: Callable[[bytes], Any]
    ) -> None:
        db.put(other(b"other"), other(b"value"))
        assert db.get(other(b"other")) == b"value"
        assert list(db.scan(other(b"o"), other(b"p"))) == [(b"other", b"value")]
        db.delete(other(b"other"))

    def test_the_longest_key(self, db: lsmkv.DB) -> None:
        key = b"k" * 64 * KIB
        db.put(key, b"long")
        db.flush()
        assert db.get(key) == b"long"
        assert list(db) == [b"key", key]
        db.delete(key)

    def test_a_key_over_64_kib(self, db: lsmkv.DB) -> None:
        key = b"k" * (64 * KIB + 1)
        for use in (
            lambda: db.put(key, b""), lambda: db.get(key), lambda: db.delete(key),
            lambda: key in db, lambda: db.get_many([key]), lambda: db.put_many([(key, b"")]),
            lambda: db.scan(key), lambda: db.write_batch().put(key, b""),
            lambda: db.prefixed(b"p").put(key[1:], b""),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="65537 bytes is over the limit of 65536 bytes"):
                use()

    def test_a_value_over_1_gib(self, db: lsmkv.DB) -> None:
        with Huge(GIB + 1) as value:
            for use in (
                lambda: db.put(b"big", value), lambda: db.put_many([(b"big", value)]),
                lambda: db.write_batch().put(b"big", value),
                lambda: kernel.merge_batch(db, [(b"big", value)], lambda *_: b""),
            ):  # fmt: skip
                with pytest.raises(ValueError, match="over the limit of 1073741824 bytes"):
                    use()

    def test_a_batch_over_1_gib(self, db: lsmkv.DB) -> None:
        before = memory.usage()
        with Huge(GIB) as value, db.write_batch() as batch:
            batch.put(b"small", b"1")
            batch.put(b"other", b"2" * 200 * KIB)
            with pytest.raises(ValueError, match="a batch is limited to"):
                batch.put(b"big", value)
            assert len(batch) == 2
            batch.discard()
        assert memory.usage() == before

    def test_pairs_that_are_none(self, db: lsmkv.DB) -> None:
        for pairs in ([b"key"], [(b"a", b"b", b"c")], 7, [7], "text", None):
            with pytest.raises((TypeError, ValueError)):
                db.put_many(pairs)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            db.get_many(7)  # type: ignore[arg-type]

    def test_an_iterable_that_raises(self, db: lsmkv.DB) -> None:
        def pairs() -> Iterator[tuple[bytes, bytes]]:
            yield b"a", b"1"
            raise LookupError

        with pytest.raises(LookupError):
            db.put_many(pairs())
        with pytest.raises(LookupError):
            db.get_many(key for key, _ in pairs())


class TestOtherArguments:
    def test_keywords_only(self, db: lsmkv.DB) -> None:
        for use in (
            lambda: db.put(b"a", b"b", True),  # type: ignore[call-arg]
            lambda: db.scan(b"a", b"b", b"c"),  # type: ignore[call-arg]
            lambda: db.write_batch(True),  # type: ignore[call-arg]
            lambda: db.put(b"a", b"b", when="now"),  # type: ignore[call-arg]
        ):
            with pytest.raises(TypeError):
                use()

    @pytest.mark.parametrize("limit", [-1, -(1 << 70)])
    def test_a_negative_limit(self, db: lsmkv.DB, limit: int) -> None:
        with pytest.raises(ValueError, match="limit"):
            db.scan(limit=limit)

    @pytest.mark.parametrize("limit", ["3", 1.5, b"1"])
    def test_a_limit_that_is_no_number(self, db: lsmkv.DB, limit: Any) -> None:
        with pytest.raises(TypeError):
            db.scan(limit=limit)

    def test_a_limit_beyond_64_bits_is_none(self, db: lsmkv.DB) -> None:
        assert list(db.keys(limit=1 << 70)) == [b"key"]

    def test_a_prefix_and_a_bound(self, db: lsmkv.DB) -> None:
        for bounds in ({"start": b"a"}, {"stop": b"b"}):
            with pytest.raises(ValueError, match="prefix cannot be combined"):
                db.scan(prefix=b"k", **bounds)
            with pytest.raises(ValueError, match="prefix cannot be combined"):
                list(db.prefixed(b"k").scan(prefix=b"e", **bounds))

    def test_bounds_the_wrong_way_round_are_an_empty_range(self, db: lsmkv.DB) -> None:
        assert list(db.scan(b"z", b"a")) == []
        kernel.drop_range(db, b"z", b"a")
        db.compact(b"z", b"a")

    def test_refused_scans_pin_nothing(self, db: lsmkv.DB) -> None:
        for keywords in ({"start": "a"}, {"limit": -1}, {"prefix": 7}, {"limit": "x"}):
            with pytest.raises((TypeError, ValueError)):
                db.scan(**keywords)
        assert db.stats()["pinned_sequences"] == 0

    def test_a_batch_can_be_used_once(self, db: lsmkv.DB) -> None:
        for end in ("write", "discard"):
            batch = db.write_batch()
            getattr(batch, end)()
            for name, arguments in (
                ("write", ()), ("put", (b"a", b"b")), ("delete", (b"a",)),
                ("__setitem__", (b"a", b"b")), ("__delitem__", (b"a",)),
            ):  # fmt: skip
                with pytest.raises(lsmkv.ClosedError, match="written or dropped"):
                    getattr(batch, name)(*arguments)
            batch.discard()


# --- options and paths ---------------------------------------------------------------------------


class TestOpening:
    def test_an_unknown_option_suggests_the_right_one(self) -> None:
        with pytest.raises(lsmkv.OptionsError, match="did you mean 'write_buffer_size'"):
            lsmkv.open(":memory:", write_bufer_size=1 << 20)
        with pytest.raises(ValueError, match="Valid options: background, block_cache_size"):
            lsmkv.open(":memory:", zebra=1)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("write_buffer_size", 1), ("block_size", "4096"), ("bloom_bits_per_key", float("nan")),
            ("compression", "lz4"), ("background", None), ("log_mode", "fast"),
            ("max_open_files", 1.5), ("block_cache_size", True), ("level0_trigger", 1 << 80),
        ],
    )  # fmt: skip
    def test_a_bad_value_states_the_range(self, tmp_path: Path, name: str, value: Any) -> None:
        with pytest.raises(lsmkv.OptionsError, match=f"{name} must be"):
            lsmkv.open(tmp_path / "db", **{name: value})
        assert not (tmp_path / "db").exists()

    @pytest.mark.parametrize("path", [7, None, 1.5, object()])
    def test_a_path_that_is_none(self, path: Any) -> None:
        for function in (lsmkv.open, lsmkv.destroy, lsmkv.repair):
            with pytest.raises(TypeError):
                function(path)

    @pytest.mark.parametrize("path", ["", "with\0null", "x" * 300, "x/" * 3000])
    def test_a_path_the_system_refuses(self, path: str) -> None:
        with pytest.raises((lsmkv.Error, ValueError)):
            lsmkv.open(path)

    def test_a_path_as_bytes(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path / "db")
        try:
            lsmkv.open(path).close()  # type: ignore[arg-type]
        except TypeError as error:
            assert "bytes" in str(error)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for function in (lsmkv.open, lsmkv.destroy, lsmkv.repair):
            with pytest.raises(lsmkv.Error, match="file"):
                function(tmp_path / "file")
        for function in (lsmkv.open, lsmkv.repair):
            with pytest.raises(lsmkv.Error):
                function(tmp_path / "file" / "below")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_directory_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(lsmkv.Error, match="does not exist"):
            lsmkv.open(tmp_path / "db", create=False)
        with pytest.raises(lsmkv.Error, match="does not exist"):
            lsmkv.open(tmp_path / "db", read_only=True)
        with pytest.raises(lsmkv.StorageError) as caught:
            lsmkv.open(tmp_path / "not" / "there")
        assert caught.value.errno == errno.ENOENT
        assert isinstance(caught.value, OSError)
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("mine")
        with pytest.raises(lsmkv.Error, match="no database"):
            lsmkv.open(tmp_path, create=False)
        lsmkv.open(tmp_path).close()
        lsmkv.destroy(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

    def test_a_database_where_none_may_be(self, tmp_path: Path) -> None:
        lsmkv.open(tmp_path / "db").close()
        with pytest.raises(lsmkv.Error, match="already holds a database"):
            lsmkv.open(tmp_path / "db", error_if_exists=True)

    def test_a_second_opener_in_this_process(self, tmp_path: Path) -> None:
        with lsmkv.open(tmp_path / "db") as db:
            for function in (lsmkv.open, lsmkv.destroy, lsmkv.repair):
                with pytest.raises(lsmkv.LockedError, match=f"process {os.getpid()}"):
                    function(tmp_path / "db")
            db.put(b"still", b"there")
        with lsmkv.open(tmp_path / "db") as db:
            assert db[b"still"] == b"there"

    def test_an_open_that_fails_leaves_no_lock(self, tmp_path: Path) -> None:
        files = MemoryFileSystem()
        faulty = FaultFileSystem(files)
        attempt = 1
        while True:
            faulty.fail(attempt, errno.EIO)
            try:
                lsmkv.open("/db", filesystem=faulty, **SMALL).close()
            except lsmkv.StorageError as error:
                assert error.errno == errno.EIO
            if faulty.operation_count < attempt:
                break
            faulty.reset()
            lsmkv.open("/db", filesystem=faulty, **SMALL).close()
            attempt += 1
        assert attempt > 5


# --- a full disk ---------------------------------------------------------------------------------


class TestFullDisk:
    def test_a_rotation_without_room_is_tried_again(self) -> None:
        files = FaultFileSystem(MemoryFileSystem())
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            model = {b"first": b"1"}
            db.put(b"first", b"1")
            files.fail(1, errno.ENOSPC, for_ever=True, operations=["open"])
            for _ in range(3):
                with pytest.raises(lsmkv.StorageError) as caught:
                    db.flush()
                assert caught.value.errno == errno.ENOSPC
                with pytest.raises(lsmkv.StorageError):  # the log is finished: rotate or fail
                    db.put(b"refused", b"x")
                assert dict(db) == model
            files.reset()
            db.put(b"second", b"2")
            model[b"second"] = b"2"
            assert dict(db) == model
            image = files.base.clone()  # type: ignore[attr-defined]
        for disk in (image, files):
            with lsmkv.open("/db", filesystem=disk, **SMALL) as again:
                assert dict(again) == model

    def test_writes_go_on_when_there_is_room_again(self) -> None:
        files = FaultFileSystem(MemoryFileSystem())
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            model = {}
            number = 0
            for attempt in range(1, 60):
                files.fail(attempt, errno.ENOSPC, for_ever=True, operations=TAKE_ROOM)
                refused = 0
                while refused < 3:
                    key, value = b"%05d" % number, b"%d" % attempt * 50
                    number += 1
                    try:
                        db.put(key, value)
                        model[key] = value
                    except lsmkv.StorageError as error:
                        assert error.errno == errno.ENOSPC
                        refused += 1
                files.reset()
                assert dict(db) == model
            db.flush()
            db.compact()
            assert dict(db) == model
            names = len(files.list_directory("/db"))
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            assert dict(db) == model
            assert db.verify()
            assert abs(len(files.list_directory("/db")) - names) <= 1, "files were left behind"

    def test_a_flush_that_fails_for_ever_is_heard_of(self) -> None:
        files = FaultFileSystem(MemoryFileSystem())
        logging.disable(logging.CRITICAL)
        try:
            with lsmkv.open("/db", filesystem=files, write_buffer_size=4096) as db:
                files.fail(1, errno.ENOSPC, for_ever=True, operations=["append"])
                with pytest.raises(lsmkv.StorageError, match="background work fails"):
                    for number in range(10_000):
                        db.put(b"%05d" % number, b"x" * 100)
                files.reset()
                db.flush()
                assert len(db) == number
        finally:
            logging.disable(logging.NOTSET)


# --- files that are not what was written ---------------------------------------------------------


def make_image() -> tuple[MemoryFileSystem, dict[bytes, bytes]]:
    """A killed database with tables, two manifests' worth of edits and a log that is needed."""
    files = MemoryFileSystem()
    with lsmkv.open("/db", filesystem=files, log_mode="written", **SMALL) as db:
        model = {b"%04d" % number: b"value %d " % number * 5 for number in range(150)}
        db.put_many(model)
        db.flush()
        for number in range(40):
            db.put(b"%04d" % number, b"in the log %d" % number, sync=number % 10 == 0)
            model[b"%04d" % number] = b"in the log %d" % number
        return files.clone(), model


IMAGE, MODEL = make_image()
OURS = [name for name in IMAGE.list_directory("/db") if name != "LOCK"]


def changed(name: str, change: Callable[[bytes], bytes]) -> MemoryFileSystem:
    files = IMAGE.clone()
    data = files.read_file(f"/db/{name}", 1 << 30)
    with files.open(f"/db/{name}", "w") as file:
        file.append(change(data))
    return files


def use_all(files: MemoryFileSystem) -> None:
    """Open, read everything, verify, write: Error or the right answer, never anything else."""
    try:
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            found = dict(db.scan())
            for key, value in found.items():
                old = b"value %d " % int(key) * 5
                assert value in (MODEL[key], old)
            db.get_many(list(MODEL))
            db.verify()
            db.put(b"new", b"1")
            db.compact()
    except lsmkv.Error:
        pass


@pytest.mark.usefixtures("quiet_log")
class TestDamagedFiles:
    def test_the_image_itself_is_good(self) -> None:
        with lsmkv.open("/db", filesystem=IMAGE.clone(), **SMALL) as db:
            assert dict(db) == MODEL
            assert db.verify()
        assert len(OURS) >= 4

    @pytest.mark.parametrize("name", OURS)
    def test_flipped_bits(self, name: str) -> None:
        size = IMAGE.file_size(f"/db/{name}")
        chooser = random.Random(name)
        places = range(size) if size < 200 else sorted(chooser.sample(range(size), 200))
        for place in places:
            bit = 1 << chooser.randrange(8)
            use_all(changed(name, lambda data, at=place, bit=bit: flip(data, at, bit)))

    @pytest.mark.parametrize("name", OURS)
    def test_truncated(self, name: str) -> None:
        size = IMAGE.file_size(f"/db/{name}")
        for length in range(0, size, max(1, size // 100)):
            use_all(changed(name, lambda data, length=length: data[:length]))

    @pytest.mark.parametrize("name", OURS)
    def test_other_contents(self, name: str) -> None:
        others = [IMAGE.read_file(f"/db/{other}", 1 << 30) for other in OURS if other != name]
        noise = random.Random(1).randbytes(5000)
        for content in (b"", b"\0" * 5000, b"\xff" * 5000, noise, *others):
            use_all(changed(name, lambda _data, content=content: content))

    @pytest.mark.parametrize("name", OURS)
    def test_missing(self, name: str) -> None:
        files = IMAGE.clone()
        files.remove(f"/db/{name}")
        with pytest.raises(lsmkv.Error):
            lsmkv.open("/db", filesystem=files, **SMALL)

    def test_a_damaged_table_names_file_and_offset(self) -> None:
        table = next(name for name in OURS if name.endswith(".sst"))
        files = changed(table, lambda data: flip(data, len(data) // 2, 1))
        with lsmkv.open("/db", filesystem=files, **SMALL) as db:
            with pytest.raises(lsmkv.CorruptionError) as caught:
                list(db.scan())
            assert caught.value.path == f"/db/{table}"
            assert caught.value.offset is not None
            report = db.verify()
            assert not report
            assert table in str(report)
            lost = []
            for key in MODEL:
                try:
                    assert db.get(key) == MODEL[key]
                except lsmkv.CorruptionError:
                    lost.append(key)
            assert 0 < len(lost) < 10, "one block"
            db.put(lost[0], b"writes go on")
            assert db.get(lost[0]) == b"writes go on"

    def test_a_manifest_of_a_newer_version(self) -> None:
        name = next(name for name in OURS if name.startswith("MANIFEST"))
        files = changed(name, newer_manifest)
        with pytest.raises(lsmkv.Error, match="does not know") as caught:
            lsmkv.open("/db", filesystem=files, **SMALL)
        assert not isinstance(caught.value, lsmkv.CorruptionError)

    def test_a_log_of_a_newer_version(self) -> None:
        logs = [name for name in OURS if name.endswith(".log")]
        files = changed(logs[-1], newer_log)
        with pytest.raises(lsmkv.Error) as caught:
            lsmkv.open("/db", filesystem=files, **SMALL)
        assert not isinstance(caught.value, lsmkv.CorruptionError)
        assert "version" in str(caught.value)

    def test_a_refused_open_changes_nothing(self) -> None:
        name = next(name for name in OURS if name.startswith("MANIFEST"))
        files = changed(name, newer_manifest)
        before = sorted(files.list_directory("/db"))
        for _ in range(2):
            with pytest.raises(lsmkv.Error):
                lsmkv.open("/db", filesystem=files, **SMALL)
        assert sorted(files.list_directory("/db")) == before


def flip(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def newer_manifest(data: bytes) -> bytes:
    first, rest = data.split(b"\n", 1)
    content = first[9:].replace(b'"format_version":1', b'"format_version":2')
    assert content != first[9:]
    return b"%08x %s\n%s" % (crc32c(content), content, rest)


def newer_log(data: bytes) -> bytes:
    header = bytearray(data[:64])
    struct.pack_into("<I", header, 8, 2)
    struct.pack_into("<I", header, 12, crc32c(bytes(header[16:64]), crc32c(bytes(header[:12]))))
    return bytes(header) + data[64:]
