"""The figures about joins and leaves: nothing fails that is not said, and no copy is made twice."""

from __future__ import annotations

import pytest

from tests.sim.history import Ending
from tests.sim.moves import Figures, run


@pytest.mark.slow
@pytest.mark.parametrize("leaves", [False, True], ids=["join", "leave"])
def test_a_change_under_load(leaves: bool):
    found = run(1, leaves=leaves, partitions=16)
    assert found.endings[Ending.DONE.value] > 50
    assert set(found.reasons) <= ({"NOT_A_MEMBER"} if leaves else set())
    assert found.copies == found.ideal > 0


def test_figures_are_sums():
    total = Figures()
    for _ in range(2):
        one = Figures(copies=3, ideal=2)
        one.endings.update({"done": 9, "refused": 1})
        one.reasons.update({"DEADLINE": 1})
        total.add(one)
    assert str(total).startswith("18 of 20 calls done (90.0000%); 6 copies begun, 4 at the least")
    assert str(total).endswith("2 DEADLINE")
