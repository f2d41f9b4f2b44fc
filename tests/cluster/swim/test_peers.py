"""Everybody gets a turn in every pass, and picks are fair."""

from __future__ import annotations

import random
from collections import Counter

from lsmkv_cluster.swim.peers import Peers

MEMBERS = [bytes([number]) * 16 for number in range(7)]


def test_each_pass_has_everybody_once_in_another_order():
    peers = Peers(MEMBERS, random.Random(1))
    passes = [tuple(peers.next(lambda _: True) for _ in MEMBERS) for _ in range(4)]
    assert all(sorted(found) == MEMBERS for found in passes)
    assert len(set(passes)) == 4


def test_only_who_is_wanted_gets_a_turn():
    peers = Peers(MEMBERS, random.Random(2))
    wanted = MEMBERS[2:4]
    assert {peers.next(wanted.__contains__) for _ in range(8)} == set(wanted)
    assert peers.next(lambda _: False) is None
    assert Peers([], random.Random(2)).next(lambda _: True) is None


def test_whoever_is_hurried_is_next_once():
    peers = Peers(MEMBERS, random.Random(3))
    peers.hurry(MEMBERS[5])
    peers.hurry(MEMBERS[6])
    assert peers.next(lambda member: member != MEMBERS[5]) == MEMBERS[6]
    later = [peers.next(lambda _: True) for _ in MEMBERS]
    assert sorted(later) == MEMBERS


def test_picks_are_different_wanted_and_equally_likely():
    peers = Peers(MEMBERS, random.Random(4))
    counts: Counter[bytes] = Counter()
    for _ in range(3000):
        found = peers.pick(2, lambda member: member != MEMBERS[0])
        assert len(set(found)) == 2
        counts.update(found)
    assert set(counts) == set(MEMBERS[1:])
    assert max(counts.values()) < 1.2 * min(counts.values())


def test_a_pick_finds_the_only_one_there_is():
    peers = Peers(MEMBERS, random.Random(5))
    for _ in range(50):
        assert peers.pick(3, lambda member: member == MEMBERS[4]) == [MEMBERS[4]]


def test_new_ones_get_their_turn_within_the_pass_and_those_who_are_gone_get_none():
    peers = Peers(MEMBERS[:4], random.Random(6))
    begun = [peers.next(lambda _: True) for _ in range(2)]
    gone, stays = begun
    ahead = [member for member in MEMBERS[:4] if member not in begun]
    peers.hurry(gone)
    kept = [stays, ahead[1], *MEMBERS[4:]]
    peers.follow(kept)
    rest = [peers.next(lambda _: True) for _ in range(4)]
    assert sorted(rest) == sorted([ahead[1], *MEMBERS[4:]])
    assert sorted(peers.next(lambda _: True) for _ in kept) == sorted(kept)
    assert set(peers.pick(9, lambda _: True)) == set(kept)
    peers.follow([])
    assert peers.next(lambda _: True) is None
    assert peers.pick(1, lambda _: True) == []
