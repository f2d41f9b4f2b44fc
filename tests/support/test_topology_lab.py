"""The lab of keepers does what it says: one seed one run, cuts cut, crashes lose what runs."""

from __future__ import annotations

from lsmkv_cluster.reconfiguration.adoption import DOCUMENT_NOTE
from lsmkv_cluster.reconfiguration.topology_changes import Reweigh
from lsmkv_cluster.reconfiguration.voter import PAXOS_NOTE
from tests.support.heal_lab import heal_topology
from tests.support.members import member_id
from tests.support.topology_lab import TopologyLab

N1, N2, N3 = (member_id(name) for name in ("n1", "n2", "n3"))


def run_of(seed: int) -> list[object]:
    lab = TopologyLab(heal_topology(member_count=3), seed)
    lab.loss, lab.doubling, lab.crash_rate = 0.3, 0.2, 0.1
    for number in range(4):
        node = lab.nodes[sorted(lab.nodes)[number % 3]]
        if node.is_up:
            lab.change(node, number, Reweigh(N2, 50 + number))
        lab.run(1_000)
    return [(node.run, node.epoch, node.outcomes) for node in lab.nodes.values()]


def test_a_seed_decides_everything() -> None:
    assert run_of(3) == run_of(3)
    assert len({str(run_of(seed)) for seed in range(5)}) > 1


def test_a_cut_is_between_its_groups_only() -> None:
    lab = TopologyLab(heal_topology(member_count=3))
    lab.cut = [{N1, N2}]
    assert (lab.reaches(N1, N2), lab.reaches(N2, N3), lab.reaches(N3, N1)) == (True, False, False)
    lab.crash(lab.nodes[N2])
    assert not lab.reaches(N1, N2)


def test_a_crash_loses_what_the_store_had_not_finished() -> None:
    lab = TopologyLab(heal_topology(member_count=3))
    a = lab.nodes[N1]
    lab.change(a, "weigh", Reweigh(N2, 150))
    lab.crash(a)
    lab.run(1_000)
    assert PAXOS_NOTE not in a.notes
    lab.restart(a)
    lab.change(a, "weigh", Reweigh(N2, 150))
    lab.run(1_000)
    assert PAXOS_NOTE in a.notes
    assert len({node.notes[DOCUMENT_NOTE] for node in lab.nodes.values()}) == 1
