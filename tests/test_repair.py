"""What repair makes of damaged directories: everything intact is readable afterwards, nothing that
may be the only copy is deleted, and the report says what happened."""

from __future__ import annotations

import contextlib
import errno
from typing import Any

import pytest

import lsmkv
from lsmkv import filenames
from lsmkv._native.block import Block
from lsmkv._native.table import TableBuilder, TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import Error, StorageError
from lsmkv.kernel import drop_range
from lsmkv.manifest import read_manifest
from lsmkv.repair import RepairReport
from lsmkv.salvage import DATA, StoredBlock, intact_blocks, read_header, salvage_table

DIRECTORY = "/db"
LOST = "/db/lost"
Model = dict[bytes, bytes]


def open_small(filesystem: Any, **options: Any) -> lsmkv.DB:
    return lsmkv.open(DIRECTORY, filesystem=filesystem, background="inline", **options)


def fill(db: lsmkv.DB, prefix: bytes, count: int = 300, value: bytes = b"value") -> Model:
    pairs = {prefix + b"%05d" % index: value + b" %d" % index * 5 for index in range(count)}
    for key, stored in pairs.items():
        db[key] = stored
    return pairs


def repaired(filesystem: Any) -> RepairReport:
    return lsmkv.repair(DIRECTORY, filesystem=filesystem)


def contents(filesystem: Any) -> Model:
    """Also proves that the database is sound and that it can be written to."""
    with open_small(filesystem, create=False) as db:
        assert db.verify()
        found = dict(db.scan())
        db[b"~"] = b"new"
        db.flush()
        assert db[b"~"] == b"new"
        assert all(db[key] == value for key, value in found.items())
        del db[b"~"]
        return found


def live_tables(filesystem: Any) -> list[str]:
    numbers = sorted(read_manifest(filesystem, DIRECTORY).version.file_numbers)
    return [filenames.table_path(DIRECTORY, number) for number in numbers]


def names(filesystem: Any, suffix: str, directory: str = DIRECTORY) -> list[str]:
    if not filesystem.exists(directory):
        return []
    return sorted(n for n in filesystem.list_directory(directory) if n.endswith(suffix))


def rewrite(filesystem: Any, path: str, data: bytes) -> None:
    with filesystem.open(path, "w") as file:
        file.append(data)
        file.sync()


def flip(filesystem: Any, path: str, offset: int) -> bytes:
    """Returns the damaged content."""
    data = bytearray(filesystem.read_file(path, 1 << 30))
    data[offset] ^= 0x10
    rewrite(filesystem, path, bytes(data))
    return bytes(data)


@pytest.fixture
def files() -> MemoryFileSystem:
    return MemoryFileSystem()


@pytest.fixture
def model(files: MemoryFileSystem) -> Model:
    """Two live tables without overlap; nothing in the logs."""
    with open_small(files, block_size=1024) as db:
        pairs = fill(db, b"a")
        db.flush()
        pairs |= fill(db, b"b")
        db.flush()
    return pairs


def data_blocks(filesystem: Any, path: str) -> list[StoredBlock]:
    data = filesystem.read_file(path, 1 << 30)
    header = read_header(data)
    assert header is not None
    return [block for block in intact_blocks(data, header.table_id) if block.type == DATA]


# --- damaged tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 5, 13, 40])
def test_one_flipped_byte_loses_the_keys_of_its_block_only(
    files: MemoryFileSystem, model: Model, position: int
) -> None:
    path = live_tables(files)[0]
    blocks = data_blocks(files, path)
    assert len(blocks) > 5
    lost = {entry[0] for entry in Block(blocks[2].payload).entries()}
    assert lost
    damaged = flip(files, path, blocks[2].offset + position)
    report = repaired(files)
    assert contents(files) == {key: value for key, value in model.items() if key not in lost}
    assert report.salvaged_entries == 300 - len(lost)
    assert f"{300 - len(lost)} entries salvaged from damaged tables" in str(report)
    name = path.rpartition("/")[2]
    assert report.moved_aside == [name]
    assert not report.used_everything
    assert files.read_file(f"{LOST}/{name}", 1 << 30) == damaged
    assert report.manifest_intact


@pytest.mark.parametrize("where", ["header", "footer", "index", "cut"])
def test_damage_outside_the_data_blocks_loses_nothing(
    files: MemoryFileSystem, model: Model, where: str
) -> None:
    path = live_tables(files)[0]
    blocks = data_blocks(files, path)
    tail = blocks[-1].offset + blocks[-1].size
    size = files.file_size(path)
    if where == "cut":
        rewrite(files, path, files.read_file(path, size)[:tail])
    else:
        flip(files, path, {"header": 20, "footer": size - 20, "index": tail + 60}[where])
    report = repaired(files)
    assert report.salvaged_entries == 300
    assert contents(files) == model


