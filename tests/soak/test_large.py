"""A slice of `python -m tests.soak large`, and that it notices what it is there for.

Two lives on one directory, the first one killed. What that one left is then spoiled as a store
would that loses writes. This module is also the process of one that leaks (LSMKV_SOAK_FAULT).
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

import lsmkv
from tests.soak import large
from tests.soak.large_limits import DISK, PROCESS, Limit, complaints
from tests.support import large_worker
from tests.support.large_slots import BALLAST, SLOTS, Slots, key_of, value_of
from tests.support.large_worker import DATABASE, OPTIONS, SLOTS_FILE, Load, Sample

FAULT = "LSMKV_SOAK_FAULT"


# --- the slice, and what a store may do to it ----------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process left that was killed, and judged to be whole."""
    directory = tmp_path_factory.mktemp("killed")
    assert large.live(directory, 1, 60.0, kill_after_s=1.0)
    large.judge(directory)
    return directory


@pytest.mark.slow
def test_what_was_killed_goes_on_and_space_comes_back(killed: Path, tmp_path: Path) -> None:
    directory = tmp_path / "large"
    shutil.copytree(killed, directory)
    counts = large.run_life(1, directory, 1.0)
    assert counts["reclaims"] > 0
    assert counts["operations"] > 1_000


def _newest(slots: Slots, *, is_there: bool) -> int:
    """A slot that was written, and holds something or does not."""
    for slot in range(SLOTS):
        number = slots.acknowledged(slot)
        if number > 1 and (value_of(slot, number) is not None) == is_there:
            return slot
    raise AssertionError("too little was written")


def lose_everything(db: lsmkv.DB, slots: Slots) -> None:
    db.clear()


def lose_one_write(db: lsmkv.DB, slots: Slots) -> None:
    db.delete(key_of(_newest(slots, is_there=True)))


def go_back(db: lsmkv.DB, slots: Slots) -> None:
    slot = _newest(slots, is_there=True)
    earlier = range(slots.acknowledged(slot) - 1, 0, -1)
    old = next((value for number in earlier if (value := value_of(slot, number))), b"older still")
    db.put(key_of(slot), old)


def undo_a_delete(db: lsmkv.DB, slots: Slots) -> None:
    db.put(key_of(_newest(slots, is_there=False)), b"back")


def invent_a_key(db: lsmkv.DB, slots: Slots) -> None:
    db.put(b"never written", b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    "lose", [lose_everything, lose_one_write, go_back, undo_a_delete, invent_a_key]
)
def test_a_store_that_loses_at_a_kill_is_caught(lose: object, killed: Path, tmp_path: Path) -> None:
    directory = tmp_path / "large"
    shutil.copytree(killed, directory)
    slots = Slots(directory / SLOTS_FILE)
    with lsmkv.open(str(directory / DATABASE), **OPTIONS, background="inline") as db:
        lose(db, slots)  # type: ignore[operator]
    slots.close()
    with pytest.raises(AssertionError, match=r"lost or wrong|nobody wrote"):
        large.judge(directory)


def test_half_a_batch_is_caught(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    changes = slots.begin(BALLAST[:3])
    whole = {key: value for key, value in changes.items() if value is not None}
    assert len(whole) == 3
    with pytest.raises(AssertionError, match="half a batch"):
        slots.settle({key: value for key, value in whole.items() if key != key_of(BALLAST[1])})
    assert slots.settle({}) == 3  # none of it
    assert slots.settle({}) == 0
    slots.begin(BALLAST[:3])
    assert slots.settle(whole) == 3  # all of it
    assert [slots.acknowledged(slot) for slot in BALLAST[:4]] == [1, 1, 1, 0]
    slots.close()


# --- a process that leaks ------------------------------------------------------------------------


class Faulty(Load):
    """ "leaks": it keeps memory and open files. "holds": it keeps a snapshot of the ballast, and
    not even compact() gives the space back. "nothing": then it does."""

    kept: ClassVar[list[object]] = []

    def write(self, rng: random.Random, writer: int) -> None:
        if os.environ[FAULT] == "leaks":
            super().write(rng, writer)
        else:
            time.sleep(0.01)  # compact() ends when there is nothing new

    def read(self, rng: random.Random, number: int) -> None:
        super().read(rng, number)
        if os.environ[FAULT] == "leaks" and self.operations > 1_000 * len(self.kept):
            self.kept += [bytearray(4 << 20), os.open(os.devnull, os.O_RDONLY)]

    def carry_ballast(self, rng: random.Random, number: int) -> None:
        if os.environ[FAULT] == "leaks":
            time.sleep(0.2)
            self.reclaims += 1
        else:
            super().carry_ballast(rng, number)

    def turn_ballast(self, *, is_there: bool) -> None:
        if is_there and os.environ[FAULT] == "holds":
            self.kept.append(self.db.snapshot())
        super().turn_ballast(is_there=is_there)
        if is_there:
            self.db.compact()


@pytest.mark.slow
def test_a_process_that_leaks_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT, "leaks")
    samples = large.live(tmp_path, 1, 3.0, kill_after_s=None, worker=__name__)
    found = [line.split()[0] for line in complaints(samples, PROCESS)]
    assert "resident_bytes" in found
    assert "descriptors" in found


@pytest.mark.slow
def test_space_that_does_not_come_back_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "nothing")
    assert large.live(tmp_path, 1, 0.0, kill_after_s=None, worker=__name__)[-1].reclaims > 0
    monkeypatch.setenv(FAULT, "holds")
    with pytest.raises(AssertionError, match="space does not come back"):
        large.live(tmp_path, 2, 0.0, kill_after_s=None, worker=__name__)


# --- limits --------------------------------------------------------------------------------------

SAMPLE = Sample(1, 1, 50 << 20, 10 << 20, 20, 30 << 20)


@pytest.mark.parametrize("limit", [*PROCESS, *DISK], ids=lambda limit: limit.field)
def test_what_grows_or_is_too_much_is_told(limit: Limit) -> None:
    def samples(growth: int) -> list[Sample]:
        start = getattr(SAMPLE, limit.field)
        return [replace(SAMPLE, **{limit.field: start + growth * n // 100}) for n in range(100)]

    assert not complaints(samples(limit.growth), [limit])
    assert not complaints([*samples(0), replace(SAMPLE, **{limit.field: limit.most})], [limit])
    (grown,) = complaints(samples(3 * limit.growth), [replace(limit, most=1 << 40)])
    assert grown.startswith(f"{limit.field} grow")
    (much,) = complaints([*samples(0), replace(SAMPLE, **{limit.field: limit.most + 1})], [limit])
    assert much.startswith(f"{limit.field}: {limit.most + 1}")


def test_caches_that_fill_up_first_are_no_growth() -> None:
    cold = [replace(SAMPLE, reclaims=0, resident_bytes=1 << 20)] * 50
    assert not complaints([*cold, *[SAMPLE] * 10], PROCESS)
    assert complaints([replace(sample, reclaims=1) for sample in cold] + [SAMPLE] * 60, PROCESS)


def test_lives_are_as_long_as_there_is_time() -> None:
    assert large.life_s(1800.0) == large.LIFE_S
    assert large.life_s(60.0) == 30.0
    assert large.life_s(20.0) == 20.0


if __name__ == "__main__":
    large_worker.RECLAIM_S = 3.0
    large_worker.main(*sys.argv[1:], make=Faulty)
