"""kill -9 at random moments of a process that writes from several threads: nothing that was
acknowledged is lost.

The oracle lives outside the process that dies (support/crash_worker.py). After each kill the store
is opened again, read-only or for good, and for every thread must hold exactly the state after its
last acknowledged operation, or after the one that was under way: so no acknowledged write is
missing, nothing is invented, no delete is undone, batches are whole and the order of each thread is
kept. Files must not pile up, and nothing may be logged.

LSMKV_CRASH_CYCLES=n sets the kills per log mode, LSMKV_CRASH_SEED the first seed.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

import lsmkv
from tests.support.crash_lab import check_files
from tests.support.crash_worker import Cycle, Supervisor, operations, read_status

CYCLES = int(os.environ.get("LSMKV_CRASH_CYCLES", "200"))
SEED = int(os.environ.get("LSMKV_CRASH_SEED", "1"))
CYCLES_PER_DATABASE = 25
DELAY_S = (0.001, 0.040)  # after the first acknowledged operation

State = dict[bytes, bytes]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 * max(1, CYCLES // 200))]


class Oracle:
    """What the store must hold, by thread."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}

    def check(self, cycle: Cycle, acknowledged: list[int], found: State) -> None:
        """Compare, and take what was found as the start of the next cycle."""
        by_thread: dict[int, State] = {thread: {} for thread in self._states}
        for key, value in found.items():
            by_thread.setdefault(int(key.split(b"/")[0]), {})[key] = value
        for thread in by_thread.keys() | range(cycle.thread_count):
            count = acknowledged[thread] if thread < cycle.thread_count else None
            state = self._states.get(thread, {})
            self._states[thread] = self._advance(
                cycle, thread, count, state, by_thread.get(thread, {})
            )

    def _advance(
        self, cycle: Cycle, thread: int, count: int | None, state: State, found: State
    ) -> State:
        state = dict(state)
        if count is not None:
            stream = operations(cycle.seed, cycle.number, thread)
            for _ in range(count):
                _apply(state, next(stream).changes)
            if found != state:  # then the operation under way got through
                _apply(state, next(stream).changes)
        assert found == state, (
            f"{cycle}\nthread {thread}, {count} operations acknowledged: "
            f"{_differences(found, state)}"
        )
        return state


def _apply(state: State, changes: dict[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def _differences(found: State, expected: State) -> str:
    keys = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    lines = [
        f"{key!r}: {found.get(key, b'-')[:20]!r}, not {expected.get(key, b'-')[:20]!r}"
        for key in keys[:20]
    ]
    return f"{len(keys)} keys differ:\n" + "\n".join(lines)


def make_cycle(number: int, mode: str, directory: Path) -> Cycle:
    rng = random.Random(f"{SEED}/{mode}/{number}")
    is_first = number % CYCLES_PER_DATABASE == 0
    kills_early = number % 8 == 7 and not is_first  # there must be something to open read-only
    options = {
        "log_mode": mode,
        "write_buffer_size": rng.choice((32, 64, 96)) << 10,
        "table_size": 64 << 10,
        "level0_trigger": rng.randrange(2, 5),
        "block_size": 1024,
        "sync_interval_ms": rng.choice((10, 1000)),
        "compression": rng.choice(("zstd", None)),
    }
    return Cycle(
        number=number,
        seed=SEED,
        path=str(directory / f"db{number // CYCLES_PER_DATABASE}"),
        status_path=str(directory / "status"),
        thread_count=rng.choice((2, 2, 3)),
        options=options,
        delay_s=rng.random() * 0.02 if kills_early else rng.uniform(*DELAY_S),
        kills_early=kills_early,
        maintains=rng.randrange(3) == 0,
    )


def open_and_read(cycle: Cycle) -> State:
    """Look without touching, or recover: the next worker then finds either."""
    read_only = cycle.number % 2 == 0
    options = cycle.options | {"background": "inline"}
    with lsmkv.open(cycle.path, read_only=read_only, **options) as db:
        found = dict(db.scan())
        if cycle.number % 5 == 0:
            assert db.verify()
        if not read_only:
            check_files(db, may_lose=False)
            assert db.stats()["log_mode"] == cycle.options["log_mode"]
    return found


@pytest.mark.parametrize("mode", ["mapped", "written"])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(mode: str, tmp_path: Path) -> None:
    files = lsmkv._native.vfs.PosixFileSystem()
    if mode == "mapped" and not files.can_map_log(str(tmp_path)):
        pytest.skip("no mapped log on this file system")
    in_flight = acknowledged_count = 0
    oracle = Oracle()
    with Supervisor() as supervisor:
        for number in range(CYCLES):
            cycle = make_cycle(number, mode, tmp_path)
            if number % CYCLES_PER_DATABASE == 0:
                oracle = Oracle()
            supervisor.run(cycle)
            acknowledged, running = read_status(cycle.status_path, cycle.thread_count)
            in_flight += running
            acknowledged_count += sum(acknowledged)
            oracle.check(cycle, acknowledged, open_and_read(cycle))
            if number % CYCLES_PER_DATABASE == CYCLES_PER_DATABASE - 1:
                shutil.rmtree(cycle.path)
    assert in_flight >= CYCLES // 2, f"only {in_flight} kills hit a flush or compaction"
    assert acknowledged_count > 20 * CYCLES
    print(f"{mode}: {CYCLES} kills, {acknowledged_count} operations, {in_flight} in flight")
