"""Keepers agree on one document for each epoch, whatever gets lost and whoever crashes.

Scenario 13 (twin_epochs): two operators commit at once across a cut, or with no cut and 30 % loss
and crashes after promises and accepts.
"""

from __future__ import annotations

from random import Random

import pytest

from lsmkv_cluster.operations import Machine, OperationStatus, opcode
from lsmkv_cluster.placement.members import MemberState
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import encode_topology, successor
from lsmkv_cluster.ports import Asked, Now, Reply, StoreOrder
from lsmkv_cluster.reconfiguration import proposals as proposals_module
from lsmkv_cluster.reconfiguration import proposer as proposer_module
from lsmkv_cluster.reconfiguration.acceptor import Acceptor
from lsmkv_cluster.reconfiguration.document_keeper import DocumentKeeper
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import (
    ACCEPT,
    FETCH,
    PREPARE,
    PUBLISH,
    REPORT,
    Accept,
    Fetch,
    MemberReport,
    PaxosStatus,
    Prepare,
)
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    Leave,
    Remove,
    Reweigh,
)
from lsmkv_cluster.reconfiguration.voter import PAXOS_NOTE
from tests.support.heal_lab import heal_topology
from tests.support.members import make_member, member_id
from tests.support.topology_lab import LabKeeper, TopologyLab

NAMES = ["n1", "n2", "n3", "n4", "n5"]
N1, N2, N3, N4, N5, N6 = (member_id(name) for name in [*NAMES, "n6"])
FIVE = heal_topology(member_count=5, partition_count=4)


def lab_of(topology: Topology = FIVE, seed: int = 1) -> tuple[TopologyLab, list[LabKeeper]]:
    lab = TopologyLab(topology, seed)
    return lab, [lab.nodes[member_id(name)] for name in NAMES if member_id(name) in lab.nodes]


def one_document_per_epoch(lab: TopologyLab) -> bool:
    return all(len(hashes) == 1 for hashes in lab.chosen.values())


def is_settled(lab: TopologyLab) -> bool:
    """All work by the newest document there is, in which nothing moves."""
    node = next(iter(lab.nodes.values()))
    is_newest = node.epoch == max(lab.chosen, default=1)
    return lab.agree() and is_newest and not node.document.transitions


def settles(lab: TopologyLab) -> bool:
    """And the conductor finds nothing more to do."""
    for _ in range(20):
        if not lab.run(60_000, lambda: is_settled(lab)):
            return False
        lab.run(2_500)
        if is_settled(lab):
            return True
    return False


# --- in the ordinary


def test_a_change_is_decided_on_and_reaches_all() -> None:
    lab, nodes = lab_of()
    lab.change(nodes[0], "weigh", Reweigh(N2, 150))
    assert lab.run(5_000, lambda: "weigh" in nodes[0].outcomes)
    outcome = nodes[0].outcomes["weigh"]
    assert (outcome.outcome, outcome.epoch) == (Outcome.COMMITTED, 2)
    assert settles(lab)
    assert nodes[4].document.members_by_id[N2].weight == 150
    assert one_document_per_epoch(lab)
    assert not any(node.alarms for node in nodes)


def test_a_member_that_joins_gets_its_share_and_one_that_leaves_is_gone() -> None:
    """Nobody asks for anything in between: the conductor moves it all on."""
    lab, nodes = lab_of()
    lab.add(N6, "n6")
    lab.change(nodes[2], "join", AddMember(make_member("n6")))
    assert lab.run(5_000, lambda: lab.outcome(nodes[2], "join") is Outcome.COMMITTED)
    assert settles(lab)
    assert any(N6 in row for row in nodes[0].document.owners)
    lab.change(nodes[1], "leave", Leave(N5))
    assert lab.run(60_000, lambda: N5 not in nodes[0].document.members_by_id)
    assert settles(lab)
    assert N5 not in nodes[4].document.members_by_id, "it learns that it is none any more"
    assert one_document_per_epoch(lab)


def test_who_conducts_is_replaced_by_the_next() -> None:
    lab, nodes = lab_of()
    by_id = sorted(nodes, key=lambda node: node.id)
    lab.crash(by_id[0])
    lab.change(by_id[4], "remove", Remove(by_id[0].id))
    others = by_id[1:]
    assert lab.run(
        60_000, lambda: lab.agree(others) and by_id[0].id not in others[0].document.members_by_id
    )
    assert not others[0].document.transitions


