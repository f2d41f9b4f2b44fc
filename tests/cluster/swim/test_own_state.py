"""A run overrules the runs before it, and contradicts what is said about this one."""

from __future__ import annotations

import pytest

from lsmkv_cluster.swim.gossip_messages import INCARNATION_MAX, Statement
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.own_state import SelfDescription

ME = b"m" * 16


def said(status: Status, incarnation: int) -> Statement:
    return Statement(status, ME, incarnation)


def test_a_later_run_is_above_everything_that_an_earlier_one_refuted():
    before = SelfDescription(ME, 4)
    for _ in range(1000):
        before.raise_above(before.incarnation)
    assert SelfDescription(ME, 5).incarnation > before.incarnation


@pytest.mark.parametrize(
    ("status", "ahead", "expected"),
    [
        (Status.SUSPECT, 0, True),
        (Status.SUSPECT, -1, False),
        (Status.DEAD, 0, True),
        (Status.DEAD, -1, False),
        (Status.LEFT, 0, True),
        (Status.LEFT, -1, False),
        (Status.ALIVE, 0, False),
        (Status.ALIVE, 1, True),  # somebody else claims to be this member
    ],
)
def test_what_has_to_be_refuted(status: Status, ahead: int, expected: bool):
    own = SelfDescription(ME, 4)
    about = said(status, own.incarnation + ahead)
    assert own.is_wronged_by(about) is expected
    own.has_left = True
    assert not own.is_wronged_by(about)


def test_raising_overrules_and_has_an_end():
    own = SelfDescription(ME, 4)
    own.raise_above(9 << 32)
    assert own.incarnation == (9 << 32) + 1
    own.raise_above(INCARNATION_MAX)
    assert own.incarnation == INCARNATION_MAX


@pytest.mark.parametrize("wrong", [-1, 1 << 32])
def test_start_numbers_have_32_bits(wrong: int):
    with pytest.raises(ValueError):
        SelfDescription(ME, wrong)
