"""Locks go first come, first served; writers are alone, and nobody waits for ever."""

from __future__ import annotations

import random

from lsmkv_cluster.resp.key_locks import Claim, KeyLocks


def write(*keys: str) -> Claim:
    return Claim(None, keys, True)


def read(*keys: str) -> Claim:
    return Claim(None, keys, False)


def test_a_writer_waits_for_readers_and_readers_behind_it_for_the_writer():
    locks = KeyLocks()
    first, second, writer, late = read("a"), read("a"), write("a"), read("a")
    assert locks.take(first)
    assert locks.take(second)
    assert not locks.take(writer)
    assert not locks.take(late)
    assert locks.release(first) == []
    assert locks.release(second) == [writer]
    assert locks.release(writer) == [late]
    assert locks.release(late) == []
    assert len(locks) == 0


def test_readers_that_wait_together_begin_together():
    locks = KeyLocks()
    writer, one, two, last = write("a"), read("a"), read("a"), write("a")
    for claim in (writer, one, two, last):
        locks.take(claim)
    assert locks.release(writer) == [one, two]
    assert locks.release(one) == []
    assert locks.release(two) == [last]


def test_a_claim_of_several_keys_begins_when_it_has_all_of_them():
    locks = KeyLocks()
    a, b, both = write("a"), write("b"), write("a", "b")
    assert locks.take(a)
    assert locks.take(b)
    assert not locks.take(both)
    assert locks.release(a) == []
    assert "a" in locks
    assert locks.release(b) == [both]


def test_a_key_that_is_named_twice_is_held_once():
    locks = KeyLocks()
    twice = write("a", "a")
    assert locks.take(twice)
    assert locks.release(twice) == []
    assert "a" not in locks


def test_whatever_is_claimed_everybody_gets_it_once_and_writers_are_alone():
    for seed in range(50):
        rng = random.Random(seed)
        locks, running = KeyLocks(), []
        waiting: set[Claim] = set()
        begun = 0
        for _ in range(200):
            if rng.random() < 0.5 or not running:
                keys = rng.sample("abcd", rng.randrange(1, 4))
                claim = Claim(None, keys, rng.random() < 0.5)
                if locks.take(claim):
                    running.append(claim)
                    begun += 1
                else:
                    waiting.add(claim)
            else:
                for claim in locks.release(running.pop(rng.randrange(len(running)))):
                    waiting.remove(claim)
                    running.append(claim)
                    begun += 1
            for claim in running:
                others = {key for other in running if other is not claim for key in other.keys}
                assert not (claim.is_exclusive and others & set(claim.keys)), seed
        while running:
            for claim in locks.release(running.pop()):
                waiting.remove(claim)
                running.append(claim)
        assert not waiting, seed
        assert len(locks) == 0, seed
