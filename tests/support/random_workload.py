"""Workloads for crash_lab.Laboratory, drawn from a seed: the operations and the options.

Where run_workload is one fixed path through everything that touches a file, these take the same
steps in any order, with sizes and options that lead to trees of other shapes.
"""

from __future__ import annotations

import random
from typing import Any

from tests.support.crash_lab import Laboratory

__all__ = ["draw_options", "run_random_workload"]

FILLER = random.Random(5).randbytes(1 << 14)
SIZES = (0, 10, 10, 100, 100, 400, 1000, 3000)
FLUSHES_HELD_MAX = 6  # writes; beyond them a writer would wait for a flush that never comes


def draw_options(seed: int) -> dict[str, Any]:
    """Of a database small enough that a hundred writes fill and merge tables."""
    rng = random.Random(f"options/{seed}")
    return {
        "write_buffer_size": rng.choice((4096, 4096, 8192)),
        "table_size": rng.choice((4096, 16384)),
        "level0_trigger": rng.choice((1, 2, 3)),
        "level_size_ratio": rng.choice((2, 10)),
        "block_size": rng.choice((256, 1024, 4096)),
        "block_cache_size": rng.choice((0, 8192)),
        "row_cache_size": rng.choice((0, 8192)),
        "bloom_bits_per_key": rng.choice((0, 10)),
        "compression": rng.choice((None, "zstd")),
        "log_mode": rng.choice(("auto", "written")),
    }


class _Run:
    def __init__(self, lab: Laboratory, seed: int) -> None:
        self._lab = lab
        self._rng = random.Random(f"operations/{seed}")
        self._number = 0
        self._copied = False

    def key(self) -> bytes:
        return b"k%02d" % self._rng.randrange(24)

    def value(self) -> bytes:
        """Never the same twice: every commit must show."""
        self._number += 1
        size, start = self._rng.choice(SIZES), self._rng.randrange(1 << 13)
        return b"%d:" % self._number + FILLER[start : start + size]

    def put(self) -> None:
        self._lab.put(self.key(), self.value(), sync=self._rng.random() < 0.2)

    def delete(self) -> None:
        self._lab.delete(self.key(), sync=self._rng.random() < 0.2)

    def batch(self) -> None:
        rng = self._rng
        changes = {
            self.key(): None if rng.random() < 0.3 else self.value()
            for _ in range(rng.randrange(2, 6))
        }
        changes[b"always"] = self.value()
        self._lab.batch(changes, sync=rng.random() < 0.2)

    def drop_range(self) -> None:
        first, last = sorted((self.key(), self.key()))
        self._lab.drop_range(first, last)

    def reopen(self) -> None:
        self._lab.close()
        self._lab.open()

    def checkpoint(self) -> None:
        if not self._copied:
            self._copied = True
            self._lab.checkpoint()

    def without_flushes(self) -> None:
        """Several segments live at once."""
        self._lab.flush()
        self._lab.hold_flushes()
        for _ in range(self._rng.randrange(2, FLUSHES_HELD_MAX)):
            self._lab.put(self.key(), self.value(), sync=self._rng.random() < 0.3)
        self._lab.release_flushes()
        self._lab.flush()


ACTIONS = (
    (30, _Run.put),
    (8, _Run.delete),
    (8, _Run.batch),
    (3, lambda run: run._lab.sync()),
    (2, lambda run: run._lab.flush()),
    (1, lambda run: run._lab.compact()),
    (1, _Run.drop_range),
    (1, _Run.reopen),
    (1, _Run.checkpoint),
    (1, _Run.without_flushes),
)


def run_random_workload(lab: Laboratory, seed: int, steps: int = 60) -> None:
    """`lab` was made with draw_options(seed)."""
    run = _Run(lab, seed)
    lab.open()
    weights = [weight for weight, _ in ACTIONS]
    for _, action in random.Random(f"actions/{seed}").choices(ACTIONS, weights, k=steps):
        action(run)
