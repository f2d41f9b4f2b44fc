"""What a client is told when something goes wrong in the middle, and what becomes of its write."""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.requests import Outcome, Reason
from lsmkv_cluster.placement.keyspaces import Mode, Resolution
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions.resolve import hidden_count, last_writer
from tests.sim.history import Ending
from tests.sim.lab import Lab, Told
from tests.sim.loop import WALL_START_MS
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import (
    add,
    clock,
    minted,
    read_modify_write,
    shown,
    step_until,
    union,
)

STRICT = Mode.STRICT
LONG_MS = 600_000
HOUR_MS = 3_600_000


# --- 15 ------------------------------------------------------------------------------------------


def _trapped(lab: Lab, where: str) -> Told:
    """A pauses with x2 unread, read, or minted. Then B takes x3."""
    first = lab.put("A", b"x1")
    if where == "unread":
        lab.pause("A")
    x2 = lab.put("A", b"x2", first.context, wait=False)
    if where == "read":
        step_until(lab, lambda: lab.node("A").parts.coordinator.in_flight > 0)
        assert len(minted(lab)) == 1
        lab.pause("A")
    elif where == "minted":
        step_until(lab, lambda: len(minted(lab)) == 2)
        lab.pause("A")
    lab.until_down("A", seen_by="BCD")
    assert lab.put("B", b"x3", first.context).is_done
    return x2


@pytest.mark.parametrize("asleep_ms", [30_000, LONG_MS])
@pytest.mark.parametrize("where", ["unread", "read"])
def test_pause_past_election(where: str, asleep_ms: int):
    """Scenario 15, i and ii. A master that had slept applied a trapped write with a time later than
    the writes that were acknowledged meanwhile, and those were gone after the merge.

    Rule: what a node had received and not begun before it slept is from before: it is shed."""
    with Lab(mode=STRICT) as lab:
        x2 = _trapped(lab, where)
        lab.advance(asleep_ms)
        lab.resume("A")
        lab.settle()
        assert lab.told(x2.call).ending is Ending.UNKNOWN
        assert shown(lab) == {"x3": "B1"}
        assert clock(lab) == {"A": 1, "B": 1}


def test_pause_past_election_is_seen_when_planted():
    """Of what had been read, its deadline is a second line of defence."""
    with plants.nobody_sleeps():
        with pytest.raises(AssertionError, match="x2"):
            test_pause_past_election("unread", 30_000)
        test_pause_past_election("read", 30_000)
        with plants.late_writes_are_minted(), pytest.raises(AssertionError, match="x2"):
            test_pause_past_election("read", 30_000)


@pytest.mark.parametrize("resolution", [Resolution.SIBLINGS, Resolution.LAST_WRITER])
def test_pause_past_election_of_a_minted_write(resolution: Resolution):
    """Scenario 15, iii. It is minted: its client cannot know, and it stands beside x3. Its time is
    from before the pause, so the last writer is x3."""
    with Lab(mode=STRICT, resolution=resolution) as lab:
        x2 = _trapped(lab, "minted")
        lab.advance(30_000)
        lab.resume("A")
        lab.settle()
        assert lab.told(x2.call).ending is Ending.UNKNOWN
        assert shown(lab) == {"x2": "A2", "x3": "B1"}
        assert last_writer(lab.record("A"), WALL_START_MS) == b"x3"


@pytest.mark.parametrize("skew_ms", [0, 30_000, -30_000])
def test_late_frame_is_shed(skew_ms: int):
    """Scenario 15, variant. Not the process is late but the network: a forwarded write arrives
    after the client was told "unknown". Deadlines are absolute, and measured clock offsets are
    taken off them."""
    with Lab(mode=STRICT) as lab:
        lab.skew("A", skew_ms)
        lab.advance(15_000)
        first = lab.put("D", b"x1")
        lab.world.request_timeout_ms = 500  # less than a connection stalls before it is given up
        x2 = lab.put("D", b"x2", first.context, wait=False)
        step_until(lab, lambda: lab.node("D").parts.coordinator.in_flight > 0)
        lab.cut("D>A")
        lab.wait_until(lambda: x2.call.ending is not None)
        assert x2.call.ending is Ending.UNKNOWN
        lab.put("B", b"x3", first.context)
        lab.heal()
        lab.advance(2000)
        assert shown(lab) == {"x3": "B1"}
        lab.settle()
        assert shown(lab) == {"x3": "B1"}


def test_late_frame_is_shed_is_seen_when_planted():
    with plants.deadlines_are_relative(), pytest.raises(AssertionError, match="x2"):
        test_late_frame_is_shed(0)


# --- 16 ------------------------------------------------------------------------------------------


