"""A write ends in one of three ways and says which: done when enough keep it, refused when nothing
was minted, unknown otherwise; whatever the store, the peers and the time do, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaStatus, decode_merge
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.coordination.write_state import WriteSettings
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.storage.storage_orders import Failure, Mint, Space, Sync
from lsmkv_cluster.versions import record_format
from tests.support.members import member_id
from tests.support.quorum_lab import QuorumLab

ONE, QUORUM, ALL = Consistency(Level.ONE), Consistency(Level.QUORUM), Consistency(Level.ALL)
EACH_QUORUM = Consistency(Level.EACH_QUORUM)
PUT = ClientRequest(Verb.PUT, b"k", (b"v",), write=QUORUM)
STRICT = replace(PUT, mode=Mode.STRICT, read=QUORUM)
INCREMENT = ClientRequest(Verb.INCREMENT, b"k", delta=1, write=QUORUM)


@pytest.fixture
def lab() -> QuorumLab:
    return QuorumLab()


def outcome(answer: ClientAnswer) -> tuple[Outcome, Reason, int, int]:
    return answer.outcome, answer.reason, answer.answered, answer.needed


def done(answered: int, needed: int) -> tuple[Outcome, Reason, int, int]:
    return Outcome.DONE, Reason.NONE, answered, needed


def unknown(answered: int, needed: int) -> tuple[Outcome, Reason, int, int]:
    return Outcome.UNKNOWN, Reason.NOT_ENOUGH_REPLICAS, answered, needed


def refused(reason: Reason) -> tuple[Outcome, Reason]:
    return Outcome.REFUSED, reason


# --- done ----------------------------------------------------------------------------------------


def test_step_by_step(lab):
    """Nothing leaves before the store has it, and the answer comes with the second copy."""
    id = lab.call(PUT)
    assert lab.shown() == ""
    lab.run()
    assert lab.shown() == "merge b, merge c"
    assert lab.replies == {}
    lab.deliver("c")
    assert outcome(lab.replies[id]) == done(2, 2)
    assert lab.holders(b"k", b"v") == {"a", "c"}
    lab.deliver("b")
    assert lab.holders(b"k", b"v") == {"a", "b", "c"}
    assert lab["a"].is_idle


def test_the_answer_has_the_record_and_a_context_that_supersedes_it(lab):
    id = lab.call(PUT)
    lab.settle()
    answer = lab.replies[id]
    assert answer.record == lab["a"].store.get(b"k")
    lab.call(replace(PUT, values=(b"w",), context=answer.context))
    lab.settle()
    assert lab.value("b", b"k") == [b"w"]


@pytest.mark.parametrize(
    ("level", "kept_at_the_answer"),
    [(ONE, 1), (QUORUM, 2), (ALL, 3), (Consistency(Level.COUNT, 2), 2)],
    ids=str,
)
def test_as_many_as_the_level_asks_for(lab, level, kept_at_the_answer):
    id = lab.call(replace(PUT, write=level))
    lab.run()
    for to in ("b", "c"):
        assert (id in lab.replies) == (len(lab.holders(b"k", b"v")) >= kept_at_the_answer)
        lab.deliver(to)
    assert outcome(lab.replies[id]) == done(kept_at_the_answer, kept_at_the_answer)
    assert lab["a"].is_idle


def test_each_quorum_counts_data_centres():
    lab = QuorumLab("a b c west/x west/y west/z", "a b c x y z")
    id = lab.call(replace(PUT, write=EACH_QUORUM))
    lab.run()
    for to in ("b", "c", "x"):
        lab.deliver(to)
    assert lab.replies == {}
    lab.deliver("z")
    assert outcome(lab.replies[id]) == done(5, 4)


def test_many_writes_are_one_order_and_each_is_answered(lab):
    ids = lab.call_many([replace(PUT, key=b"%d" % n) for n in range(5)] + [INCREMENT] * 3)
    assert len(lab["a"].orders) == 1
    lab.settle()
    assert {lab.replies[id].outcome for id in ids} == {Outcome.DONE}
    assert lab.value("c", b"k") == [(3).to_bytes(8, "little")]


# --- strict --------------------------------------------------------------------------------------


def test_strict_counts_the_own_copy_once_it_is_synced(lab):
    id = lab.call(STRICT)
    lab.run(count=1)
    assert isinstance(lab["a"].orders[0][1].order, Sync)
    assert lab.shown() == "merge b sync, merge c sync"
    lab.deliver("b")
    assert lab.replies == {}
    lab.run()
    assert outcome(lab.replies[id]) == done(2, 2)
    assert lab.holders(b"k", b"v", durable=True) == {"a", "b"}


def test_where_all_is_synced_so_are_sloppy_writes():
    lab = QuorumLab(write_settings=WriteSettings(syncs_always=True))
    id = lab.call(PUT)
    lab.run(count=1)
    assert isinstance(lab["a"].orders[0][1].order, Sync)
    assert lab.shown() == "merge b sync, merge c sync"
    lab.deliver("b")
    assert lab.replies == {}
    lab.run()
    assert outcome(lab.replies[id]) == done(2, 2)
    assert lab.holders(b"k", b"v", durable=True) == {"a", "b"}


def test_strict_writes_of_a_batch_share_a_sync(lab):
    ids = lab.call_many([replace(STRICT, key=b"%d" % n) for n in range(5)])
    lab.run(count=1)
    assert len(lab["a"].orders) == 1
    lab.settle()
    assert {lab.replies[id].outcome for id in ids} == {Outcome.DONE}


def test_strict_never_counts_a_stand_in(lab):
    lab.down = {"b"}
    id = lab.call(replace(STRICT, write=ALL))
    assert outcome(lab.replies[id])[:2] == refused(Reason.NOT_ENOUGH_REPLICAS)
    id = lab.call(STRICT)
    lab.run()
    assert lab.shown() == "merge c sync"
    lab.lose("c")
    assert outcome(lab.replies[id]) == unknown(1, 2)
    assert lab.shown() == ""


def test_a_failed_sync_does_not_count(lab):
    lab["a"].store.sync_failure = Failure.BROKEN
    id = lab.call(STRICT)
    lab.run()
    lab.deliver("b")
    assert lab.replies == {}
    lab.deliver("c")
    assert outcome(lab.replies[id]) == done(2, 2)
    id = lab.call(replace(STRICT, key=b"other"))
    lab.run()
    lab.lose("b")
    assert outcome(lab.replies[id]) == unknown(0, 2)


# --- refused: nothing was minted -----------------------------------------------------------------


def nothing_was_written(lab: QuorumLab) -> bool:
    return not any(node.store.records for node in lab.nodes.values()) and lab.shown() == ""


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])
def test_too_few_can_be_reached(mode):
    """Seen before anything is minted: not even an order is given (refused_but_applied)."""
    lab = QuorumLab("a b c", "a b c")
    lab.down = {"b", "c"}
    id = lab.call(replace(STRICT, mode=mode))
    assert lab.replies[id] == ClientAnswer(Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS, 1, 2)
    assert lab["a"].orders == []
    assert lab["a"].is_idle


@pytest.mark.parametrize(
    ("prepare", "request_", "reason"),
    [
        ("unreadable", PUT, Reason.NOT_READY),
        ("full", PUT, Reason.STORE_FAILED),
        ("text", INCREMENT, Reason.WRONG_TYPE),
        ("no lease", PUT, Reason.NOT_READY),
        ("asleep", PUT, Reason.DEADLINE),
    ],
)
def test_what_the_store_does_not_write_is_refused(lab, prepare, request_, reason):
    node = lab["a"]
    if prepare == "text":
        lab.call(replace(PUT, verb=Verb.SET))
        lab.settle()
    before = {name: dict(n.store.records) for name, n in lab.nodes.items()}
    if prepare == "unreadable":
        node.store.unreadable = {b"k"}
    if prepare == "full":
        node.store.write_failure = Failure.FULL
    if prepare == "no lease":
        node.minter.actors._peers_needed = 1
    id = lab.call(request_)
    if prepare == "asleep":
        node.coordinator.woke()
    lab.run()
    assert outcome(lab.replies[id])[:2] == refused(reason)
    assert {name: n.store.records for name, n in lab.nodes.items()} == before
    assert lab.shown() == ""
    assert node.is_idle


def test_one_that_is_refused_takes_nothing_with_it(lab):
    lab.call(replace(PUT, verb=Verb.SET))
    lab.settle()
    bad, good = lab.call_many([INCREMENT, replace(INCREMENT, key=b"other")])
    lab.settle()
    assert outcome(lab.replies[bad])[:2] == refused(Reason.WRONG_TYPE)
    assert lab.replies[good].is_done


# --- unknown -------------------------------------------------------------------------------------


def test_a_store_that_breaks_leaves_it_unknown(lab):
    lab["a"].store.write_failure = Failure.BROKEN
    id = lab.call(PUT)
    lab.run()
    assert outcome(lab.replies[id])[:2] == (Outcome.UNKNOWN, Reason.STORE_FAILED)
    assert lab.shown() == ""


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])
def test_lost_answers_leave_it_unknown_with_one_dot(mode):
    """Both others have it, and nobody may say that nothing was written (refused_but_applied)."""
    lab = QuorumLab("a b c", "a b c")
    id = lab.call(replace(STRICT, mode=mode))
    lab.run()
    for to in ("b", "c"):
        lab.handle(to)
    lab.lose("b")
    assert lab.replies == {}
    lab.lose("c")
    assert outcome(lab.replies[id]) == unknown(1, 2)
    assert lab.holders(b"k", b"v") == {"a", "b", "c"}
    assert len(lab.ledger) == 1


def test_a_full_disk_elsewhere_leaves_it_unknown():
    lab = QuorumLab("a b", "a b")
    id = lab.call(STRICT)
    lab.run()
    lab.answer(lab.open("b"), ReplicaStatus.FAILED, b"\x03")
    assert outcome(lab.replies[id]) == unknown(1, 2)


def test_silence_until_the_deadline_leaves_it_unknown():
    """Also of those whom the failure detector has not found out yet (primary_quorum_shadow b)."""
    lab = QuorumLab("a b c", "a b c")
    some, every = lab.call_many([STRICT, replace(STRICT, write=ALL)], timeout_ms=700)
    lab.run()
    lab.deliver("c")
    lab.deliver("c")
    lab.advance(699)
    assert lab.replies.keys() == {some}
    lab.advance(1)
    assert outcome(lab.replies[some]) == done(2, 2)
    assert outcome(lab.replies[every]) == unknown(2, 3)
    assert lab["a"].is_idle


def test_a_store_that_does_not_come_to_it_leaves_it_unknown_and_mints_nothing(lab):
    """The client is answered at its deadline; the order that still lies there is void."""
    early, late = lab.call(PUT, timeout_ms=100), lab.call(replace(PUT, key=b"x"), timeout_ms=900)
    lab.advance(100)
    assert outcome(lab.replies[early]) == unknown(0, 2)
    lab.settle()
    assert lab.replies[late].is_done
    assert lab.holders(b"k", b"v") == set()
    assert lab.holders(b"x", b"v") == {"a", "b", "c"}
    assert lab["a"].is_idle


def test_one_of_a_batch_that_comes_too_late_is_void_alone(lab):
    early, late = lab.call_many([PUT, replace(PUT, key=b"x")], timeout_ms=100)
    lab.advance(99)
    lab.run()
    lab.settle()
    assert lab.replies[early].is_done
    assert lab.replies[late].is_done


def test_what_was_minted_too_late_is_not_shipped(lab):
    """Time passes between the store's work and its result."""
    id = lab.call(STRICT, timeout_ms=100)
    node = lab["a"]
    [(_, (_, order))] = node.orders
    assert isinstance(order, Mint)
    result = node.store.carry_out(order)
    lab.advance(100)
    assert outcome(lab.replies[id]) == unknown(0, 2)
    node.store.carry_out = lambda _: result  # the driver hands it over only now
    lab.run()
    assert lab.shown() == ""
    assert lab.holders(b"k", b"v") == {"a"}
    assert node.is_idle


