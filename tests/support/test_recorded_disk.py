"""The disk made from recorded operations agrees with the file system that recorded them, and its
images keep what was synced."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.support.crash_lab import Laboratory, run_workload
from tests.support.power_images import FAMILIES
from tests.support.power_runs import Recording, check_image, moments, record
from tests.support.recorded_disk import RecordedDisk, everything, filesystem_of, synced_only

SIZE_MAX = 1 << 20


def tree_of(files: MemoryFileSystem, directory: str = "/") -> dict[str, bytes | None]:
    tree: dict[str, bytes | None] = {}
    for name in files.list_directory(directory):
        path = directory + name
        if files.is_directory(path):
            tree |= {path: None} | tree_of(files, path + "/")
        else:
            tree[path] = files.read_file(path, SIZE_MAX)
    return tree


def test_it_is_the_disk_that_was_recorded_with_and_without_what_was_not_synced() -> None:
    with Laboratory() as lab:
        lab.files.record_trace(True, contents=True)
        run_workload(lab)
        disk = RecordedDisk()
        for entry in lab.files.trace():
            disk.apply(entry)
        assert disk.tree(everything()) == tree_of(lab.disk.clone())
        assert disk.tree(synced_only()) == tree_of(lab.disk.crash())


def test_what_was_synced_is_in_every_image() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    files.record_trace(True, contents=True)
    files.make_directory("/d")
    files.sync_directory("/")
    with files.open("/d/f", "x") as file:
        file.append(b"a" * 5000)
        file.sync()
        files.sync_directory("/d")
        file.append(b"b" * 5000)
        file.append(b"c" * 5000)
    files.rename("/d/f", "/d/g")
    disk = RecordedDisk()
    for entry in files.trace():
        disk.apply(entry)
    rng = random.Random(1)
    sizes, names = set(), set()
    for _ in range(200):
        for family in FAMILIES.values():
            tree = disk.tree(family(disk, rng))
            [path] = [path for path in tree if path != "/d"]
            content = tree[path]
            assert content is not None
            assert content.startswith(b"a" * 5000)
            assert set(content) <= set(b"abc\0")
            sizes.add(len(content))
            names.add(path)
    assert {5000, 10_000, 15_000} <= sizes
    assert names == {"/d/f", "/d/g"}


def test_an_image_is_a_file_system_that_has_been_synced() -> None:
    tree: dict[str, bytes | None] = {"/d": None, "/d/f": b"1", "/g": b""}
    assert tree_of(filesystem_of(tree).crash()) == tree


# --- the checks can fail


def without(recording: Recording, operations: set[str]) -> Recording:
    """The same run on a device that ignores some operations."""
    silent = [
        replace(entry, operation="stat") if entry.operation in operations else entry
        for entry in recording.trace
    ]
    return Recording(silent, recording.states, recording.marks, recording.options)


@pytest.mark.parametrize("operation", ["sync", "log_sync", "sync_directory"])
def test_a_device_that_ignores_syncs_is_found_out(operation: str) -> None:
    recording = without(record(run_workload, {}), {operation})
    rng = random.Random(2)

    def check_all() -> None:
        for moment in moments(recording):
            for family in ("synced only", "one lost"):
                check_image(recording, moment, family, rng, recoveries=0)

    with pytest.raises((AssertionError, lsmkv.Error, KeyError)):
        check_all()
