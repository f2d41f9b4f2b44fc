"""Files and names behave alike on every back end.

Failures arrive as StorageError with errno and path.
"""

import errno
import gc
import os
import subprocess
import sys

import pytest

from lsmkv._native import memory
from lsmkv._native.vfs import File, FileSystem, MemoryFileSystem, PosixFileSystem
from lsmkv.errors import ClosedError, StorageError


@pytest.fixture(params=["posix", "memory"])
def root(request, tmp_path):
    """A file system and an empty directory on it."""
    if request.param == "posix":
        return PosixFileSystem(), str(tmp_path)
    fs = MemoryFileSystem()
    fs.make_directory("/base")
    return fs, "/base"


def refusal(call, *arguments):
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    return caught.value


def write(fs, path, data, mode="w"):
    with fs.open(path, mode) as file:
        file.append(data)


def test_name_says_which_back_end():
    assert PosixFileSystem().name == "posix"
    assert MemoryFileSystem().name == "memory"


def test_modes(root):
    fs, base = root
    path = base + "/f"
    assert refusal(fs.open, path, "r").errno == errno.ENOENT
    write(fs, path, b"one", "x")
    assert refusal(fs.open, path, "x").errno == errno.EEXIST
    write(fs, path, b"two", "a")
    assert fs.read_file(path, 100) == b"onetwo"
    write(fs, path, b"three", "w")
    assert fs.read_file(path, 100) == b"three"
    with pytest.raises(ValueError):
        fs.open(path, "rb")


def test_errors_carry_errno_and_path(root):
    fs, base = root
    error = refusal(fs.open, base + "/missing", "r")
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.ENOENT, base + "/missing")
    assert refusal(fs.open, base + "/no/such", "w").errno == errno.ENOENT
    assert refusal(fs.open, base, "w").errno == errno.EISDIR
    write(fs, base + "/f", b"")
    assert refusal(fs.open, base + "/f/g", "w").errno == errno.ENOTDIR
    assert refusal(fs.open, base + "/" + "n" * 300, "w").errno == errno.ENAMETOOLONG
    assert refusal(fs.list_directory, base + "/f").errno == errno.ENOTDIR


def test_read_at_offsets(root):
    fs, base = root
    data = bytes(range(256)) * 64
    write(fs, base + "/f", data)
    with fs.open(base + "/f") as file:
        assert file.size() == len(data) == fs.file_size(base + "/f")
        for offset, size in [(0, 0), (0, 10), (300, 1000), (len(data) - 3, 10), (len(data) + 5, 9)]:
            assert file.read(offset, size) == data[offset : offset + size]
            # Just written, hence in the page cache - unless memory is short this very moment.
            assert file.read_cached(offset, size) in (data[offset : offset + size], None)
        with pytest.raises(ValueError):
            file.read(-1, 1)


def test_append_takes_any_contiguous_buffer(root):
    fs, base = root
    with fs.open(base + "/f", "w") as file:
        for piece in (b"", b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3]):
            file.append(piece)
        with pytest.raises(TypeError):
            file.append("text")
        with pytest.raises(BufferError):
            file.append(memoryview(b"abcd")[::2])
        assert file.read(0, 99) == b"abcdef"


def test_appending_to_a_read_handle_is_refused(root):
    fs, base = root
    write(fs, base + "/f", b"x")
    with fs.open(base + "/f") as file:
        assert refusal(file.append, b"y").errno == errno.EBADF


def test_truncate_and_append_after_it(root):
    fs, base = root
    with fs.open(base + "/f", "w") as file:
        file.append(b"0123456789")
        file.truncate(4)
        file.append(b"ab")
        assert file.read(0, 99) == b"0123ab"
        file.truncate(8)
        assert file.read(0, 99) == b"0123ab\0\0"
        file.sync()


def test_read_file_has_a_limit(root):
    fs, base = root
    write(fs, base + "/f", b"12345")
    assert fs.read_file(base + "/f", 5) == b"12345"
    assert refusal(fs.read_file, base + "/f", 4).errno == errno.EFBIG


def test_names(root):
    fs, base = root
    fs.make_directory(base + "/d")
    assert refusal(fs.make_directory, base + "/d").errno == errno.EEXIST
    write(fs, base + "/d/b", b"b")
    write(fs, base + "/d/a", b"a")
    assert fs.list_directory(base + "/d") == ["a", "b"]
    assert fs.is_directory(base + "/d")
    assert not fs.is_directory(base + "/d/a")
    assert not fs.is_directory(base + "/d/none")
    assert refusal(fs.remove_directory, base + "/d").errno == errno.ENOTEMPTY
    assert refusal(fs.remove, base + "/d").errno == errno.EISDIR
    assert refusal(fs.remove_directory, base + "/d/a").errno == errno.ENOTDIR
    fs.rename(base + "/d/a", base + "/d/b")
    assert fs.list_directory(base + "/d") == ["b"]
    assert fs.read_file(base + "/d/b", 9) == b"a"
    fs.link(base + "/d/b", base + "/c")
    assert refusal(fs.link, base + "/d/b", base + "/c").errno == errno.EEXIST
    fs.remove(base + "/d/b")
    assert fs.read_file(base + "/c", 9) == b"a"
    assert not fs.exists(base + "/d/b")
    assert not fs.exists(base + "/c/below")
    assert fs.exists(base + "/d")
    fs.sync_directory(base + "/d")
    fs.remove_directory(base + "/d")
    assert fs.list_directory(base) == ["c"]
    assert refusal(fs.sync_directory, base + "/d").errno == errno.ENOENT
    assert refusal(fs.remove, base + "/d").errno == errno.ENOENT
    assert refusal(fs.rename, base + "/x", base + "/y").errno == errno.ENOENT


