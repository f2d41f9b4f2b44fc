"""No promise is broken in small clusters, in whichever order things happen; and where a rule is
switched off one is, which shows that somebody looks.

Small budgets, spent depth-first, so that ends of paths are among what is seen: `make model
STATES=n` goes as far as one wants.
"""

from __future__ import annotations

import pytest

from tests.model.explorer import explore
from tests.model.run import run
from tests.model.scopes import COMPANIONS, FAST, SCOPES
from tests.model.setting import Setting
from tests.model.world import Model


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_no_promise_is_broken(name: str):
    verdict = run(name, SCOPES[name], FAST[name], breadth=False, seed=1)
    assert not verdict.fault


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPANIONS)
def test_a_rule_that_is_switched_off_is_missed(name: str):
    companion = COMPANIONS[name]
    verdict = explore(Model(companion.setting), states_max=60_000)
    assert companion.fault in verdict.fault
    assert len(verdict.path) == verdict.depth


def test_what_a_node_is_does_not_tell_how_it_came_to_be():
    """As many states, whichever way they are found."""
    setting = Setting((SCOPES["write"].calls[0],), moves=False)
    counts = {
        explore(Model(setting), states_max=10_000, breadth=breadth, seed=seed).states
        for breadth, seed in [(True, 0), (False, 1), (False, 2)]
    }
    assert len(counts) == 1
