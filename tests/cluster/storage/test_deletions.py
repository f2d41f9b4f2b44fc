"""Deleted records are found, confirmed durably, and forgotten only while they are the same."""

from __future__ import annotations

import errno

from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.kernel import entry_hash
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    DeletedEntries,
    DeletedEntry,
    Failed,
    ListDeleted,
    Merged,
)
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.minting import delete, mint, overwrite
from lsmkv_cluster.versions.vclock import Actor
from tests.support.store_lab import ELSEWHERE, STAMP, StoreLab, key_in, record_of

AT_MS = STAMP >> 16
VALUE = record_of(b"v" * 100)


def deleted_record(number: int) -> bytes:
    record = record_format.decode(record_of(b"%d" % number))
    return record_format.encode(mint(record, delete(record), ELSEWHERE, STAMP).record)


def expiring(at_ms: int) -> bytes:
    return record_format.encode(mint(None, overwrite(None, b"e", at_ms), ELSEWHERE, STAMP).record)


def listed(lab: StoreLab, after: bytes = b"", count: int = 100, size: int = 1 << 20):
    tokens = lab.store.trees.tokens(0)
    order = ListDeleted(tokens.first, tokens.end, after, count, size, AT_MS + 10)
    result = lab.do(order)
    assert isinstance(result, DeletedEntries)
    return result


def walked(lab: StoreLab, count: int, size: int = 1 << 20) -> list[DeletedEntries]:
    pages = [listed(lab, count=count, size=size)]
    while (after := pages[-1].after) is not None:
        pages.append(listed(lab, after, count, size))
    return pages


def digest(lab: StoreLab, key: bytes, record: bytes) -> int:
    return entry_hash(lab.scheme.tree_key, lab.scheme.engine_key(Space.DATA, key), record)


def fill(lab: StoreLab) -> tuple[dict[bytes, bytes], set[bytes]]:
    """Keys with their deleted records, and those of what has expired, among others."""
    gone: dict[bytes, bytes] = {}
    over: set[bytes] = set()
    for number in range(40):
        key = key_in(0, number)
        record = VALUE
        if number % 4 == 0:
            record = gone[key] = deleted_record(number)
        elif number % 10 == 1:
            record = expiring(AT_MS + 10)
            over.add(key)
        elif number % 10 == 3:
            record = expiring(AT_MS + 11)
        lab.merge(Space.DATA, (key, record))
    lab.merge(Space.DATA, (key_in(1), deleted_record(1)))
    lab.merge(Space.HINT, (key_in(0), deleted_record(1)))
    return gone, over


def test_pages_find_what_is_deleted_and_what_has_expired():
    with StoreLab() as lab:
        gone, over = fill(lab)
        for pages in ([listed(lab)], walked(lab, 7), walked(lab, 100, size=300), walked(lab, 1)):
            entries = [entry for page in pages for entry in page.entries]
            assert {entry.key: entry.digest for entry in entries} == {
                key: digest(lab, key, record) for key, record in gone.items()
            }
            assert len(entries) == len(gone)
            assert all(AT_MS <= entry.newest_ms < AT_MS + 1000 for entry in entries)
            assert sorted(key for page in pages for key in page.expired) == sorted(over)
        assert len(walked(lab, 7)) == 6
        assert 6 < len(walked(lab, 100, size=300)) < 40


def test_a_damaged_record_is_passed_over():
    with StoreLab() as lab:
        gone, _ = fill(lab)
        lab.db.put(lab.scheme.engine_key(Space.DATA, key_in(0, 50)), b"no record")
        assert len(listed(lab).entries) == len(gone)


def test_only_the_very_same_record_is_confirmed_and_that_survives_a_loss_of_power():
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        gone, _ = fill(lab)
        key, other, *_ = gone
        absent = key_in(0, 50)
        right = digest(lab, key, gone[key])
        entries = ((key, right), (other, right), (absent, right))
        assert lab.do(Confirm(entries)) == Confirmed((True, False, False))
        lab.merge(Space.DATA, (absent, VALUE))  # not covered by that sync
        lab.crash(disk)
        assert lab.read(Space.DATA, key, absent) == (gone[key], None)


def test_nothing_is_confirmed_by_a_store_that_cannot_sync():
    faults = FaultFileSystem(MemoryFileSystem())
    with StoreLab(faults) as lab:
        lab.merge(Space.DATA, (key_in(0), deleted_record(1)))
        faults.fail(1, errno.EIO, for_ever=True, operations=["log_sync"])
        entry = (key_in(0), digest(lab, key_in(0), deleted_record(1)))
        assert isinstance(lab.do(Confirm((entry,))), Failed)


def test_what_has_changed_stays_and_trees_follow_what_goes():
    with StoreLab() as lab:
        gone, _ = fill(lab)
        [stays, *goes] = [DeletedEntry(*each) for each in _rows(lab, gone)]
        lab.merge(Space.DATA, (stays.key, record_of(b"new", Actor(3, 30, 1 << 32))))
        entries = tuple((entry.key, entry.digest) for entry in (stays, *goes))
        assert lab.do(Collect(entries)) == Merged((False, *[True] * len(goes)))
        for entry in goes:
            del lab.model[Space.DATA, entry.key]
        lab.check()
        assert lab.do(Collect(entries)) == Merged((False,) * len(entries))
        lab.check()


def _rows(lab: StoreLab, gone: dict[bytes, bytes]) -> list[tuple[bytes, int, int]]:
    return [(key, digest(lab, key, record), 0) for key, record in gone.items()]