@pytest.mark.parametrize("request_", [PUT, STRICT])
def test_what_the_store_gives_back_after_the_deadline_is_not_shipped(lab, request_):
    """The result and the deadline come in one step, the result first."""
    id = lab.call(request_, timeout_ms=100)
    lab.now_ms += 100
    lab.run()
    assert outcome(lab.replies[id]) == unknown(0, 2)
    assert lab.shown() == ""
    assert lab["a"].is_idle


# --- what had been changed already ---------------------------------------------------------------

ADD = ClientRequest(Verb.ADD_ELEMENTS, b"k", (b"x",), write=QUORUM, read=QUORUM, mode=Mode.STRICT)
REMOVE = replace(ADD, verb=Verb.REMOVE_ELEMENTS)


def test_a_repeated_remove_is_not_done_before_enough_have_it():
    """The first attempt got no further than this node: the second finds nothing to change here, and
    must not say done on the strength of one copy."""
    lab = QuorumLab("a b c", "a b c")
    lab.call(ADD)
    lab.settle()
    first = lab.call(REMOVE)
    lab.run()
    lab.lose("b")
    lab.lose("c")
    assert lab.replies[first].outcome is Outcome.UNKNOWN
    assert lab.holders(b"k", b"x") == {"b", "c"}
    second = lab.call(REMOVE)
    lab.run()
    assert second not in lab.replies
    lab.deliver("b")
    assert outcome(lab.replies[second]) == done(2, 2)
    assert lab.holders(b"k", b"x") == {"c"}


