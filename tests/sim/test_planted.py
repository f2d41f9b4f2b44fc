"""The swarm finds planted bugs: each by a seed that is recorded, and that is clean without it.

Seeds were searched for from 0 on (search.py), so a seed also says how many it took, less one.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.sim.planted import CANARIES
from tests.sim.run import run_seed
from tests.sim.search import CRASHES, Found, read_found
from tests.sim.simulation import Verdict

CANARIES_MIN = 25
SEEDS_MAX = 1000
FOUND = read_found()


@cache
def without_a_bug(seed: int, profile: str) -> Verdict:
    return run_seed(seed, profile=profile)[0]


@pytest.mark.slow
@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.name.replace(" ", "_"))
def test_a_planted_bug_is_found(found: Found):
    """The recorded promise is broken with the bug, none without it."""
    verdict, story = run_seed(found.seed, found.name, profile=found.profile)
    assert found.promise in {text.partition(" (")[0] for text in verdict.violations}, (
        "it is not found any more: python -m tests.sim.search '" + found.name + "'"
    )
    assert f"seed {found.seed} failed" in story
    assert without_a_bug(found.seed, found.profile).violations == []


def test_enough_bugs_are_found_soon_enough_and_by_a_checker():
    assert {found.name for found in FOUND} <= set(CANARIES)
    assert len(FOUND) >= CANARIES_MIN
    assert max(found.seed for found in FOUND) < SEEDS_MAX
    assert all(found.promise in CANARIES[found.name].promises for found in FOUND)
    assert CRASHES.isdisjoint(found.promise for found in FOUND)
