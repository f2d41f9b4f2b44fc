"""The simulator as a whole, tried on a toy: a node that is right breaks no promise, whatever
happens, and one with a bug does.

The toy has no answer to lost and full disks, so it is spared those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lsmkv import DB
from lsmkv_cluster.ports import Now
from lsmkv_cluster.storage.storage_orders import Result
from tests.sim import toy
from tests.sim.kinds import DESTRUCTIVE, FAULT_KINDS, FaultKind
from tests.sim.options import Options, draw
from tests.sim.program import NodeLike, Start, StoreLike
from tests.sim.simulation import Simulation, Verdict
from tests.sim.toy import ToyNode, ToyProgram
from tests.sim.toy_store import ToyStore

SPARED = DESTRUCTIVE | {FaultKind.FULL_DISK, FaultKind.FAILED_SYNC}
SEEDS = 30
SEEDS_FOR_A_BUG = 60


def make_options(seed: int) -> Options:
    options = replace(draw(seed), changes=(), spares=(), expiry_share=0.0)
    return replace(options, kinds=tuple(kind for kind in options.kinds if kind not in SPARED))


def run(seed: int, program: ToyProgram | None = None) -> Verdict:
    return Simulation(make_options(seed), program or ToyProgram()).run()


@pytest.mark.slow
def test_a_node_that_is_right_breaks_no_promise():
    hits: dict[str, int] = {}
    done = 0
    for seed in range(SEEDS):
        verdict = run(seed)
        assert verdict.violations == [], seed
        done += verdict.endings.get("done", 0)
        for kind, count in verdict.hits.items():
            hits[kind] = hits.get(kind, 0) + count
    assert done > SEEDS * 150
    assert set(hits) == {kind.value for kind in FAULT_KINDS if kind not in SPARED}


# --- bugs ----------------------------------------------------------------------------------------


class Forgetful(ToyStore):
    """Says that it has merged."""

    def _merge(self, space: Any, key: bytes, data: bytes) -> bool:
        return True


class Copying(ToyStore):
    """Takes what comes for the truth."""

    def _merge(self, space: Any, key: bytes, data: bytes) -> bool:
        self._database.put(bytes([space]) + key, data)
        return True


class Lazy(ToyStore):
    """Never syncs."""

    def _finished(self, sync: bool, result: Result) -> Result:
        return result


class Same(ToyNode):
    """Begins with the same actor at every start."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._number = 1


class Hasty(ToyNode):
    """Answers when one owner has it."""

    def _needed(self, request: Any) -> int:
        return 1


class Idle(ToyNode):
    """Exchanges nothing, and sends once only."""

    def start(self, now: Now) -> list[Any]:
        self._exchange_ms = now.ms + (1 << 40)
        return []

    def _tick(self) -> None:
        for pending in self._requests.values():
            pending.resend_ms = self._now.ms + (1 << 40)
        super()._tick()


class Trusting(ToyNode):
    """Takes what is older than the client's context for good."""

    def _outcome(self, pending: Any) -> Any:
        return toy.Outcome.DONE


class Refusing(ToyNode):
    """Says refused of what it gives up."""

    def _answer(self, pending: Any, answer: Any) -> None:
        if answer.outcome is toy.Outcome.UNKNOWN:
            answer = replace(answer, outcome=toy.Outcome.REFUSED)
        super()._answer(pending, answer)


class Bugged(ToyProgram):
    def __init__(
        self,
        node: Callable[[Start], NodeLike] = ToyNode,
        store: Callable[[DB], StoreLike] = ToyStore,
    ) -> None:
        self._node = node
        self._store = store

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        return self._node(start), self._store(database)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "promises"),
    [
        (Bugged(store=Forgetful), {"C1", "C3", "C4"}),
        (Bugged(store=Copying), {"C1", "C2", "C3", "dot used twice"}),
        (Bugged(store=Lazy), {"C1", "C4"}),
        (Bugged(node=Same), {"dot used twice", "a dot with two items", "C2 actor"}),
        (Bugged(node=Hasty), {"C1", "C5"}),
        (Bugged(node=Idle), {"C3"}),
        (Bugged(node=Trusting), {"C5"}),
        (Bugged(node=Refusing), {"U5"}),
    ],
    ids=["forgetful", "copying", "lazy", "same", "hasty", "idle", "trusting", "refusing"],
)
def test_a_bug_is_found(program: Bugged, promises: set[str]):
    for seed in range(SEEDS_FOR_A_BUG):
        verdict = run(seed, program)
        if verdict.violations:
            found = verdict.violations[0]
            assert any(found.startswith(promise) for promise in promises), found
            return
    pytest.fail("not found")