def test_a_remove_where_there_is_nothing_is_done_at_once(lab):
    id = lab.call(REMOVE)
    lab.run()
    assert outcome(lab.replies[id]) == done(0, 2)
    assert nothing_was_written(lab)
    assert lab["a"].is_idle


# --- stand-ins -----------------------------------------------------------------------------------


def test_a_stand_in_takes_the_place_of_an_owner_that_is_down(lab):
    lab.down = {"b"}
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    stand_in = stand_ins(lab)[0]
    assert lab.shown() == f"merge c, merge {stand_in} hint"
    lab.deliver("c")
    lab.deliver(stand_in)
    assert outcome(lab.replies[id]) == done(3, 3)
    assert lab.value(stand_in, b"k", Space.HINT) == [b"v"]
    assert lab.value(stand_in, b"k") is None


def stand_ins(lab: QuorumLab) -> list[str]:
    return [lab.names[id] for id in lab["a"].view.place_of(b"k").stand_ins]


@pytest.mark.parametrize("how", ["lost", "refused"])
def test_an_owner_that_fails_is_replaced_at_once(lab, how):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    if how == "lost":
        lab.lose("b")
    else:
        lab.answer(lab.open("b"), ReplicaStatus.FAILED, b"\x03")
    first, second = stand_ins(lab)
    assert lab.shown() == f"merge c, merge {first} hint"
    lab.answer(lab.open(first), ReplicaStatus.HINTS_FULL)
    assert lab.shown() == f"merge c, merge {second} hint"
    lab.deliver("c")
    lab.deliver(second)
    assert outcome(lab.replies[id]) == done(3, 3)


