"""Siblings where there should be none, quorums that were none, and copies that know nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record import merge as join
from tests.sim.history import Ending
from tests.sim.lab import Lab, Told
from tests.sim.paths import Quality
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import (
    add,
    clock,
    minted,
    numbers,
    put_all,
    read_modify_write,
    shown,
    union,
)

STRICT = Mode.STRICT
SLOW_US = 250_000  # each way


# --- 7 -------------------------------------------------------------------------------------------


def _explode(lab: Lab, via_x: str, via_y: str) -> None:
    """Two clients, each knows no more than its own last reply."""
    x = lab.put(via_x, b"0")
    y = lab.put(via_y, b"1")
    for number in range(98, 1, -1):
        if number % 2 == 0:
            x = add(lab, via_x, x, number)
        else:
            y = add(lab, via_y, y, number)
        assert len(shown(lab, via_x)) == 2
    assert union(lab.get(via_x).values) == set(range(99))


def test_sibling_explosion():
    """Scenario 7. With one clock per record and no dots, every write of one client stood beside all
    of the other's: 99 siblings, each a subset of the next.

    Rule: each sibling has its own dot, and a context supersedes what it covers."""
    with Lab() as lab:
        _explode(lab, "A", "A")
        assert sorted(shown(lab).values()) == ["A98", "A99"]
        assert clock(lab) == {"A": 99}
        lab.settle()


def test_sibling_explosion_is_seen_when_planted():
    with plants.clocks_have_no_dots(), pytest.raises(AssertionError, match=r"== 2"):
        test_sibling_explosion()


def test_sibling_explosion_through_two_owners():
    """Scenario 7, variant: the second client goes through B."""
    with Lab() as lab:
        _explode(lab, "A", "B")
        lab.settle()
        assert len(shown(lab)) == 2


def test_siblings_are_capped_for_clients_alone():
    """Scenario 7, variant: the last of 101 writes without context is refused and writes nothing.
    What two sides wrote apart is more than the cap, and still becomes one record: repair and hints
    know no cap."""
    with Lab() as lab:
        put_all(lab, "A", [b"a%d" % n for n in range(100)])
        refused = lab.put("A", b"one too many")
        assert (refused.ending, refused.reason) == (Ending.REFUSED, Reason.TOO_MANY_SIBLINGS)
        assert len(minted(lab)) == 100
        lab.key = b"another"
        lab.cut("ADE|BCF")
        lab.until_down("A", seen_by="BCF")
        lab.until_down("BC", seen_by="ADE")
        put_all(lab, "A", [b"a%d" % n for n in range(70)])
        put_all(lab, "B", [b"b%d" % n for n in range(70)])
        lab.settle()
        assert len(shown(lab)) == 140
        assert lab.put("A", b"no").reason is Reason.TOO_MANY_SIBLINGS
        assert read_modify_write(lab, "A", b"all of them").is_done
        lab.settle()
        assert set(shown(lab)) == {"all of them"}


def test_siblings_are_capped_for_clients_alone_is_seen_when_planted():
    with (
        plants.merges_are_capped(100),
        plants.patience_is_short(),
        pytest.raises(AssertionError, match="waited in vain"),
    ):
        test_siblings_are_capped_for_clients_alone()


def test_sets_without_context_leave_one_value():
    """Scenario 7, variant: a plain SET supersedes all that its coordinator holds."""
    with Lab() as lab:
        for number in range(200):
            assert lab.set("A", b"%d" % number).is_done
        lab.settle()
        assert set(shown(lab)) == {"199"}


# --- 8 -------------------------------------------------------------------------------------------


def test_two_dc_sibling_explosion():
    """Scenario 8. East writes a hundred times without seeing west's value; each record, shipped
    west, stood there beside the one before: 100 siblings.

    Rule: what is shipped is the whole merged record, with its dots."""
    with Lab(stand_ins=0, west=3, read="LOCAL_QUORUM", write="LOCAL_QUORUM") as lab:
        with lab.swallow("XYZ>ABC", Lane.DATA):
            lab.put("X", b"01")
            for number in range(1, 101):
                east = add(lab, "A", lab.get("A"), number)
                assert set(shown(lab).values()) == {f"A{number}"}
                lab.advance(2)
                for name in "XYZ":
                    assert shown(lab, name) == {"01": "X1", numbers(east.values): f"A{number}"}
        lab.exchange()
        assert union(lab.get("X").values) == union(lab.get("A").values) == set(range(1, 101))
        lab.settle()
        assert set(shown(lab).values()) == {"X1", "A100"}


def test_two_dc_sibling_explosion_is_seen_when_planted():
    with plants.records_merge_without_dots(), pytest.raises(AssertionError, match="X1"):
        test_two_dc_sibling_explosion()


# --- 9 -------------------------------------------------------------------------------------------


def test_primary_quorum_shadow_strict():
    """Scenario 9a. "Two owners are up" was taken for "two owners have it": owner A and a stand-in
    acknowledged, and a quorum of the other owners saw nothing.

    Rule: strict counts the owners' own answers. Once a strict read has returned it, all do."""
    with Lab(mode=STRICT) as lab:
        lab.stop("C")
        lab.until_down("C", seen_by="ABDEF")
        with lab.swallow("A>B", Lane.DATA):
            told = lab.put("A", b"v1")
        assert told.ending is Ending.UNKNOWN
        assert len(minted(lab)) == 1
        lab.start("C")
        lab.until_up("C", seen_by="AB")
        assert lab.get("A").values == {b"v1"}
        lab.cut("A|BC")
        assert lab.get("B").values == {b"v1"}
        lab.settle()
        assert shown(lab) == {"v1": "A1"}


