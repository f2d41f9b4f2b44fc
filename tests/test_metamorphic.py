"""The same operations on databases of different make, and on a dict, have the same answers; and a
script that fails is made short.

A slice of `python -m tests.soak model`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.soak.model import compare, run_script
from tests.support import metamorphic
from tests.support.metamorphic import Operation, Player, draw_script, draw_setting, shrink

COUNT = 1000


pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_options_and_disturbances_change_no_answer(seed: int) -> None:
    run_script(draw_script(seed, COUNT), [draw_setting(2 * seed), draw_setting(2 * seed + 1)])


def test_a_database_that_forgets_a_delete_is_found_and_the_script_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def delete(self: Player, key: bytes) -> None:
        if not key.endswith(b"7"):
            self._db.delete(key)

    monkeypatch.setattr(Player, "delete", delete)
    script = draw_script(3, COUNT)
    assert any(operation.name == "delete" for operation in script)
    with pytest.raises(AssertionError, match="settings = ") as caught:
        run_script(script, [draw_setting(1)])
    assert str(caught.value).count("Operation(name=") <= 5


def test_shrinking_finds_the_two_that_matter() -> None:
    script = draw_script(5, 200)

    def fails(some: Sequence[Operation]) -> bool:
        return script[17] in some and script[160] in some

    assert shrink(script, fails) == [script[17], script[160]]


def test_every_operation_is_drawn_and_known_to_both() -> None:
    names = {operation.name for seed in range(20) for operation in draw_script(seed, 500)}
    assert names == set(metamorphic.WEIGHTS)
    for name in names:
        assert hasattr(metamorphic.Dictionary, name)
        assert hasattr(Player, name)
    assert compare([Operation("clear"), Operation("everything")], [draw_setting(3)]) is None