def test_two_changes_at_once_are_both_made() -> None:
    lab, nodes = lab_of()
    lab.change(nodes[0], "one", Reweigh(N2, 150))
    lab.change(nodes[1], "two", Reweigh(N3, 150))
    lab.change(nodes[0], "three", Reweigh(N4, 150))
    assert lab.run(20_000, lambda: len(nodes[0].outcomes) == 2 and len(nodes[1].outcomes) == 1)
    assert settles(lab)
    weights = [nodes[3].document.members_by_id[id].weight for id in (N2, N3, N4)]
    assert weights == [150, 150, 150]
    assert one_document_per_epoch(lab)


def test_who_was_first_wins_where_both_cannot_be() -> None:
    lab, nodes = lab_of()
    lab.change(nodes[0], "a", AddMember(make_member("n6")))
    lab.change(nodes[1], "b", AddMember(make_member("n6", host="other")))
    assert lab.run(20_000, lambda: bool(nodes[0].outcomes) and bool(nodes[1].outcomes))
    found = {lab.outcome(nodes[0], "a"), lab.outcome(nodes[1], "b")}
    assert found in ({Outcome.COMMITTED, Outcome.LOST}, {Outcome.COMMITTED, Outcome.REFUSED})


def test_what_cannot_be_is_refused_and_what_is_so_is_told() -> None:
    lab, nodes = lab_of()
    lab.change(nodes[0], "twice", AddMember(make_member("other", host="h")))
    lab.change(nodes[0], "weight", Reweigh(N6, 5))
    lab.change(nodes[0], "same", Reweigh(N2, 100))
    lab.run(5_000)
    outcomes = nodes[0].outcomes
    assert outcomes["weight"].outcome is Outcome.REFUSED
    assert outcomes["same"].outcome is Outcome.COMMITTED


# --- twin epochs


def test_twin_epochs_across_a_cut() -> None:
    lab, [a, b, c, d, e] = lab_of()
    lab.add(N6, "n6")
    lab.cut = [{a.id, b.id}]
    lab.change(a, "remove", Remove(e.id))
    lab.change(c, "add", AddMember(make_member("n6")))
    lab.run(12_000)
    assert a.outcomes["remove"].outcome is Outcome.NO_MAJORITY
    assert a.outcomes["remove"].text == "2 of 5 voters can be reached"
    assert (a.epoch, b.epoch) == (1, 1), "frozen, and serving"
    assert c.outcomes["add"].outcome is Outcome.COMMITTED
    assert N6 in d.document.members_by_id
    lab.heal()
    assert settles(lab)
    assert one_document_per_epoch(lab)
    assert e.id in a.document.voters


def test_without_knowing_of_the_cut_the_minority_gives_up_in_time() -> None:
    lab, [a, b, *_] = lab_of()
    lab.knows_who_is_up = False
    lab.cut = [{a.id, b.id}]
    lab.change(a, "remove", Remove(N5))
    lab.run(9_900)
    assert not a.outcomes
    lab.run(200)
    assert a.outcomes["remove"].outcome is Outcome.NO_MAJORITY
    assert "may still" not in a.outcomes["remove"].text, "nobody was asked to accept it"


def twins(seed: int, *, forgets: bool = False) -> TopologyLab:
    """Proposers that want different things, 30 % loss and more, crashes after promises and accepts,
    nobody to bring the news; then all is well again."""
    rng = Random(seed)
    topology = heal_topology(member_count=rng.choice((3, 3, 5, 7)), partition_count=2, copies=2)
    lab = TopologyLab(topology, seed, settings=KeeperSettings(answer_ms=300, patience_ms=5_000))
    lab.loss, lab.doubling, lab.forgets = rng.choice((0.3, 0.3, 0.5)), 0.1, forgets
    lab.crash_rate = rng.choice((0.05, 0.25))
    lab.has_news = rng.random() < 0.3
    nodes = list(lab.nodes.values())
    for number in range(20):
        node = rng.choice(nodes)
        if node.is_up:
            change: Change = Reweigh(rng.choice(nodes).id, 50 + rng.randrange(100))
            lab.change(node, number, change)
        lab.run(rng.choice((30, 100, 1_000)))
    lab.run(2_000)
    lab.heal()
    return lab


@pytest.mark.slow
def test_twin_epochs_with_loss_and_crashes() -> None:
    """One document for each epoch, over the whole of every run; in the end all have the newest."""
    epochs = 0
    for seed in range(60):
        lab = twins(seed)
        assert settles(lab), seed
        assert one_document_per_epoch(lab), seed
        epochs += len(lab.chosen)
    assert epochs > 120, "most of what was wanted was decided on"