def test_refused_but_applied():
    """Scenario 16a. The others stored it, their answers got lost, and "unavailable" was taken for
    "not applied". Rule: three outcomes; this one is unknown, and it is one dot."""
    with Lab(mode=STRICT) as lab:
        with lab.swallow("BC>A", Lane.DATA):
            told = lab.put("A", b"x1")
        assert told.outcome is Outcome.UNKNOWN
        lab.settle()
        assert shown(lab) == {"x1": "A1"}


def test_refused_is_never_applied():
    """Scenario 16b. Nothing was minted anywhere, A included: reachability comes first."""
    with Lab(mode=STRICT) as lab:
        lab.cut("A|BCDEF")
        lab.until_down("BC", seen_by="A")
        told = lab.put("A", b"x1")
        assert (told.outcome, told.reason) == (Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS)
        assert minted(lab) == []
        lab.settle()
        assert lab.record("A") is None


def test_refused_is_never_applied_is_seen_when_planted():
    with plants.reachability_is_not_checked(), pytest.raises(AssertionError, match="REFUSED"):
        test_refused_is_never_applied()
    with (
        plants.unknown_is_called_refused(),
        pytest.raises(AssertionError, match="UNKNOWN"),
    ):
        test_refused_but_applied()


def test_disk_full_after_the_mint():
    """Scenario 16c. One owner cannot store what A has minted."""
    with Lab(mode=STRICT) as lab:
        lab.world.machines[1].disk.set_full(True)
        told = lab.put("A", b"x1", w="ALL")
        assert told.outcome is Outcome.UNKNOWN
        lab.world.machines[1].disk.set_full(False)
        lab.settle()
        assert shown(lab) == {"x1": "A1"}


# --- 17 ------------------------------------------------------------------------------------------


def test_forwarded_twice():
    """Scenario 17a. A forwarded write timed out and was forwarded again and again, and then the
    first owner woke up: one write became many siblings.

    Rule: what was sent is not sent to anybody else; what comes too late is shed."""
    with Lab() as lab:
        lab.pause("A")
        told = lab.put("D", b"v")
        assert told.outcome is Outcome.UNKNOWN
        lab.advance(20_000)
        lab.resume("A")
        lab.settle()
        assert minted(lab) == []


def test_forwarded_to_one_that_dies():
    """Scenario 17a, variant: the owner dies when it has minted, and the connection with it."""
    with Lab() as lab:
        lab.world.machines[0].set_trap("minted", False, lambda: None)
        told = lab.put("D", b"v")
        assert told.outcome is Outcome.UNKNOWN
        lab.settle()
        assert shown(lab) == {"v": "A1"}


def test_forwarded_to_one_that_dies_is_seen_when_planted():
    with plants.forwards_are_repeated(), pytest.raises(AssertionError, match="UNKNOWN"):
        test_forwarded_to_one_that_dies()


# --- 18 ------------------------------------------------------------------------------------------


def test_crash_before_sync_strict():
    """Scenario 18a. Acknowledged writes lived in the memory of two nodes, and both lost power.

    Rule: strict acknowledges what is synced."""
    with Lab(mode=STRICT) as lab:
        with lab.swallow("A>C", Lane.DATA):
            assert lab.put("A", b"x1").is_done
        lab.power("AB")
        lab.start("AB")
        lab.settle()
        assert shown(lab) == {"x1": "A1"}


def test_crash_before_sync_is_seen_when_planted():
    with plants.nothing_is_synced(), pytest.raises(AssertionError, match="lost write"):
        test_crash_before_sync_strict()


def test_crash_one_after_the_other():
    """Scenario 18b. k crashes one after another lost what k crashes at once would. Here the second
    one takes B's disk with it, and the power of A, which had learned the write from B.

    Rule: after an unclean end a copy answers no reader before it has met the others, and what it
    learned is synced by then."""
    with Lab(owners=2) as lab:
        assert lab.put("A", b"x1").is_done
        lab.power("A")
        lab.start("A")
        lab.until_up("A", seen_by="B")
        assert lab.record("A") is None
        assert lab.get("A", r=1).values == {b"x1"}
        with lab.letting(None):
            lab.wait_until(lab.all_ready, "for A to be ready")
        lab.power("A")
        lab.wipe("B")
        lab.start("AB")
        lab.settle()
        assert shown(lab) == {"x1": "A1"}


def test_crash_one_after_the_other_is_seen_when_planted():
    with plants.nothing_is_synced(), pytest.raises(AssertionError, match="A has None"):
        test_crash_one_after_the_other()


