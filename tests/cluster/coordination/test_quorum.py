"""Levels come to the counts that their names promise, and levels that are said to meet do meet: by
trying every set of owners there is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from lsmkv_cluster.coordination.quorum import (
    Group,
    Need,
    always_meet,
    can_meet,
    is_at_least,
    is_met,
    is_strict,
    missing,
    need,
    total,
)
from lsmkv_cluster.placement.keyspaces import Consistency, Level

DCS = "east", "north", "west"
Owners = dict[str, tuple[bytes, ...]]


def owners_of(*counts: int) -> Owners:
    """So many owners in each data centre; those without any do not stand in it."""
    return {
        dc: tuple(f"{dc}{n}".encode() for n in range(count))
        for dc, count in zip(DCS, counts, strict=False)
        if count
    }


def everybody(owners: Owners) -> list[bytes]:
    return [id for local in owners.values() for id in local]


def subsets(owners: Owners) -> Iterator[frozenset[bytes]]:
    everyone = everybody(owners)
    for size in range(len(everyone) + 1):
        yield from map(frozenset, combinations(everyone, size))


def levels(count_max: int) -> list[Consistency]:
    simple = [Consistency(level) for level in Level if level is not Level.COUNT]
    return simple + [Consistency(Level.COUNT, count) for count in range(1, count_max + 1)]


SIZES = [sizes for n in (1, 2, 3) for sizes in product((1, 2, 3), repeat=n)]
SMALL = [sizes for sizes in SIZES if sum(sizes) <= 6]


# --- what levels mean ----------------------------------------------------------------------------

# Level, owners in each data centre, the coordinator's: the least number in each group.
MEANINGS = [
    (Level.ONE, (3,), "east", [(3, 1)]),
    (Level.ONE, (3, 2), "west", [(5, 1)]),
    (Level.QUORUM, (1,), "east", [(1, 1)]),
    (Level.QUORUM, (2,), "east", [(2, 2)]),
    (Level.QUORUM, (3,), "east", [(3, 2)]),
    (Level.QUORUM, (3, 3), "east", [(6, 4)]),
    (Level.QUORUM, (3, 3, 3), "west", [(9, 5)]),
    (Level.ALL, (3,), "east", [(3, 3)]),
    (Level.ALL, (3, 2, 1), "north", [(6, 6)]),
    (Level.LOCAL_QUORUM, (3,), "east", [(3, 2)]),
    (Level.LOCAL_QUORUM, (3, 1), "north", [(1, 1)]),
    (Level.LOCAL_QUORUM, (3, 2, 1), "north", [(2, 2)]),
    (Level.LOCAL_QUORUM, (3, 2), "west", [(0, 1)]),  # nobody there: cannot be met
    (Level.EACH_QUORUM, (3,), "east", [(3, 2)]),
    (Level.EACH_QUORUM, (3, 2, 1), "west", [(3, 2), (2, 2), (1, 1)]),
    (Consistency(Level.COUNT, 2), (3, 3), "east", [(6, 2)]),
    (Consistency(Level.COUNT, 7), (3, 3), "east", [(6, 7)]),  # cannot be met
]


@pytest.mark.parametrize(("level", "sizes", "dc", "groups"), MEANINGS)
def test_what_levels_mean(level, sizes, dc, groups):
    consistency = level if isinstance(level, Consistency) else Consistency(level)
    found = need(consistency, owners_of(*sizes), dc)
    assert [(len(group.members), group.count) for group in found] == groups


@pytest.mark.parametrize("consistency", levels(3), ids=str)
def test_nobody_is_never_enough(consistency):
    """Also of a partition that has no owners yet."""
    for sizes in [(), *SIZES]:
        needed = need(consistency, owners_of(*sizes), "east")
        assert not is_met(needed, ())
        assert total(needed) >= 1
    assert not can_meet(need(consistency, {}, "east"), [b"somebody"])


# What each level promises, said of a set of owners without the groups.
def promised(consistency: Consistency, owners: Owners, dc: str, answered: frozenset[bytes]) -> bool:
    everyone = everybody(owners)

    def is_majority(of: tuple[bytes, ...]) -> bool:
        return 2 * len(answered.intersection(of)) > len(of)

    return {
        Level.ONE: len(answered) >= 1,
        Level.QUORUM: is_majority(tuple(everyone)),
        Level.ALL: len(answered) == len(everyone),
        Level.LOCAL_QUORUM: is_majority(owners.get(dc, ())),
        Level.EACH_QUORUM: all(map(is_majority, owners.values())),
        Level.COUNT: len(answered) >= consistency.count,
    }[consistency.level]


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_a_level_is_met_by_exactly_the_sets_that_it_promises(sizes):
    owners = owners_of(*sizes)
    for consistency, dc in product(levels(sum(sizes) + 1), DCS):
        needed = need(consistency, owners, dc)
        for answered in subsets(owners):
            assert is_met(needed, answered) == promised(consistency, owners, dc, answered)
            assert can_meet(needed, answered) == is_met(needed, answered)


def test_strangers_do_not_count():
    needed = need(Consistency(Level.QUORUM), owners_of(3), "east")
    assert not is_met(needed, [b"east0", b"x", b"y"])
    assert is_met(needed, [b"east0", b"x", b"east2"])


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_missing_says_who_can_help_and_how_many_must(sizes):
    owners = owners_of(*sizes)
    for consistency in levels(sum(sizes)):
        needed = need(consistency, owners, "east")
        for answered in subsets(owners):
            rest = missing(needed, answered)
            assert (not rest) == is_met(needed, answered)
            for group in rest:
                assert group.members.isdisjoint(answered)
                assert group.count >= 1
            if all(group.count <= len(group.members) for group in rest):
                helped = {id for g in rest for id in sorted(g.members)[: g.count]}
                assert is_met(needed, answered | helped)


def test_missing_of_several_groups():
    needed = need(Consistency(Level.EACH_QUORUM), owners_of(3, 1), "east")
    assert missing(needed, [b"east1", b"north0"]) == [Group(frozenset([b"east0", b"east2"]), 1)]


# --- levels that meet ----------------------------------------------------------------------------


def least_sets(needed: Need, owners: Owners) -> list[frozenset[bytes]]:
    met = [some for some in subsets(owners) if is_met(needed, some)]
    return [some for some in met if not any(other < some for other in met)]


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_levels_always_meet_exactly_when_no_two_sets_miss_each_other(sizes):
    """Every pair of levels, every pair of coordinators, every pair of sets."""
    owners = owners_of(*sizes)
    every = levels(sum(sizes) + 1)
    sets = {
        (level, dc): least_sets(need(level, owners, dc), owners) for level in every for dc in owners
    }
    for first, second in product(every, every):
        expected = all(
            a & b
            for here, there in product(owners, owners)
            for a in sets[first, here]
            for b in sets[second, there]
        )
        assert always_meet(first, second, owners) == expected, f"{first} {second}"
        assert always_meet(second, first, owners) == expected


STRICT = [  # read, write, owners in each data centre, allowed
    (Level.QUORUM, Level.QUORUM, (3,), True),
    (Level.ONE, Level.ALL, (3,), True),
    (Level.ALL, Level.ONE, (3,), False),  # two writes might not meet
    (Level.ONE, Level.QUORUM, (3,), False),
    (Level.LOCAL_QUORUM, Level.LOCAL_QUORUM, (3,), True),
    (Level.LOCAL_QUORUM, Level.LOCAL_QUORUM, (3, 3), False),
    (Level.LOCAL_QUORUM, Level.EACH_QUORUM, (3, 3), True),
    (Level.EACH_QUORUM, Level.LOCAL_QUORUM, (3, 3), False),
    (Level.QUORUM, Level.QUORUM, (2, 1), True),
    (Level.ONE, Level.ONE, (1,), True),
    (Level.ONE, Level.ONE, (2,), False),
]


@pytest.mark.parametrize(("read", "write", "sizes", "allowed"), STRICT)
def test_what_strict_mode_allows(read, write, sizes, allowed):
    assert is_strict(Consistency(read), Consistency(write), owners_of(*sizes)) == allowed


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_a_level_is_at_least_another_when_every_set_meets_that_somewhere(sizes):
    owners = owners_of(*sizes)
    n = sum(sizes)
    for level, least in product(levels(n), levels(n)):
        expected = all(
            any(
                all(
                    is_met(need(least, owners, there), some)
                    for some in least_sets(need(level, owners, here), owners)
                )
                for there in owners
            )
            for here in owners
        )
        assert is_at_least(level, least, owners) == expected, f"{level} {least}"


def test_reads_that_meet_the_least_write_meet_every_write_that_is_at_least_that():
    """What lets requests of one keyspace choose levels of their own."""
    for sizes in SMALL:
        owners = owners_of(*sizes)
        every = levels(sum(sizes))
        for read, least, write in product(every, every, every):
            if is_strict(read, least, owners) and is_at_least(write, least, owners):
                assert is_strict(read, write, owners)