@pytest.mark.slow
def test_a_voter_that_forgets_makes_twins() -> None:
    """The rule switched off: what was promised and accepted is gone after a restart. It takes an
    acceptor that crashes and a proposer that hears of it only: few runs have both (56 has)."""
    for forgets in (False, True):
        labs = [twins(seed, forgets=forgets) for seed in range(54, 58)]
        for lab in labs:
            lab.run(3_000)
        assert all(map(one_document_per_epoch, labs)) == (not forgets)


@pytest.mark.parametrize("forgets", [False, True])
def test_what_was_accepted_outlives_a_restart(forgets: bool) -> None:
    """A document that two of three accepted is chosen; one of them crashes, and the third asks it
    while the proposer cannot be reached."""
    lab = TopologyLab(heal_topology(member_count=3, partition_count=4))
    lab.forgets = forgets
    a, b, c = (lab.nodes[id] for id in (N1, N2, N3))
    lab.cut = [{c.id}]
    lab.change(a, "a", Reweigh(N1, 150))
    assert lab.run(5_000, lambda: "a" in a.outcomes)
    lab.crash(b)
    lab.cut = [{a.id}]
    lab.restart(b)
    lab.change(c, "c", Reweigh(N1, 50))
    assert lab.run(5_000, lambda: "c" in c.outcomes)
    assert c.outcomes["c"].epoch == (2 if forgets else 3), "after that of the other"
    lab.heal()
    lab.run(5_000)
    assert one_document_per_epoch(lab) == (not forgets)


