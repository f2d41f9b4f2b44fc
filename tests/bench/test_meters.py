"""Meters: memory and disk space are those of this process and folder, clocks add up."""

from __future__ import annotations

import os
from pathlib import Path

from lsmkv_bench import machine, meters
from lsmkv_bench.meters import Stopwatch


def test_memory_grows_by_what_is_allocated_and_shrinks_when_it_is_given_back() -> None:
    before = meters.memory_bytes()
    # More than a process may have at hand from what it did before.
    block = b"x" * (512 << 20)
    assert meters.memory_bytes() - before > 64 << 20
    del block
    meters.give_back_memory()
    assert meters.memory_bytes() - before < 32 << 20


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert meters.memory_bytes(1 << 30) == 0


def test_holes_take_no_space_and_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "sparse").open("wb") as file:
        file.write(os.urandom(100_000))
        file.truncate(1 << 40)
    assert 100_000 <= meters.disk_bytes(tmp_path) < 1_000_000
    meters.warm_page_cache(tmp_path)  # ends: a terabyte would not


def test_a_stopwatch_adds_up_what_ran() -> None:
    times = iter([1.0, 3.0, 10.0, 10.5])
    cpu_times = iter([0.0, 1.0, 1.0, 1.25])
    watch = Stopwatch(_clock=lambda: next(times), _cpu_clock=lambda: next(cpu_times))
    for _ in range(2):
        with watch.running():
            pass
    assert (watch.seconds, watch.cpu_seconds) == (2.5, 1.25)


def test_a_machine_is_described_the_same_twice(tmp_path: Path) -> None:
    described = machine.describe(tmp_path)
    assert described == machine.describe(tmp_path)
    assert all(described.values())
