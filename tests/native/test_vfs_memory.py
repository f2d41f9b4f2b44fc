"""Crash images of the memory back end hold what was synced.

Of the rest they hold only what was really there.
"""

import gc
from functools import partial

import pytest

from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem

CHANCES = [(seed, 0.5) for seed in range(60)] + [(None, 0.0), (None, 1.0)]


def write(fs, path, data, mode="w", sync=False):
    with fs.open(path, mode) as file:
        file.append(data)
        if sync:
            file.sync()


def content(fs, path):
    return fs.read_file(path, 1 << 30) if fs.exists(path) else None


def durable_file(data=b"old" * 1000):
    """A file system with one durable file "f"."""
    fs = MemoryFileSystem()
    write(fs, "f", data, sync=True)
    fs.sync_directory("/")
    return fs


def test_strict_crash_needs_file_and_directory_synced():
    fs = MemoryFileSystem()
    write(fs, "both", b"data", sync=True)
    write(fs, "name_only", b"data")
    fs.sync_directory("/")
    write(fs, "content_only", b"data", sync=True)
    image = fs.crash()
    assert image.list_directory("/") == ["both", "name_only"]
    assert content(image, "both") == b"data"
    assert content(image, "name_only") == b""
    assert fs.list_directory("/") == ["both", "content_only", "name_only"]


def test_directories_are_durable_one_by_one():
    fs = MemoryFileSystem()
    fs.make_directory("a")
    fs.make_directory("a/b")
    write(fs, "a/b/f", b"data", sync=True)
    fs.sync_directory("a/b")
    assert fs.crash().list_directory("/") == []
    fs.sync_directory("/")
    assert fs.crash().list_directory("a") == []
    fs.sync_directory("a")
    assert content(fs.crash(), "a/b/f") == b"data"


def test_appended_bytes_are_lost_back_to_the_sync():
    fs = durable_file(b"12345")
    write(fs, "f", b"678", "a")
    assert content(fs.crash(), "f") == b"12345"
    assert content(fs.crash(survival=1.0), "f") == content(fs.clone(), "f") == b"12345678"


def test_truncation_is_undone():
    fs = durable_file(b"0123456789")
    with fs.open("f", "a") as file:
        file.truncate(3)
        file.append(b"xyz")
        file.truncate(5)
        assert content(fs.crash(), "f") == b"0123456789"
        assert content(fs.crash(survival=1.0), "f") == b"012xy"
        file.sync()
    assert content(fs.crash(), "f") == b"012xy"
    fs.open("f", "w").close()
    assert content(fs.crash(), "f") == b"012xy"


def test_rename_is_atomic_and_needs_the_directory():
    fs = durable_file(b"old")
    write(fs, "new", b"new", sync=True)
    fs.sync_directory("/")
    fs.rename("new", "f")
    outcomes = set()
    for seed, survival in CHANCES:
        image = fs.crash(seed, survival)
        outcomes.add((content(image, "f"), content(image, "new")))
    assert outcomes == {(b"old", b"new"), (b"new", None)}
    fs.sync_directory("/")
    assert content(fs.crash(), "f") == b"new"


def test_rename_between_directories_is_atomic_until_one_is_synced():
    fs = MemoryFileSystem()
    for name in ("a", "b"):
        fs.make_directory(name)
    write(fs, "a/f", b"data", sync=True)
    for name in ("/", "a", "b"):
        fs.sync_directory(name)
    fs.rename("a/f", "b/f")
    for seed, survival in CHANCES:
        image = fs.crash(seed, survival)
        assert image.exists("a/f") != image.exists("b/f")
    fs.sync_directory("b")
    assert fs.crash().exists("a/f")
    assert fs.crash().exists("b/f")


def test_moved_directory_appears_once():
    fs = MemoryFileSystem()
    for name in ("a", "b", "a/d"):
        fs.make_directory(name)
    write(fs, "a/d/f", b"data", sync=True)
    for name in ("/", "a", "b", "a/d"):
        fs.sync_directory(name)
    fs.rename("a/d", "b/d")
    fs.sync_directory("b")
    image = fs.crash()
    assert image.exists("a/d/f") + image.exists("b/d/f") == 1


def test_removal_needs_the_directory():
    fs = durable_file(b"data")
    fs.remove("f")
    assert content(fs.crash(), "f") == b"data"
    assert content(fs.clone(), "f") is None
    assert content(fs.clone().crash(), "f") == b"data"
    fs.sync_directory("/")
    assert content(fs.crash(), "f") is None