def test_the_manifest_knows_the_id_of_a_table_that_lost_both_ends(
    files: MemoryFileSystem, model: Model
) -> None:
    path = live_tables(files)[0]
    flip(files, path, 20)
    flip(files, path, files.file_size(path) - 20)
    assert repaired(files).salvaged_entries == 300
    assert contents(files) == model


def test_a_table_of_rubbish_is_kept_and_told(files: MemoryFileSystem, model: Model) -> None:
    path = live_tables(files)[0]
    rewrite(files, path, b"rubbish" * 1000)
    report = repaired(files)
    assert report.salvaged_entries == 0
    assert path in "".join(report.problems)
    assert contents(files) == {k: v for k, v in model.items() if k.startswith(b"b")}
    assert files.read_file(f"{LOST}/{path.rpartition('/')[2]}", 1 << 20) == b"rubbish" * 1000


def test_old_values_and_deletes_stay_in_place_around_damage(files: MemoryFileSystem) -> None:
    with open_small(files, block_size=1024) as db:
        model = fill(db, b"a", value=b"old")
        db.flush()
        db.compact()
        model |= fill(db, b"a", 200, value=b"new")
        for key in sorted(model)[200:250]:
            del db[key]
            del model[key]
        db.flush()
    old, new = live_tables(files)
    flip(files, old, data_blocks(files, old)[0].offset + 40)  # nothing of it shows any more
    assert new
    report = repaired(files)
    assert report.salvaged_entries
    assert contents(files) == model


def test_a_dropped_range_stays_dropped_when_its_table_is_salvaged(
    files: MemoryFileSystem, model: Model
) -> None:
    with open_small(files) as db:
        drop_range(db, b"a00100", b"a00200")
    path = live_tables(files)[0]
    flip(files, path, files.file_size(path) - 20)
    assert repaired(files).salvaged_entries == 300
    hidden = {b"a%05d" % index for index in range(100, 200)}
    assert contents(files) == {k: v for k, v in model.items() if k not in hidden}


def test_two_repairs_never_overwrite_what_is_in_lost(files: MemoryFileSystem, model: Model) -> None:
    path = live_tables(files)[0]
    name = path.rpartition("/")[2]
    files.make_directory(LOST)
    rewrite(files, f"{LOST}/{name}", b"from before")
    damaged = flip(files, path, 100)
    repaired(files)
    assert files.read_file(f"{LOST}/{name}", 100) == b"from before"
    assert files.read_file(f"{LOST}/{name}.2", 1 << 30) == damaged


def test_a_file_system_without_hard_links(model: Model, files: MemoryFileSystem) -> None:
    path = live_tables(files)[0]
    damaged = flip(files, path, 20)
    faulty = FaultFileSystem(files)
    faulty.fail(1, errno.EPERM, operations=["link"])
    repaired(faulty)
    assert contents(files) == model
    assert files.read_file(f"{LOST}/{path.rpartition('/')[2]}", 1 << 30) == damaged


# --- tables in the wrong place -------------------------------------------------------------------


def test_tables_in_each_others_place_are_used_and_told(
    files: MemoryFileSystem, model: Model
) -> None:
    with open_small(files) as db:
        drop_range(db, b"a00100", b"a00200")
    first, second = live_tables(files)
    contents_of = [files.read_file(path, 1 << 30) for path in (first, second)]
    rewrite(files, first, contents_of[1])
    rewrite(files, second, contents_of[0])
    report = repaired(files)
    hidden = {b"a%05d" % index for index in range(100, 200)}
    assert contents(files) == {k: v for k, v in model.items() if k not in hidden}
    numbers = [int(path[4:10]) for path in (first, second)]
    assert report.problems == [
        f"table {number} stands in the file of table {place}"
        for number, place in (numbers, numbers[::-1])
    ]


def test_a_table_in_the_place_of_another_is_used_when_its_own_is_damaged(
    files: MemoryFileSystem, model: Model
) -> None:
    first, second = live_tables(files)
    rewrite(files, first, files.read_file(second, 1 << 30))
    rewrite(files, second, b"rubbish" * 100)
    report = repaired(files)
    assert contents(files) == {k: v for k, v in model.items() if k.startswith(b"b")}
    assert "another table stands in this file" in str(report)
    lost = [path.rpartition("/")[2] for path in (first, second)]
    assert report.moved_aside == names(files, ".sst", LOST) == lost


