"""A read returns the join of what enough have, or refuses; whoever is slow, fails, lacks or damages
what, step by step. Strict reads: test_strict_reading.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.replica_messages import Found, ReplicaStatus, encode_found
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.storage.storage_orders import Failure, Space
from lsmkv_cluster.versions import context, record_format
from tests.support.fake_store import merged, some_record
from tests.support.members import member_id
from tests.support.quorum_lab import QuorumLab, digest

ONE, QUORUM, ALL = Consistency(Level.ONE), Consistency(Level.QUORUM), Consistency(Level.ALL)
GET = ClientRequest(Verb.GET, b"k", read=QUORUM)
STRICT = replace(GET, mode=Mode.STRICT, write=QUORUM)
OLD = some_record(1, 1, b"old")
NEW = some_record(1, 2, b"new")  # supersedes OLD
SIDE = some_record(2, 1, b"side")  # beside both


@pytest.fixture
def lab() -> QuorumLab:
    return QuorumLab()


def context_of(record: bytes) -> bytes:
    return context.encode(context.seen_in(record_format.decode(record)), b"k", b"secret")


def refused(answer: ClientAnswer) -> Reason:
    assert answer.outcome is Outcome.REFUSED
    assert (answer.record, answer.context) == (None, b"")
    return answer.reason


def found(answer: ClientAnswer) -> bytes | None:
    assert (answer.outcome, answer.reason) == (Outcome.DONE, Reason.NONE)
    assert answer.answered >= answer.needed
    return answer.record


def stand_ins(lab: QuorumLab) -> list[str]:
    return [lab.names[id] for id in lab["a"].view.place_of(b"k").stand_ins]


# --- one record, digests from others -------------------------------------------------------------


def test_step_by_step(lab):
    lab.plant(b"k", NEW, "a b c")
    id = lab.call(GET)
    assert lab.shown() == "read b digest"
    assert len(lab["a"].orders) == 1
    lab.deliver("b")
    assert lab.replies == {}
    lab.run()
    assert lab.replies[id] == ClientAnswer(Outcome.DONE, Reason.NONE, 2, 2, context_of(NEW), NEW)
    assert lab.shown() == ""
    assert lab["a"].is_idle


def test_a_node_without_the_key_asks_one_owner_for_the_record(lab):
    lab.plant(b"k", NEW, "a b c")
    id = lab.call(GET, to="d")
    assert lab.shown("d") == "read a, read b digest"
    for to in ("a", "b"):
        lab.deliver(to, "d")
    assert found(lab.replies[id]) == NEW


def test_level_one_asks_nobody_else(lab):
    lab.plant(b"k", NEW, "a")
    id = lab.call(replace(GET, read=ONE))
    assert lab.shown() == ""
    lab.run()
    assert found(lab.replies[id]) == NEW


def test_nothing_is_an_answer_when_enough_owners_say_so(lab):
    id = lab.call(GET)
    lab.settle()
    assert lab.replies[id] == ClientAnswer(Outcome.DONE, Reason.NONE, 2, 2)


def test_reads_of_a_batch_share_an_order(lab):
    ids = lab.call_many([replace(GET, key=b"%d" % n) for n in range(5)])
    assert len(lab["a"].orders) == 1
    lab.settle()
    assert {lab.replies[id].outcome for id in ids} == {Outcome.DONE}
    assert lab["a"].is_idle


def test_the_own_data_centre_is_asked_first_and_the_fastest_in_it():
    lab = QuorumLab("a b c west/x west/y west/z", "a b c x y z")
    node = lab["a"]
    for name, elapsed_ms in (("b", 50), ("c", 3), ("x", 1), ("y", 1), ("z", 1)):
        node.latencies.note(member_id(name), elapsed_ms)
    lab.call(GET)
    asked = [word.split()[1] for word in lab.shown().split(", ")]
    assert asked[:2] == ["c", "b"]
    assert len(asked) == 3
    lab.call(replace(GET, read=Consistency(Level.EACH_QUORUM)))
    more = [word.split()[1] for word in lab.shown().split(", ")][3:]
    assert more == ["c", "x", "y"]


# --- digests that differ -------------------------------------------------------------------------


def test_a_record_behind_another_digest_is_fetched_and_the_join_is_returned_and_mended(lab):
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", SIDE, "b")
    id = lab.call(GET)
    lab.run()
    lab.deliver("b")
    assert lab.shown() == "read b"
    assert lab.replies == {}
    lab.deliver("b")
    both = merged(OLD, SIDE)
    assert found(lab.replies[id]) == both
    assert lab.shown() == "merge b"
    lab.settle()
    assert lab["a"].store.get(b"k") == lab["b"].store.get(b"k") == both
    assert lab["c"].store.get(b"k") is None
    assert lab["a"].is_idle


def test_only_those_who_lack_it_are_mended(lab):
    lab.plant(b"k", NEW, "a c")
    lab.plant(b"k", OLD, "b")
    lab.call(replace(GET, read=ALL))
    lab.run()
    lab.deliver("b")
    lab.deliver("c")
    lab.deliver("b")
    assert lab.shown() == "merge b"
    assert lab["a"].orders == []
    lab.settle()
    assert lab.value("b", b"k") == [b"new"]


def test_an_owner_without_it_is_mended(lab):
    lab.plant(b"k", NEW, "b")
    lab.call(GET)
    lab.settle()
    assert lab.value("a", b"k") == [b"new"]


def test_one_of_those_with_the_same_digest_is_asked_and_the_next_when_it_fails():
    lab = QuorumLab("a b c d e", "a b c d e")
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "b c d")
    id = lab.call(GET)
    lab.run()
    lab.deliver("b")
    lab.deliver("c")
    assert lab.shown() == "read b"
    lab.lose("b")
    assert lab.shown() == "read d digest"
    lab.deliver("d")
    assert lab.shown() == "read c"
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW


def test_a_record_that_does_not_come_is_fetched_from_somebody_else():
    """The first of those with the same digest falls silent after it."""
    lab = QuorumLab("a b c d e", "a b c d e")
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "b c d")
    id = lab.call(GET)
    lab.run()
    lab.deliver("b")
    lab.deliver("c")
    lab.advance(300)
    assert lab.shown() == "read b, read d digest, read e digest"
    lab.deliver("d")
    assert lab.shown() == "read b, read e digest, read c"
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW


def test_a_record_that_does_not_come_is_left_out_when_enough_others_have_answered():
    lab = QuorumLab("a b c d", "a b c d")
    lab.plant(b"k", NEW, "a c d")
    lab.plant(b"k", SIDE, "b")
    id = lab.call(GET)
    lab.run()
    for to in ("b", "c"):
        lab.deliver(to)
    assert lab.shown() == "read b"
    lab.advance(2)
    lab.deliver("d")
    assert lab.replies == {}
    lab.advance(298)
    assert found(lab.replies[id]) == NEW
    assert lab.replies[id].answered == 3


def test_what_changed_between_digest_and_record_is_taken_as_it_is(lab):
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", SIDE, "b")
    id = lab.call(GET)
    lab.run()
    lab.deliver("b")
    lab.plant(b"k", NEW, "b")
    lab.deliver("b")
    assert found(lab.replies[id]) == merged(NEW, SIDE)


def test_a_peer_that_sends_digests_for_records_is_left_alone(lab):
    """Else it would be asked again and again."""
    lab.plant(b"k", OLD, "a c")
    id = lab.call(GET)
    lab.run()
    for _ in range(2):
        sent = lab.open("b")
        lab.answer(sent, OperationStatus.DONE, encode_found(Found(digest=7)))
    assert lab.shown() == "read c digest"
    lab.deliver("c")
    assert found(lab.replies[id]) == OLD


# --- answers that are none -----------------------------------------------------------------------


def damaged_record() -> bytes:
    return NEW[:-1] + bytes([NEW[-1] ^ 1])


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (OperationStatus.NOT_READY, b""),
        (OperationStatus.EXPIRED, b""),
        (OperationStatus.STALE_EPOCH, b""),
        (ReplicaStatus.NOT_OWNER, b""),
        (ReplicaStatus.FAILED, b"\x01"),
        (200, b""),
        (OperationStatus.DONE, b""),
        (OperationStatus.DONE, b"\x09"),
        (OperationStatus.DONE, b"\x01"),
        (OperationStatus.DONE, b"\x01" + damaged_record()),
        (OperationStatus.DONE, encode_found(Found(record=b"no record at all"))),
    ],
)
def test_what_is_no_answer_is_replaced_by_the_next_owner(lab, status, payload):
    lab.plant(b"k", NEW, "a c")
    id = lab.call(GET)
    lab.run()
    lab.answer(lab.open("b"), status, payload)
    assert lab.shown() == "read c digest"
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW


def test_when_nobody_is_left_the_read_is_refused(lab):
    id = lab.call(GET)
    lab.run()
    lab.lose("b")
    lab.lose("c", never_sent=True)
    answer = lab.replies[id]
    assert refused(answer) is Reason.NOT_ENOUGH_REPLICAS
    assert (answer.answered, answer.needed) == (1, 2)
    assert lab["a"].is_idle


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])
def test_too_few_can_be_reached(mode):
    lab = QuorumLab("a b c", "a b c")
    lab.down = {"b", "c"}
    id = lab.call(replace(STRICT, mode=mode))
    assert refused(lab.replies[id]) is Reason.NOT_ENOUGH_REPLICAS
    assert lab["a"].orders == []


def test_a_copy_that_cannot_be_read_is_replaced(lab):
    lab.plant(b"k", NEW, "b c")
    lab["a"].store.unreadable = {b"k"}
    id = lab.call(GET)
    lab.settle()
    assert found(lab.replies[id]) == NEW


def test_a_broken_store_is_replaced(lab):
    lab.plant(b"k", NEW, "b c")
    lab["a"].store.sync_failure = Failure.BROKEN
    id = lab.call(STRICT)
    lab.settle()
    assert found(lab.replies[id]) == NEW


def test_a_partition_that_is_being_filled_does_not_say_that_nothing_is_here(lab):
    """Neither here nor at another owner (wiped_owner)."""
    lab.plant(b"k", NEW, "c")
    lab["a"].is_ready = lab["b"].is_ready = False
    id = lab.call(replace(GET, read=ONE))
    assert lab["a"].orders == []
    lab.deliver("b")
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW
    lab.down = {"c"}
    id = lab.call(replace(STRICT, read=ONE, write=ALL))
    lab.settle()
    assert refused(lab.replies[id]) is Reason.NOT_ENOUGH_REPLICAS


# --- stand-ins -----------------------------------------------------------------------------------


def test_a_hint_counts_in_the_place_of_its_owner(lab):
    lab.down = {"b", "c"}
    first, second = stand_ins(lab)
    lab.plant(b"k", NEW, second, Space.HINT)
    id = lab.call(GET)
    lab.run()
    assert lab.shown() == f"read {first} hint"
    lab.deliver(first)
    assert lab.replies == {}  # a miss of a stand-in means that it does not know
    lab.deliver(second)
    assert found(lab.replies[id]) == NEW


def test_misses_of_stand_ins_never_make_a_not_found(lab):
    lab.down = {"b", "c"}
    id = lab.call(GET)
    lab.settle()
    assert refused(lab.replies[id]) is Reason.NOT_ENOUGH_REPLICAS


def test_quick_stand_ins_do_not_answer_for_a_slow_owner(lab):
    """primary_quorum_shadow c: never nil, while the one owner with the value is slow."""
    lab.down = {"b", "c"}
    lab.plant(b"k", NEW, "a")
    id = lab.call(GET)
    for name in stand_ins(lab):
        lab.deliver(name)
    assert lab.replies == {}
    lab.run()
    assert found(lab.replies[id]) == NEW


def test_a_stand_in_reads_its_own_hints(lab):
    lab.down = {"a", "b", "c"}
    first = stand_ins(lab)[0]
    lab.plant(b"k", NEW, first, Space.HINT)
    id = lab.call(replace(GET, read=ONE), to=first)
    lab.settle()
    assert found(lab.replies[id]) == NEW


# --- patience ------------------------------------------------------------------------------------


def test_a_silent_owner_is_replaced_after_a_while(lab):
    lab.plant(b"k", NEW, "a c")
    lab["a"].reading._budget._tokens = 0.0
    id = lab.call(GET)
    lab.run()
    lab.advance(299)
    assert lab.shown() == "read b digest"
    lab.advance(1)
    assert lab.shown() == "read b digest, read c digest"
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW
    assert lab["a"].reading.hedges == 0
    lab.deliver("b")
    assert lab["a"].is_idle


def test_a_slow_read_is_hedged_once():
    lab = QuorumLab("a b c d e", "a b c d e")
    lab.call(GET)
    lab.run()
    assert lab.shown() == "read b digest, read c digest"
    lab.advance(2)
    assert lab.shown() == "read b digest, read c digest, read d digest"
    lab.advance(297)
    assert lab.shown() == "read b digest, read c digest, read d digest"
    assert lab["a"].reading.hedges == 1


def test_hedges_are_at_most_one_in_twenty(lab):
    for _ in range(4000):
        lab["a"].latencies.note(member_id("b"), 1)
    for _ in range(200):
        lab.call(GET)
        lab.run()
        lab.advance(100)
        lab.settle()
    hedges = lab["a"].reading.hedges
    assert 5 <= hedges <= 1 + 200 // 20


def test_a_read_is_hedged_when_it_is_slower_than_most(lab):
    node = lab["a"]
    for _ in range(100):
        node.latencies.note(member_id("b"), 20)
    lab.call(GET)
    lab.run()
    lab.advance(31)
    assert lab.shown().count("read") == 1
    lab.advance(1)
    assert lab.shown().count("read") == 2


def test_whoever_answers_late_or_never_is_asked_later(lab):
    """What has been hedged counts all the same, or a slow member would stay the first choice."""
    node = lab["a"]
    for ending in (lab.deliver, lab.lose):
        lab.call(GET)
        lab.run()
        lab.advance(300)
        lab.deliver("c")
        late = "b"
        ending(late)
        average_ms = node.latencies.average_ms(member_id(late))
        assert average_ms >= 300
        lab.call(GET)
        lab.run()
        assert lab.shown() == "read c digest"
        lab.settle()
        node.latencies._average.clear()


def test_the_wait_for_a_substitute_is_not_the_time_it_took(lab):
    lab["a"].reading._budget._tokens = 0.0
    lab.call(GET)
    lab.run()
    lab.advance(300)
    lab.deliver("c")
    assert lab["a"].latencies.average_ms(member_id("c")) == 0


def test_at_the_deadline_the_read_is_refused(lab):
    id = lab.call(GET, timeout_ms=1000)
    lab.run()
    lab.sent.clear()  # lost without a word
    lab.advance(999)
    assert lab.replies == {}
    lab.sent.clear()
    lab.advance(1)
    answer = lab.replies[id]
    assert refused(answer) is Reason.DEADLINE
    assert (answer.answered, answer.needed) == (1, 2)
    assert lab["a"].is_idle


def test_at_the_deadline_nobody_is_asked_any_more(lab):
    """Also when the end of a question comes in the same step as the deadline, before it."""
    id = lab.call(GET)
    lab.run()
    lab.now_ms += 1000
    lab.lose("b")
    assert refused(lab.replies[id]) is Reason.DEADLINE
    assert lab.shown() == ""
    assert lab["a"].is_idle


def test_a_store_that_does_not_answer_is_replaced(lab):
    lab.plant(b"k", NEW, "b c")
    id = lab.call(GET)
    lab.advance(300)
    lab.deliver("b")
    lab.deliver("c")
    if id not in lab.replies:
        lab.deliver("b")
    assert found(lab.replies[id]) == NEW
    lab.run()
    assert lab["a"].is_idle


# --- contexts ------------------------------------------------------------------------------------


def test_a_stale_copy_is_not_returned_to_who_has_seen_more(lab):
    lab.plant(b"k", OLD, "a b")
    lab.plant(b"k", NEW, "c")
    id = lab.call(replace(GET, context=context_of(NEW)))
    lab.run()
    lab.deliver("b")
    assert lab.shown() == "read c digest"
    lab.deliver("c")
    lab.deliver("c")
    assert found(lab.replies[id]) == NEW


def test_who_has_the_rest_need_not_wait_for_the_silent():
    lab = QuorumLab("a b c d", "a b c d")
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "d")
    id = lab.call(replace(GET, read=ONE, context=context_of(NEW)))
    lab.run()
    assert lab.shown() == "read b digest, read c digest, read d digest"
    lab.deliver("d")
    lab.deliver("d")
    assert found(lab.replies[id]) == NEW


def test_nobody_has_what_the_client_has_seen(lab):
    lab.plant(b"k", OLD, "a b c")
    id = lab.call(replace(GET, context=context_of(NEW)))
    lab.settle()
    assert refused(lab.replies[id]) is Reason.STALE
    id = lab.call(replace(GET, key=b"other", context=b""))
    lab.settle()
    assert found(lab.replies[id]) is None


def test_what_was_seen_and_is_nowhere_is_not_reported_as_nothing(lab):
    id = lab.call(replace(GET, context=context_of(OLD)))
    lab.run()
    lab.settle()
    assert refused(lab.replies[id]) is Reason.STALE
    assert lab["a"].is_idle


# --- limits --------------------------------------------------------------------------------------


def test_copies_that_cannot_be_joined_are_refused(lab):
    def too_large(old: bytes | None, new: bytes) -> bytes:
        if old is not None:
            raise ValueError("over a limit")
        return new

    lab["a"].reading._join = too_large
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", SIDE, "b")
    id = lab.call(GET)
    lab.settle()
    assert refused(lab.replies[id]) is Reason.STORE_FAILED
    assert lab["a"].is_idle


def test_the_digest_of_the_lab_is_that_of_replicas(lab):
    lab.plant(b"k", NEW, "b")
    lab.call(GET)
    sent = lab.handle("b")
    assert sent.answer is not None
    assert sent.answer.payload == encode_found(Found(digest=digest(b"k", NEW)))
