"""The fault wrapper strikes at exactly the operation it was told to, and leaves what it says."""

import errno
import gc
import signal
import subprocess
import sys

import pytest

from lsmkv._native import memory
from lsmkv._native.trace import TraceEntry
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import OPERATIONS, FaultFileSystem
from lsmkv.errors import StorageError


def refusal(call, *arguments):
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    return caught.value


def make():
    base = MemoryFileSystem()
    return base, FaultFileSystem(base)


def script(fs, base=""):
    """One of everything; returns nothing of interest."""
    fs.make_directory(base + "/d")
    with fs.open(base + "/d/f", "x") as file:
        file.append(b"0123456789")
        file.sync()
        file.truncate(8)
        file.size()
        file.read(0, 4)
    fs.rename(base + "/d/f", base + "/d/g")
    fs.link(base + "/d/g", base + "/d/h")
    fs.sync_directory(base + "/d")
    fs.list_directory(base + "/d")
    fs.exists(base + "/d")
    fs.lock(base + "/LOCK").close()
    with fs.open(base + "/log", "x") as log:
        log.log_start()
        log.log_append(b"abcdefgh")
        log.log_sync()
        log.log_finish()
    fs.remove(base + "/d/g")
    fs.remove(base + "/d/h")
    fs.remove_directory(base + "/d")


def picture(fs, directory="/"):
    names = {}
    for name in fs.list_directory(directory):
        path = directory + name
        names[path] = picture(fs, path + "/") if fs.is_directory(path) else fs.read_file(path, 99)
    return names


def test_trace_names_every_operation():
    _, fs = make()
    fs.record_trace(True)
    script(fs)
    trace = fs.trace()
    assert len(trace) == fs.operation_count
    seen = {entry.operation for entry in trace}
    assert seen == set(OPERATIONS) - {"start_writeback", "read_cached"}
    assert TraceEntry("rename", "/d/f", "/d/g", None, None) in trace
    assert TraceEntry("append", "/d/f", None, 0, 10) in trace
    assert TraceEntry("read", "/d/f", None, 0, 4) in trace
    assert TraceEntry("log_commit", "/log", None, 0, 8) in trace
    assert TraceEntry("log_finish", "/log", None, None, 8) in trace
    fs.reset()
    assert (fs.trace(), fs.operation_count) == ([], 0)


def test_reads_can_be_left_out_of_the_count():
    _, fs = make()
    fs.count_reads(False)
    fs.record_trace(True)
    script(fs)
    assert not {e.operation for e in fs.trace()} & {"read", "size", "list", "stat"}
    fs.fail(1, errno.EIO)
    fs.list_directory("/")
    assert refusal(fs.make_directory, "/x").errno == errno.EIO


def test_each_operation_fails_once_before_it_changes_anything():
    _, fs = make()
    script(fs)
    total = fs.operation_count
    for at in range(1, total + 1):
        base, fs = make()
        fs.fail(at, errno.EDQUOT)
        assert refusal(script, fs).errno == errno.EDQUOT
        fs.fail(1, errno.EIO, for_ever=True)
        before = picture(base)
        for _ in range(3):
            refusal(fs.make_directory, "/other")
        assert picture(base) == before
    base, fs = make()
    fs.fail(total + 1, errno.EDQUOT)
    script(fs)


def test_an_operation_that_fails_after_it_was_done_changes_what_one_that_succeeds_does():
    _, fs = make()
    script(fs)
    total = fs.operation_count
    for at in range(1, total + 1):
        done, halting = make()
        halting.halt(at, "after")
        refusal(script, halting)
        base, fs = make()
        fs.fail(at, errno.EDQUOT, when="after")
        fs.record_trace(True)
        assert refusal(script, fs).errno == errno.EDQUOT
        # What the clean-up of a `with` block does comes after it.
        assert {entry.operation for entry in fs.trace()[at:]} <= {"close"}
        assert picture(base) == picture(done)
        base.lock("/LOCK").close()
    base, fs = make()
    fs.fail(total + 1, errno.EDQUOT, when="after")
    script(fs)


def test_failures_after_the_fact_go_on_for_ever_if_told_so():
    base, fs = make()
    fs.fail(2, errno.EIO, for_ever=True, operations=["make_directory"], when="after")
    fs.make_directory("/a")
    for name in ("/b", "/c"):
        assert refusal(fs.make_directory, name).errno == errno.EIO
    assert base.list_directory("/") == ["a", "b", "c"]
    assert refusal(fs.make_directory, "/a").errno == errno.EEXIST  # the disk's own answer


def test_what_was_appended_before_the_failure_may_be_appended_again():
    base, fs = make()
    with fs.open("f", "w") as file:
        file.append(b"first.")
        fs.fail(1, errno.EIO, operations=["append"], when="after")
        assert refusal(file.append, b"second").errno == errno.EIO
        assert base.read_file("f", 99) == b"first.second"
        file.append(b"2nd")
        assert base.read_file("f", 99) == b"first.2nd"


def test_a_sync_that_fails_after_the_fact_has_synced():
    base, fs = make()
    with fs.open("f", "w") as file:
        fs.sync_directory("/")
        file.append(b"safe")
        fs.fail(1, errno.EIO, operations=["sync"], when="after")
        assert refusal(file.sync).errno == errno.EIO
    assert base.crash().read_file("f", 99) == b"safe"


def test_filter_counts_matching_operations_only():
    _, fs = make()
    fs.fail(2, errno.ENOSPC, operations=["append"])
    with fs.open("f", "w") as file:
        file.append(b"1")
        file.sync()
        assert refusal(file.append, b"2").errno == errno.ENOSPC
        file.append(b"3")
        assert file.read(0, 9) == b"13"