def test_a_copy_of_a_table_in_the_place_of_another_changes_nothing_else(
    files: MemoryFileSystem, model: Model
) -> None:
    first, second = live_tables(files)
    rewrite(files, first, files.read_file(second, 1 << 30))
    report = repaired(files)
    assert contents(files) == {k: v for k, v in model.items() if k.startswith(b"b")}
    assert report.moved_aside == [first.rpartition("/")[2]]


# --- tables that the manifest does not name ------------------------------------------------------


def test_a_missing_live_table_comes_back_from_an_orphan(
    files: MemoryFileSystem, model: Model
) -> None:
    path = live_tables(files)[0]
    files.rename(path, f"{DIRECTORY}/000900.sst")
    report = repaired(files)
    assert contents(files) == model
    assert report.used_everything
    assert "is missing" in report.problems[0]
    assert "everything found was used" in str(report)
    assert names(files, ".sst", LOST) == ["000900.sst"]
    assert report.moved_aside == ["000900.sst"]


def test_old_logs_serve_when_a_live_table_is_missing(files: MemoryFileSystem) -> None:
    with open_small(files) as db:
        model = fill(db, b"a")
        (log,) = names(files, ".log")
        kept = files.read_file(f"{DIRECTORY}/{log}", 1 << 30)
        db.flush()
    rewrite(files, f"{DIRECTORY}/{log}", kept)
    files.remove(live_tables(files)[0])
    report = repaired(files)
    assert report.used_everything
    assert report.replayed_operations == 300
    assert contents(files) == model
    assert log in names(files, ".log", LOST)


def test_orphans_and_old_logs_are_kept_but_not_used_when_all_is_well(
    files: MemoryFileSystem, model: Model
) -> None:
    builder = TableBuilder(files, f"{DIRECTORY}/000900.sst", id=bytes(16))
    builder.add(b"deleted long ago", 1, 1, b"ghost")
    builder.finish()
    rewrite(files, f"{DIRECTORY}/000001.log", b"whatever")
    report = repaired(files)
    assert contents(files) == model
    assert report.problems == []
    assert not report.used_everything
    assert report.moved_aside == ["000900.sst", "000001.log"]
    assert sorted(files.list_directory(LOST)) == ["000001.log", "000900.sst"]
    assert "moved to lost/: 000900.sst" in str(report)


def test_repair_of_what_needs_none_changes_nothing_visible(
    files: MemoryFileSystem, model: Model
) -> None:
    for _ in range(2):
        report = repaired(files)
        assert str(report).count("\n") == 0
        assert contents(files) == model
    assert not files.exists(LOST)


# --- the manifest --------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["no CURRENT", "garbage CURRENT", "garbage", "none", "empty"])
def test_without_a_manifest_everything_is_merged(
    files: MemoryFileSystem, model: Model, damage: str
) -> None:
    with open_small(files) as db:
        model |= fill(db, b"a", 100, value=b"newer")
    (manifest,) = [n for n in files.list_directory(DIRECTORY) if n.startswith("MANIFEST")]
    path = f"{DIRECTORY}/{manifest}"
    if damage == "no CURRENT":
        files.remove(f"{DIRECTORY}/CURRENT")
    elif damage == "garbage CURRENT":
        rewrite(files, f"{DIRECTORY}/CURRENT", b"garbage")
    elif damage == "none":
        files.remove(path)
    else:
        rewrite(files, path, b"" if damage == "empty" else b"gar\nbage\n" * 99)
    with pytest.raises(Error):
        open_small(files)
    report = repaired(files)
    assert not report.manifest_intact
    assert "the manifest was damaged" in str(report)
    assert (manifest in report.moved_aside) == (damage != "none")
    assert contents(files) == model


@pytest.mark.parametrize("damaged", ["none", "old", "new"])
def test_of_equal_sequences_the_newer_file_counts(files: MemoryFileSystem, damaged: str) -> None:
    """Both tables were at the bottom, so their entries are settled: only the file numbers tell.
    What is salvaged is as old as the file it comes from."""
    with open_small(files, block_size=512) as db:
        fill(db, b"a", value=b"old")
        db.compact()
        (old_path,) = live_tables(files)
        old = files.read_file(old_path, 1 << 30)
        new_model = fill(db, b"a", value=b"new")
        db.compact()
    (new_path,) = live_tables(files)
    rewrite(files, old_path, old)
    for name in [*names(files, "CURRENT"), *(n for n in names(files, "") if "MANIFEST" in n)]:
        files.remove(f"{DIRECTORY}/{name}")
    if damaged != "none":
        path = old_path if damaged == "old" else new_path
        flip(files, path, data_blocks(files, path)[3].offset + 20)
    repaired(files)
    found = contents(files)
    assert found.keys() == new_model.keys()
    if damaged != "new":
        assert found == new_model
    else:
        changed = [key for key in found if found[key] != new_model[key]]
        assert 0 < len(changed) < 50  # those of one block, with the values they had before


