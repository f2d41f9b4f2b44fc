"""Each call is answered once: here, by the one owner that it was given to, or with a reason; and no
write is ever begun at two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.coordinator import CoordinatorSettings
from lsmkv_cluster.coordination.requests import (
    FORWARD,
    VALUE_SIZE_MAX,
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    decode_answer,
    encode_answer,
    encode_request,
)
from lsmkv_cluster.coordination.rules import RULES_MAX
from lsmkv_cluster.operations import Machine, OperationStatus, opcode
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.ports import Asked, Now, Reply
from lsmkv_cluster.transport.wire import LANE_LIMITS, Lane
from tests.support.quorum_lab import QuorumLab

ONE, QUORUM, ALL = Consistency(Level.ONE), Consistency(Level.QUORUM), Consistency(Level.ALL)
LOCAL, EACH = Consistency(Level.LOCAL_QUORUM), Consistency(Level.EACH_QUORUM)
TWO, FOUR = Consistency(Level.COUNT, 2), Consistency(Level.COUNT, 4)
PUT = ClientRequest(Verb.PUT, b"k", (b"v",), write=QUORUM, read=QUORUM)
GET = ClientRequest(Verb.GET, b"k", read=QUORUM)
STRICT = Keyspace(mode=Mode.STRICT)


@pytest.fixture
def lab() -> QuorumLab:
    return QuorumLab()


def refusal(reason: Reason) -> bytes:
    return encode_answer(ClientAnswer(Outcome.REFUSED, reason))


def ended(answer: ClientAnswer) -> tuple[Outcome, Reason]:
    return answer.outcome, answer.reason


def dots(lab: QuorumLab) -> int:
    """How many have been minted anywhere."""
    return len(lab.ledger)


# --- what is refused before anything happens -----------------------------------------------------

BAD = [
    replace(PUT, values=()),
    replace(PUT, values=(b"a", b"b")),
    replace(GET, values=(b"a",)),
    replace(PUT, key=bytes(1 << 16)),
    replace(PUT, values=(bytes(VALUE_SIZE_MAX + 1),)),
    replace(PUT, expiry_ms=-1),
    ClientRequest(Verb.INCREMENT, b"k", delta=1 << 63),
    ClientRequest(Verb.PUT_FIELDS, b"k", (b"f",)),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.verb.name)
@pytest.mark.parametrize("to", "ad")
def test_bad_requests(lab, bad, to):
    """Whoever would have to carry them out: nothing is forwarded that cannot be encoded."""
    id = lab.call(bad, to)
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.BAD_REQUEST)
    assert lab.sent == []


@pytest.mark.parametrize("verb", [Verb.GET, Verb.PUT, Verb.INCREMENT])
def test_a_context_that_is_none_of_ours(lab, verb):
    good = lab.call(replace(PUT, key=b"other"))
    lab.settle()
    of_another_key = lab.replies[good].context
    values = (b"v",) if verb is Verb.PUT else ()
    for context in (b"x", of_another_key, of_another_key[:-1]):
        id = lab.call(ClientRequest(verb, b"k", values, context))
        assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.BAD_CONTEXT)


def test_a_deadline_that_has_passed(lab):
    id = lab.call(PUT, timeout_ms=0)
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.DEADLINE)
    assert lab["a"].is_idle


@pytest.mark.parametrize("to", "ad")
def test_overload_is_shed_before_anything_is_minted(to):
    """Reads, writes, and writes that are forwarded alike, also within one step."""
    lab = QuorumLab(settings=CoordinatorSettings(in_flight_max=5))
    ids = lab.call_many([PUT, GET] * 5, to)
    refused = [id for id in ids if id in lab.replies]
    assert refused == ids[5:]
    assert {ended(lab.replies[id]) for id in refused} == {(Outcome.REFUSED, Reason.OVERLOADED)}
    assert lab[to].coordinator.in_flight == 5
    more = lab.call(GET, to)
    assert lab.replies[more].reason is Reason.OVERLOADED
    lab.settle()
    assert {lab.replies[id].outcome for id in ids[:5]} == {Outcome.DONE}
    again = lab.call(GET, to)
    lab.settle()
    assert lab.replies[again].is_done
    assert lab[to].is_idle


# --- strict --------------------------------------------------------------------------------------

# The levels of the keyspace, those of the request, and whether it is allowed.
STRICT_CASES = [
    (QUORUM, QUORUM, None, None, True),
    (ONE, ONE, None, None, False),
    (ONE, ALL, None, None, True),
    (QUORUM, QUORUM, ALL, None, True),
    (QUORUM, QUORUM, ONE, None, False),
    (QUORUM, QUORUM, None, ALL, True),
    (QUORUM, QUORUM, None, ONE, False),
    (QUORUM, QUORUM, ALL, ONE, False),
    # Each would do with itself, and not with the others' writes or reads at the keyspace's levels:
    (QUORUM, QUORUM, ONE, ALL, False),
    (ONE, ALL, QUORUM, QUORUM, False),
    (ONE, ALL, ALL, TWO, False),
]


@pytest.mark.parametrize(("read", "write", "own_read", "own_write", "allowed"), STRICT_CASES)
@pytest.mark.parametrize("verb", [Verb.GET, Verb.SET])
def test_levels_in_a_strict_keyspace(read, write, own_read, own_write, allowed, verb):
    lab = QuorumLab(keyspaces=[replace(STRICT, read=read, write=write)])
    values = (b"v",) if verb is Verb.SET else ()
    id = lab.call(ClientRequest(verb, b"k", values, read=own_read, write=own_write))
    lab.settle()
    answer = lab.replies[id]
    expected = (Outcome.DONE, Reason.NONE) if allowed else (Outcome.REFUSED, Reason.BAD_REQUEST)
    assert ended(answer) == expected
    assert (dots(lab) > 0) == (allowed and verb is Verb.SET)


@pytest.mark.parametrize(
    ("read", "write", "allowed"),
    [(QUORUM, QUORUM, True), (ONE, ALL, True), (ONE, QUORUM, False), (ALL, ONE, False)],
)
def test_levels_of_a_strict_request_in_a_sloppy_keyspace(read, write, allowed):
    lab = QuorumLab(keyspaces=[Keyspace(read=ONE, write=ONE)])
    id = lab.call(replace(PUT, mode=Mode.STRICT, read=read, write=write))
    lab.settle()
    assert lab.replies[id].is_done == allowed


@pytest.mark.parametrize(("write", "allowed"), [(LOCAL, False), (EACH, True), (FOUR, True)])
def test_levels_of_data_centres(write, allowed):
    lab = QuorumLab("a b c west/x west/y west/z", "a b c x y z")
    request = replace(PUT, mode=Mode.STRICT, read=LOCAL if write is EACH else FOUR, write=write)
    id = lab.call(request)
    lab.settle()
    assert lab.replies[id].is_done == allowed


def test_levels_default_to_those_of_the_keyspace_of_the_key():
    keyspaces = [Keyspace(write=ONE), Keyspace(b"all:", write=ALL)]
    lab = QuorumLab("a b c", "a b c", keyspaces)
    one, every = lab.call_many([replace(PUT, key=k, write=None) for k in (b"k", b"all:k")])
    lab.run()
    assert lab.replies[one].needed == 1
    assert every not in lab.replies
    lab.settle()
    assert lab.replies[every].needed == 3


def test_what_is_remembered_of_levels_is_bounded(lab):
    rules = lab["a"].coordinator._rules
    rules._known = {(n,): None for n in range(RULES_MAX)}  # type: ignore[misc]
    id = lab.call(GET)
    assert len(rules) == 1
    lab.settle()
    assert lab.replies[id].is_done


# --- forwarding ----------------------------------------------------------------------------------


def test_a_write_goes_to_an_owner_once_and_its_answer_comes_back(lab):
    id = lab.call(PUT, "d")
    assert lab.shown("d") == "forward a"
    assert lab.open("a", "d").ask.opcode == FORWARD
    lab.handle("a", "d")
    assert lab.shown() == "merge b, merge c"
    lab.deliver("b")
    lab.hear("a", "d")
    answer = lab.replies[id]
    assert (ended(answer), answer.answered, answer.needed) == ((Outcome.DONE, Reason.NONE), 2, 2)
    assert answer.record == lab["a"].store.get(b"k")
    lab.settle()
    assert lab["a"].is_idle
    assert lab["d"].is_idle
    assert lab["d"].store.records == {}


def test_reads_are_coordinated_by_whoever_is_asked(lab):
    id = lab.call(GET, "d")
    assert lab.shown("d") == "read a, read b digest"
    lab.settle()
    assert lab.replies[id].is_done


def test_an_owner_in_the_own_data_centre_is_preferred():
    lab = QuorumLab("a b west/x west/y west/z", "a b x y")
    lab.call(PUT, "z")
    assert lab.shown("z") == "forward x"


def test_after_silence_nobody_else_is_asked(lab):
    """One owner sleeps with it: it stays the only one, and sheds it (forwarded_twice a)."""
    id = lab.call(PUT, "d", timeout_ms=500)
    lab.advance(499)
    assert lab.shown("d") == "forward a"
    late = lab.open("a", "d")
    lab.advance(1)
    assert ended(lab.replies[id]) == (Outcome.UNKNOWN, Reason.DEADLINE)
    assert lab.sent == []
    lab.arrive(late)
    assert late.answer == Reply(late, OperationStatus.EXPIRED)
    assert lab["a"].orders == []
    assert dots(lab) == 0
    assert lab["d"].is_idle


def test_after_a_lost_connection_nobody_else_is_asked(lab):
    id = lab.call(PUT, "d")
    lab.handle("a", "d")
    lab.lose("a", "d")
    assert ended(lab.replies[id]) == (Outcome.UNKNOWN, Reason.DEADLINE)
    assert lab.shown("d") == ""
    lab.settle()
    assert dots(lab) == 1


def test_what_was_never_sent_goes_to_the_next_owner(lab):
    id = lab.call(PUT, "d")
    lab.lose("a", "d", never_sent=True)
    assert lab.shown("d") == "forward b"
    lab.settle()
    assert lab.replies[id].is_done
    assert dots(lab) == 1


NOT_BEGUN = (Reason.NOT_READY, Reason.NOT_AN_OWNER, Reason.OVERLOADED)


@pytest.mark.parametrize("reason", NOT_BEGUN)
def test_an_owner_that_has_not_begun_is_followed_by_the_next(lab, reason):
    id = lab.call(PUT, "d")
    lab.answer(lab.open("a", "d"), OperationStatus.DONE, refusal(reason))
    assert lab.shown("d") == "forward b"
    lab.settle()
    assert lab.replies[id].is_done


@pytest.mark.parametrize("status", [s for s in OperationStatus if s is not OperationStatus.DONE])
def test_statuses_that_mean_that_nothing_was_done_lead_to_the_next(lab, status):
    lab.call(PUT, "d")
    lab.answer(lab.open("a", "d"), status)
    assert lab.shown("d") == "forward b"


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (0, b""),
        (64, b""),
        (200, b""),
        (OperationStatus.DONE, b""),
        (OperationStatus.DONE, b"\x09"),
    ],
)
def test_what_cannot_be_understood_leaves_it_unknown(lab, status, payload):
    """The write may have been done: no second owner is asked."""
    id = lab.call(PUT, "d")
    lab.answer(lab.open("a", "d"), status, payload)
    assert lab.replies[id].outcome is Outcome.UNKNOWN
    assert lab.sent == []


@pytest.mark.parametrize("reason", [r for r in Reason if r not in NOT_BEGUN])
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_other_ends_are_passed_on(lab, outcome, reason):
    id = lab.call(PUT, "d")
    answer = ClientAnswer(outcome, reason, 1, 2)
    lab.answer(lab.open("a", "d"), OperationStatus.DONE, encode_answer(answer))
    assert lab.replies[id] == answer
    assert lab.sent == []


def test_unknown_for_a_reason_that_would_be_tried_again_is_not(lab):
    id = lab.call(PUT, "d")
    answer = ClientAnswer(Outcome.UNKNOWN, Reason.NOT_READY)
    lab.answer(lab.open("a", "d"), OperationStatus.DONE, encode_answer(answer))
    assert lab.replies[id] == answer


def test_no_more_than_so_many_are_tried(lab):
    id = lab.call(PUT, "d")
    for to in ("a", "b"):
        assert lab.shown("d") == f"forward {to}"
        lab.answer(lab.open(to, "d"), OperationStatus.DONE, refusal(Reason.NOT_READY))
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.NOT_READY)
    assert lab["d"].is_idle


def test_at_the_deadline_nobody_else_is_asked(lab):
    id = lab.call(PUT, "d")
    lab.now_ms += 1000
    lab.lose("a", "d", never_sent=True)
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.DEADLINE)
    assert lab.shown("d") == ""


def test_nobody_is_there(lab):
    lab.down = set("abce")
    id = lab.call(replace(PUT, mode=Mode.STRICT), "d")
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS)


# --- what others forward -------------------------------------------------------------------------


def give(lab: QuorumLab, request: ClientRequest, to: str, timeout_ms: int = 500) -> list[object]:
    """What a node makes of a forwarded request at once."""
    asked = Asked(b"peer", FORWARD, encode_request(request), 0, lab.now_ms + timeout_ms, "reply")
    return list(lab[to].coordinator.asked(lab.now, [asked]))


def test_what_was_forwarded_is_not_forwarded_again(lab):
    """Not even where it could be: the first has to find the owner (forwarded_twice b)."""
    [reply] = give(lab, PUT, "d")
    assert isinstance(reply, Reply)
    assert (reply.reply_to, reply.status) == ("reply", OperationStatus.DONE)
    answer = decode_answer(reply.payload)
    assert ended(answer) == (Outcome.REFUSED, Reason.NOT_AN_OWNER)
    lab["a"].may_mint = False
    [reply] = give(lab, PUT, "a")
    assert ended(decode_answer(reply.payload)) == (Outcome.REFUSED, Reason.NOT_AN_OWNER)


@pytest.mark.parametrize(
    ("code", "payload", "timeout_ms", "status"),
    [
        (FORWARD, encode_request(PUT), 0, OperationStatus.EXPIRED),
        (FORWARD, encode_request(PUT)[:-1], 500, OperationStatus.MALFORMED),
        (opcode(Machine.COORDINATOR, 2), b"", 500, OperationStatus.UNKNOWN_OPCODE),
    ],
)
def test_operations_that_are_none(lab, code, payload, timeout_ms, status):
    asked = Asked(b"peer", code, payload, 0, lab.now_ms + timeout_ms, "reply")
    assert lab["a"].coordinator.asked(lab.now, [asked]) == [Reply("reply", status)]


@pytest.mark.parametrize("bad", [replace(PUT, values=()), replace(PUT, context=b"x")])
def test_forwarded_requests_are_checked_like_any(lab, bad):
    [reply] = give(lab, bad, "a")
    assert decode_answer(reply.payload).outcome is Outcome.REFUSED


def test_the_largest_request_and_its_answer_fit_a_frame(lab):
    request = replace(PUT, values=(bytes(VALUE_SIZE_MAX),))
    id = lab.call(request, "d")
    sent = lab.handle("a", "d")
    lab.deliver("b")
    assert sent.answer is not None
    for payload in (sent.ask.payload, sent.answer.payload):
        assert len(payload) + 16 <= LANE_LIMITS[Lane.DATA].body_size_max
    lab.hear("a", "d")
    assert lab.replies[id].is_done


# --- who mints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["may not mint", "not whole"])
def test_an_owner_that_should_not_mint_leaves_it_to_another(lab, what):
    lab["a"].may_mint = what != "may not mint"
    lab["a"].is_ready = what != "not whole"
    id = lab.call(PUT)
    assert lab.shown() == "forward b"
    lab.settle()
    assert lab.replies[id].is_done
    assert lab.value("a", b"k") == [b"v"]


def test_owners_that_are_all_not_whole_mint_all_the_same(lab):
    for name in "abc":
        lab[name].is_ready = False
    id = lab.call(PUT)
    lab.settle()
    assert lab.replies[id].is_done
    lab.down = {"b", "c"}
    id = lab.call(replace(PUT, write=ONE))
    assert lab.shown() == ""
    lab.settle()
    assert lab.replies[id].is_done


def test_the_only_owner_may_not_mint_yet():
    lab = QuorumLab("a b", "a")
    lab["a"].may_mint = False
    for to in "ab":
        id = lab.call(replace(PUT, write=ONE), to)
        lab.settle()
        assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.NOT_READY)


def test_without_owners_the_first_stand_in_mints(lab):
    lab.down = set("abc")
    first, second = (lab.names[id] for id in lab["a"].view.place_of(b"k").stand_ins)
    there = lab.call(PUT, second)
    assert lab.shown(second) == f"forward {first}"
    here = lab.call(PUT, first)
    assert lab.shown(first) == ""
    lab.settle()
    assert lab.replies[there].is_done
    assert lab.replies[here].is_done
    strict = lab.call(replace(PUT, mode=Mode.STRICT), first)
    assert ended(lab.replies[strict]) == (Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS)


def test_a_stand_in_that_sees_an_owner_does_not_mint(lab):
    lab.down = set("abc")
    first, second = (lab.names[id] for id in lab["a"].view.place_of(b"k").stand_ins)
    id = lab.call(PUT, second)
    lab.down = set("bc")
    lab.deliver(first, second)
    assert lab.shown(second) == "forward a"
    lab.settle()
    assert lab.replies[id].is_done


# --- sleep ---------------------------------------------------------------------------------------


def test_what_was_to_be_minted_before_a_sleep_is_not(lab):
    """pause_past_election: the trapped write is shed, whatever was written since."""
    id = lab.call(PUT)
    lab["a"].coordinator.woke()
    lab.settle()
    assert ended(lab.replies[id]) == (Outcome.REFUSED, Reason.DEADLINE)
    assert dots(lab) == 0
    again = lab.call(PUT)
    lab.settle()
    assert lab.replies[again].is_done


def test_a_coordinator_with_nothing_to_do_has_no_deadline(lab):
    assert lab["a"].coordinator.next_deadline() is None
    assert lab["a"].coordinator.tick(Now(1 << 40, 0)) == []
