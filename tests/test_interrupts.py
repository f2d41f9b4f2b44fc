"""Ctrl-C at every moment: no acknowledged write lost, no needed file deleted, no lock left held.

First systematically, at each moment of the control plane at which the interpreter could run a
signal handler; then with real signals while a writer waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native.log import LogWriter
from lsmkv._native.vfs import MemoryFileSystem
from tests.support.interrupts import Interrupter

MODULES = [
    f"lsmkv.{name}"
    for name in ("engine", "edits", "db", "manifest", "tree", "compaction", "batch", "checkpoint")
]
OPTIONS = {
    "background": "inline",
    "write_buffer_size": 4096,
    "table_size": 4096,
    "level0_trigger": 1,
    "level_size_ratio": 2,
    "block_size": 256,
}
DEADLINE_S = 30.0
STRIDE = int(os.environ.get("LSMKV_INTERRUPT_STRIDE", "2"))  # 1 tries every moment


class Victim:
    """A database and what it acknowledged. An operation that was interrupted may count or not."""

    def __init__(self) -> None:
        self.files = MemoryFileSystem()
        self.db = lsmkv.open("/db", filesystem=self.files, **OPTIONS)
        self.model = {b"%03d" % number: b"old" * 50 for number in range(60)}
        self.db.put_many(self.model)
        self.db.flush()
        self.doubtful: set[bytes] = set()

    def put(self, key: bytes, value: bytes) -> None:
        self.doubtful.add(key)
        self.db.put(key, value)
        self.model[key] = value
        self.doubtful.remove(key)

    def drop(self, start: bytes, stop: bytes) -> None:
        dropped = {key for key in self.model if start <= key < stop}
        self.doubtful |= dropped
        kernel.drop_range(self.db, start, stop)
        self.doubtful -= dropped
        for key in dropped:
            del self.model[key]

    def check(self, db: lsmkv.DB) -> None:
        found = dict(db.scan())
        for key in found.keys() | self.model.keys():
            if key not in self.doubtful:
                assert found.get(key) == self.model.get(key), key
            elif key in found and key in self.model:
                assert found[key] in (self.model[key], b"new" * 500)


def rotate(victim: Victim) -> None:
    for number in range(0, 60, 10):
        victim.put(b"%03d" % number, b"new" * 500)


def maintain(victim: Victim) -> None:
    victim.put(b"new", b"new" * 80)
    victim.db.flush()
    victim.drop(b"010", b"020")
    victim.db.compact()


def close(victim: Victim) -> None:
    victim.put(b"new", b"new" * 80)
    victim.db.close()


@pytest.mark.parametrize("work", [rotate, maintain, close])
def test_an_interrupt_at_every_moment(work: Callable[[Victim], None]) -> None:
    victim = Victim()
    counter = Interrupter(MODULES)
    assert not counter.run(lambda: work(victim))
    victim.db.close()
    for at in counter.moments()[::STRIDE]:
        victim = Victim()
        interrupter = Interrupter(MODULES, at)
        assert interrupter.run(lambda victim=victim: work(victim))
        try:
            survive(victim)
        except BaseException as error:
            error.add_note(f"interrupted at moment {at}: {interrupter.place}")
            raise


def survive(victim: Victim) -> None:
    """Whatever happened: it can be read, written, killed, reopened, closed."""
    if not victim.db.closed:
        assert not victim.db._is_inside(), "a lock stays held"
        victim.check(victim.db)
        with lsmkv.open("/db", filesystem=victim.files.clone(), **OPTIONS) as killed:
            victim.check(killed)
            assert killed.verify()
        victim.put(b"after", b"1")
        victim.db.flush()
        victim.db.compact()
        victim.check(victim.db)
    victim.db.close()
    with lsmkv.open("/db", filesystem=victim.files, **OPTIONS) as again:
        victim.check(again)
        assert again.verify()


@pytest.mark.parametrize("header_written", [True, False])
def test_a_log_segment_left_behind_does_not_end_the_log(
    monkeypatch: pytest.MonkeyPatch, header_written: bool
) -> None:
    """Ctrl-C after the file was made: the next segment follows the one before it."""
    files = MemoryFileSystem()
    db = lsmkv.open("/db", filesystem=files, **OPTIONS)
    monkeypatch.setattr(db, "_after_freeze", lambda: None)  # the flush comes too late
    db.put(b"first", b"1")
    create = db._create_log

    def interrupted(previous: LogWriter | None) -> LogWriter:
        log = create(previous)
        if not header_written:
            with files.open(log.path, "w"):
                pass
        raise KeyboardInterrupt

    monkeypatch.setattr(db, "_create_log", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            db._freeze(only_if_full=False)
    monkeypatch.setattr(db, "_create_log", create)
    db._freeze(only_if_full=False)
    db.put(b"second", b"2")
    db._freeze(only_if_full=False)
    db.put(b"third", b"3", sync=True)
    logs = [name for name in files.list_directory("/db") if name.endswith(".log")]
    assert len(logs) == 5
    for image in (files.clone(), files.crash()):
        with lsmkv.open("/db", filesystem=image, **OPTIONS) as again:
            assert dict(again) == {b"first": b"1", b"second": b"2", b"third": b"3"}
    monkeypatch.undo()
    db.close()


# --- real signals --------------------------------------------------------------------------------


def signal_when(ready: Callable[[], bool]) -> threading.Thread:
    """Sends SIGINT to the main thread a moment after `ready`."""

    def body() -> None:
        limit = time.monotonic() + DEADLINE_S
        while not ready() and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(0.02)  # into the wait; coming earlier does not break the test, it proves less
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


@contextlib.contextmanager
def held_elsewhere(lock: threading.RLock) -> Iterator[None]:
    """Another thread holds `lock`."""
    entered, leave = threading.Event(), threading.Event()

    def body() -> None:
        with lock:
            entered.set()
            leave.wait(DEADLINE_S)

    thread = threading.Thread(target=body)
    thread.start()
    entered.wait(DEADLINE_S)
    try:
        yield
    finally:
        leave.set()
        thread.join()


def test_a_writer_that_waits_for_room(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db", write_buffer_size=4096) as db:
        model = {}
        with held_elsewhere(db._flush_lock):  # no flush can begin
            sender = signal_when(lambda: len(db._frozen) >= 3)
            with pytest.raises(KeyboardInterrupt):
                for number in range(1000):
                    db.put(b"%04d" % number, b"x" * 500)
                    model[b"%04d" % number] = b"x" * 500
            sender.join()
        db.flush()
        db.put(b"after", b"1")
        del model[max(model)]  # the interrupt may have come right after a put
        assert model.items() <= dict(db.scan()).items()
    with lsmkv.open(tmp_path / "db") as db:
        assert model.items() <= dict(db.scan()).items()


def test_a_writer_that_waits_for_a_merge_in_another_thread(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db") as db:
        entered, leave = threading.Event(), threading.Event()

        def slow(_key: bytes, _old: bytes | None, operand: bytes) -> bytes:
            entered.set()
            leave.wait(DEADLINE_S)
            return operand

        merger = threading.Thread(target=kernel.merge_batch, args=(db, [(b"k", b"merged")], slow))
        merger.start()
        entered.wait(DEADLINE_S)
        about_to_wait = threading.Event()
        sender = signal_when(about_to_wait.is_set)
        with pytest.raises(KeyboardInterrupt):
            about_to_wait.set()
            db.put(b"k", b"put")
        sender.join()
        assert db.get(b"k") is None
        leave.set()
        merger.join()
        assert db.get(b"k") == b"merged"
        db.put(b"k", b"put")
        assert db.get(b"k") == b"put"


def test_a_compaction_is_interrupted(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db", write_buffer_size=1 << 20) as db:
        for _ in range(3):
            db.put_many({b"%06d" % number: b"%d" % number * 20 for number in range(5000)})
            db.flush()
        sender = signal_when(lambda: bool(db._running))
        with pytest.raises(KeyboardInterrupt):
            while True:
                db.compact()
                db.put(b"more", b"x")
        sender.join()
        db.compact()
        assert db.verify()
        assert len(db) in (5000, 5001)
    with lsmkv.open(tmp_path / "db") as db:  # which removes what the interrupt may have left behind
        assert db.verify()
        files = {path.name for path in (tmp_path / "db").glob("*.sst")}
        assert len(files) == len(db._tree.version.file_numbers)
