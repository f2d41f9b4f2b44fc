"""The swarm finds planted bugs: each by a seed that is recorded here, and that is clean without it.

The seeds were searched for from 0 on with `python -m tests.sim.run --canary NAME --seeds 1000`, so
a seed also says how many it took, less one. Searching again is only needed where a change of the
product or of the simulator lets a recorded seed go past the bug.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.sim.planted import CANARIES
from tests.sim.run import run_seed
from tests.sim.simulation import Verdict

CANARIES_MIN = 15
SEEDS_MAX = 1000

TOO_FEW = "C1 acknowledged by too few"
LOST = "C1 lost write"
STALE = "C5 stale strict read"
TWICE = "dot used twice"


@dataclass(frozen=True)
class Found:
    """By which seed, and which promise is broken then."""

    name: str
    seed: int
    promise: str


FOUND = (
    # minting
    Found("one actor for ever", 35, TWICE),
    Found("every end is harmless", 18, TWICE),
    Found("an old disk goes on", 137, TWICE),
    Found("a context is not kept", 10, "C5 context went back"),
    Found("a write takes the place of all", 0, "C2 false overwrite"),
    # writing
    Found("done with one copy", 0, TOO_FEW),
    Found("silence is consent", 0, TOO_FEW),
    Found("the own copy is not synced", 0, TOO_FEW),
    Found("the sync flag is ignored", 0, TOO_FEW),
    Found("done at the deadline", 0, TOO_FEW),
    Found("stand-ins count for strict writes", 23, TOO_FEW),
    Found("refused though written", 0, "U5 refused but written"),
    Found("a write is given to a second one", 16, "U5 written twice"),
    # reading
    Found("strict reads do not write back", 10, STALE),
    Found("a read returns the newest", 10, STALE),
    Found("digests are not compared", 3, STALE),
    # filling
    Found("whole before its exchange", 28, STALE),
    Found("what was dropped is whole", 28, STALE),
    # hints
    Found("a stand-in keeps nothing", 0, TOO_FEW),
    Found("hints are for one owner", 101, LOST),
    # healing
    Found("the newest record stays", 3, LOST),
    Found("differing records are left alone", 0, "C3 copies differ"),
    Found("the tree is not told of merges", 0, "a tree is not what is stored"),
    # membership and the wire
    Found("checksums are not checked", 21, "a damaged frame was accepted"),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The engine rightly warns of every injected fault."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@cache
def without_a_bug(seed: int) -> Verdict:
    return run_seed(seed)[0]


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.name.replace(" ", "_"))
def test_a_planted_bug_is_found(found: Found) -> None:
    """The expected promise is broken with the bug, none without it."""
    verdict, story = run_seed(found.seed, found.name)
    assert found.promise in {text.partition(" (")[0] for text in verdict.violations}
    assert f"seed {found.seed} failed" in story
    assert without_a_bug(found.seed).violations == []


def test_every_bug_has_its_seed() -> None:
    """As many as were promised, each found within the seeds that were promised."""
    assert {found.name for found in FOUND} <= set(CANARIES)
    assert len(FOUND) >= CANARIES_MIN
    assert max(found.seed for found in FOUND) < SEEDS_MAX
