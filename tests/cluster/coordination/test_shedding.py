"""Too much to do: what is refused is refused before anything is minted, what can go to somebody
else goes there, and no write is ever given to a second one that the first may have begun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.coordinator import CoordinatorSettings
from lsmkv_cluster.coordination.pace import FORGET_MS
from lsmkv_cluster.coordination.requests import (
    FORWARD,
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    decode_answer,
    encode_answer,
    encode_request,
)
from lsmkv_cluster.driver_ports import ClientCall
from lsmkv_cluster.operations import Machine, OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.ports import Asked, Reply
from lsmkv_cluster.storage.storage_orders import Merge, Space
from lsmkv_cluster.swim.gossip_messages import Load
from tests.support.members import member_id
from tests.support.quorum_lab import QuorumLab

QUORUM, ALL = Consistency(Level.QUORUM), Consistency(Level.ALL)
PUT = ClientRequest(Verb.PUT, b"k", (b"v",), write=QUORUM)
GET = ClientRequest(Verb.GET, b"k", read=QUORUM)
SHED = Outcome.REFUSED, Reason.OVERLOADED
DONE = OperationStatus.DONE
LOADS = [Load.OVERLOADED, Load.READ_ONLY, Load.DRAINING, Load.OVERLOADED | Load.FILLING]


@pytest.fixture
def lab() -> Iterator[QuorumLab]:
    made = QuorumLab()
    yield made
    made.settle()
    assert all(node.is_idle for node in made.nodes.values())
    assert all(node.coordinator.in_flight == 0 for node in made.nodes.values())


def fill_store(lab: QuorumLab, name: str = "a") -> None:
    """More waits than the store can do, until `look` says that time has passed."""
    backlog = lab[name].backlog
    count = backlog.settings.operation_count_max
    backlog.ordered(-1, Merge(Space.DATA, ((b"", b""),) * count))


def ended(lab: QuorumLab, id: int) -> tuple[Outcome, Reason]:
    return lab.replies[id].outcome, lab.replies[id].reason


# --- the own store -------------------------------------------------------------------------------


def test_where_nobody_else_can_a_write_is_refused_before_it_is_minted(lab):
    fill_store(lab)
    lab.down = {"b", "c"}
    id = lab.call(replace(PUT, write=Consistency(Level.ONE)))
    assert ended(lab, id) == SHED
    assert lab.ledger == {}


def test_a_write_goes_to_another_owner_when_the_own_store_is_behind(lab):
    lab.loads["a"] = Load.OVERLOADED
    fill_store(lab)
    id = lab.call(PUT)
    assert lab.shown() == "forward b"
    lab.settle()
    assert lab.replies[id].is_done
    assert len(lab.ledger) == 1


def test_a_write_stays_where_all_are_overloaded_until_there_is_no_room(lab):
    lab.loads |= dict.fromkeys("abc", Load.OVERLOADED)
    id = lab.call(PUT)
    assert lab.shown() == ""
    lab.settle()
    assert lab.replies[id].is_done
    fill_store(lab)
    assert ended(lab, lab.call(PUT)) == SHED


def test_a_read_goes_on_without_the_own_copy_if_others_are_enough(lab):
    fill_store(lab)
    lab.loads["a"] = Load.OVERLOADED
    id = lab.call(GET)
    assert lab.shown() == "read b, read c digest"
    assert lab["a"].orders == []
    lab.settle()
    assert lab.replies[id].is_done
    assert ended(lab, lab.call(replace(GET, read=ALL))) == SHED
    lab.loads["b"] = Load.OVERLOADED
    assert ended(lab, lab.call(GET)) == SHED


def test_who_owns_nothing_of_it_needs_no_room(lab):
    fill_store(lab, "d")
    ids = [lab.call(PUT, "d"), lab.call(GET, "d")]
    lab.settle()
    assert all(lab.replies[id].is_done for id in ids)


def test_a_forwarded_write_that_has_no_room_is_refused_and_tried_elsewhere(lab):
    fill_store(lab)
    id = lab.call(PUT, "d")
    lab.handle("a", "d")
    answer = lab.open("a", "d").answer
    assert answer is not None
    assert decode_answer(answer.payload).reason is Reason.OVERLOADED
    lab.hear("a", "d")
    assert lab.shown("d") == "forward b"
    lab.settle()
    assert lab.replies[id].is_done


def test_when_all_that_were_asked_are_overloaded_the_client_is_told_so(lab):
    shed = encode_answer(ClientAnswer(*SHED))
    id = lab.call(PUT, "d")
    lab.answer(lab.open("a", "d"), DONE, shed)
    lab.answer(lab.open("b", "d"), OperationStatus.OVERLOADED)
    assert ended(lab, id) == SHED


# --- who is under way ----------------------------------------------------------------------------


def call(lab: QuorumLab, client: int, count: int) -> list[Outcome | None]:
    """What became of so many calls of one client, None for those under way."""
    first = len(lab._calls)
    ids = range(first, first + count)
    lab._calls.update(dict.fromkeys(ids, "a"))
    calls = [ClientCall(id, PUT, lab.now_ms + 1000, client) for id in ids]
    node = lab["a"]
    lab._take(node, Machine.COORDINATOR, node.coordinator.called(lab.now, calls))
    return [lab.replies[id].outcome if id in lab.replies else None for id in ids]


def test_a_client_that_floods_leaves_room_for_others():
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_max=100))
    assert call(lab, 1, 1000).count(None) == 50
    for other in range(2, 12):
        assert call(lab, other, 2) == [None, None]
    assert not lab["a"].backlog.is_overloaded
    assert len(lab.ledger) == 0
    lab.settle()
    assert len(lab.ledger) == 70
    assert call(lab, 1, 1000).count(None) == 50


def test_calls_that_name_no_client_share_all_there_is():
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_max=100))
    assert call(lab, 0, 1000).count(None) == 100


def test_a_node_that_forwards_too_much_leaves_room_for_others():
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_max=100))
    payload = encode_request(PUT)

    def forward(peer: bytes, count: int) -> int:
        asked = [Asked(peer, FORWARD, payload, 0, lab.now_ms + 1000, n) for n in range(count)]
        return sum(isinstance(e, Reply) for e in lab["a"].coordinator.asked(lab.now, asked))

    assert forward(member_id("d"), 1000) == 950
    assert forward(member_id("e"), 1) == 0


def test_bytes_of_requests_are_bounded():
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_size_max_bytes=10_000))
    large = replace(PUT, values=(bytes(4000),))
    ids = lab.call_many([large] * 4)
    assert [ended(lab, id) for id in ids[2:]] == [SHED] * 2
    lab.settle()
    assert [lab.replies[id].is_done for id in ids] == [True, True, False, False]


def test_who_refuses_for_long_because_too_much_is_under_way_says_that_it_is_overloaded():
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_max=1))
    for _ in range(10):
        lab.call_many([PUT, PUT], timeout_ms=100)
        lab.advance(100)
    assert lab["a"].backlog.is_overloaded


# --- who is better off ---------------------------------------------------------------------------


@pytest.mark.parametrize("load", LOADS)
def test_a_write_is_forwarded_to_an_owner_that_is_better_off(lab, load):
    lab.loads["a"] = load
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward b"


def test_what_says_nothing_about_writes_changes_nothing(lab):
    lab.loads["a"] = Load.FILLING
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward a"


def test_where_none_is_better_off_it_goes_to_the_first(lab):
    lab.loads |= dict.fromkeys("abc", Load.OVERLOADED)
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward a"


def test_reads_ask_the_overloaded_last(lab):
    lab.loads["a"] = Load.OVERLOADED
    lab.call(GET, "d")
    assert lab.shown("d") == "read b, read c digest"
    lab.call(replace(GET, read=ALL), "d")
    assert lab.shown("d").endswith("read b, read c digest, read a digest")


def test_an_owner_that_is_silent_gets_no_more_writes_and_none_is_sent_twice(lab):
    """A thousand times slower than the others: what it got first ends as unknown, and what comes
    later goes to the next owner, long before the first deadline."""
    first = lab.call(PUT, "d")
    assert lab.shown("d") == "forward a"
    lab.advance(100)
    later = [lab.call(PUT, "d") for _ in range(5)]
    assert lab.shown("d") == "forward a" + ", forward b" * 5
    for _ in later:
        lab.handle("b", "d")
    lab.advance(1000)
    assert ended(lab, first) == (Outcome.UNKNOWN, Reason.DEADLINE)
    lab.call(PUT, "d")
    assert lab.shown("d") in ("forward b", "forward c")


def test_an_owner_that_was_slow_is_tried_again(lab):
    lab.call(PUT, "d")
    lab.advance(1000)
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward b"
    lab.settle()
    lab.advance(FORGET_MS)
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward a"


def test_quick_refusals_are_no_sign_of_speed(lab):
    lab.call(PUT, "d")
    lab.advance(1000)
    lab.loads["b"] = Load.OVERLOADED
    lab.loads["c"] = Load.OVERLOADED
    for _ in range(20):
        lab.call(PUT, "d")
        lab.answer(lab.open("a", "d"), OperationStatus.OVERLOADED)
        lab.settle()
    lab.loads.clear()
    lab.call(PUT, "d")
    assert lab.shown("d") == "forward b"


# --- peers that are sent nothing more ------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
def test_nothing_is_minted_where_too_few_can_be_sent_it(mode):
    """Strict, or sloppy without anybody to stand in."""
    lab = QuorumLab("a b c", "a b c")
    lab.crowded |= {member_id("b"), member_id("c")}
    put = replace(PUT, mode=mode, read=QUORUM)
    assert ended(lab, lab.call(put)) == SHED
    assert lab["a"].orders == []
    lab.crowded.remove(member_id("c"))
    id = lab.call(put)
    lab.settle()
    assert lab.replies[id].is_done


def test_stand_ins_take_the_place_of_those_who_are_sent_nothing_more(lab):
    lab.crowded |= {member_id("b"), member_id("c")}
    id = lab.call(PUT)
    lab.run()
    for owner in "bc":
        lab.lose(owner, never_sent=True)
    lab.settle()
    assert lab.replies[id].is_done
    assert lab.holders(b"k", b"v") == {"a", "d", "e"}


def test_a_read_takes_the_next_candidate_for_who_is_sent_nothing_more(lab):
    id = lab.call(GET, "d")
    lab.lose("a", "d", never_sent=True)
    assert lab.shown("d") == "read b digest, read c digest"
    lab.settle()
    assert lab.replies[id].is_done


def test_a_read_takes_the_next_candidate_for_an_overloaded_replica(lab):
    id = lab.call(GET, "d")
    lab.answer(lab.open("a", "d"), OperationStatus.OVERLOADED)
    assert lab.shown("d") == "read b digest, read c digest"
    lab.settle()
    assert lab.replies[id].is_done
