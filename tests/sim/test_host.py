"""A process is stepped as a driver would step it: batches, deadlines, storage, pauses, deaths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from lsmkv import DB
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.driver_ports import (
    ClientCall,
    ClientReply,
    DatagramIn,
    DropConnections,
    Input,
    NodeEffect,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Now, Stored, StoreOrder
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import Merge, Mint, Read, Sync, Values
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.record_format import encode
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from tests.sim.history import Ending
from tests.sim.host import Host
from tests.sim.loop import MS, SECOND
from tests.sim.options import draw
from tests.sim.program import NodeLike, Start, StoreLike
from tests.sim.toy_store import ToyStore
from tests.sim.workload import Session
from tests.sim.world import World

ACTOR = Actor(1, 1, 1 << 32)
ITEM = Item(Dot(ACTOR, 1), Kind.VALUE, 1, b"", b"x")
RECORD = encode(Record(Clock({ACTOR: Entry(1, 1)}), (ITEM,)))


class Script:
    """A node that writes down its steps and does what it is told at the next one."""

    def __init__(self, start: Start) -> None:
        self.steps: list[tuple[Now, list[Input]]] = []
        self.deadline_ms: int | None = None
        self.next: list[NodeEffect] = []
        self.react: Callable[[Sequence[Input]], list[NodeEffect]] = lambda inputs: []

    def start(self, now: Now) -> list[NodeEffect]:
        return []

    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        self.steps.append((now, list(inputs)))
        if self.deadline_ms is not None and now.ms >= self.deadline_ms:
            self.deadline_ms = None
        effects, self.next = self.next, []
        return effects + self.react(inputs)

    def next_deadline(self) -> int | None:
        return self.deadline_ms


class ScriptProgram:
    settle_period_ms = detection_ms = 1000

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        return Script(start), ToyStore(database)

    def states_seen(self, node: NodeLike, now: Now) -> dict[MemberId, str]:
        return {}

    def is_ready(self, node: NodeLike) -> bool:
        return True


class Bench:
    def __init__(self, seed: int = 1) -> None:
        self.world = World(draw(seed), ScriptProgram())
        self.world.found()
        self.machine = self.world.machines[0]

    @property
    def host(self) -> Host:
        assert self.machine.process is not None
        return self.machine.process

    @property
    def node(self) -> Script:
        assert isinstance(self.host.node, Script)
        return self.host.node

    def run(self, duration_us: int) -> None:
        self.world.loop.run_until(self.world.loop.now_us + duration_us)

    def order(self, *orders: StoreOrder) -> None:
        self.node.next.extend(orders)
        self.host.receive_datagram(b"")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.world.close()


def test_what_comes_during_a_step_is_given_together(bench: Bench):
    bench.host.receive_datagram(b"1")
    bench.run(1)
    for name in (b"2", b"3"):
        bench.host.receive_datagram(name)
    bench.run(SECOND)
    given = [
        [event.data for event in inputs if isinstance(event, DatagramIn)]
        for _, inputs in bench.node.steps
    ]
    assert given == [[b"1"], [b"2", b"3"]]


def test_a_node_is_woken_at_its_deadline_and_not_before(bench: Bench):
    bench.node.deadline_ms = bench.machine.now().ms + 250
    bench.host.receive_datagram(b"")
    bench.run(10 * SECOND)
    first = bench.node.steps[0][0]
    assert [now.ms - first.ms for now, _ in bench.node.steps] == [0, 250]


def test_a_deadline_that_stays_in_the_past_is_an_error(bench: Bench):
    bench.node.next_deadline = lambda: bench.machine.now().ms - 1  # type: ignore[method-assign]
    bench.host.receive_datagram(b"")
    bench.run(SECOND)
    assert [v.promise for v in bench.world.violations] == ["the node spins"]


def test_an_exception_of_the_node_is_a_broken_promise(bench: Bench):
    def react(inputs: Sequence[Input]) -> list[NodeEffect]:
        raise RuntimeError("no idea")

    bench.node.react = react
    bench.host.receive_datagram(b"")
    bench.run(SECOND)
    assert [v.promise for v in bench.world.violations] == ["the node raised"]
    assert "no idea" in bench.world.violations[0].text


def test_orders_are_carried_out_later_in_order_and_answered_together(bench: Bench):
    read = Read(Space.DATA, (b"k",))
    bench.world.ledger.items[b"k", ITEM.dot] = ITEM
    bench.order(
        StoreOrder(1, read),
        StoreOrder(2, Merge(Space.DATA, ((b"k", RECORD),))),
        StoreOrder(3, read),
    )
    bench.run(10)
    assert len(bench.node.steps) == 1
    bench.run(SECOND)
    results = [
        event for _, inputs in bench.node.steps for event in inputs if isinstance(event, Stored)
    ]
    assert [result.token for result in results] == [1, 2, 3]
    assert results[0].result == Values((None,))
    assert results[2].result == Values((RECORD,))
    assert len(bench.node.steps) == 2


def test_a_sync_takes_longer(bench: Bench):
    times = []
    for order in (Read(Space.DATA, (b"k",)), Sync()):
        bench.order(StoreOrder(0, order))
        bench.run(SECOND)
        asked, answered = [now.ms for now, _ in bench.node.steps[-2:]]
        times.append(answered - asked)
    bench.machine.disk_factor = 100
    bench.order(StoreOrder(0, Sync()))
    bench.run(SECOND)
    asked, answered = [now.ms for now, _ in bench.node.steps[-2:]]
    assert times[0] <= times[1] <= 4
    assert answered - asked >= 30


def test_unsynced_writes_are_synced_within_a_second(bench: Bench):
    bench.world.ledger.items[b"k", ITEM.dot] = ITEM
    bench.order(StoreOrder(0, Merge(Space.DATA, ((b"k", RECORD),))))
    bench.run(2 * SECOND)
    bench.machine.lose_power(0.0)
    bench.machine.recover()
    bench.order(StoreOrder(0, Read(Space.DATA, (b"k",))))
    bench.run(SECOND)
    assert Stored(0, Values((RECORD,))) in bench.node.steps[-1][1]


def test_a_kill_leaves_some_first_part_of_the_orders_done():
    found = set()
    for seed in range(10):
        bench = Bench(seed)
        ledger = bench.world.ledger
        for number in range(4):
            ledger.items[b"%d" % number, ITEM.dot] = ITEM
        bench.order(*(StoreOrder(n, Merge(Space.DATA, ((b"%d" % n, RECORD),))) for n in range(4)))
        bench.run(5)
        bench.machine.kill()
        held = [holding.key for holding in ledger.holdings[0]]
        assert held == [b"%d" % number for number in range(len(held))]
        found.add(len(held))
        bench.world.close()
    assert len(found) > 1


def test_a_paused_process_steps_once_without_inputs_before_what_waited(bench: Bench):
    bench.machine.pause(3 * SECOND)
    bench.host.receive_datagram(b"late")
    bench.run(2 * SECOND)
    assert bench.node.steps == []
    bench.run(2 * SECOND)
    assert [len(inputs) for _, inputs in bench.node.steps] == [0, 1]


def test_a_waking_process_may_drop_what_waited_but_not_its_results(bench: Bench):
    bench.order(StoreOrder(7, Sync()))
    bench.run(100)
    assert len(bench.node.steps) == 1
    bench.machine.pause(3 * SECOND)
    bench.host.receive_datagram(b"late")
    bench.node.next.append(DropConnections())
    bench.run(4 * SECOND)
    events = [event for _, inputs in bench.node.steps[1:] for event in inputs]
    assert [type(event) for event in events] == [Stored]


def test_a_buffer_of_datagrams_is_bounded(bench: Bench):
    bench.machine.pause(SECOND)
    for _ in range(1000):
        bench.host.receive_datagram(b"x")
    bench.run(2 * SECOND)
    assert 1 < len(bench.node.steps[-1][1]) < 100


def test_wall_time_jumps_and_monotonic_time_does_not(bench: Bench):
    before = bench.machine.now()
    bench.machine.wall_offset_ms = -3_600_000
    after = bench.machine.now()
    assert after == Now(before.ms, before.wall_ms - 3_600_000)


def test_machines_have_monotonic_clocks_of_their_own_and_new_ones_after_each_boot(bench: Bench):
    assert len({machine.now().ms for machine in bench.world.machines}) == len(bench.world.machines)
    before = bench.machine.now().ms
    bench.machine.lose_power(1.0)
    bench.machine.recover()
    assert bench.machine.now().ms != before


def call(bench: Bench) -> int:
    request = ClientRequest(Verb.SET, b"p:0", (b"v",))
    return bench.world.clients.call(Session(0, 0, gives_context=False), request, 0).id


def answer(inputs: Sequence[Input]) -> list[NodeEffect]:
    return [
        ClientReply(event.call_id, ClientAnswer(Outcome.DONE))
        for event in inputs
        if isinstance(event, ClientCall)
    ]


def test_a_call_gets_a_deadline_when_it_is_read_and_its_answer(bench: Bench):
    number = call(bench)
    bench.node.react = answer
    bench.run(SECOND)
    now, [given] = bench.node.steps[0]
    assert isinstance(given, ClientCall)
    assert given.deadline_ms == now.ms + bench.world.request_timeout_ms
    assert bench.world.clients.history.calls[number].ending is Ending.DONE


def test_two_answers_to_a_call_are_an_error(bench: Bench):
    call(bench)
    bench.node.react = lambda inputs: answer(inputs) * 2
    bench.run(SECOND)
    assert [v.promise for v in bench.world.violations] == ["a call answered twice"]


@pytest.mark.parametrize(
    ("deed", "ending", "after_us"),
    [
        ("kill before", Ending.NOT_SENT, 10 * MS),
        ("power before", Ending.UNKNOWN, 3 * SECOND),
        ("kill after", Ending.UNKNOWN, 10 * MS),
        ("never answered", Ending.UNKNOWN, 3 * SECOND),
        ("cut off", Ending.UNKNOWN, 3 * SECOND),
    ],
)
def test_what_a_client_learns(bench: Bench, deed: str, ending: Ending, after_us: int):
    if deed == "kill before":
        bench.machine.kill()
    elif deed == "power before":
        bench.machine.lose_power(1.0)
    elif deed == "cut off":
        bench.world.clients.block(0)
    number = call(bench)
    bench.run(2 * MS)
    if deed == "kill after":
        bench.machine.kill()
    bench.run(after_us)
    assert bench.world.clients.history.calls[number].ending is ending
    assert bench.world.clients.is_idle


def test_an_alarm_is_kept(bench: Bench):
    bench.node.next.append(Alarm("look here"))
    bench.host.receive_datagram(b"")
    bench.run(MS)
    assert [text for _, _, text in bench.world.alarms] == ["look here"]


@pytest.mark.parametrize("with_power", [False, True])
def test_a_trap_kills_right_after_a_mint_and_the_machine_comes_back(bench: Bench, with_power: bool):
    sprung: list[bool] = []
    bench.machine.set_trap("minted", with_power, lambda: sprung.append(True))
    host = bench.host
    bench.order(StoreOrder(1, Mint(Space.DATA, (b"k",), lambda index, stored: RECORD)))
    bench.run(SECOND // 2)
    assert sprung == [True]
    assert not host.is_alive
    assert len(bench.world.ledger.mints) == 1
    assert all(Stored not in map(type, inputs) for _, inputs in host.node.steps)
    bench.run(5 * SECOND)
    assert bench.machine.process is not None


def test_a_trap_kills_in_the_place_of_an_answer(bench: Bench):
    number = call(bench)
    bench.node.react = answer
    bench.machine.set_trap("replying", False, lambda: None)
    bench.run(SECOND // 2)
    assert bench.world.clients.history.calls[number].ending is Ending.UNKNOWN
