"""A voter keeps its promises, over restarts too, and does not vote where it may have forgotten."""

from __future__ import annotations

from random import Random

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.reconfiguration.acceptor import NEVER, Acceptor, recovered
from lsmkv_cluster.reconfiguration.paxos_messages import Accepted, NoVote, Outbid, Promise
from tests.support.damaged_payloads import damaged

FRESH = Acceptor(6)
PROMISED = Acceptor(6, promised=10)
ACCEPTED = Acceptor(6, promised=10, accepted=10, document=b"d")


@pytest.mark.parametrize(
    ("state", "ballot", "after", "answer"),
    [
        (FRESH, 10, PROMISED, Promise()),
        (PROMISED, 10, PROMISED, Promise()),
        (PROMISED, 9, PROMISED, Outbid(10)),
        (ACCEPTED, 11, Acceptor(6, 11, 10, b"d"), Promise(10, b"d")),
        (ACCEPTED, 9, ACCEPTED, Outbid(10)),
        (Acceptor(6, votes_from=7), 10, Acceptor(6, votes_from=7), NoVote()),
    ],
    ids=["first", "again", "lower", "after accepting", "lower after accepting", "no vote"],
)
def test_promises(state: Acceptor, ballot: int, after: Acceptor, answer: object) -> None:
    assert state.prepare(ballot) == (after, answer)


@pytest.mark.parametrize(
    ("state", "ballot", "document", "after", "answer"),
    [
        (FRESH, 10, b"d", ACCEPTED, Accepted()),
        (PROMISED, 10, b"d", ACCEPTED, Accepted()),
        (ACCEPTED, 10, b"d", ACCEPTED, Accepted()),
        (ACCEPTED, 10, b"e", ACCEPTED, Outbid(10)),
        (PROMISED, 9, b"d", PROMISED, Outbid(10)),
        (ACCEPTED, 11, b"e", Acceptor(6, 11, 11, b"e"), Accepted()),
        (Acceptor(6, votes_from=7), 10, b"d", Acceptor(6, votes_from=7), NoVote()),
    ],
    ids=["unprepared", "prepared", "again", "another", "lower", "higher", "no vote"],
)
def test_accepting(
    state: Acceptor, ballot: int, document: bytes, after: Acceptor, answer: object
) -> None:
    assert state.accept(ballot, document) == (after, answer)


def test_what_was_promised_only_grows() -> None:
    """Whatever is asked, in whatever order: neither promise nor accepted ballot goes back."""
    rng = Random(1)
    state = FRESH
    for _ in range(2000):
        ballot = rng.randrange(1, 200)
        asks_to_accept = rng.random() < 0.5
        after, answer = (
            state.accept(ballot, b"%d" % ballot) if asks_to_accept else (state.prepare(ballot))
        )
        assert (after.promised, after.accepted) >= (state.promised, state.accepted)
        assert isinstance(answer, Outbid) == (ballot < state.promised)
        assert after.promised == max(state.promised, ballot)
        state = after if ballot < 190 else state  # stay low for a while


def test_another_epoch_is_another_decision() -> None:
    assert ACCEPTED.deciding(6) is ACCEPTED
    assert ACCEPTED.deciding(7) == Acceptor(7)
    assert Acceptor(6, 10, 10, b"d", votes_from=7).deciding(7).has_vote
    assert not Acceptor(6, votes_from=NEVER).deciding(1 << 40).has_vote


@pytest.mark.parametrize("state", [FRESH, ACCEPTED, Acceptor(6, 1 << 40, 3, b"d" * 300, NEVER)])
def test_a_note_comes_back_and_nothing_else_is_believed(state: Acceptor) -> None:
    note = state.encode()
    assert Acceptor.decode(note) == state
    for _, payload in damaged(note):
        with pytest.raises(Malformed):
            Acceptor.decode(payload)


def test_a_note_of_another_version_is_not_believed() -> None:
    """Its checksum is right: it was written by a later version."""
    from crc32c import crc32c

    data = b"\x02" + ACCEPTED.encode()[1:-4]
    with pytest.raises(Malformed, match="version 2"):
        Acceptor.decode(data + crc32c(data).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("note", "epoch", "found"),
    [
        (None, 6, FRESH),
        (ACCEPTED.encode(), 6, ACCEPTED),
        (ACCEPTED.encode(), 9, Acceptor(9)),
        (b"damaged", 6, Acceptor(6, votes_from=7)),
        (ACCEPTED.encode(), 4, Acceptor(4, votes_from=7)),
    ],
    ids=["never asked", "same epoch", "older note", "damaged", "documents lost"],
)
def test_what_a_restart_makes_of_a_note(note: bytes | None, epoch: int, found: Acceptor) -> None:
    assert recovered(note, epoch) == found
