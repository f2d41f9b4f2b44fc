"""Limits are checked, and what blocks is told for as long as it is found."""

from __future__ import annotations

import pytest

from lsmkv_cluster.healing.tombstone_limits import Blocker, Blockers, TombstoneSettings, Why

A, B = b"a" * 16, b"b" * 16


def test_the_lifetime_is_that_of_requests_and_more() -> None:
    from lsmkv_cluster.transport.traffic import REQUEST_LIFETIME_MAX_MS
    from lsmkv_cluster.versions.hlc import SKEW_LIMIT_MS

    settings = TombstoneSettings()
    assert settings.lifetime_ms >= REQUEST_LIFETIME_MAX_MS + SKEW_LIMIT_MS
    assert settings.age_min_ms > REQUEST_LIFETIME_MAX_MS + SKEW_LIMIT_MS


@pytest.mark.parametrize(
    "limits",
    [
        {"lifetime_ms": 0},
        {"age_min_ms": -1},
        {"page_count_max": 0},
        {"question_count_max": 0},
        {"question_count_max": 1025},
        {"hints_again_ms": 0},
    ],
    ids=str,
)
def test_limits_are_checked(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TombstoneSettings(**limits)


def test_what_is_found_again_keeps_its_time_and_what_is_not_goes() -> None:
    blockers = Blockers()
    blockers.found(A, Why.SILENT, 10)
    blockers.found(B, Why.HINTS, 20)
    blockers.next_round()
    blockers.found(A, Why.SILENT, 30)
    assert blockers.listed() == (Blocker(A, Why.SILENT, 10), Blocker(B, Why.HINTS, 20))
    blockers.next_round()
    assert blockers.listed() == (Blocker(A, Why.SILENT, 10),)
    blockers.next_round()
    assert blockers.listed() == ()


def test_who_has_answered_or_is_no_member_blocks_nothing() -> None:
    blockers = Blockers()
    for member in (A, B):
        for why in (Why.SILENT, Why.DIFFERS):
            blockers.found(member, why, 10)
    blockers.cleared(A, [Why.SILENT, Why.FAILED])
    assert [each.why for each in blockers.listed() if each.member == A] == [Why.DIFFERS]
    blockers.keep([B])
    assert {each.member for each in blockers.listed()} == {B}
    blockers.found(B, Why.SILENT, 50)
    assert blockers.listed()[0].since_ms == 10
