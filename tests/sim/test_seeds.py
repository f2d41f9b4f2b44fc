"""Whole clusters of the product under faults break no promise: 500 seeds of them.

`make sim SEEDS=n` runs more. A seed that fails is told with its options and what happened around
the keys concerned; `python -m tests.sim.run --seed N --verbose` shows it again.
"""

from __future__ import annotations

import pytest

from tests.sim.kinds import FAULT_KINDS
from tests.sim.report import Tally
from tests.sim.run import run_seed

CHUNK = 20
CHUNKS = 25
HITS_MIN = 50  # of each kind of fault, over all seeds

_verdicts = Tally()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_no_promise_is_broken(first: int):
    for seed in range(first, first + CHUNK):
        verdict, story = run_seed(seed)
        assert not story, story
        _verdicts.add(verdict)


@pytest.mark.slow
def test_all_of_them_together_tried_everything():
    """Needs the runs above, all of them."""
    if _verdicts.seeds < CHUNK * CHUNKS:
        pytest.skip("not all seeds were run")
    print(f"\n{_verdicts}")
    assert _verdicts.is_available
    assert {kind.value for kind in FAULT_KINDS if _verdicts.hits[kind.value] < HITS_MIN} == set()