def test_primary_quorum_shadow_strict_is_seen_when_planted():
    with plants.stand_ins_count_in_strict_mode(), pytest.raises(AssertionError, match="UNKNOWN"):
        test_primary_quorum_shadow_strict()


def test_primary_quorum_shadow_sloppy():
    """Scenario 9a, sloppy: acknowledged by A and a stand-in, it may stay unseen by B and C for a
    while, but not by who has seen it; nor is it lost."""
    with Lab() as lab:
        lab.stop("C")
        lab.until_down("C", seen_by="ABDEF")
        with lab.swallow("A>B", Lane.DATA):
            told = lab.put("A", b"v1")
        assert told.is_done
        lab.start("C")
        lab.until_up("C", seen_by="ABD")
        lab.cut("A|BCDEF")
        lab.until_down("A", seen_by="BC")
        with_context = lab.get("B", told.context)
        assert with_context.values == {b"v1"} or with_context.ending is Ending.REFUSED
        lab.settle()
        assert shown(lab) == {"v1": "A1"}


def test_primary_quorum_shadow_all():
    """Scenario 9b. An owner accepts and never answers. It counted as having answered, while it was
    taken to be up, and when R was less than PR.

    Rule: only answers count; who is known to be away refuses a write before it is minted."""
    with Lab(mode=STRICT) as lab:
        with lab.swallow("B>A", Lane.DATA):
            assert lab.put("A", b"all", w="ALL").ending is Ending.UNKNOWN
            assert lab.put("A", b"two").is_done
        lab.stop("B")
        lab.until_down("B", seen_by="AC")
        refused = lab.put("A", b"none", w="ALL")
        assert (refused.outcome, refused.reason) == (
            Outcome.REFUSED,
            Reason.NOT_ENOUGH_REPLICAS,
        )
        assert len(minted(lab)) == 2
        lab.settle()
        assert set(shown(lab)) == {"all", "two"}


def test_primary_quorum_shadow_all_is_seen_when_planted():
    with plants.reachability_is_not_checked(), pytest.raises(AssertionError, match="REFUSED"):
        test_primary_quorum_shadow_all()


def _read_from_stand_ins(lab: Lab) -> Told:
    """The one owner that is left answers late, stand-ins that have nothing answer at once."""
    lab.put("A", b"v1")
    lab.advance(100)
    lab.stop("BC")
    lab.until_down("BC", seen_by="ADEF")
    lab.world.paths.worsen(0, Quality((SLOW_US, SLOW_US)))
    told = lab.get("D", r=2)
    lab.world.paths.restore(0, Quality((SLOW_US, SLOW_US)))
    return told


def test_primary_quorum_shadow_of_stand_ins():
    """Scenario 9c. Two stand-ins' misses made a "not found", and the client then wrote a new object
    over the old one.

    Rule: a stand-in's miss is "don't know". Sloppy answers with the value that one owner has, and
    waits for it; strict refuses."""
    with Lab() as lab:
        assert _read_from_stand_ins(lab).values == {b"v1"}
        lab.cut("A|BCDEF")
        nothing = lab.get("D", r=2)
        assert nothing.ending is Ending.REFUSED
        lab.settle()


def test_primary_quorum_shadow_of_stand_ins_is_seen_when_planted():
    with plants.stand_ins_misses_count(), pytest.raises(AssertionError, match="v1"):
        test_primary_quorum_shadow_of_stand_ins()


def test_primary_quorum_shadow_of_stand_ins_strict():
    """Scenario 9c, strict."""
    with Lab(mode=STRICT) as lab:
        assert _read_from_stand_ins(lab).ending is Ending.REFUSED
        lab.settle()


# --- 10 ------------------------------------------------------------------------------------------


KEYS = [b"k%d" % number for number in range(100)]


def _stash(lab: Lab) -> dict[bytes, Record]:
    for key in KEYS:
        assert lab.put("A", b"value of " + key, key=key, w="ALL").is_done
    return {key: lab.record("A", key) for key in KEYS}