def test_hard_links_stay_one_file():
    fs = durable_file(b"data")
    fs.link("f", "g")
    fs.sync_directory("/")
    for image in (fs.crash(), fs.clone()):
        write(image, "g", b"+", "a")
        assert content(image, "f") == b"data+"


def test_random_content_is_made_of_old_and_new_pieces():
    old, new = b"o" * 3000, b"n" * 5000
    fs = durable_file(old)
    write(fs, "f", new)
    sizes = set()
    mixed = 0
    for seed in range(100):
        data = content(fs.crash(seed, 0.5, piece_size=512), "f")
        sizes.add(len(data))
        for start in range(0, len(data), 512):
            piece = data[start : start + 512]
            kinds = {old[start : start + 512], new[start : start + 512]}
            kinds |= {(old[start:] + b"\0" * 512)[:512]}
            assert any(kind[: len(piece)] == piece for kind in kinds)
        mixed += b"o" in data and b"n" in data
    assert {3000, 5000} < sizes
    assert all(size in (3000, 5000) or size % 512 == 0 for size in sizes)
    assert mixed > 50


def test_random_append_leaves_holes_of_zeros_and_keeps_what_was_synced():
    fs = durable_file(b"s" * 700)
    write(fs, "f", b"n" * 3000, "a")
    holes = 0
    for seed in range(100):
        data = content(fs.crash(seed, 0.7), "f")
        assert data[:700] == b"s" * 700
        assert set(data[700:]) <= {0, ord("n")}
        holes += b"\0n" in data
    assert holes > 10


def test_an_image_depends_on_the_seed_alone():
    fs = durable_file()
    for i in range(20):
        write(fs, f"g{i}", bytes([i]) * 2000)

    def picture(image):
        return {name: content(image, name) for name in image.list_directory("/")}

    first = picture(fs.crash(7, 0.5))
    assert first == picture(fs.crash(7, 0.5)) == picture(fs.clone().crash(7, 0.5))
    assert len({len(picture(fs.crash(seed, 0.5))) for seed in range(20)}) > 3
    assert first != picture(fs.crash(8, 0.5))


def test_an_image_is_durable_unlocked_and_independent():
    fs = durable_file(b"data")
    held = fs.lock("LOCK")
    write(fs, "new", b"new")
    image = fs.crash(survival=1.0)
    image.lock("LOCK").close()
    write(fs, "f", b"changed")
    assert content(image, "f") == b"data"
    assert content(image.crash(), "new") == b"new"
    held.close()


def test_crash_while_files_are_open_and_unlinked():
    fs = durable_file(b"data")
    with fs.open("f", "a") as file:
        fs.remove("f")
        fs.sync_directory("/")
        file.append(b"more")
        assert fs.clone().list_directory("/") == fs.crash(3, 0.5).list_directory("/") == []


def test_log_operations_are_unsynced_until_log_sync():
    fs = MemoryFileSystem()
    with fs.open("log", "x") as log:
        fs.sync_directory("/")
        log.log_start(mapped=True)
        log.log_append(b"one")
        assert content(fs.crash(), "log") == b""
        log.log_sync()
        log.log_append(b"two")
        assert content(fs.crash(), "log") == b"one"
        assert content(fs.clone(), "log") == b"onetwo"


def test_arguments():
    fs = MemoryFileSystem()
    for arguments in ((1, 1.5), (1, -0.1), (None, 0.5), (1, 0.5, 0)):
        with pytest.raises(ValueError):
            fs.crash(*arguments)
    assert fs.crash(-1, 0.5).list_directory("/") == []


def test_images_free_everything_also_when_an_allocation_fails():
    gc.collect()
    before = memory.usage()
    fs = durable_file()
    fs.make_directory("d")
    fs.rename("f", "d/f")
    fs.sync_directory("d")
    write(fs, "d/f", b"x" * 100)
    held = memory.usage()
    for make in (fs.clone, partial(fs.crash, 5, 0.5)):
        for k in range(1, 100):
            memory.fail_allocation(k)
            try:
                make()
            except MemoryError:
                continue
            finally:
                memory.fail_allocation(0)
                gc.collect()
                assert memory.usage() == held
            break
        assert 5 < k < 99
    del fs, make
    gc.collect()
    assert memory.usage() == before
