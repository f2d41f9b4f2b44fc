"""Damage anywhere in any file of whole databases: reported with file and offset, found by verify,
repaired without loss of what is intact; or harmless. Never a silent wrong answer.

A slice of `python -m tests.soak damage`, which takes every bit, every length, every swap. What must
come of it stands in support/damage_lab.py.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

import lsmkv
from lsmkv import filenames, kernel
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from tests.soak.damage import KINDS
from tests.support.crash_lab import DIRECTORY
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
