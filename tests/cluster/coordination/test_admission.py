"""All that is under way is bounded, and nobody who is named can take all of it."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.coordination.admission import Admission

NOBODY, FLOOD, RIVAL, NEW = 0, 7, 8, 9
PEER = b"peer"


def fill(admission: Admission, who: object, size: int = 1) -> int:
    count = 0
    while admission.enter(who, size):  # type: ignore[arg-type]
        count += 1
    return count


def test_nobody_in_particular_may_have_all():
    admission = Admission(100, 1 << 20)
    assert fill(admission, NOBODY) == 100
    assert admission.is_full


@pytest.mark.parametrize("who", [FLOOD, PEER])
def test_one_alone_gets_half(who):
    admission = Admission(100, 1 << 20)
    assert fill(admission, who) == 50
    assert not admission.is_full
    assert admission.enter(NEW, 1)


def test_two_floods_get_a_third_each_and_somebody_new_still_gets_in():
    admission = Admission(90, 1 << 20)
    held = {FLOOD: 0, RIVAL: 0}
    for _ in range(200):
        for who in held:
            held[who] += admission.enter(who, 1)
    assert set(held.values()) == {30}
    assert admission.enter(NEW, 1)


def test_when_the_flood_has_ended_the_next_gets_as_much():
    admission = Admission(100, 1 << 20)
    for _ in range(fill(admission, FLOOD)):
        admission.leave(FLOOD, 1)
    assert (admission.count, admission.size) == (0, 0)
    assert fill(admission, RIVAL) == 50


def test_bytes_are_bounded_and_shared_alike():
    admission = Admission(1000, 100)
    assert fill(admission, FLOOD, 10) == 5
    assert admission.enter(NEW, 10)
    assert not admission.enter(NEW, 41)
    assert fill(admission, NOBODY, 10) == 4
    assert admission.is_full


def test_one_request_alone_may_be_larger_than_all_that_is_allowed():
    admission = Admission(10, 100)
    assert admission.enter(FLOOD, 1000)
    assert not admission.enter(NEW, 1)
    admission.leave(FLOOD, 1000)
    assert admission.enter(NEW, 1)


def test_the_only_place_there_is_can_be_taken_by_anybody():
    for who in (NOBODY, FLOOD):
        admission = Admission(1, 100)
        assert fill(admission, who) == 1


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_limits_hold_and_nothing_is_left_behind(seed):
    choose = random.Random(seed)
    admission = Admission(20, 200)
    held: list[tuple[int, int]] = []
    for _ in range(3000):
        if held and choose.random() < 0.5:
            admission.leave(*held.pop(choose.randrange(len(held))))
        elif admission.enter(*(one := (choose.randrange(4), choose.randrange(40)))):
            held.append(one)
        assert admission.count == len(held) <= 20
        assert admission.size == sum(size for _, size in held) <= 200
    while held:
        admission.leave(*held.pop())
    assert not admission._shares
