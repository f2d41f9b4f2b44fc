"""Planted bugs are in the product only while they are wanted."""

from __future__ import annotations

import pytest

from tests.sim.canaries import CANARIES, replaced
from tests.sim.run import run_seed


class Rule:
    def holds(self) -> bool:
        return True


def test_an_attribute_is_replaced_for_a_while():
    with replaced(Rule, "holds", lambda self: False):
        assert not Rule().holds()
    assert Rule().holds()
    with pytest.raises(RuntimeError), replaced(Rule, "holds", lambda self: False):
        raise RuntimeError
    assert Rule().holds()


def test_what_is_not_there_cannot_be_replaced():
    with pytest.raises(KeyError), replaced(Rule, "missing", None):
        pass


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_every_canary_can_be_planted_and_says_what_it_breaks(name: str):
    with CANARIES[name].patch():
        pass
    assert CANARIES[name].name == name
    assert CANARIES[name].text


def test_a_canary_lasts_as_long_as_the_run():
    with pytest.raises(KeyError):
        run_seed(0, canary="no such bug")
