"""The process that gets killed: a warm supervisor forks it, lets it write for a moment, and kills
it.

    test ── one JSON line per cycle ──> supervisor ── fork ──> worker: opens the store, two or three
         <── "killed" or what went wrong ──           <── SIGKILL ──     threads write until they
         die

The supervisor has imported lsmkv and opened nothing, so a cycle costs a fork instead of a start of
Python. What thread t of a cycle writes is a function of (seed, cycle, t): the test computes it
again and needs to know only how many operations returned. The worker tells that by os.pwrite into a
status file, after each operation.

Status file: for each thread 16 bytes, little-endian: operations that returned (8), then 1 if a
flush or a compaction was running at that moment.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import lsmkv

__all__ = ["Cycle", "Operation", "Supervisor", "operations", "read_status"]

KEYS_PER_THREAD = 300
FILLER = random.Random(7).randbytes(1 << 16)
STATUS = struct.Struct("<QB7x")


@dataclass(frozen=True)
class Cycle:
    """What one worker does. `delay_s` counts from the first acknowledged operation, or from the
    fork with `kills_early`, which may hit the recovery."""

    number: int
    seed: int
    path: str
    status_path: str
    thread_count: int
    options: dict[str, Any]
    delay_s: float
    kills_early: bool
    maintains: bool  # one more thread that calls flush() and compact()


@dataclass(frozen=True)
class Operation:
    """One write: `changes` in order (None deletes), as a batch when there are several."""

    changes: dict[bytes, bytes | None]
    sync: bool


def operations(seed: int, cycle: int, thread: int) -> Iterator[Operation]:
    """What a thread writes, in order, without end. No two threads share a key."""
    rng = random.Random(f"{seed}/{cycle}/{thread}")
    number = 0

    def key() -> bytes:
        return b"%d/%04d" % (thread, rng.randrange(KEYS_PER_THREAD))

    def value() -> bytes:
        size, start = rng.randrange(500), rng.randrange(1 << 15)
        return b"%d.%d.%d:" % (cycle, thread, number) + FILLER[start : start + size]

    while True:
        number += 1
        choice = rng.randrange(100)
        if choice < 78:
            yield Operation({key(): value()}, sync=choice < 2)
        elif choice < 86:
            yield Operation({key(): None}, sync=False)
        else:
            changes: dict[bytes, bytes | None] = {
                key(): None if rng.randrange(4) == 0 else value()
                for _ in range(rng.randrange(2, 9))
            }
            yield Operation(changes, sync=choice == 99)


def read_status(path: str, thread_count: int) -> tuple[list[int], bool]:
    """How many operations of each thread returned, and whether background work was running."""
    with open(path, "rb") as file:
        data = file.read()
    entries = [STATUS.unpack_from(data, thread * STATUS.size) for thread in range(thread_count)]
    return [count for count, _ in entries], any(running for _, running in entries)


# --- the worker
# -------------------------------------------------------------------------------------


class _Worker:
    """Writes until it is killed. Anything else that ends it is told in `status_path + ".error"`."""

    def __init__(self, cycle: Cycle, started: int) -> None:
        self._cycle = cycle
        self._started = started  # a pipe: one byte after the first acknowledged operation
        self._status = os.open(cycle.status_path, os.O_WRONLY)

    def run(self) -> NoReturn:
        try:
            log_path = self._cycle.status_path + ".error"
            logging.basicConfig(filename=log_path, level=logging.WARNING, force=True)
            db = lsmkv.open(self._cycle.path, **self._cycle.options)
            targets = [(self._write, (db, thread)) for thread in range(self._cycle.thread_count)]
            if self._cycle.maintains:
                targets.append((self._maintain, (db,)))
            for target, arguments in targets:
                threading.Thread(target=self._guard, args=(target, *arguments)).start()
            while True:
                time.sleep(1)
        except BaseException:  # whatever it is, it must be told
            self._fail()

    def _guard(self, target: Any, *arguments: Any) -> None:
        try:
            target(*arguments)
        except BaseException:
            self._fail()

    def _fail(self) -> NoReturn:
        with open(self._cycle.status_path + ".error", "a") as file:
            file.write(traceback.format_exc())
        os._exit(1)

    def _write(self, db: lsmkv.DB, thread: int) -> None:
        cycle, running = self._cycle, db._running
        offset = thread * STATUS.size
        for number, operation in enumerate(operations(cycle.seed, cycle.number, thread), 1):
            if len(operation.changes) > 1:
                with db.write_batch(sync=operation.sync) as batch:
                    for key, value in operation.changes.items():
                        if value is None:
                            batch.delete(key)
                        else:
                            batch.put(key, value)
            else:
                ((key, value),) = operation.changes.items()
                if value is None:
                    db.delete(key, sync=operation.sync)
                else:
                    db.put(key, value, sync=operation.sync)
            os.pwrite(self._status, STATUS.pack(number, bool(running)), offset)
            if number == 1:
                os.write(self._started, b"1")

    def _maintain(self, db: lsmkv.DB) -> None:
        rng = random.Random(self._cycle.seed + self._cycle.number)
        while True:
            time.sleep(rng.random() * 0.01)
            (db.flush if rng.randrange(3) else db.compact)()


# --- the supervisor
# ---------------------------------------------------------------------------------


def _run_cycle(cycle: Cycle) -> str:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _Worker(cycle, write_end).run()
    os.close(write_end)
    if not cycle.kills_early:
        os.read(read_end, 1)  # the first acknowledged operation, or the end of a failed worker
    time.sleep(cycle.delay_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(read_end)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return f"ended by itself with status {status}"


def main() -> None:
    for line in sys.stdin:
        print(_run_cycle(Cycle(**json.loads(line))), flush=True)


class Supervisor:
    """The test's handle on the supervisor process; a context manager."""

    def __init__(self) -> None:
        import subprocess  # not in the supervisor itself: it stays small

        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def run(self, cycle: Cycle) -> None:
        """Let a worker live and die. AssertionError when it did not live until it was killed."""
        error_path = cycle.status_path + ".error"
        with open(cycle.status_path, "wb") as file, open(error_path, "wb"):
            file.write(bytes(STATUS.size * cycle.thread_count))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(cycle)) + "\n")
        self._process.stdin.flush()
        outcome = self._process.stdout.readline().strip()
        with open(error_path, encoding="utf-8") as file:
            errors = file.read()
        assert (outcome, errors) == ("killed", ""), f"{cycle}\n{outcome}\n{errors}"

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()


if __name__ == "__main__":
    main()
