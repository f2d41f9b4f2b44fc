"""Damage anywhere in any file of whole databases: reported with file and offset, found by verify,
repaired without loss of what is intact; or harmless. Never a silent wrong answer.

A slice of `python -m tests.soak damage`, which takes every bit, every length, every swap. What must
come of it stands in support/damage_lab.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, islice

import pytest

import lsmkv
from lsmkv import filenames, kernel
from lsmkv._native.table import Table
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from lsmkv.repair import _Repair
from lsmkv.salvage_log import LogSalvage
from tests.soak.damage import KINDS
from tests.support.crash_lab import DIRECTORY
from tests.support.damage_errors import check_error
from tests.support.damage_lab import (
    SPECIMENS,
    Damage,
    Outcome,
    files_of,
    judge,
    kind_of,
    specimen,
)

STRIDES = {"flipped bits": 211, "replaced bytes": 307, "misplaced": 307, "shorter": 31}
STRIDE = 7  # of the other kinds


pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_gives_a_wrong_answer(name: str, kind: str) -> None:
    subject = specimen(name)
    outcomes: Counter[Outcome] = Counter()
    stride = STRIDES.get(kind, STRIDE)
    for index, path in enumerate(subject.targets):
        contents = islice(KINDS[kind](subject, path), index % stride, None, stride)
        for number, content in enumerate(contents):
            if content != subject.files[path]:
                damage = Damage(path, content)
                outcomes[judge(subject, damage, repairs=number % 4 == 0)] += 1
    assert outcomes[Outcome.HARMLESS] < max(3, outcomes.total() // 3)
    assert outcomes or kind == "stale"


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_specimens_themselves_are_good(name: str) -> None:
    subject = specimen(name)
    path = subject.targets[0]
    with lsmkv.open(DIRECTORY, filesystem=files_of(subject.files), **subject.options) as db:
        assert dict(db.scan()) == subject.last
        assert db.verify()
    with pytest.raises(AssertionError, match="verify did not notice"):
        judge(subject, Damage(path, subject.files[path]), repairs=False)


# --- what it has found ---------------------------------------------------------------------------


def test_a_dropped_range_does_not_come_back_with_its_edit() -> None:
    """The last edit of the manifest was dropped as a torn one when a bit of it was flipped, and a
    manifest cut before it was taken for an older one."""
    files = MemoryFileSystem()
    with lsmkv.open("/db", filesystem=files, background="inline") as db:
        db.update({b"%03d" % number: b"x" for number in range(50)})
        db.compact()
        kernel.drop_range(db, b"010", b"020")
        image = files.clone()
    [path] = [name for name in image.list_directory("/db") if name.startswith("MANIFEST")]
    data = image.read_file(f"/db/{path}", 1 << 20)
    assert data.count(b"\n") == 1, "whatever is cut, is damage"
    for size in range(len(data)):
        with image.open(f"/db/{path}", "w") as file:
            file.append(data[:size])
        with pytest.raises(lsmkv.CorruptionError):
            lsmkv.open("/db", filesystem=image.clone())


def test_repair_does_not_trust_the_manifest_of_another_database() -> None:
    """It took the tables for damaged, and hid what the other database had dropped."""
    subject, other = specimen("crashed"), specimen("dropped")
    [path] = [path for path in subject.targets if "MANIFEST" in path]
    [foreign] = [other.files[path] for path in other.targets if "MANIFEST" in path]
    files = files_of(subject.files | {path: foreign})
    report = lsmkv.repair(DIRECTORY, filesystem=files)
    assert not report.manifest_intact
    assert "another database" in str(report)
    with lsmkv.open(DIRECTORY, filesystem=files) as db:
        assert dict(db.scan()) == subject.last


def test_repair_takes_nothing_from_a_table_of_another_database() -> None:
    subject = specimen("crashed")
    files = MemoryFileSystem()
    with lsmkv.open("/other", filesystem=files, background="inline") as db:
        db.update({b"foreign %d" % number: b"x" for number in range(50)})
        db.flush()
    [name] = [name for name in files.list_directory("/other") if name.endswith(".sst")]
    foreign = files.read_file(f"/other/{name}", 1 << 20)
    path = next(path for path in subject.targets if kind_of(path) is FileKind.TABLE)
    files = files_of(subject.files | {path: foreign})
    lsmkv.repair(DIRECTORY, filesystem=files)
    with lsmkv.open(DIRECTORY, filesystem=files) as db:
        assert not list(db.scan(prefix=b"foreign"))
    lost = filenames.lost_directory(DIRECTORY)
    kept = [files.read_file(f"{lost}/{name}", 1 << 20) for name in files.list_directory(lost)]
    assert foreign in kept


# --- two files at once ---------------------------------------------------------------------------


def exchanged(name: str, kind: FileKind) -> list[Damage]:
    """Every two files of this kind in each other's place."""
    subject = specimen(name)
    paths = [path for path in subject.targets if kind_of(path) is kind]
    return [Damage(path, subject.files[other], other) for path, other in combinations(paths, 2)]


