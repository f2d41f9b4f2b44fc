"""More than one process: locks, forked children, and how a process ends.

Every child must end by itself with a clean status, and leave the parent and the files unharmed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv import kernel

SMALL: dict[str, Any] = {"write_buffer_size": 4096, "block_size": 256, "block_cache_size": 0}
DEADLINE_S = 60
NOBODY = 65534


def run_python(program: str, *arguments: str, flags: tuple[str, ...] = ()) -> Any:
    """Run a program in a new interpreter; the finished process with its output."""
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def in_child(work: Callable[[], None]) -> None:
    """Do `work` in a forked child; fails if it fails or hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads, from 3.12
        child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            signal.alarm(DEADLINE_S // 3)
            try:
                work()
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


# --- locks ---------------------------------------------------------------------------------------


def test_a_second_opener_in_another_process(tmp_path: Path) -> None:
    program = """
        import sys, lsmkv
        for function in (lsmkv.open, lsmkv.destroy, lsmkv.repair):
            try:
                function(sys.argv[1])
            except lsmkv.LockedError as error:
                print(error)
    """
    with lsmkv.open(tmp_path / "db") as db:
        done = run_python(program, str(tmp_path / "db"))
        lines = done.stdout.splitlines()
        assert len(lines) == 3, done.stderr
        for line in lines:
            assert f"already open in process {os.getpid()}" in line
        db.put(b"unharmed", b"1")


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    program = """
        import os, signal, sys, lsmkv
        db = lsmkv.open(sys.argv[1])
        db.put(b"survives", b"a kill")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run_python(program, str(tmp_path / "db"))
    assert done.returncode == -signal.SIGKILL
    with lsmkv.open(tmp_path / "db") as db:
        assert db[b"survives"] == b"a kill"


def test_readers_in_other_processes(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db") as db:
        db.put_many({b"%d" % number: b"x" for number in range(100)})
    program = "import sys, lsmkv; print(len(lsmkv.open(sys.argv[1], read_only=True)))"
    with lsmkv.open(tmp_path / "db", read_only=True) as reader:
        assert run_python(program, str(tmp_path / "db")).stdout == "100\n"
        assert len(reader) == 100


def test_a_reader_beside_a_writer_gets_clean_errors(tmp_path: Path) -> None:
    """It is not promised to see anything new, nor that files it needs stay."""
    options = SMALL | {"background": "inline"}
    with lsmkv.open(tmp_path / "db", **options) as db:
        for turn in range(5):
            db.put_many({b"%03d" % number: b"turn %d" % turn * 20 for number in range(200)})
            db.flush()
            with lsmkv.open(tmp_path / "db", read_only=True, **SMALL) as reader:
                next(reader.scan())
                db.put_many({b"%03d" % number: b"turn 9" * 20 for number in range(200)})
                db.compact()
                with contextlib.suppress(lsmkv.StorageError):
                    assert {value[:6] for value in reader.values()} <= {b"turn %d" % turn}
                reader.verify()


# --- forked children -----------------------------------------------------------------------------


class Family:
    """A database of the parent with everything that can hang on it."""

    def __init__(self, path: str, log_mode: str) -> None:
        self.db = lsmkv.open(path, log_mode=log_mode, **SMALL)
        self.db.put_many({b"%03d" % number: b"value" for number in range(300)})
        self.db.flush()
        self.db.put(b"in memory", b"1")
        self.snapshot = self.db.snapshot()
        self.scan, self.back = self.db.scan(), self.db.scan(reverse=True)
        next(self.scan)
        next(self.back)
        self.batch = self.db.write_batch()
        self.batch.put(b"never", b"written")
        self.view = self.db.prefixed(b"0").view(key="utf8")

    def uses(self) -> list[Callable[[], object]]:
        db, snapshot = self.db, self.snapshot
        return [
            lambda: db.get(b"000"), lambda: db.put(b"a", b"b"), lambda: db.delete(b"a"),
            lambda: db.get_many([b"000"]), lambda: db.put_many([(b"a", b"b")]), db.scan, db.keys,
            lambda: len(db), lambda: bool(db), lambda: b"a" in db, lambda: db[b"a"], db.sync,
            db.flush, db.compact, db.clear, db.stats, db.verify, db.snapshot, db.write_batch,
            db.approximate_len, lambda: db.checkpoint("/never"), db.__enter__, db.popitem,
            lambda: kernel.merge_batch(db, [(b"a", b"b")], lambda *_: b""),
            lambda: kernel.drop_range(db), lambda: kernel.digest_range(db),
            lambda: list(kernel.export_range(db)),
            lambda: snapshot.get(b"000"), snapshot.scan, lambda: snapshot.get_many([b"000"]),
            lambda: next(self.scan), self.scan.count, lambda: self.scan.seek(b"5"),
            lambda: next(self.back), self.batch.write, self.batch.__enter__,
            lambda: self.view["00"], lambda: list(self.view),
            lambda: self.view.__setitem__("a", b""),
        ]  # fmt: skip

    def check_in_child(self) -> None:
        for use in self.uses():
            try:
                use()
            except lsmkv.ForkError:
                continue
            raise AssertionError(use)

    def drop_in_child(self) -> None:
        self.check_in_child()
        self.scan.close()
        self.snapshot.close()
        self.batch.discard()
        self.db.close()
        self.__dict__.clear()


@pytest.mark.parametrize("log_mode", ["written", "mapped"])
def test_a_forked_child_may_use_nothing_and_harms_nothing(tmp_path: Path, log_mode: str) -> None:
    path = str(tmp_path / "db")
    family = Family(path, log_mode)

    def work() -> None:
        family.drop_in_child()
        with pytest.raises(lsmkv.LockedError):
            lsmkv.open(path)  # the parent's lock holds
        with lsmkv.open(str(tmp_path / "own")) as own:
            own.put(b"a", b"1")
            assert own[b"a"] == b"1"

    for _ in range(3):
        in_child(work)
        assert family.db[b"in memory"] == b"1"
        assert next(family.scan) is not None
        family.db.put(b"more", b"2", sync=True)
    assert family.snapshot.get(b"more") is None
    family.db.compact()
    assert family.db.verify()
    family.db.close()
    with lsmkv.open(path) as db:
        assert db[b"more"] == b"2"
        assert len(db) == 302


def test_fork_beside_busy_threads(tmp_path: Path) -> None:
    """Whatever lock another thread holds at that moment, the child does not wait for it."""
    family = Family(str(tmp_path / "db"), "written")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            family.db.put(b"%05d" % (number % 500), b"x" * 200, sync=number % 50 == 0)
            number += 1

    def read() -> None:
        while not stop.is_set():
            for _ in family.db.scan(limit=300):
                pass

    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            in_child(family.drop_in_child)
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert family.db.verify()
    family.db.close()


def test_a_child_that_outlives_its_parent_holds_no_lock(tmp_path: Path) -> None:
    program = """
        import os, sys, time, lsmkv
        db = lsmkv.open(sys.argv[1])
        db.put(b"a", b"1")
        if os.fork() == 0:
            sys.stdout.close()
            os.close(1), os.close(2)
            time.sleep(30)
        os._exit(0)
    """
    started = time.monotonic()
    done = run_python(program, str(tmp_path / "db"))
    assert done.returncode == 0
    with lsmkv.open(tmp_path / "db") as db:
        assert db[b"a"] == b"1"
    assert time.monotonic() - started < 25


def test_a_child_exits_as_a_program_does(tmp_path: Path) -> None:
    program = """
        import os, sys, lsmkv
        db = lsmkv.open(sys.argv[1], log_mode=sys.argv[2])
        db.put(b"parent", b"1")
        snapshot, scan = db.snapshot(), db.scan()
        next(scan)
        child = os.fork()
        if child == 0:
            sys.exit(7)  # runs exit handlers and drops everything
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        db.put(b"after", b"2")
        print(status, len(db), len(list(scan)))
    """
    for mode in ("written", "mapped"):
        done = run_python(program, str(tmp_path / mode), mode)
        assert (done.stdout, done.stderr, done.returncode) == ("7 2 0\n", "", 0)
        with lsmkv.open(tmp_path / mode) as db:
            assert db[b"after"] == b"2"


# --- the end of a process ------------------------------------------------------------------------

OPEN_EVERYTHING = """
    import sys, threading, lsmkv
    db = lsmkv.open(sys.argv[1], write_buffer_size=8192, background=sys.argv[2])
    for number in range(1000):
        db.put(b"%04d" % number, b"x" * 50)
    snapshot, scan, back = db.snapshot(), db.scan(), db.scan(reverse=True)
    next(scan), next(back)
    batch = db.write_batch()
    batch.put(b"never", b"written")
    view = db.prefixed(b"0").view(key="utf8")
    pairs = iter(view.items())
    next(pairs)
"""

ENDINGS = {
    "falls off the end": "",
    "exits": "sys.exit()",
    "exits in a thread": """
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
    """,
    "in a cycle": "db.myself, db.things = db, [snapshot, scan, batch, view]",
    "in a module": "import lsmkv as module; module.kept = [db, snapshot, scan, batch, view, pairs]",
    "with daemon threads": """
        def read():
            try:
                while True:
                    for pair in db.scan():
                        db.get(pair[0])
            except lsmkv.ClosedError:
                pass
        def write():
            try:
                number = 0
                while True:
                    db.put(b"%04d" % (number % 1000), b"y" * 50)
                    number += 1
            except lsmkv.ClosedError:
                pass
        for target in (read, read, write):
            threading.Thread(target=target, daemon=True).start()
        import time
        time.sleep(0.2)
    """,
    "in the middle of a scan": "for pair in db.scan(): sys.exit()",
    "in a finalizer": """
        class Late:
            def __del__(self):
                try:
                    self.db.put(b"too", b"late")
                except self.error:
                    pass
        late = Late()
        late.db, late.error, late.me = db, lsmkv.Error, late
    """,
}


@pytest.mark.parametrize("background", ["threads", "inline"])
@pytest.mark.parametrize("ending", list(ENDINGS))
def test_an_interpreter_that_ends_with_everything_open(
    tmp_path: Path, ending: str, background: str
) -> None:
    program = textwrap.dedent(OPEN_EVERYTHING) + textwrap.dedent(ENDINGS[ending])
    done = run_python(program, str(tmp_path / "db"), background)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    with lsmkv.open(tmp_path / "db") as db:
        assert len(list(db.scan(stop=b"1"))) == 1000
        assert db.verify()


def test_an_end_that_raises(tmp_path: Path) -> None:
    program = textwrap.dedent(OPEN_EVERYTHING) + "raise LookupError('of the program')"
    done = run_python(program, str(tmp_path / "db"), "threads")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "LookupError: of the program"
    assert len(done.stderr.splitlines()) <= 4
    with lsmkv.open(tmp_path / "db") as db:
        assert len(db) == 1000


def test_development_mode_has_nothing_to_complain_about(tmp_path: Path) -> None:
    program = """
        import sys, lsmkv
        with lsmkv.open(sys.argv[1]) as db:
            db.put(b"a", b"1")
            list(db.scan())
            with db.snapshot() as snapshot, db.write_batch() as batch:
                batch.put(b"b", b"2")
            db.compact()
    """
    done = run_python(program, str(tmp_path / "db"), flags=("-X", "dev", "-W", "error"))
    assert (done.stderr, done.returncode) == ("", 0)


def test_an_unclosed_database_is_mentioned_once_when_asked_for(tmp_path: Path) -> None:
    program = """
        import sys, lsmkv
        def forget():
            lsmkv.open(sys.argv[1]).put(b"a", b"1")
        forget()
    """
    done = run_python(program, str(tmp_path / "db"), flags=("-W", "always::ResourceWarning"))
    assert done.returncode == 0
    assert done.stderr.count("ResourceWarning: unclosed database") == 1


# --- what only the system can refuse -------------------------------------------------------------


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs something in a child without the rights of root."""
    if os.geteuid() != 0:
        yield in_child
        return

    def run(work: Callable[[], None]) -> None:
        def body() -> None:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()

        in_child(body)

    opened = [path for path in (tmp_path, *tmp_path.parents) if not path.stat().st_mode & 0o001]
    modes = [path.stat().st_mode for path in opened]
    for path in opened:
        path.chmod(path.stat().st_mode | 0o005)
    yield run
    for path, mode in zip(opened, modes, strict=True):
        path.chmod(mode)


def test_a_directory_without_permission(
    tmp_path: Path, unprivileged: Callable[[Callable[[], None]], None]
) -> None:
    lsmkv.open(tmp_path / "theirs").close()
    (tmp_path / "sealed").mkdir(mode=0)
    (tmp_path / "read only").mkdir(mode=0o555)

    def work() -> None:
        for path in ("sealed", "sealed/below", "read only", "read only/below", "theirs"):
            with pytest.raises(lsmkv.StorageError) as caught:
                lsmkv.open(tmp_path / path)
            assert caught.value.errno == errno.EACCES, path
            assert caught.value.filename is not None
        if os.getuid() == NOBODY:
            with lsmkv.open(tmp_path / "theirs", read_only=True) as db:
                assert len(db) == 0

    if os.geteuid() != 0:
        (tmp_path / "theirs").chmod(0o555)
    unprivileged(work)
    lsmkv.open(tmp_path / "theirs").close()


@pytest.mark.parametrize("log_mode", ["written", "mapped"])
def test_a_limit_of_the_file_size(tmp_path: Path, log_mode: str) -> None:
    """EFBIG is a refusal as of a full disk: it is told, and nothing acknowledged is lost."""

    def work() -> None:
        db = lsmkv.open(tmp_path / "db", log_mode=log_mode, write_buffer_size=64 << 20)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
        count = 0
        with pytest.raises(lsmkv.StorageError) as caught:
            while True:
                db.put(b"%06d" % count, b"x" * 10_000)
                count += 1
        assert caught.value.errno == errno.EFBIG
        assert 250 < count < 320
        with pytest.raises(lsmkv.StorageError):
            db.put(b"still", b"x" * 100_000)
        assert len(db) == count
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        db.put(b"%06d" % count, b"room again")
        db.close()
        with lsmkv.open(tmp_path / "db") as again:
            assert len(again) == count + 1

    in_child(work)


def test_few_file_descriptors(tmp_path: Path) -> None:
    """Out of descriptors: an error that says so, and all goes on when there are some again."""

    def work() -> None:
        options = SMALL | {"max_open_files": 16, "background": "inline", "level0_trigger": 64}
        with lsmkv.open(tmp_path / "db", **options) as db:
            for number in range(12):
                db.put(b"%03d" % number, b"x" * 100)
                db.flush()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            db.put(b"new", b"1")
            for use in (db.flush, db.compact, lambda: list(db.scan())):
                with pytest.raises(lsmkv.StorageError) as caught:
                    use()
                assert caught.value.errno == errno.EMFILE
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            db.flush()
            db.compact()
            assert len(db) == 13
            assert db.verify()
        with lsmkv.open(tmp_path / "db") as db:
            assert len(db) == 13

    in_child(work)
