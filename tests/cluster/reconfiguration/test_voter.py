"""No answer of a voter leaves before it is remembered; refusals need not wait."""

from __future__ import annotations

from lsmkv_cluster.ports import StoreOrder
from lsmkv_cluster.reconfiguration.acceptor import NEVER, Acceptor
from lsmkv_cluster.reconfiguration.paxos_messages import Accepted, NoVote, Outbid, Promise
from lsmkv_cluster.reconfiguration.voter import PAXOS_NOTE, Vote, Voter, Voting
from lsmkv_cluster.storage.storage_orders import Remember


def remembered(order: StoreOrder | Vote) -> tuple[Acceptor, Voting]:
    assert isinstance(order, StoreOrder)
    assert isinstance(order.order, Remember)
    assert order.order.name == PAXOS_NOTE
    assert isinstance(order.token, Voting)
    return Acceptor.decode(order.order.value), order.token


def test_promises_and_accepts_wait_for_the_store() -> None:
    voter = Voter(Acceptor(6))
    state, token = remembered(voter.prepare("here", 10))
    assert state == voter.state == Acceptor(6, 10)
    assert voter.stored(token, is_done=True) == Vote("here", Promise())
    state, token = remembered(voter.accept("there", 10, b"d"))
    assert state == voter.state == Acceptor(6, 10, 10, b"d")
    assert voter.stored(token, is_done=True) == Vote("there", Accepted())


def test_the_same_question_again_is_remembered_again() -> None:
    """The first order may still fail."""
    voter = Voter(Acceptor(6))
    first, second = (remembered(voter.accept(to, 10, b"d")) for to in ("one", "two"))
    assert voter.stored(first[1], is_done=False) == Vote("one", None)
    assert voter.stored(second[1], is_done=True) == Vote("two", Accepted())


def test_what_failed_still_binds() -> None:
    voter = Voter(Acceptor(6))
    _, token = remembered(voter.prepare("here", 10))
    voter.stored(token, is_done=False)
    assert voter.prepare("there", 9) == Vote("there", Outbid(10))


def test_the_next_epoch_begins_anew_but_distrust_stays() -> None:
    voter = Voter(Acceptor(6, 10, 10, b"d"))
    voter.decide(7)
    assert voter.state == Acceptor(7)
    state, token = remembered(voter.distrust())
    assert state.votes_from == NEVER
    assert voter.stored(token, is_done=True).to is None
    voter.decide(8)
    assert voter.prepare("here", 10) == Vote("here", NoVote())
    assert voter.accept("here", 10, b"d") == Vote("here", NoVote())