def test_rename_of_directories(root):
    fs, base = root
    for name in ("/a", "/a/in", "/b", "/full", "/full/x"):
        fs.make_directory(base + name)
    assert refusal(fs.rename, base + "/a", base + "/a/in/a").errno == errno.EINVAL
    assert refusal(fs.rename, base + "/a", base + "/full").errno == errno.ENOTEMPTY
    write(fs, base + "/f", b"")
    assert refusal(fs.rename, base + "/a", base + "/f").errno == errno.ENOTDIR
    assert refusal(fs.rename, base + "/f", base + "/b").errno == errno.EISDIR
    fs.rename(base + "/a", base + "/b")
    assert fs.list_directory(base + "/b") == ["in"]
    fs.link(base + "/f", base + "/g")
    fs.rename(base + "/f", base + "/g")
    assert fs.list_directory(base) == ["b", "f", "full", "g"]


def test_an_open_file_outlives_its_name(root):
    fs, base = root
    with fs.open(base + "/f", "w") as file:
        file.append(b"kept")
        fs.remove(base + "/f")
        assert file.read(0, 9) == b"kept"


def test_lock_excludes_a_second_opener_of_this_process(root):
    fs, base = root
    first = fs.lock(base + "/LOCK")
    error = refusal(fs.lock, base + "/LOCK")
    assert error.errno == errno.EWOULDBLOCK
    if fs.name == "posix":
        assert refusal(PosixFileSystem().lock, base + "/LOCK").errno == errno.EWOULDBLOCK
    first.close()
    fs.lock(base + "/LOCK").close()


def test_lock_excludes_another_process(tmp_path):
    path = str(tmp_path / "LOCK")
    script = "import sys; from lsmkv._native.vfs import PosixFileSystem as P; P().lock(sys.argv[1])"
    command = [sys.executable, "-c", script, path]
    with PosixFileSystem().lock(path):
        refused = subprocess.run(command, capture_output=True)
        assert b"Resource temporarily unavailable" in refused.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_can_map_log_says_no_for_other_file_systems(tmp_path):
    assert not PosixFileSystem().can_map_log("/proc")
    assert not PosixFileSystem().can_map_log(tmp_path / "missing")
    assert MemoryFileSystem().can_map_log("/")


def test_closing(root):
    fs, base = root
    file = fs.open(base + "/f", "w")
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    for call in (lambda: file.read(0, 1), lambda: file.append(b""), file.sync, file.size):
        with pytest.raises(ClosedError):
            call()


def test_paths_may_be_bytes_and_not_utf8(root):
    fs, base = root
    name = base.encode() + b"/\xff\xfe"
    write(fs, name, b"x")
    assert fs.list_directory(base.encode()) == [os.fsdecode(b"\xff\xfe")]
    assert fs.read_file(os.fsdecode(name), 1) == b"x"
    with pytest.raises(ValueError):
        fs.open(base + "/a\0b", "w")


def test_abstract_classes_cannot_be_made():
    for kind in (FileSystem, File):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(TypeError):
        FileSystem.__new__(FileSystem).exists("/")
    with pytest.raises(ClosedError):
        File.__new__(File).size()


def test_a_file_keeps_its_file_system(root):
    fs, base = root
    file = fs.open(base + "/f", "w")
    del fs, root
    gc.collect()
    file.append(b"x")
    assert file.size() == 1
    file.close()


def test_memory_paths():
    fs = MemoryFileSystem()
    write(fs, "//./f", b"x")
    assert fs.read_file("f", 1) == b"x"
    assert refusal(fs.open, "/../f").errno == errno.EINVAL
    assert refusal(fs.remove_directory, "/").errno == errno.EBUSY


def test_nothing_leaks(tmp_path):
    gc.collect()
    before = memory.usage()
    for fs, base in ((PosixFileSystem(), str(tmp_path)), (MemoryFileSystem(), "")):
        fs.make_directory(base + "/d")
        write(fs, base + "/d/f", b"x" * 1000)
        fs.sync_directory(base + "/d")
        fs.rename(base + "/d/f", base + "/g")
        fs.open(base + "/g", "w")
        fs.list_directory(base + "/d")
        fs.lock(base + "/LOCK")
        refusal(fs.open, base + "/missing")
        refusal(fs.make_directory, base + "/d")
    del fs
    gc.collect()
    assert memory.usage() == before


def test_every_failed_allocation_leaves_the_tree_as_it_was():
    def script(fs):
        fs.make_directory("/d")
        write(fs, "/d/a", b"1" * 300)
        fs.link("/d/a", "/d/b")
        fs.rename("/d/b", "/c")
        fs.sync_directory("/d")
        with fs.open("/d/a", "a") as file:
            file.sync()
            file.truncate(10)
        fs.remove("/c")
        return [fs.list_directory("/"), fs.list_directory("/d"), fs.read_file("/d/a", 999)]

    before = memory.usage()
    for k in range(1, 500):
        fs = MemoryFileSystem()
        memory.fail_allocation(k)
        try:
            script(fs)
        except MemoryError:
            continue
        finally:
            memory.fail_allocation(0)
            del fs
            gc.collect()
            assert memory.usage() == before
        break
    assert 20 < k < 499
