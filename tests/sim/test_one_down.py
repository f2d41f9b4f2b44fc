"""With one machine ill the others must answer, and nobody else may be taken for dead."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Now
from tests.sim.history import Call, Ending
from tests.sim.kinds import FaultKind
from tests.sim.loop import SECOND
from tests.sim.one_down import ILLNESSES, OneDown
from tests.sim.options import draw
from tests.sim.program import NodeLike
from tests.sim.toy import ToyProgram
from tests.sim.world import World

SEED = 7  # a run with one machine down


class Opinionated(ToyProgram):
    """All nodes see the same."""

    def __init__(self) -> None:
        self.seen: dict[MemberId, str] = {}

    def states_seen(self, node: NodeLike, now: Now) -> dict[MemberId, str]:
        return self.seen


class Bench:
    def __init__(self, kind: FaultKind) -> None:
        self.program = Opinionated()
        self.world = World(draw(SEED), self.program)
        self.world.found()
        self.one_down = OneDown(self.world, Random(1))
        self.one_down.kind = kind

    def run(self, duration_us: int) -> None:
        self.world.loop.run_until(self.world.loop.now_us + duration_us)

    def call(self, machine: int, invoked_us: int, ending: Ending) -> None:
        request = ClientRequest(Verb.GET, b"p:0")
        calls = self.world.clients.history.calls
        call = Call(len(calls), 0, machine, None, request, invoked_us, 0)  # type: ignore[arg-type]
        call.ending = ending
        calls.append(call)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(getattr(request, "param", FaultKind.KILL))
    yield bench
    bench.world.close()


@pytest.mark.parametrize("bench", ILLNESSES, indirect=True)
def test_every_illness_begins_and_is_cured(bench: Bench):
    one_down = bench.one_down
    victim = bench.world.machines[one_down.victim]

    def is_well() -> bool:
        return (
            victim.process is not None
            and not victim.process.is_paused
            and victim.cpu_factor == victim.disk_factor == 1
            and bench.world.links.is_open(victim.number, victim.number - 1)
            and bench.world.paths.quality(victim.number, 0) == bench.world.options.quality
        )

    assert is_well()
    one_down.begin()
    assert not is_well()
    bench.run(SECOND)
    one_down.heal()
    bench.run(SECOND)
    assert is_well()


def test_calls_to_the_others_after_the_detection_must_succeed(bench: Bench):
    one_down = bench.one_down
    well = (one_down.victim + 1) % bench.world.options.nodes
    detection_us = bench.program.detection_ms * 1000
    bench.run(SECOND)
    one_down.begin()
    bench.run(30 * SECOND)
    one_down.heal()
    after_us = SECOND + detection_us
    bench.call(well, after_us - 1, Ending.UNKNOWN)  # too early to tell
    bench.call(well, after_us, Ending.DONE)
    bench.call(well, after_us + 1, Ending.REFUSED)
    bench.call(one_down.victim, after_us + 1, Ending.UNKNOWN)
    bench.call(well, 31 * SECOND, Ending.UNKNOWN)  # the illness is over
    assert one_down.judged() == (2, 1)
    assert [call.id for call in one_down.failures()] == [2]


@pytest.mark.parametrize(
    ("who", "state", "is_wrong"),
    [("well", "dead", True), ("well", "suspect", False), ("victim", "dead", False)],
)
def test_a_healthy_member_that_is_taken_for_dead(
    bench: Bench, who: str, state: str, is_wrong: bool
):
    victim = bench.one_down.victim
    number = victim if who == "victim" else (victim + 1) % bench.world.options.nodes
    bench.program.seen = {bench.world.ids[number]: state}
    bench.one_down.begin()
    bench.run(3 * SECOND)
    promises = {finding.promise for finding in bench.one_down.findings}
    assert promises == ({"C11 healthy eviction"} if is_wrong else set())