def test_a_manifest_that_lost_edits_does_not_decide(files: MemoryFileSystem) -> None:
    with open_small(files) as db:
        (manifest,) = [
            f"{DIRECTORY}/{n}" for n in files.list_directory(DIRECTORY) if n.startswith("MANIFEST")
        ]
        model = fill(db, b"a")
        db.flush()
        model |= fill(db, b"b")
        db.flush()
        model |= fill(db, b"c")
        image = files.clone()
    # A flush adds one line; without the last two the logs say more than the manifest.
    lines = image.read_file(manifest, 1 << 20).splitlines(keepends=True)
    assert len(lines) == 3
    rewrite(image, manifest, lines[0])
    with pytest.raises(Error):
        open_small(image)
    report = repaired(image)
    assert "is the last" in report.problems[0]
    assert contents(image) == model


# --- repair itself -------------------------------------------------------------------------------


def test_a_repair_that_fails_anywhere_can_be_repeated(
    files: MemoryFileSystem, model: Model
) -> None:
    first, second = live_tables(files)
    files.rename(first, f"{DIRECTORY}/000900.sst")
    flip(files, second, files.file_size(second) - 20)
    at = operation_count = 0
    while at <= operation_count:
        at += 1
        image = files.clone()
        faulty = FaultFileSystem(image)
        faulty.fail(at, errno.EACCES)
        with contextlib.suppress(StorageError):
            repaired(faulty)
            assert contents(image.clone()) == model, at
        operation_count = faulty.operation_count
        repaired(image)
        assert contents(image) == model, at
    assert at > 20


@pytest.mark.parametrize("damage", ["no CURRENT", "garbage manifest", "table", "log"])
def test_the_machine_stops_anywhere_in_a_repair(
    files: MemoryFileSystem, model: Model, damage: str
) -> None:
    """And loses its power: the next repair must come to the same result."""
    with open_small(files) as db:
        db.put(b"log", b"1", sync=True)
        db.put(b"log", b"2")
        files = files.clone()
    tables = live_tables(files)
    (manifest,) = names(files, f"{read_manifest(files, DIRECTORY).manifest_number:06d}")
    (log,) = names(files, ".log")
    if damage == "no CURRENT":
        files.remove(f"{DIRECTORY}/CURRENT")
    elif damage == "garbage manifest":
        rewrite(files, f"{DIRECTORY}/{manifest}", b"garbage\n" * 9)
    elif damage == "table":
        flip(files, tables[0], 40)
    else:
        flip(files, f"{DIRECTORY}/{log}", 120)
    files.sync_directory(DIRECTORY)
    whole = files.crash()
    repaired(whole)
    expected = contents(whole)
    assert expected.items() >= {key: model[key] for key in model if key[:1] == b"b"}.items()
    at, halted = 0, True
    while halted:
        at += 1
        disk = files.crash()
        faulty = FaultFileSystem(disk)
        faulty.count_reads(False)
        faulty.halt(at, "inside" if at % 2 else "before")
        with contextlib.suppress(StorageError):
            repaired(faulty)
        halted = faulty.halted
        for image in (disk.clone(), disk.crash(), disk.crash(seed=at, survival=0.5)):
            repaired(image)
            assert contents(image) == expected, at
    assert at > 20


def test_a_directory_without_a_database_is_refused(files: MemoryFileSystem) -> None:
    files.make_directory(DIRECTORY)
    with pytest.raises(Error, match="holds no database"):
        repaired(files)
    assert files.list_directory(DIRECTORY) == []
    with pytest.raises(Error, match="not a database directory"):
        lsmkv.repair("/nowhere", filesystem=files)


def test_salvage_of_every_truncation_is_a_prefix(files: MemoryFileSystem) -> None:
    files.make_directory(DIRECTORY)
    builder = TableBuilder(files, "/db/1", id=bytes(range(16)), block_size=512)
    entries = [(b"%04d" % i, 1000 + i, 1 + i % 2, b"" if i % 2 else b"v" * 20) for i in range(200)]
    for entry in entries:
        builder.add(*entry)
    builder.finish()
    data = files.read_file("/db/1", 1 << 20)
    counts = []
    for size in [*range(0, len(data), 97), len(data)]:
        count = salvage_table(data[:size], files, "/db/3", new_id=b"n" * 16, known_id=None)
        counts.append(count)
        assert files.exists("/db/3") == (count > 0)
        if count:
            space = TableSpace(files)
            table = space.open("/db/3", 3)
            table.verify()
            assert list(table.entries()) == entries[:count]
            files.remove("/db/3")
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 200
    assert len(set(counts)) > 5