def test_without_another_stand_in_it_is_unknown(lab):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    lab.lose("b")
    for name in stand_ins(lab):
        assert lab.replies == {}
        lab.lose(name)
    assert outcome(lab.replies[id]) == unknown(1, 3)


def test_a_silent_owner_is_replaced_after_a_while_and_counts_when_it_comes_late(lab):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    lab.deliver("c")
    lab.advance(299)
    assert lab.shown() == "merge b"
    lab.advance(1)
    first = stand_ins(lab)[0]
    assert lab.shown() == f"merge b, merge {first} hint"
    lab.deliver("b")
    assert outcome(lab.replies[id]) == done(3, 3)
    lab.deliver(first)
    assert lab["a"].is_idle


def test_a_stand_in_that_fails_does_not_end_the_wait_for_the_owner(lab):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    lab.deliver("c")
    lab.advance(300)
    for name in stand_ins(lab):
        lab.lose(name)
    assert lab.replies == {}
    lab.deliver("b")
    assert outcome(lab.replies[id]) == done(3, 3)


def test_an_owner_that_fails_late_does_not_end_the_wait_for_its_stand_in(lab):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    lab.deliver("c")
    lab.advance(300)
    first, second = stand_ins(lab)
    lab.lose("b")
    assert lab.shown() == f"merge {first} hint, merge {second} hint"
    lab.deliver(first)
    assert outcome(lab.replies[id]) == done(3, 3)


