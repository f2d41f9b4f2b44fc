"""The score stays within its bounds and multiplies times."""

from __future__ import annotations

from lsmkv_cluster.swim.local_health import LocalHealth


def test_the_score_stays_within_its_bounds():
    health = LocalHealth(8)
    health.note(-1)
    assert health.score == 0
    health.note(5)
    health.note(5)
    assert health.score == 8
    health.note(-1)
    assert health.score == 7


def test_times_stretch_with_the_score():
    health = LocalHealth(8)
    assert health.scaled(500) == 500
    health.note(2)
    assert health.scaled(500) == 1500
