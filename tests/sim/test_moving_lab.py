"""The laboratory moves partitions step by step, and holds back what would go on by itself."""

from __future__ import annotations

from lsmkv_cluster.placement.owners import Phase
from tests.sim.moving_lab import MovingLab


def test_a_move_stops_between_its_phases():
    with MovingLab(spares="G") as lab:
        lab.hold()
        lab.put("A", b"v")
        lab.join("G")
        lab.move("ABG")
        epoch = lab.document.epoch
        lab.advance(20_000)
        assert (lab.phase, lab.row(), lab.document.epoch) == (Phase.FILLING, "ABC", epoch)
        lab.until_phase(Phase.SWITCHED)
        assert lab.row() == "ABG"
        assert lab.record("C") is not None
        lab.until_phase(None)
        lab.settle()
        assert lab.record("C") is None
        assert lab.record("G") == lab.record("A")


def test_copies_are_filled_only_when_they_may_be():
    with MovingLab() as lab:
        lab.hold()
        lab.put("A", b"v")
        lab.move("ABD")
        lab.advance(10_000)
        assert not lab.has_filled("D")
        lab.exchange()
        assert lab.has_filled("D")
        assert lab.phase is Phase.FILLING
        lab.settle()
