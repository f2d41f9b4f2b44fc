"""What was deleted, or has expired, and came back; and copies that stay different in silence.

Collection of tombstones does not exist yet: where a scenario is about when one may go, it shows
that none goes, and a tombstone removed by hand shows that it would be noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.healing.antientropy import AntiEntropyReport
from lsmkv_cluster.healing.hint_budget import HintSettings
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.transport.wire import Frame, FrameKind
from lsmkv_cluster.versions.minting import Limits
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from lsmkv_cluster.versions.visible import visible
from tests.sim.history import Ending
from tests.sim.lab import Lab, Told
from tests.sim.product import SETTINGS, Product
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import (
    collect_by_force,
    keep_by_force,
    shown,
)

DAY_MS = 24 * 3600 * 1000


def _pass_time(lab: Lab, milliseconds: int) -> None:
    """On the clocks by which people and stamps go."""
    for machine in lab.world.machines:
        machine.wall_offset_ms += milliseconds


# --- 21 ------------------------------------------------------------------------------------------


def _after_the_grace_period(lab: Lab, collected: str) -> None:
    lab.put("A", b"v", w="ALL")
    lab.cut("C|AB")
    lab.until_down("C", seen_by="AB")
    lab.until_down("AB", seen_by="C")
    assert lab.delete("A", lab.get("A").context).is_done
    _pass_time(lab, 11 * DAY_MS)
    for name in "AB":
        lab.world.machines[lab.world.names.index(name)].disk.database.compact()
    collect_by_force(lab, collected)
    lab.heal()
    lab.until_up("ABC", seen_by="ABC")
    lab.advance(3000)
    for _ in range(10):
        for name in "ABC":
            assert lab.get(name, r=2).values == set()
    lab.exchange()
    for name in "ABC":
        assert shown(lab, name) == {"T": "A2"}
        assert lab.get(name, r=1).values == set()
    lab.settle()


def test_gc_grace_resurrection():
    """Scenario 21. A tombstone aged out on two replicas; repair copied the survivor to all.

    Rule: collected on proof, never by age. Nothing is collected yet, and the delete gets to C."""
    with Lab(stand_ins=0) as lab:
        _after_the_grace_period(lab, collected="")


def test_gc_grace_resurrection_is_seen_when_planted():
    with Lab(stand_ins=0) as lab, pytest.raises(AssertionError, match="'v'"):
        _after_the_grace_period(lab, collected="AB")


# --- 22 ------------------------------------------------------------------------------------------


def _hint_after_the_tombstone(lab: Lab, collected: str) -> None:
    lab.stop("C")
    lab.until_down("C", seen_by="ABDEF")
    lab.put("A", b"v")
    assert lab.hints("D") == 1
    lab.stop("D")
    lab.start("C")
    lab.until_up("C", seen_by="AB")
    lab.exchange()
    assert shown(lab, "C") == {"v": "A1"}
    assert lab.delete("A", lab.get("A").context, w="ALL").is_done
    _pass_time(lab, DAY_MS)
    collect_by_force(lab, collected)
    lab.start("D")
    lab.until_up("ABC", seen_by="D")
    lab.replay("D")
    for name in "ABC":
        assert lab.get(name, r=2).values == set()
    lab.settle()
    assert shown(lab) == {"T": "A2"}


def test_hint_after_tombstone_gc():
    """Scenario 22. The owners agreed on a tombstone and removed it; a stand-in that was away still
    had a hint from before it, and put the value back.

    Rule: an unreachable member that may hold an older hint blocks collection. None exists yet."""
    with Lab() as lab:
        _hint_after_the_tombstone(lab, collected="")


def test_hint_after_tombstone_gc_is_seen_when_planted():
    with Lab() as lab, pytest.raises(AssertionError, match="'v'"):
        _hint_after_the_tombstone(lab, collected="ABC")


SMALL_HINTS = replace(
    SETTINGS,
    hints=HintSettings(
        size_max_bytes=8000,
        reserve_bytes=2000,
        confirmed_age_max_ms=1000,
        settle_ms=300,
        poll_ms=500,
        recount_ms=1000,
    ),
)


def test_sole_copies_of_hints_are_kept():
    """Scenario 22, variant. Hints were dropped for their age, and with them the only copies.

    Rule: a hint that no owner has is never dropped; when there is no room, new writes are refused
    before anything is minted."""
    with Lab(program=Product(SMALL_HINTS)) as lab:
        lab.stop("ABC")
        lab.until_down("ABC", seen_by="DEF")
        assert lab.put("D", b"v9", w=2).is_done
        stored = [b"filler"]
        while (told := lab.put("D", b"x" * 500, key=b"filler %d" % len(stored), w=2)).is_done:
            stored.append(told.call.key)
        assert (told.ending, told.reason) == (Ending.REFUSED, Reason.OVERLOADED)
        assert 8 < len(stored) < 16
        _pass_time(lab, 30 * DAY_MS)
        lab.advance(30_000)
        assert lab.put("D", b"x" * 500, w=2, key=b"more").ending is Ending.REFUSED
        assert lab.get("D", r=2).values == {b"v9"}
        lab.start("ABC")
        lab.until_up("ABC", seen_by="DEF")
        lab.settle()
        assert lab.get("A").values == {b"v9"}
        assert lab.record("A", told.call.key) is None
        assert all(lab.get("B", key=key).values for key in stored[1:])


def test_sole_copies_of_hints_are_kept_is_seen_when_planted():
    with plants.hints_age_out(), pytest.raises(AssertionError, match=r"v9|DONE"):
        test_sole_copies_of_hints_are_kept()


# --- 24 ------------------------------------------------------------------------------------------


UNSCRUBBED = replace(
    SETTINGS, antientropy=replace(SETTINGS.antientropy, scrub_interval_ms=24 * 3600 * 1000)
)
MANY = [b"k%d" % number for number in range(1000)]


def _get_all(lab: Lab, via: str) -> list[Told]:
    told = [lab.get(via, r=1, key=key, wait=False) for key in MANY]
    lab.wait_until(lambda: all(one.call.ending is not None for one in told))
    return [lab.told(one.call) for one in told]


def test_silent_divergence():
    """Scenario 24. A replica was away, and there were neither hints nor anti-entropy, and no reads:
    it stayed without the data for ever.

    Rule: owners compare trees for ever. Equal ones cost a question and its answer."""
    with Lab(stand_ins=0, program=Product(UNSCRUBBED)) as lab:
        lab.stop("B")
        lab.until_down("B", seen_by="AC")
        told = [lab.put("A", b"value", key=key, wait=False) for key in MANY]
        lab.wait_until(lambda: all(one.call.ending is not None for one in told))
        for one in told[:10]:
            done = lab.told(one.call)
            assert lab.delete("A", done.context, key=one.call.key).is_done
        lab.start("B")
        with lab.letting(None):
            lab.advance(2 * UNSCRUBBED.antientropy.period_ms)
            for number, answer in enumerate(_get_all(lab, "B")):
                assert answer.record is not None
                assert answer.values == (set() if number < 10 else {b"value"})
            frames = _questions(lab, lambda: lab.advance(4 * UNSCRUBBED.antientropy.period_ms))
        assert 4 * 3 - 3 <= len(frames) <= 4 * 3 + 3
        assert max(len(frame.operations[0].payload) for frame in frames) < 200
        assert {report.failures for report in _reports(lab)} == {0}
        # C may have got some from A before B did, or pushed them itself, but nobody twice.
        assert sum(report.pulled + report.pushed for report in _reports(lab)) < 2 * len(MANY)
        lab.settle()


def _reports(lab: Lab) -> list[AntiEntropyReport]:
    return [lab.node(name).parts.antientropy.report for name in "ABC"]


def _questions(lab: Lab, act: Callable[[], None]) -> list[Frame]:
    """The requests of anti-entropy and repair that are sent meanwhile."""
    found: list[Frame] = []
    streams = lab.world.streams
    before = streams.passes

    def passes(source: int, target: int, frame: Frame) -> bool:
        machines = {operation.opcode >> 8 for operation in frame.operations}
        if frame.kind is FrameKind.REQUEST and machines & {Machine.ANTIENTROPY, Machine.REPLICA}:
            found.append(frame)
        return before(source, target, frame)

    streams.passes = passes
    act()
    streams.passes = before
    return found


def test_silent_divergence_is_seen_when_planted():
    with plants.trees_do_not_follow(), pytest.raises(AssertionError, match="None is not None"):
        test_silent_divergence()


def test_a_wrong_tree_is_scrubbed():
    """Scenario 24, variant. A bit flips in B's tree: it differs from the others for ever, and no
    repair removes that. The scrub does."""
    with Lab(stand_ins=0) as lab:
        for key in MANY[:50]:
            lab.put("A", b"value", key=key)
        lab.exchange()
        trees = [machine.process.store.trees[0] for machine in lab.world.machines]
        assert len({tree.root for tree in trees}) == 1
        trees[1].update(trees[1].start + 5, 0, 12345)
        lab.exchange()
        assert any("tree was wrong" in text for _, name, text in lab.world.alarms if name == "B")
        lab.settle()
        trees = [machine.process.store.trees[0] for machine in lab.world.machines]
        assert len({tree.root for tree in trees}) == 1


# --- 25 ------------------------------------------------------------------------------------------


def _visible(lab: Lab, name: str) -> list[bytes]:
    told = lab.get(name, r=1)
    assert told.is_done
    now_ms = lab.world.machines[lab.world.names.index(name)].now().wall_ms
    return [item.value for item in visible(told.record, now_ms, Kind.VALUE)]


def test_expired_key_revived():
    """Scenario 25. One replica had dropped an expired key; anti-entropy copied it back, with its
    time to live begun anew. Or repaired-in data never expired at all.

    Rule: the moment of expiry is part of the record, and hides it from then on, whoever answers.
    That it leaves by a tombstone is not part of this yet."""
    with Lab(stand_ins=0) as lab:
        begun_ms = lab.world.machines[0].now().wall_ms
        expiry_ms = begun_ms + 60_000
        lab.cut("C|AB")
        lab.until_down("C", seen_by="AB")
        lab.put("A", b"v", expiry_ms=expiry_ms)
        lab.skew("B", -5_000)
        lab.heal()
        lab.until_up("ABC", seen_by="ABC")
        for age_ms in (20_000, 61_000, 90_000, 600_000):
            now_ms = lab.world.machines[0].now().wall_ms
            _pass_time(lab, begun_ms + age_ms - now_ms)
            lab.exchange()
            age_ms = lab.world.machines[0].now().wall_ms - begun_ms
            for name in "ABC":
                is_over = age_ms > 60_000 + 5_000
                assert _visible(lab, name) == ([] if is_over else [b"v"])
                assert [item.expiry_ms for item in lab.record(name).items] == [expiry_ms]
        lab.settle()


def test_expired_key_revived_is_seen_when_planted():
    with plants.merges_restamp_expiry(), pytest.raises(AssertionError, match="two items"):
        test_expired_key_revived()


def test_written_before_it_expired():
    """Scenario 25b. A write that has seen the expiring value outlives it."""
    with Lab(stand_ins=0) as lab:
        now_ms = lab.world.machines[0].now().wall_ms
        first = lab.put("A", b"v", expiry_ms=now_ms + 60_000, w="ALL")
        _pass_time(lab, 59_000)
        with lab.swallow("B>A"):
            assert lab.put("B", b"v2", first.context).is_done
        _pass_time(lab, 2_000)
        assert _visible(lab, "A") == []
        lab.settle()
        assert [_visible(lab, name) for name in "ABC"] == [[b"v2"]] * 3


# --- 26 ------------------------------------------------------------------------------------------


def _departed(number: int) -> Actor:
    return Actor(number, 1, 1 << 32 | 1)


def _limit_clocks(lab: Lab) -> None:
    for name in "ABC":
        lab.node(name).parts.minter.limits = Limits(clock_threshold=3)


def _changes(lab: Lab) -> int:
    return len(lab.world.ledger.changes)


def test_prune_repair_loop():
    """Scenario 26. A receiver cut the clock that it was sent, which then looked concurrent with its
    source: every read repaired again, and clusters with different limits never agreed.

    Rule: only minting cuts, and the cut is part of the record. The first write that supersedes
    entries keeps them, as they have just been touched; a later one cuts them."""
    with Lab(stand_ins=0) as lab:
        _limit_clocks(lab)
        x, y = Dot(_departed(1), 1), Dot(_departed(2), 1)
        old = {dot.actor: Entry(1, 1) for dot in (x, y)}
        v1, v2 = Item(x, Kind.VALUE, 1, b"", b"v1"), Item(y, Kind.VALUE, 2, b"", b"v2")
        of_x = Record(Clock({x.actor: old[x.actor]}), (v1,))
        keep_by_force(lab, "AB", Record(Clock(old), (v1, v2)))
        keep_by_force(lab, "C", of_x)
        with lab.swallow("AB>C"):
            lab.put("A", b"v3", w=2)
            v4 = lab.put("B", b"v4", w=2)
        assert set(shown(lab, "C")) == {"v1"}
        lab.advance(1000)
        before = _changes(lab)
        assert lab.get("A", r=3).values == {b"v1", b"v2", b"v3", b"v4"}
        lab.advance(100)
        assert _changes(lab) == before + 1, "C was mended once"
        assert len(lab.get("A", r=3).values) == 4
        lab.exchange()
        assert _changes(lab) == before + 1
        v5 = lab.put("B", b"v5", v4.context, w=3)
        before = _changes(lab)
        assert lab.get("A", r=3).values == {b"v5"}
        lab.exchange()
        assert _changes(lab) == before
        assert len(lab.record("C").clock) == 4
        assert lab.put("B", b"v6", v5.context, w=3).is_done
        assert lab.node("B").parts.minter.counters.clock_entries_cut == 3
        for name in "ABC":
            assert (len(lab.record(name).clock), shown(lab, name)) == (2, {"v6": "B'1"})
        before = _changes(lab)
        lab.get("A", r=3)
        lab.exchange()
        assert _changes(lab) == before
        keep_by_force(lab, "C", of_x)  # as a hint from before all this would
        lab.exchange()
        assert "v6" in shown(lab, "A")
        lab.settle()


def test_prune_repair_loop_is_seen_when_planted():
    with plants.merges_cut_clocks(3), pytest.raises(AssertionError, match="_changes"):
        test_prune_repair_loop()