@pytest.mark.slow
def test_without_majorities_there_are_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule switched off: whoever proposes wins, and the highest number counts."""
    for module in (proposals_module, proposer_module):
        monkeypatch.setattr(module, "majority", lambda _: 1)
    lab, [a, b, c, *_] = lab_of()
    lab.cut = [{a.id, b.id}]
    lab.change(a, "remove", Remove(N5))
    lab.change(c, "add", AddMember(make_member("n6")))
    lab.run(12_000)
    assert not one_document_per_epoch(lab)


@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_of_changes_under_loss(seed: int) -> None:
    """Members come, go and weigh more while messages get lost: one document for each epoch, and in
    the end the same everywhere, settled."""
    rng = Random(seed)
    topology = heal_topology(member_count=rng.randrange(3, 8), partition_count=4, copies=2)
    lab = TopologyLab(topology, seed)
    for number in range(3):
        lab.add(member_id(f"x{number}"), f"x{number}")
    lab.loss, lab.doubling, lab.crash_rate = 0.15, 0.1, 0.02
    for number in range(5):
        members = sorted(lab.nodes)
        change = rng.choice(
            [
                AddMember(make_member(f"x{number % 3}")),
                Leave(rng.choice(members)),
                Reweigh(rng.choice(members), 50 * rng.randrange(1, 5)),
            ]
        )
        node = lab.nodes[rng.choice(members)]
        if node.is_up:
            lab.change(node, (number, node.run), change)
        lab.run(rng.randrange(100, 8_000))
    lab.heal()
    assert settles(lab)
    assert one_document_per_epoch(lab)


# --- force


def test_a_minority_that_is_forced_wins_after_the_cut() -> None:
    lab, [a, b, c, _, e] = lab_of()
    lab.cut = [{a.id, b.id}]
    lab.change(c, "weigh", Reweigh(N3, 150))
    lab.run(20_000)
    ahead = c.epoch
    assert ahead > 1
    lab.force(a, "force", Remove(e.id))
    assert lab.run(5_000, lambda: lab.agree([a, b]) and a.epoch > 1)
    outcome = a.outcomes["force"]
    assert outcome.outcome is Outcome.COMMITTED
    assert "what others have agreed on after epoch 1" in outcome.text
    assert "two sides" in outcome.text
    assert (a.document.generation, c.document.generation) == (1, 0)
    lab.heal()
    assert settles(lab)
    assert c.document.generation == 1
    assert e.id not in a.document.voters
    assert e.epoch == a.epoch, "also who was removed has learned it"
    assert one_document_per_epoch(lab)


def test_two_sides_that_are_forced_are_noticed_and_ended_by_force() -> None:
    lab, [a, b, c, d, _] = lab_of()
    lab.cut = [{a.id, b.id}]
    lab.force(a, "one", AddMember(make_member("n6"), is_staged=True))
    lab.force(c, "two", AddMember(make_member("n7"), is_staged=True))
    lab.run(2_000)
    lab.cut = []
    assert lab.run(60_000, lambda: any("two topologies" in alarm for alarm in a.alarms + c.alarms))
    assert not lab.agree()
    lab.force(c, "once more", Reweigh(N2, 150))
    assert settles(lab)
    assert N6 not in b.document.voters
    assert d.document.generation == 2


def test_force_is_refused_like_any_change() -> None:
    lab, [a, *_] = lab_of()
    lab.force(a, "unknown", Reweigh(N6, 5))
    lab.force(a, "same", Reweigh(N2, 100))
    lab.force(a, "first", Reweigh(N2, 150))
    lab.force(a, "second", Reweigh(N3, 150))
    lab.run(5_000)
    outcomes = {token: found.outcome for token, found in a.outcomes.items()}
    assert outcomes == {
        "unknown": Outcome.REFUSED,
        "same": Outcome.COMMITTED,
        "first": Outcome.COMMITTED,
        "second": Outcome.REFUSED,
    }
    assert "being adopted" in a.outcomes["second"].text


# --- learning


def test_a_frame_of_a_newer_epoch_is_enough_to_learn_it() -> None:
    """Also by who was away for several epochs, and from another one than the first that told."""
    lab, [a, b, _, _, e] = lab_of()
    lab.crash(e)
    lab.change(a, 1, Reweigh(N2, 150))
    lab.run(20_000)
    lab.change(a, 2, Reweigh(N3, 150))
    lab.run(20_000)
    lab.restart(e)
    told = e.keeper.heard_epoch(lab.now, a.id, a.epoch)
    lab._carry_out(e, told)
    assert e.keeper.heard_epoch(lab.now, b.id, b.epoch) == [], "one question at a time"
    lab.crash(a)
    assert lab.run(5_000, lambda: e.epoch == b.epoch)
    assert one_document_per_epoch(lab)


def test_the_newest_of_several_is_adopted() -> None:
    lab, [a, *_] = lab_of()
    second = successor(FIVE, feature_level=2)
    third = successor(second, feature_level=3)
    for document in (second, third):
        asked = Asked(N2, PUBLISH, encode_topology(document), 0, 1, "nobody")
        a.keeper.asked(lab.now, [asked])
    first, *others = a.keeper.take_outputs()
    assert (first, others) == ((second,), [])
    assert a.keeper.prepared(lab.now) == []
    assert a.keeper.take_outputs() == [(third,)]
    [order] = a.keeper.prepared(lab.now)
    assert isinstance(order, StoreOrder)
    assert a.epoch == 1, "not before it is on stable storage"


def test_a_store_that_fails_is_asked_again() -> None:
    lab, [a, b, *_] = lab_of()
    b.store_fails = True
    lab.change(a, "weigh", Reweigh(N2, 150))
    lab.run(3_000)
    assert b.epoch == 1
    assert any("could not be stored" in alarm for alarm in b.alarms)
    b.store_fails = False
    assert lab.run(5_000, lambda: b.epoch == a.epoch)


# --- votes


def keeper_of(note: bytes | None = None, document: Topology = FIVE) -> DocumentKeeper:
    return DocumentKeeper(
        document,
        N1,
        lambda _: True,
        Random(1),
        note,
        report=lambda: MemberReport(document.epoch, (1,), (2,), has_hints=True),
    )


def ask(keeper: DocumentKeeper, code: int, payload: bytes, peer: bytes = N2) -> Reply:
    """What is answered without anything being stored first."""
    effects = keeper.asked(Now(5, 5), [Asked(peer, code, payload, 0, 1000, "here")])
    [reply] = [effect for effect in effects if isinstance(effect, Reply)]
    return reply


NEXT = successor(FIVE, feature_level=2)
FOREIGN = successor(successor(FIVE, feature_level=3), feature_level=2)


@pytest.mark.parametrize(
    ("code", "payload", "peer", "status"),
    [
        (PREPARE, Prepare(1, 9).encode(), N2, PaxosStatus.FURTHER),
        (PREPARE, Prepare(3, 9).encode(), N2, PaxosStatus.BEHIND),
        (PREPARE, Prepare(2, 9).encode(), N6, PaxosStatus.NO_VOTE),
        (PREPARE, b"short", N2, OperationStatus.MALFORMED),
        (ACCEPT, Accept(2, 9, b"none").encode(), N2, OperationStatus.MALFORMED),
        (ACCEPT, Accept(2, 9, encode_topology(FIVE)).encode(), N2, OperationStatus.MALFORMED),
        (ACCEPT, Accept(2, 9, encode_topology(FOREIGN)).encode(), N2, OperationStatus.MALFORMED),
        (PUBLISH, b"none", N2, OperationStatus.MALFORMED),
        (FETCH, b"short", N2, OperationStatus.MALFORMED),
        (REPORT, b"short", N2, OperationStatus.MALFORMED),
        (opcode(Machine.TOPOLOGY, 77), b"", N2, OperationStatus.UNKNOWN_OPCODE),
    ],
)
def test_what_is_not_voted_on(code: int, payload: bytes, peer: bytes, status: int) -> None:
    assert ask(keeper_of(), code, payload, peer).status == status


def test_a_vote_is_given_when_it_is_remembered() -> None:
    keeper = keeper_of()
    request = Asked(N2, PREPARE, Prepare(2, 9).encode(), 0, 1000, "here")
    [order] = keeper.asked(Now(5, 5), [request])
    assert isinstance(order, StoreOrder)
    assert order.order.name == PAXOS_NOTE  # type: ignore[union-attr]
    reply = ask(keeper, PREPARE, Prepare(2, 8).encode())
    assert reply.status == PaxosStatus.OUTBID


def test_documents_are_given_to_everybody_also_to_strangers() -> None:
    fetch = Fetch(0, bytes(32)).encode()
    assert ask(keeper_of(), FETCH, fetch, N6).payload == encode_topology(FIVE)
    newer = Fetch(7, bytes(32)).encode()
    assert ask(keeper_of(), FETCH, newer, N6).payload == b""


def test_a_report_is_what_the_node_says() -> None:
    reply = ask(keeper_of(), REPORT, (1).to_bytes(8, "little"))
    assert MemberReport.decode(reply.payload) == MemberReport(1, (1,), (2,), has_hints=True)


@pytest.mark.parametrize("note", [b"damaged", Acceptor(2, votes_from=1 << 60).encode()])
def test_who_may_have_forgotten_neither_votes_nor_proposes(note: bytes) -> None:
    keeper = keeper_of(note)
    assert ask(keeper, PREPARE, Prepare(2, 9).encode()).status == PaxosStatus.NO_VOTE
    keeper.change(Now(5, 5), "weigh", Reweigh(N2, 150))
    [changed] = keeper.take_outputs()
    assert isinstance(changed, Changed)
    assert changed.outcome is Outcome.REFUSED
    assert "no vote" in changed.text


def test_an_old_disk_does_not_vote_also_after_a_restart() -> None:
    lab, [a, b, c, _, e] = lab_of()
    lab.distrust(e)
    lab.run(100)
    lab.crash(e)
    lab.restart(e)
    lab.crash(b)
    lab.crash(c)
    lab.run(5_000)
    assert not e.keeper.has_vote
    lab.change(a, "weigh", Reweigh(N2, 150))
    lab.run(15_000)
    assert a.outcomes["weigh"].outcome is Outcome.NO_MAJORITY


def test_an_old_disk_votes_again_when_others_have_gone_on() -> None:
    """What it may have promised was about epochs that are decided."""
    lab, [a, b, c, d, e] = lab_of()
    lab.distrust(e)
    for weight in (150, 100, 150, 100):
        lab.change(a, f"weigh {weight} {a.epoch}", Reweigh(N2, weight))
        assert settles(lab)
        lab.run(3_000)
    assert e.keeper.has_vote
    lab.crash(b)
    lab.crash(c)
    lab.run(2_000)
    lab.change(a, "with its vote", Reweigh(N2, 200))
    lab.run(15_000)
    assert a.outcomes["with its vote"].outcome is Outcome.COMMITTED
    assert d.epoch == e.epoch == a.epoch


def test_nothing_is_changed_after_which_nothing_could_be() -> None:
    """Of five members two are down: without one more of the others no majority would be left."""
    lab, [a, _, c, d, e] = lab_of()
    for node in (d, e):
        lab.crash(node)
    lab.change(a, "remove", Remove(c.id))
    lab.run(1_000)
    assert a.outcomes["remove"].outcome is Outcome.REFUSED
    assert "2 of then 4 voters" in a.outcomes["remove"].text
    assert a.document.members_by_id[c.id].state is MemberState.SERVING
    lab.change(a, "dead", Remove(d.id))
    lab.run(5_000)
    assert a.outcomes["dead"].outcome is Outcome.COMMITTED
