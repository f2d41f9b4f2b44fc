"""DB.verify of an open database finds damage to each of its files, and nothing else: not while
others write, flush, compact and begin new manifests, nor after writes that failed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv import filenames, kernel, verify_live
from lsmkv._native.table import Table
from lsmkv._native.vfs import FileSystem, MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.manifest import ManifestState, read_manifest
from lsmkv.verify import VerifyReport
from tests.test_recovery import (
    DIRECTORY,
    log_paths,
    manifest_path,
    open_inline,
    read,
    rewrite,
    rotate,
    table_paths,
)
from tests.test_threads import DEADLINE_S, SMALL
from tests.test_verify import flip, places

CURRENT = filenames.current_path(DIRECTORY)


def opened(files: FileSystem) -> lsmkv.DB:
    """Two tables, a frozen log and the live one, of which the last record is not synced."""
    db = open_inline(files)
    for name in (b"a", b"b"):
        db.put_many({name + b"%03d" % number: b"v" * 50 for number in range(100)})
        db.flush()
    db.put(b"frozen", b"1" * 20, sync=True)
    rotate(db)
    db.put(b"live", b"2" * 20, sync=True)
    db.put(b"live", b"3" * 20)
    return db


# --- damage --------------------------------------------------------------------------------------


def live_log(files: MemoryFileSystem) -> str:
    return log_paths(files)[-1]


def frozen_log(files: MemoryFileSystem) -> str:
    return log_paths(files)[0]


def newest_table(files: MemoryFileSystem) -> str:
    return table_paths(files)[-1]


def current(files: MemoryFileSystem) -> str:
    return CURRENT


KINDS = [current, manifest_path, frozen_log, live_log, newest_table]


@pytest.mark.parametrize("choose", KINDS)
def test_each_byte_of_each_file_counts(choose: Callable[[MemoryFileSystem], str]) -> None:
    files = MemoryFileSystem()
    with opened(files) as db:
        assert db.verify(), str(db.verify())
        path = choose(files)
        whole = read(files, path)
        for offset in range(0, len(whole), max(1, len(whole) // 97)):
            flip(files, path, offset)
            [problem] = db.verify().problems
            assert problem.path == path
            assert problem.offset is None or 0 <= problem.offset <= offset
            rewrite(files, path, whole)
        assert db.verify()


@pytest.mark.parametrize("choose", KINDS)
def test_a_file_that_is_gone_or_cut(choose: Callable[[MemoryFileSystem], str]) -> None:
    files = MemoryFileSystem()
    with opened(files) as db:
        path = choose(files)
        whole = read(files, path)
        rewrite(files, path, whole[: len(whole) - 9])
        assert set(places(db.verify())) == {path}
        rewrite(files, path, whole)
        assert db.verify()
        if choose is not newest_table:  # which is open, and may be deleted
            files.remove(path)
            assert set(places(db.verify())) == {path}
            with files.open(path, "x") as file:
                file.append(whole)


def test_everything_at_once_and_the_next_open_says_no_more() -> None:
    files = MemoryFileSystem()
    with opened(files) as db:
        manifest, table = manifest_path(files), newest_table(files)
        first_log, last_log = log_paths(files)
        rewrite(files, CURRENT, b"MANIFEST-000777\n")
        flip(files, manifest, 20)
        flip(files, first_log, 70)
        flip(files, last_log, 70)
        flip(files, table, files.file_size(table) // 2)
        report = db.verify()
        found = places(report)
        assert all(f"{path} at byte {offset}: " in str(report) for path, offset in found.items())
    table_offset = found.pop(table)
    assert table_offset is not None
    assert table_offset <= files.file_size(table) // 2
    assert found == {CURRENT: 0, manifest: 0, first_log: 64, last_log: 64}
    with pytest.raises(lsmkv.CorruptionError):
        open_inline(files)


def test_files_of_an_earlier_time_and_of_another_database() -> None:
    files, other = MemoryFileSystem(), MemoryFileSystem()
    with opened(files) as db, opened(other):
        manifest, (first_log, last_log) = manifest_path(files), log_paths(files)
        stale = read(files, manifest)
        db.put(b"x", b"1")
        db.flush()
        now = read(files, manifest)
        rewrite(files, manifest, stale)
        assert places(db.verify()) == {manifest: len(stale)}
        rewrite(files, manifest, read(other, manifest))
        assert places(db.verify()) == {manifest: 0}
        rewrite(files, manifest, now)
        assert db.verify()
        grown = files.clone()
        with open_inline(grown) as later:
            later.clear()
            rewrite(files, manifest, read(grown, manifest_path(grown)))
        assert places(db.verify()) == {manifest: 0}, "the same database, and more edits"
        rewrite(files, manifest, now)
        assert db.verify()
        assert not files.exists(first_log)
        assert not files.exists(last_log)
        db.put(b"x", b"1" * 20)
        log = live_log(files)
        rewrite(files, log, read(other, last_log))
        assert set(places(db.verify())) == {log}


def test_logs_that_changed_places() -> None:
    files = MemoryFileSystem()
    with opened(files) as db:
        for turn in (b"1", b"2"):
            rotate(db)
            db.put(b"x", turn)
        rotate(db)
        first, second = log_paths(files)[-3:-1]
        contents = read(files, first), read(files, second)
        assert len(contents[0]) == len(contents[1])
        rewrite(files, first, contents[1])
        rewrite(files, second, contents[0])
        assert places(db.verify()) == {first: 0, second: 0}


def test_what_stands_behind_a_finished_log_is_damage() -> None:
    files = MemoryFileSystem()
    with opened(files) as db:
        path = frozen_log(files)
        whole = read(files, path)
        rewrite(files, path, whole + b"junk")
        assert places(db.verify()) == {path: len(whole)}


def test_a_mapped_log_and_a_written_one_on_a_disk(tmp_path: Path, log_mode: str) -> None:
    with lsmkv.open(tmp_path / "db", log_mode=log_mode, background="inline") as db:
        db.put_many({b"%04d" % number: b"v" * 100 for number in range(1000)})
        assert db.verify()
        [path] = (tmp_path / "db").glob("*.log")
        with path.open("r+b") as file:
            file.seek(5000)
            file.write(b"!")
        assert places(db.verify()) == {str(path): 64}, "it was one batch"


# --- no false alarm ------------------------------------------------------------------------------


@pytest.fixture(params=["written", "mapped"])
def log_mode(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    mode = str(request.param)
    if mode == "mapped" and not PosixFileSystem().can_map_log(str(tmp_path)):
        pytest.skip("no log can be mapped here")
    return mode


@pytest.mark.parametrize("background", ["inline", "threads"])
def test_beside_writers(tmp_path: Path, background: str, log_mode: str) -> None:
    """Until the writers are done, and often enough."""
    reports: list[VerifyReport] = []
    failures: list[BaseException] = []
    enough = threading.Event()

    def write(db: lsmkv.DB, seed: int) -> None:
        turn = 0
        while not enough.is_set():
            turn += 1
            keys = {b"%04d" % (number * seed % 997): b"x" * (turn % 400) for number in range(30)}
            db.put_many(keys, sync=turn % 20 == 0)
            if turn % 50 == 0:
                db.flush()
            if turn % 200 == 0:
                db.compact()

    def guarded(db: lsmkv.DB, seed: int) -> None:
        try:
            write(db, seed)
        except BaseException as error:
            failures.append(error)

    with lsmkv.open(tmp_path / "db", background=background, log_mode=log_mode, **SMALL) as db:
        threads = [threading.Thread(target=guarded, args=(db, seed)) for seed in (7, 31)]
        for thread in threads:
            thread.start()
        try:
            while len(reports) < 20 or db.stats()["compactions"] < 20:
                reports.append(db.verify())
                assert not failures
        finally:
            enough.set()
            for thread in threads:
                thread.join(DEADLINE_S)
        assert db.verify()
    assert [str(report) for report in reports if not report] == []
    assert failures == []
    assert lsmkv.verify(tmp_path / "db")


CHANGES: dict[str, Callable[[lsmkv.DB], object]] = {
    "flush": lambda db: db.flush(),
    "rotation": rotate,
    "compact": lambda db: db.compact(),
    "new manifest": lambda db: db.clear(),
    "write": lambda db: db.put(b"x", b"y", sync=True),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_just_then(monkeypatch: pytest.MonkeyPatch, name: str, moment: str) -> None:
    """Logs are open by then and go, the expected state is known and passes, tables are merged."""
    files = MemoryFileSystem()
    reads = 0

    def interrupted(filesystem: FileSystem, directory: str) -> ManifestState:
        nonlocal reads
        reads += 1
        if reads > 1:
            return read_manifest(filesystem, directory)
        if moment == "before":
            CHANGES[name](db)
            return read_manifest(filesystem, directory)
        state = read_manifest(filesystem, directory)
        CHANGES[name](db)
        return state

    with opened(files) as db:
        monkeypatch.setattr(verify_live, "read_manifest", interrupted)
        report = db.verify()
        assert report, str(report)
        assert db.verify()
    assert reads >= 2


class ClosesWhenVerified:
    """A table, to verify."""

    def __init__(self, db: lsmkv.DB, table: Table) -> None:
        self._db = db
        self.path = table.path
        self.summary = table.summary

    def verify(self) -> None:
        self._db.close()
        raise lsmkv.CorruptionError("whoever opened it next has taken it away", self.path)


@pytest.mark.parametrize("name", ["read_manifest", "SegmentReader", "the last table"])
def test_a_close_just_then(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is missing after that is no damage."""
    db = opened(MemoryFileSystem())
    if name == "the last table":
        tables = [ClosesWhenVerified(db, db._tree.tables()[0])]
        monkeypatch.setattr(db._tree, "tables", lambda: tables)
    else:
        original = getattr(verify_live, name)

        def interrupted(*arguments: Any) -> Any:
            db.close()
            return original(*arguments)

        monkeypatch.setattr(verify_live, name, interrupted)
    with pytest.raises(lsmkv.ClosedError):
        db.verify()


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("operation", ["append", "sync", "sync_directory", "rename", "open"])
def test_a_change_that_failed_left_no_damage(operation: str, number: int) -> None:
    """Wherever it fails: what the manifest holds then is unknown, and the next open reads it."""
    files = FaultFileSystem(MemoryFileSystem())
    failed = 0
    for place in range(1, 4):
        with opened(files) as db:
            files.fail(place, number, operations=[operation])
            try:
                kernel.drop_range(db, b"a050", b"b050")  # flushes, and begins a new manifest
            except lsmkv.Error:
                failed += 1
            files.reset()
            report = db.verify()
            assert report, str(report)
        with open_inline(files) as db:
            assert db.verify()
            db.clear()
    assert failed or number == errno.ENOSPC, "a new manifest can wait for room"


@pytest.mark.usefixtures("quiet_log")
def test_a_piece_of_an_edit_is_no_damage_until_the_next_manifest() -> None:
    disk = MemoryFileSystem()
    files = FaultFileSystem(disk)
    with opened(files) as db:
        path = manifest_path(disk)
        size = disk.file_size(path)
        place = 0
        while disk.file_size(path) == size:  # first the pieces of a table are torn
            place += 1
            files.tear(place, 12, operations=["append"])
            with pytest.raises(lsmkv.Error):
                db.flush()
            files.reset()
        assert disk.file_size(path) == size + 12
        assert db.verify()
        db.put(b"x", b"y")
        db.flush()
        assert manifest_path(disk) != path
        assert db.verify()