def test_owner_and_stand_in_count_as_one(lab):
    id = lab.call(replace(PUT, write=ALL))
    lab.run()
    lab.advance(300)
    first, second = stand_ins(lab)
    assert lab.shown() == f"merge b, merge c, merge {first} hint, merge {second} hint"
    lab.deliver("b")
    lab.deliver(first)  # in the place of b
    assert lab.replies == {}
    lab.deliver(second)
    assert outcome(lab.replies[id]) == done(3, 3)


def test_at_the_deadline_nobody_is_asked_any_more(lab):
    id = lab.call(PUT, timeout_ms=200)
    lab.run()
    lab.advance(200)
    assert outcome(lab.replies[id]) == unknown(1, 2)
    assert lab.shown() == ""
    assert lab["a"].is_idle


# --- minting as a stand-in -----------------------------------------------------------------------


def test_a_stand_in_mints_into_its_hints_when_no_owner_can_be_reached(lab):
    lab.down = {"a", "b", "c"}
    first, second = stand_ins(lab)
    id = lab.call(PUT, to=first)
    lab.run(first)
    assert lab.shown(first) == f"merge {second} hint"
    lab.deliver(second, first)
    assert outcome(lab.replies[id]) == done(2, 2)
    for name in (first, second):
        assert lab.value(name, b"k", Space.HINT) == [b"v"]
        assert lab.value(name, b"k") is None


def test_a_stand_in_without_room_for_hints_refuses(lab):
    lab.down = {"a", "b", "c"}
    first = stand_ins(lab)[0]
    lab[first].has_room = False
    id = lab.call(PUT, to=first)
    assert outcome(lab.replies[id])[:2] == refused(Reason.OVERLOADED)
    assert nothing_was_written(lab)


# --- what travels --------------------------------------------------------------------------------


def test_the_whole_merged_record_travels(lab):
    old = QuorumLab()
    old.call(PUT)
    old.settle()
    before = old["b"].store.get(b"k")
    lab.plant(b"k", before, "a")
    lab.call(replace(PUT, values=(b"w",)))
    lab.run()
    sent = lab.open("b")
    assert (sent.ask.opcode, sent.ask.deadline_ms) == (MERGE, lab.now_ms + 1000)
    key, record = decode_merge(sent.ask.payload)
    assert key == b"k"
    assert [item.value for item in record_format.decode(record).items] == [b"v", b"w"]
    assert record == lab["a"].store.get(b"k")


def test_an_unknown_status_is_no_success(lab):
    id = lab.call(replace(STRICT, write=ALL))
    lab.run()
    lab.answer(lab.open("b"), 200)
    assert lab.replies[id].outcome is Outcome.UNKNOWN
    assert lab.open("c").ask.to == member_id("c")


@pytest.mark.parametrize(
    "status",
    [s for s in OperationStatus if s not in (OperationStatus.DONE, OperationStatus.STALE_EPOCH)],
)
def test_only_done_is_a_success(lab, status):
    """Who knows of a newer document has not failed: test_adopting.py."""
    id = lab.call(replace(STRICT, write=ALL))
    lab.run()
    lab.answer(lab.open("b"), status)
    assert lab.replies[id].outcome is Outcome.UNKNOWN