def test_wiped_owner():
    """Scenario 10. A wiped partition held nothing until a repair was ordered, and its misses
    counted; a wiped primary was copied by its replicas, and everything was gone.

    Rule: a store that may lack something is not ready: it answers no reader until it has met the
    other owners. What a peer lacks is never deleted here."""
    with Lab() as lab:
        stash = _stash(lab)
        for name, other, third in ("ABC", "BCA", "CAB"):
            lab.wipe(name)
            lab.start(name)
            lab.until_up(name, seen_by=other + third)
            for key in KEYS:
                assert b"value of " + key in lab.get(name, r=1, key=key).values
            lab.cut(f"{other}|{name}{third}DEF")
            lab.until_down(other, seen_by=name + third)
            for key in KEYS[:3]:
                told = lab.get(name, r=2, key=key)
                assert b"value of " + key in told.values or told.ending is Ending.REFUSED
            lab.heal()
            lab.until_up("ABC", seen_by="ABC")
            lab.advance(3000)  # until connections are new
            assert lab.put(name, b"again by " + name.encode(), key=KEYS[0]).is_done
            lab.exchange()
            for key in KEYS:
                record = lab.record(name, key)
                assert join(record, stash[key]).record == record
                stash[key] = record
            for key in KEYS[1:]:
                assert lab.record(other, key) == lab.record(third, key) == stash[key]
        lab.settle()
        assert len(shown(lab, key=KEYS[0])) == 4


def test_wiped_owner_is_seen_when_planted():
    with plants.empty_stores_are_ready(), pytest.raises(AssertionError, match="value of"):
        test_wiped_owner()


def test_all_owners_wiped_at_once():
    """Scenario 10, variant: they are ready again, empty, only after all have met; and alarm."""
    with Lab() as lab:
        _stash(lab)
        lab.wipe("A")
        lab.wipe("B")
        lab.wipe("C")
        lab.start("AB")
        lab.until_up("AB", seen_by="AB")
        with lab.letting(None):
            lab.advance(30_000)
            assert lab.get("A", r=1, key=KEYS[0]).ending is Ending.REFUSED
            lab.start("C")
            lab.wait_until(lab.all_ready, "for the wiped stores to fill each other")
        assert lab.get("A", r=1, key=KEYS[0]).is_done
        assert {name for _, name, _ in lab.world.alarms} >= set("ABC")


# --- 19 ------------------------------------------------------------------------------------------


def _split(lab: Lab, act: Callable[[Lab, str, int], Told]) -> list[Told]:
    """A cut, 50 writes on each side, some of them on their way when it comes."""
    told = [act(lab, via, n) for n in range(2) for via in "AC"]
    lab.cut("AB|CDE")
    told += [act(lab, via, n) for n in range(2, 4) for via in "AC"]
    lab.until_down("C", seen_by="AB")
    lab.until_down("AB", seen_by="CDE")
    return told + [act(lab, via, n) for n in range(4, 50) for via in "AC"]


def _add_element(lab: Lab, via: str, number: int) -> Told:
    name = b"u%s%d" % (via.encode(), number)
    return lab.call(via, ClientRequest(Verb.ADD_ELEMENTS, b"set", (name,)))


def _add_to_sibling(lab: Lab, via: str, number: int) -> Told:
    return add(lab, via, lab.get(via), number + (100 if via == "C" else 0))


def test_split_brain_primary():
    """Scenario 19. The minority's primary went on acknowledging, the majority promoted another;
    at the end of the cut the first one was overwritten: 56 % of the acknowledged writes lost.

    Rule: sloppy lets both sides write and merges what they wrote."""
    with Lab(stand_ins=2) as lab:
        assert all(told.is_done for told in _split(lab, _add_to_sibling))
        lab.settle()
        assert union(lab.get("B").values) == set(range(50)) | set(range(100, 150))
        assert len(shown(lab)) <= 2


def test_split_brain_primary_is_seen_when_planted():
    with plants.merges_copy(), pytest.raises(AssertionError, match="lost write"):
        test_split_brain_primary()


def test_split_brain_primary_with_a_set():
    """Scenario 19, a set."""
    with Lab(stand_ins=2) as lab:
        assert all(told.is_done for told in _split(lab, _add_element))
        lab.settle()
        names = {item.name for item in lab.record("B", b"set").items}
        assert names == {b"u%s%d" % (via, n) for via in (b"A", b"C") for n in range(50)}


def test_split_brain_primary_strict():
    """Scenario 19, strict: the side with two owners goes on, the other one refuses, and the
    acknowledged ones are what is there in the end."""
    with Lab(stand_ins=2, mode=STRICT) as lab:
        told = _split(lab, _add_element)
        lab.settle()
        late = told[8:]
        assert all(one.is_done for one in late[::2])
        assert {one.reason for one in late[1::2]} == {Reason.NOT_ENOUGH_REPLICAS}
        names = {item.name for item in lab.record("B", b"set").items}
        done = {one.call.request.values[0] for one in told if one.is_done}
        unknown = {one.call.request.values[0] for one in told if one.ending is Ending.UNKNOWN}
        assert done <= names <= done | unknown