@pytest.mark.parametrize("kind", [FileKind.TABLE, FileKind.LOG], ids=str)
@pytest.mark.parametrize("name", SPECIMENS)
def test_exchanged_files_are_told_and_put_to_use(name: str, kind: FileKind) -> None:
    damages = exchanged(name, kind)
    assert len(damages) == (3 if kind is FileKind.TABLE or name == "segments" else 0)
    for damage in damages:
        assert judge(specimen(name), damage, repairs=True) is Outcome.REFUSED


# --- what the judge must notice ------------------------------------------------------------------


def damages_of(name: str, kind: FileKind) -> Iterator[Damage]:
    """A flipped bit in each 50 bytes of the files of this kind."""
    subject = specimen(name)
    for path in subject.targets:
        data = subject.files[path]
        for offset in range(40, len(data) if kind_of(path) is kind else 0, 50):
            flipped = data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
            yield Damage(path, flipped)


def noticed(name: str, kind: FileKind) -> tuple[int, int]:
    """How many repairs of those damages the judge refuses, and of how many."""
    refused = count = 0
    for damage in damages_of(name, kind):
        count += 1
        try:
            judge(specimen(name), damage, repairs=True)
        except AssertionError as error:
            assert "repair" in str(error), "not what is looked for"
            refused += 1
    return refused, count


def test_a_repair_that_drops_the_undamaged_tables_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> Iterator[Table]:
        return iter(())

    monkeypatch.setattr(_Repair, "_read", read)
    for kind in (FileKind.TABLE, FileKind.LOG, FileKind.MANIFEST):
        refused, count = noticed("crashed", kind)
        assert refused == count > 5


def test_a_salvage_of_tables_that_finds_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert noticed("crashed", FileKind.TABLE)[0] == 0
    monkeypatch.setattr(_Repair, "_salvage", lambda *_: iter(()))
    refused, count = noticed("crashed", FileKind.TABLE)
    assert refused > count // 2


def test_a_salvage_of_logs_that_ends_at_the_damage_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert noticed("closed", FileKind.LOG)[0] == 0
    monkeypatch.setattr(LogSalvage, "_behind", lambda *_: iter(()))
    refused, count = noticed("closed", FileKind.LOG)
    assert refused > count // 2


@pytest.mark.parametrize("kind", [FileKind.TABLE, FileKind.LOG, FileKind.MANIFEST], ids=str)
def test_an_error_of_another_file_or_place_is_noticed(kind: FileKind) -> None:
    subject = specimen("crashed")
    *_, damage = damages_of("crashed", kind)
    other = next(path for path in subject.targets if path != damage.path and ".sst" in path)
    wrong = [lsmkv.CorruptionError("x", damage.path, offset) for offset in (None, 0, 1 << 20)]
    wrong.append(lsmkv.CorruptionError("x"))
    if kind is not FileKind.MANIFEST:  # which a table can contradict
        wrong.append(lsmkv.CorruptionError("x", other, 0))
    for error in [*wrong, lsmkv.Error(damage.path)]:
        with pytest.raises(AssertionError):
            check_error(subject.files, damage.path, damage.content, error)
