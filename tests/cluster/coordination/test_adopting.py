"""Requests while the topology changes: what is in flight goes on where its partition is now.

Scenario 11 (layout_read_before_fill) for coordinator and replica alone; the whole of it runs in
tests/sim/scenarios.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import successor
from tests.support.members import member_id
from tests.support.quorum_lab import QuorumLab

OLD = tuple(member_id(name) for name in "abc")
NEW = tuple(member_id(name) for name in "ade")
PUT = ClientRequest(Verb.PUT, b"k", (b"v",))
GET = ClientRequest(Verb.GET, b"k")
STRICT = Keyspace(b"", Consistency(Level.QUORUM), Consistency(Level.QUORUM), Mode.STRICT)


@pytest.fixture(params=[Mode.SLOPPY, Mode.STRICT])
def lab(request: pytest.FixtureRequest) -> QuorumLab:
    return QuorumLab(keyspaces=[replace(STRICT, mode=request.param)])


def filling(topology: Topology) -> Topology:
    moves = tuple(Transition(p, Phase.FILLING, NEW) for p in range(len(topology.owners)))
    return successor(topology, transitions=moves)


def switched(topology: Topology) -> Topology:
    moves = tuple(Transition(p, Phase.SWITCHED, OLD) for p in range(len(topology.owners)))
    return successor(topology, owners=(NEW,) * len(topology.owners), transitions=moves)


def settled(topology: Topology) -> Topology:
    return successor(topology, transitions=())


def moved(lab: QuorumLab, names: str = "a b c d e") -> Topology:
    document = filling(lab.topology)
    lab.adopt(names, document)
    return document


# --- what each phase asks of requests


def test_while_a_copy_is_filled_writes_need_enough_of_both_rows(lab: QuorumLab):
    moved(lab)
    id = lab.call(PUT)
    lab.run()
    for name in "bc":
        lab.deliver(name)
    assert id not in lab.replies, "a, b and c are enough of the old row; of the new one only a"
    lab.deliver("d")
    assert lab.replies[id].is_done


def test_while_a_copy_is_filled_only_the_old_row_is_read(lab: QuorumLab):
    moved(lab)
    id = lab.call(GET)
    lab.run()
    assert {sent.to for sent in lab.sent} <= {"b", "c"}
    lab.settle()
    assert lab.replies[id].is_done


def test_a_copy_that_is_filled_answers_no_reader_and_repairs(lab: QuorumLab):
    document = moved(lab)
    id = lab.call(PUT)
    lab.settle()
    assert lab.replies[id].is_done
    lab.adopt("a b c", switched(document))
    lab.adopt("d e", switched(document))
    lab["d"].is_ready = False
    id = lab.call(GET)
    lab.run()
    lab.handle("d")
    answer = lab.open("d").answer
    assert answer is not None
    assert answer.status == OperationStatus.NOT_READY
    lab.settle()
    assert lab.replies[id].is_done


def test_once_switched_the_new_row_is_read_and_both_are_written(lab: QuorumLab):
    lab.adopt("a b c d e", switched(filling(lab.topology)))
    put = lab.call(PUT)
    lab.run()
    for name in "de":
        lab.deliver(name)
    assert put not in lab.replies, "of the old row only a"
    lab.deliver("b")
    assert lab.replies[put].is_done
    get = lab.call(GET)
    lab.run()
    assert {sent.to for sent in lab.sent if sent.ask.opcode & 0xFF == 2} <= {"d", "e"}
    lab.settle()
    assert lab.replies[get].is_done


def test_strict_levels_hold_for_both_rows():
    """ONE meets itself where there is one copy, not among three."""
    one = Consistency(Level.ONE)
    lab = QuorumLab(owners="a", keyspaces=[Keyspace(b"", one, one, Mode.STRICT)])
    lab.call(GET)
    assert lab.replies == {}
    moved(lab)
    assert lab.replies[lab.call(GET)].reason is Reason.BAD_REQUEST


# --- who is behind


def test_what_was_sent_for_another_place_is_refused(lab: QuorumLab):
    """Scenario 11b: a coordinator at an old epoch finds no quorum."""
    lab.adopt("b c d e", filling(lab.topology))
    put, get = lab.call(PUT), lab.call(GET)
    lab.run()
    for sent in list(lab.sent):
        lab.arrive(sent)
        lab.run(sent.to)
        assert sent.answer is not None
        assert sent.answer.status == OperationStatus.STALE_EPOCH
        lab.answer(sent, sent.answer.status)
    assert lab.value("b", b"k") is lab.value("c", b"k") is None
    assert lab.replies == {}, "the newer document is on its way"
    lab.advance(2000)
    assert lab.replies[put].outcome is Outcome.UNKNOWN
    assert lab.replies[get].outcome is Outcome.REFUSED


def test_who_is_behind_goes_on_when_the_document_comes(lab: QuorumLab):
    document = filling(lab.topology)
    lab.adopt("b c d e", document)
    put, get = lab.call(PUT), lab.call(GET)
    lab.run()
    for sent in list(lab.sent):
        lab.answer(sent, OperationStatus.STALE_EPOCH)
    lab.adopt("a", document)
    lab.settle()
    assert lab.replies[put].is_done
    assert lab.replies[get].is_done
    assert {"a", "d"} < lab.holders(b"k", b"v")
    assert sum(len(node.minter.actors.effects) for node in lab.nodes.values()) == 0
    assert all(node.is_idle for node in lab.nodes.values())


def test_an_epoch_that_moved_other_partitions_is_no_matter(lab: QuorumLab):
    partition = lab.topology.partition_of(b"k")
    other = Transition((partition + 1) % 16, Phase.FILLING, NEW)
    lab.adopt("b c", successor(lab.topology, transitions=(other,)))
    id = lab.call(PUT)
    lab.settle()
    assert lab.replies[id].is_done


# --- what is in flight when the document comes


def test_answers_that_came_before_count_where_they_are_true(lab: QuorumLab):
    id = lab.call(replace(PUT, write=Consistency(Level.ALL)))
    lab.run()
    lab.deliver("b")
    moved(lab)
    shown = {sent.to for sent in lab.sent if sent.epoch == 2}
    assert shown == {"c", "d", "e"}, "b has it"
    lab.settle()
    assert lab.replies[id].is_done
    assert lab.replies[id].answered == 5


def test_a_late_success_counts_and_a_late_failure_does_not(lab: QuorumLab):
    id = lab.call(replace(PUT, write=Consistency(Level.ALL)))
    lab.run()
    late = {sent.to: sent for sent in lab.sent}
    lab.arrive(late["b"])
    lab.run("b")
    moved(lab)
    lab.answer(late["b"], OperationStatus.DONE)
    lab.drop(late["c"])
    for name in "bcde":
        lab.deliver(name)
    assert lab.replies[id].is_done


def test_a_write_that_waits_for_the_store_is_shipped_to_where_it_is_then(lab: QuorumLab):
    id = lab.call(PUT)
    moved(lab)
    lab.run()
    assert {sent.to for sent in lab.sent} == {"b", "c", "d", "e"}
    lab.settle()
    assert lab.replies[id].is_done


def test_a_write_of_one_who_is_no_keeper_any_more_counts_for_the_others_only(lab: QuorumLab):
    """b mints, and loses the partition before its store comes to it."""
    id = lab.call(PUT, to="b")
    document = switched(filling(lab.topology))
    lab.adopt("a b c d e", settled(document))
    lab.run("b")
    assert {sent.to for sent in lab.sent} == {"a", "d", "e"}
    lab.deliver("a", sender="b")
    assert id not in lab.replies
    lab.deliver("d", sender="b")
    assert lab.replies[id].is_done
    assert lab.replies[id].answered >= 2


def test_a_read_begins_anew_where_the_partition_is(lab: QuorumLab):
    lab.plant(b"k", _record(lab), "d e")
    id = lab.call(GET)
    lab.run()
    document = switched(filling(lab.topology))
    lab.adopt("a b c d e", settled(document))
    for sent in [sent for sent in lab.sent if sent.epoch == 1]:
        lab.answer(sent, OperationStatus.STALE_EPOCH)
    lab.settle()
    assert lab.replies[id].is_done
    assert lab.replies[id].record is not None
    assert all(node.is_idle for node in lab.nodes.values())


def _record(lab: QuorumLab) -> bytes:
    other = QuorumLab()
    other.call(PUT)
    other.settle()
    data = other["a"].store.get(b"k")
    assert data is not None
    return data


def test_a_question_that_is_lost_after_an_earlier_one_was_answered_ends_nothing(lab: QuorumLab):
    """Found by the model check: `c` has answered the first question when the second is lost."""
    id = lab.call(PUT)
    lab.run()
    first = lab.handle("c")
    lab.adopt("a", filling(lab.topology))
    second = [sent for sent in lab.sent if sent.to == "c" and sent is not first]
    lab.hear("c")
    lab.drop(second[0])
    lab.adopt("b c d e", filling(lab.topology))
    lab.settle()
    assert lab.replies[id].is_done
