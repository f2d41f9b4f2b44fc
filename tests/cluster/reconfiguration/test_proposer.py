"""An attempt asks a majority twice, and puts forward what may have been chosen before."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from lsmkv_cluster.reconfiguration import proposer as module
from lsmkv_cluster.reconfiguration.acceptor import Acceptor
from lsmkv_cluster.reconfiguration.paxos_messages import Accepted, NoVote, Outbid, Promise
from lsmkv_cluster.reconfiguration.proposer import ENDS, TRANSITIONS, Event, Proposer, Stage
from tests.support.members import member_id

A, B, C, D, E = (member_id(name) for name in "abcde")
VOTERS = frozenset((A, B, C, D, E))


def prepared(*answers: Promise) -> Proposer:
    proposer = Proposer(6, 10, b"own", VOTERS)
    for voter, answer in zip((A, B, C), answers or (Promise(),) * 3, strict=True):
        proposer.hear(Stage.PREPARING, voter, answer)
    assert proposer.stage is Stage.ACCEPTING
    return proposer


def test_every_stage_follows_every_event_or_is_an_end() -> None:
    assert {stage for stage, _ in TRANSITIONS}.isdisjoint(ENDS)
    for stage, event in product(set(Stage) - ENDS, Event):
        assert (stage, event) in TRANSITIONS


def test_a_majority_that_accepts_chooses_the_own_document() -> None:
    proposer = prepared()
    for voter in (A, B):
        proposer.hear(Stage.ACCEPTING, voter, Accepted())
        assert proposer.stage is Stage.ACCEPTING
    proposer.hear(Stage.ACCEPTING, E, Accepted())
    assert (proposer.stage, proposer.document, proposer.is_own) == (Stage.CHOSEN, b"own", True)


def test_what_was_accepted_at_the_highest_ballot_is_put_forward() -> None:
    proposer = prepared(Promise(3, b"older"), Promise(7, b"newer"), Promise())
    assert (proposer.document, proposer.is_own) == (b"newer", False)


def test_answers_count_once_and_in_their_stage_only() -> None:
    proposer = Proposer(6, 10, b"own", VOTERS)
    for _ in range(3):
        proposer.hear(Stage.PREPARING, A, Promise())
        proposer.hear(Stage.ACCEPTING, B, Accepted())
        proposer.hear(Stage.PREPARING, member_id("stranger"), Promise())
    assert proposer.stage is Stage.PREPARING
    proposer = prepared()
    for voter in (D, E, A):
        proposer.hear(Stage.PREPARING, voter, Promise(9, b"late"))
    assert (proposer.stage, proposer.document) == (Stage.ACCEPTING, b"own")


@pytest.mark.parametrize(
    ("answers", "stage"),
    [
        ([None, NoVote()], Stage.PREPARING),
        ([None, NoVote(), None], Stage.NO_MAJORITY),
        ([None, NoVote(), Outbid(99)], Stage.OUTBID),
        ([Promise(), Promise(), Outbid(99), Outbid(50)], Stage.PREPARING),
        ([Promise(), Promise(), Outbid(99), Outbid(50), Promise()], Stage.ACCEPTING),
        ([Promise(), Promise(), Outbid(99), Outbid(50), None], Stage.OUTBID),
    ],
)
def test_it_ends_when_too_few_are_left(answers: list[module.Heard], stage: Stage) -> None:
    proposer = Proposer(6, 10, b"own", VOTERS)
    for voter, answer in zip(sorted(VOTERS), answers, strict=False):
        proposer.hear(Stage.PREPARING, voter, answer)
    assert proposer.stage is stage
    assert proposer.seen == (99 if Outbid(99) in answers else 10)


def test_a_decided_epoch_ends_it() -> None:
    for proposer in (Proposer(6, 10, b"own", VOTERS), prepared()):
        proposer.hear_further()
        assert proposer.stage is Stage.STALE
        proposer.hear_further()
        assert proposer.stage is Stage.STALE


def chosen_in_one_run(seed: int, *, voter_count: int = 5, proposer_count: int = 3) -> set[bytes]:
    """What proposers believe chosen after all of their questions were asked in random order, a part
    of them lost, some of them twice."""
    rng = Random(seed)
    voters = sorted(VOTERS)[:voter_count]
    states = dict.fromkeys(voters, Acceptor(6))
    chosen: set[bytes] = set()
    running: list[tuple[Proposer, list[tuple[Stage, bytes]]]] = []
    for round in range(1, 60):
        if len(running) < proposer_count:
            number = round * 10 + len(running)
            proposer = Proposer(6, number, b"document %d" % number, frozenset(voters))
            running.append((proposer, [(Stage.PREPARING, voter) for voter in voters]))
        for _ in range(rng.randrange(12)):
            proposer, asking = rng.choice(running)
            if not asking:
                continue
            stage, voter = asking.pop(rng.randrange(len(asking)))
            if rng.random() < 0.3:
                continue
            before = proposer.stage
            if stage is Stage.PREPARING:
                states[voter], answer = states[voter].prepare(proposer.ballot)
            else:
                states[voter], answer = states[voter].accept(proposer.ballot, proposer.document)
            if rng.random() < 0.3:
                continue
            proposer.hear(stage, voter, answer)
            if proposer.stage is not before and proposer.stage is Stage.ACCEPTING:
                asking[:] = [(Stage.ACCEPTING, voter) for voter in voters]
            if proposer.stage is Stage.CHOSEN:
                chosen.add(proposer.document)
        running = [(each, asking) for each, asking in running if asking and each.stage not in ENDS]
    return chosen


def test_no_two_documents_are_ever_chosen() -> None:
    found = [chosen_in_one_run(seed) for seed in range(400)]
    assert max(len(chosen) for chosen in found) == 1
    assert sum(map(len, found)) > 200, "most runs choose one"


def test_the_search_would_find_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "majority", lambda voter_count: voter_count // 2)
    assert max(len(chosen_in_one_run(seed)) for seed in range(400)) > 1
