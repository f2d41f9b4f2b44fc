"""Planted bugs are in the product only while they are wanted."""

from __future__ import annotations

import pytest

from tests.sim.canaries import CANARIES, Canary, replaced
from tests.sim.run import run_seed


class Rule:
    def holds(self) -> bool:
        return True

    def limits(self, count: int, limit: int = 3) -> bool:
        return count <= limit


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


def test_what_takes_other_arguments_cannot_take_its_place():
    with pytest.raises(TypeError), replaced(Rule, "holds", lambda self, unknown: False):
        pass
    assert Rule().holds()
    with replaced(Rule, "holds", lambda *_: False):
        assert not Rule().holds()
    with replaced(Rule, "limits", lambda self, count, limit: False):  # where both are given
        assert not Rule().limits(1, 3)
    with replaced(Rule, "limits", lambda self, count: False):  # where one is
        assert not Rule().limits(1)


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_every_canary_can_be_planted_and_says_what_it_breaks(name: str):
    with CANARIES[name].patch():
        pass
    assert CANARIES[name].name == name
    assert CANARIES[name].text


def test_a_canary_lasts_as_long_as_the_run():
    with pytest.raises(KeyError):
        run_seed(0, canary="no such bug")


def test_other_broken_promises_do_not_count():
    bug = CANARIES["refused though written"]
    other, own = (
        "C9 not ready (n0, 31.500 s): for long",
        "U5 refused but written (, 12.000 s): call 7",
    )
    assert bug.broken_in([other, own]) == "U5 refused but written"
    assert bug.broken_in([other]) is None
    anything = Canary("any", "Nothing.", bug.patch)
    assert anything.broken_in([other, own]) == "C9 not ready"
    assert anything.broken_in([]) is None