def test_crash_loses_the_tail_of_the_log():
    """Scenario 18c. A lost what it had minted last, and only C has it; A would mint that dot again.

    Rule: after an end that may have lost something, a fresh epoch."""
    with Lab() as lab:
        first = lab.put("A", b"x")
        lab.advance(2000)
        with lab.swallow("A>B", Lane.DATA):
            lab.put("A", b"y", first.context)
        lab.power("A")
        lab.cut("C|ABDEF")
        lab.until_down("C", seen_by="BDEF")
        lab.start("A")
        lab.until_up("A", seen_by="B")
        lab.stop("B")
        lab.until_down("BC", seen_by="ADEF")
        assert lab.put("A", b"z", first.context).is_done
        lab.settle()
        assert shown(lab) == {"y": "A2", "z": "A'1"}


def test_crash_loses_the_tail_of_the_log_is_seen_when_planted():
    with plants.epochs_outlive_losses(), pytest.raises(AssertionError, match="dot used twice"):
        test_crash_loses_the_tail_of_the_log()


@pytest.mark.parametrize("where", ["minted", "sending", "replying"])
@pytest.mark.parametrize("with_power", [False, True])
@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])
def test_coordinator_dies_in_the_middle(where: str, with_power: bool, mode: Mode):
    """The client of a coordinator that dies asks another one again. Its first try is a sibling of
    the second, or nothing; what was acknowledged, first or second, is there."""
    with Lab(mode=mode) as lab:
        first = lab.put("A", b"x1")
        lab.advance(2000)
        lab.world.machines[0].set_trap(where, with_power, lambda: None)
        told = lab.put("A", b"x2", first.context)
        assert told.ending is Ending.UNKNOWN
        again = lab.put("B", b"x2 again", first.context)
        assert again.is_done
        lab.settle()
        assert {"x2 again"} <= set(shown(lab)) <= {"x2", "x2 again"}


# --- 20 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [Resolution.SIBLINGS, Resolution.LAST_WRITER])
def test_lww_drops_acked(resolution: Resolution):
    """Scenario 20a. With the last writer winning, a third to two thirds of acknowledged additions
    were lost, even at R = W = ALL. Only where a keyspace says so; what it hides is counted, and in
    a sibling keyspace nothing is."""
    with Lab(read="ALL", write="ALL", resolution=resolution) as lab:
        for number in range(50):
            seen = lab.get("A")
            x = add(lab, "A", seen, number)
            y = add(lab, "B", seen, 100 + number)
            assert x.is_done
            assert y.is_done
        lab.settle()
        record = lab.record("A")
        assert union({name.encode() for name in shown(lab)}) == {
            *range(50),
            *range(100, 150),
        }
        assert hidden_count(record) == len(record.items) - 1 == 1
        answers = {last_writer(lab.get(via).record, WALL_START_MS) for via in "ABCD"}
        assert len(answers) == 1


def test_clocks_do_not_outrank_contexts():
    """Scenario 20b. B's clock is an hour fast. The write that had seen B's, the delete after it and
    the write after that were ignored until A's clock had caught up.

    Rule: a context comes before any time."""
    with Lab(resolution=Resolution.LAST_WRITER) as lab:
        lab.skew("B", HOUR_MS)
        lab.advance(15_000)  # until all know by how much
        lab.put("B", b"v1")
        read_modify_write(lab, "A", b"v2")
        assert lab.get("A").values == {b"v2"}
        deleted = lab.delete("A", lab.get("A").context)
        assert lab.get("A").values == set()
        lab.put("A", b"v3", deleted.context)
        assert lab.get("A").values == {b"v3"}
        assert last_writer(lab.record("B"), WALL_START_MS) == b"v3"
        lab.settle()
        assert shown(lab) == {"v3": "A3"}


def test_clocks_do_not_outrank_contexts_is_seen_when_planted():
    with plants.times_outrank_contexts(), pytest.raises(AssertionError, match="v2"):
        test_clocks_do_not_outrank_contexts()


def test_one_wild_clock_takes_no_other_with_it():
    """Scenario 20c. B's stamps are beyond the bound: A does not follow them, and B is known to be
    an hour ahead."""
    with Lab() as lab:
        lab.skew("B", HOUR_MS)
        lab.advance(15_000)
        lab.put("B", b"v1")
        read_modify_write(lab, "A", b"v2")
        node = lab.node("A")
        now = lab.world.machines[0].now()
        clock = node.parts.minter.clock
        assert clock.ahead_ms(now.wall_ms) <= clock.skew_limit_ms
        assert clock.refused_count > 0
        offset = node.parts.membership.clock_offset_ms(lab.world.ids[1])
        assert abs(offset.offset_ms - HOUR_MS) <= 10
        lab.put("A", b"w1", key=b"another")
        written = lab.record("A", b"another").items[0].stamp >> 16
        assert written <= now.wall_ms + clock.skew_limit_ms
        lab.settle()


def test_one_wild_clock_takes_no_other_with_it_is_seen_when_planted():
    with plants.clocks_follow_anybody(), pytest.raises(AssertionError, match="ahead_ms"):
        test_one_wild_clock_takes_no_other_with_it()
