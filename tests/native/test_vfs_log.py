"""Log operations: both modes leave the same bytes, survive a kill, and report what they cannot do.

The mapped mode must also survive a file cut under the mapping, and a forked child must not
disturb its parent.
"""

import errno
import gc
import os
import signal
import subprocess
import sys

import pytest

from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv.errors import StorageError

MIB = 1 << 20
MODES = [("posix", False), ("posix", True), ("memory", False), ("memory", True)]


@pytest.fixture(params=MODES, ids=lambda mode: f"{mode[0]}-{'mapped' if mode[1] else 'written'}")
def place(request, tmp_path):
    """(file system, path for a log, mapped)."""
    kind, mapped = request.param
    if kind == "memory":
        return MemoryFileSystem(), "/log", mapped
    fs = PosixFileSystem()
    if mapped and not fs.can_map_log(tmp_path):
        pytest.skip("no mapped log on this file system")
    return fs, str(tmp_path / "log"), mapped


@pytest.fixture
def mapped_path(tmp_path):
    if not PosixFileSystem().can_map_log(tmp_path):
        pytest.skip("no mapped log on this file system")
    return str(tmp_path / "log")


def refusal(call, *arguments):
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    return caught.value


def run(program, *arguments):
    """Runs the program in another interpreter: (return code, standard output)."""
    lines = ["import sys, os", "from lsmkv._native.vfs import PosixFileSystem", program]
    command = [sys.executable, "-c", "\n".join(lines), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_commits_are_the_file(place):
    fs, path, mapped = place
    pieces = [b"", b"a", bytes(range(256)), b"z" * 100_000, b"end"]
    with fs.open(path, "x") as log:
        log.log_start(mapped)
        for piece in pieces:
            log.log_append(piece)
        whole = b"".join(pieces)
        assert log.size() == len(whole)
        assert log.read(0, len(whole)) == whole
        log.log_sync()
        log.log_finish()
        log.log_sync()
        assert fs.file_size(path) == len(whole)
    assert fs.read_file(path, MIB) == whole


def test_without_finish_only_zeros_follow(place):
    fs, path, mapped = place
    with fs.open(path, "x") as log:
        log.log_start(mapped)
        log.log_append(b"payload")
    data = fs.read_file(path, 32 * MIB)
    assert data[:7] == b"payload"
    assert not data[7:].strip(b"\0")


def test_large_records_cross_steps_and_windows(place):
    fs, path, mapped = place
    sizes = [MIB - 5, 3 * MIB, 10, 5 * MIB, 1, 66 * MIB, 4096, 12345]
    with fs.open(path, "x") as log:
        log.log_start(mapped)
        for i, size in enumerate(sizes):
            log.log_append(bytes([i + 1]) * size)
        log.log_finish()
        offset = 0
        for i, size in enumerate(sizes):
            assert log.read(offset, size) == bytes([i + 1]) * size
            offset += size
        assert log.size() == offset == fs.file_size(path)


def test_truncate_moves_the_committed_length_back(place):
    fs, path, mapped = place
    with fs.open(path, "x") as log:
        log.log_start(mapped)
        log.log_append(b"x" * 5000)
        assert refusal(log.truncate, 5001).errno == errno.EINVAL
        log.truncate(10)
        assert log.size() == 10
        log.log_append(b"y")
        log.log_finish()
    assert fs.read_file(path, MIB) == b"x" * 10 + b"y"


def test_truncate_back_over_a_window(mapped_path):
    fs = PosixFileSystem()
    with fs.open(mapped_path, "x") as log:
        log.log_start(True)
        log.log_append(b"a")
        log.log_append(b"b" * (65 * MIB))
        log.log_append(b"c" * MIB)
        log.truncate(3)
        log.log_append(b"d")
        log.log_finish()
    assert fs.read_file(mapped_path, MIB) == b"abbd"


def test_log_operations_in_the_wrong_state(place):
    fs, path, mapped = place
    with fs.open(path, "x") as log:
        assert refusal(log.log_append, b"x").errno == errno.EINVAL
        log.append(b"x")
        assert refusal(log.log_start, mapped).errno == errno.EINVAL
        log.truncate(0)
        log.log_start(mapped)
        assert refusal(log.log_start, mapped).errno == errno.EINVAL
        assert refusal(log.append, b"x").errno in (errno.EINVAL, errno.EBADF)
        log.log_append(b"x")
        log.log_finish()
        log.log_finish()
        assert refusal(log.log_append, b"x").errno == errno.EINVAL
        log.append(b"y")
        assert log.read(0, 9) == b"xy"


@pytest.mark.parametrize("mapped", [False, True])
def test_commits_survive_a_kill(mapped_path, mapped):
    program = f"""
log = PosixFileSystem().open(sys.argv[1], "x")
log.log_start({mapped})
for i in range(1000):
    log.log_append(b"%04d" % i)
os.kill(os.getpid(), 9)
"""
    assert run(program, mapped_path)[0] == -signal.SIGKILL
    with open(mapped_path, "rb") as file:
        data = file.read()
    assert data[:4000] == b"".join(b"%04d" % i for i in range(1000))
    assert not data[4000:].strip(b"\0")


def test_a_file_cut_under_the_mapping_is_an_error_and_not_a_death(mapped_path):
    program = """
import errno
from lsmkv.errors import StorageError
fs = PosixFileSystem()
log, other = fs.open(sys.argv[1], "x"), fs.open(sys.argv[1] + "2", "x")
log.log_start(True)
other.log_start(True)
log.log_append(b"x" * 10000)
os.truncate(sys.argv[1], 0)
big, small = (lambda: log.log_append(b"y" * 100000)), (lambda: log.log_append(b"z"))
for call in (big, small, log.log_sync, log.log_finish):
    try:
        call()
        print("no error from", call)
    except StorageError as error:
        assert error.errno == errno.EIO, error
log.close()
other.log_append(b"fine")
other.log_sync()
other.log_finish()
print(other.read(0, 9), os.path.getsize(sys.argv[1]))
"""
    assert run(program, mapped_path) == (0, "b'fine' 0\n")


@pytest.mark.parametrize("handler", ["nothing", "faulthandler", "sigaction"])
def test_a_bus_error_elsewhere_still_kills(mapped_path, handler):
    program = f"""
import faulthandler, mmap, signal
if {handler!r} == "faulthandler":
    faulthandler.enable()
log = PosixFileSystem().open(sys.argv[1], "x")
log.log_start(True)
with open(sys.argv[1] + "2", "w+b") as file:
    file.truncate(4096)
    view = mmap.mmap(file.fileno(), 4096)
    file.truncate(0)
    if {handler!r} == "sigaction":
        os.kill(os.getpid(), signal.SIGBUS)
    view[0] = 1
print("alive")
"""
    code, output = run(program, mapped_path)
    assert code == -signal.SIGBUS
    assert "alive" not in output
    assert ("Fatal Python error: Bus error" in output) == (handler == "faulthandler")


def test_a_child_neither_keeps_the_lock_nor_touches_the_log(mapped_path):
    program = """
fs = PosixFileSystem()
lock = fs.lock(sys.argv[1] + ".lock")
log = fs.open(sys.argv[1], "x")
log.log_start(True)
log.log_append(b"parent")
to_child, from_parent = os.pipe()
child = os.fork()
if child == 0:
    try:
        log.log_append(b"child")
        print("a child could write")
    except OSError:
        pass
    log.close()
    os.read(to_child, 1)
    lock.close()
    os._exit(0)
try:
    PosixFileSystem().lock(lock.path)
    print("the lock was lost by the fork")
except OSError:
    pass
lock.close()
PosixFileSystem().lock(lock.path).close()  # free at once, whether the child has run or not
os.write(from_parent, b"x")
print(os.waitpid(child, 0)[1])
log.log_append(b"!")
log.log_finish()
print(log.read(0, 99))
"""
    assert run(program, mapped_path) == (0, "0\nb'parent!'\n")


def test_a_child_keeps_no_descriptor_of_a_lock(tmp_path):
    """Else the lock of a killed parent would last as long as its children do."""
    program = """
def holds(path):
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink("/proc/self/fd/" + name))
        except OSError:
            pass
    return path in links
lock = PosixFileSystem().lock(sys.argv[1])
child = os.fork()
if child == 0:
    os._exit(holds(sys.argv[1]))
print(os.waitpid(child, 0)[1], holds(sys.argv[1]))
"""
    assert run(program, str((tmp_path / "LOCK").resolve())) == (0, "0 True\n")


def test_a_child_may_open_logs_of_its_own(mapped_path):
    program = """
fs = PosixFileSystem()
log = fs.open(sys.argv[1], "x")
log.log_start(True)
child = os.fork()
if child == 0:
    own = fs.open(sys.argv[1] + "2", "x")
    own.log_start(True)
    own.log_append(b"child")
    own.log_finish()
    own.close()
    with fs.lock(sys.argv[1] + ".lock"):
        pass
    os._exit(0)
print(os.waitpid(child, 0)[1], fs.read_file(sys.argv[1] + "2", 9))
"""
    assert run(program, mapped_path) == (0, "0 b'child'\n")


def test_many_mapped_logs_at_once(tmp_path, mapped_path):
    """The table of guarded ranges is finite: beyond it a log is refused, and may be written."""
    fs = PosixFileSystem()
    logs = []
    for i in range(200):
        log = fs.open(tmp_path / f"log{i}", "x")
        logs.append(log)
        try:
            log.log_start(True)
        except StorageError as error:
            refused = error
            break
    assert refused.errno == errno.EOPNOTSUPP
    assert 64 <= i < 199
    assert fs.file_size(tmp_path / f"log{i}") == 0
    log.log_start(False)
    log.log_append(b"written")
    for log in logs:
        log.close()
    assert fs.file_size(tmp_path / f"log{i}") == 7
    with fs.open(mapped_path, "x") as log:
        log.log_start(True)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_full_disk_is_an_error_and_the_log_stays_whole(tmp_path, mapped):
    """RLIMIT_FSIZE stands for the full disk: EFBIG comes from the same place as ENOSPC."""
    program = f"""
import resource, signal
from lsmkv.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
log = PosixFileSystem().open(sys.argv[1], "x")
log.log_start({mapped})
log.log_append(b"a" * 1000)
for _ in range(2):
    try:
        log.log_append(b"b" * (4 << 20))
        print("no error")
    except StorageError as error:
        print(error.errno)
log.log_append(b"c" * 1000)
log.log_finish()
print(log.read(0, 4000) == b"a" * 1000 + b"c" * 1000)
"""
    if mapped and not PosixFileSystem().can_map_log(tmp_path):
        pytest.skip("no mapped log on this file system")
    assert run(program, str(tmp_path / "log")) == (0, f"{errno.EFBIG}\n{errno.EFBIG}\nTrue\n")


def test_nothing_leaks(tmp_path):
    gc.collect()
    before = memory.usage()
    descriptors = len(os.listdir("/proc/self/fd"))
    with open("/proc/self/maps") as maps:
        mappings = sum("/log" in line for line in maps)
    for mapped in (False, True):
        log = PosixFileSystem().open(tmp_path / f"log{mapped}", "x")
        try:
            log.log_start(mapped)
        except StorageError:
            log.log_start(False)
        log.log_append(b"x" * 6 * MIB)
        log.log_append(b"y")
        del log
    gc.collect()
    assert memory.usage() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    with open("/proc/self/maps") as maps:
        assert sum("/log" in line for line in maps) == mappings