@pytest.mark.parametrize("when", ["before", "inside", "after"])
def test_halt_at_each_operation_freezes_the_base(when):
    _, fs = make()
    script(fs)
    total = fs.operation_count
    pictures = []
    for at in range(1, total + 1):
        base, fs = make()
        fs.halt(at, when)
        assert refusal(script, fs).errno == errno.EIO
        assert fs.halted
        frozen = picture(base)
        for call, arguments in [
            (fs.make_directory, ("/y",)), (fs.open, ("/y", "w")), (fs.sync_directory, ("/",)),
            (fs.list_directory, ("/",)), (fs.exists, ("/",)), (fs.lock, ("/LOCK",)),
        ]:  # fmt: skip
            assert refusal(call, *arguments).errno == errno.EIO
        assert picture(base) == frozen
        base.lock("/LOCK").close()
        pictures.append(frozen)
    halves = [p for p in pictures if p.get("/d/") == {} or p.get("/log") == b"abcd"]
    assert bool(halves) == (when == "inside")
    assert pictures[0] == ({"/d": {}} if when == "after" else {})


def test_inside_leaves_half_of_the_bytes():
    base, fs = make()
    with fs.open("f", "w") as file:
        fs.halt(1, "inside", operations=["append"])
        refusal(file.append, b"12345678")
        refusal(file.sync)
        with pytest.raises(StorageError):
            file.close()
    assert base.read_file("f", 99) == b"1234"
    assert base.crash().list_directory("/") == []


def test_torn_append_leaves_a_beginning_and_may_be_repeated():
    base, fs = make()
    with fs.open("f", "w") as file:
        file.append(b"first.")
        fs.tear(1, 3)
        assert refusal(file.append, b"second").errno == errno.ENOSPC
        assert base.read_file("f", 99) == b"first.sec"
        file.append(b"third")
        assert base.read_file("f", 99) == b"first.third"


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", [MemoryFileSystem, PosixFileSystem])
def test_torn_commit_leaves_a_beginning_and_may_be_repeated(kind, mapped, tmp_path):
    base = kind()
    directory = "" if base.name == "memory" else str(tmp_path)
    if not base.can_map_log(directory or "/"):
        pytest.skip("no mapped log here")
    fs = FaultFileSystem(base)
    path = directory + "/log"
    with fs.open(path, "x") as log:
        log.log_start(mapped)
        log.log_append(b"first.")
        fs.tear(1, 2, errno.EIO)
        assert refusal(log.log_append, b"second").errno == errno.EIO
        left = base.read_file(path, 1 << 21).rstrip(b"\0")
        # What the caller stored into a mapping is in the file, committed or not.
        assert left == (b"first.second" if mapped and base.name == "posix" else b"first.se")
        log.log_append(b"x")
        log.log_finish()
    assert base.read_file(path, 99) == b"first.x"


def test_short_read():
    _, fs = make()
    with fs.open("f", "w") as file:
        file.append(b"0123456789")
        fs.short(2, 3)
        assert [file.read(0, 10) for _ in range(3)] == [b"0123456789", b"012", b"0123456789"]


def test_failed_sync_may_lose_what_it_should_have_synced():
    base, fs = make()
    with fs.open("f", "w") as file:
        file.append(b"safe.")
        file.sync()
        file.append(b"lost")
        fs.sync_directory("/")
        fs.fail(1, errno.EIO, operations=["sync"], lose_unsynced=True)
        assert refusal(file.sync).errno == errno.EIO
        assert file.read(0, 99) == b"safe.\0\0\0\0"
        file.sync()
    assert base.crash().read_file("f", 99) == b"safe.\0\0\0\0"


@pytest.mark.parametrize(
    ("when", "left"), [("before", b"first."), ("inside", b"first.sec"), ("after", b"first.second")]
)
def test_kill_leaves_what_had_been_done(tmp_path, when, left):
    program = f"""if True:
        import sys
        from lsmkv._native.vfs import PosixFileSystem
        from lsmkv._native.vfs_fault import FaultFileSystem
        fs = FaultFileSystem(PosixFileSystem())
        log = fs.open(sys.argv[1], "x")
        log.log_start()
        log.log_append(b"first.")
        fs.kill(1, {when!r}, operations=["log_commit"])
        log.log_append(b"second")
    """
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", program, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == left


def test_wrappers_stack():
    base, inner = make()
    outer = FaultFileSystem(inner)
    assert (outer.name, outer.base.base) == ("fault", base)
    inner.fail(1, errno.EPERM)
    assert refusal(outer.make_directory, "d").errno == errno.EPERM
    assert (outer.operation_count, inner.operation_count) == (1, 1)


def test_arguments():
    _, fs = make()
    for call in (
        lambda: fs.fail(0, errno.EIO),
        lambda: fs.fail(1, errno.EIO, operations=["fly"]),
        lambda: fs.fail(1, errno.EIO, when="inside"),
        lambda: fs.fail(1, errno.EIO, lose_unsynced=True, when="after"),
        lambda: fs.halt(1, "later"),
        lambda: fs.tear(1, -1),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        FaultFileSystem(None)


def test_nothing_leaks():
    gc.collect()
    before = memory.usage()
    base, fs = make()
    fs.record_trace(True)
    script(fs)
    fs.halt(5, "after")
    refusal(script, fs)
    del base, fs
    gc.collect()
    assert memory.usage() == before
