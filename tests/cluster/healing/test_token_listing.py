"""Lists are complete up to a token, on both sides the same, whatever is cut off on the way."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST_SIZE_MAX,
    ListAnswer,
    ListQuestion,
    entries_size,
)
from lsmkv_cluster.healing.token_listing import BothSides, Next, TokenListing
from lsmkv_cluster.storage.storage_orders import Entries, Entry, ListEntries

Keys = dict[bytes, int]  # client key: token


class Side:
    """Lists keys as a store does, and counts the orders."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.orders = 0

    def carry_out(self, order: ListEntries) -> Entries:
        self.orders += 1
        names = sorted(token.to_bytes(8, "big") + key for key, token in self.keys.items())
        inside = [
            name
            for name in names
            if order.first <= int.from_bytes(name[:8], "big") < order.end and name > order.after
        ]
        page = inside[: order.count_max]
        after = page[-1] if len(page) < len(inside) else None
        return Entries(tuple(Entry(name[8:], 1, 10) for name in page), after)

    def list(self, question: ListQuestion) -> ListAnswer:
        listing = TokenListing(question)
        while (found := listing.listed(self.carry_out(listing.order()))) is None:
            assert self.orders < 100
        return found


def inside(keys: Keys, first: int, end: int) -> set[bytes]:
    return {key for key, token in keys.items() if first <= token < end}


def names(answer: ListAnswer) -> set[bytes]:
    return {entry.key for entry in answer.entries}


@pytest.mark.parametrize("spread", [3, 30, 1000])
@pytest.mark.parametrize("count_max", [1, 4, 100])
def test_pages_are_whole_tokens_and_cover_everything(spread, count_max):
    """Also when many keys share a token, and more than a page holds."""
    choose = random.Random(spread)
    side = Side({b"%d" % n: choose.randrange(spread) for n in range(60)})
    first, pages = 0, 0
    while first < spread:
        side.orders = 0
        found = side.list(ListQuestion(first, spread, count_max))
        assert first < found.end <= spread
        assert names(found) == inside(side.keys, first, found.end)
        assert len(found.entries) <= count_max or found.end == first + 1
        assert side.orders <= 3
        first, pages = found.end, pages + 1
    assert pages <= max(60 // max(1, count_max // 2), spread) + 1


def test_a_page_of_large_keys_is_cut_in_bytes():
    keys = {b"%03d" % n + bytes(20_000): n for n in range(100)}
    found = Side(keys).list(ListQuestion(0, 100, 256))
    assert 0 < entries_size(found.entries) <= LIST_SIZE_MAX
    assert names(found) == inside(keys, 0, found.end)


def test_large_keys_of_one_token_are_not_parted():
    keys = {bytes([n]) * 60_000: 5 for n in range(6)}
    assert Side(keys).list(ListQuestion(0, 100, 256)) == ListAnswer((), 5)
    assert names(Side(keys).list(ListQuestion(5, 100, 256))) == set(keys)


@pytest.mark.parametrize("seed", range(20))
def test_both_sides_end_at_the_same_token(seed):
    choose = random.Random(seed)
    spread = choose.choice([5, 50, 500])
    own, peer = (
        Side({b"%d" % n: choose.randrange(spread) for n in choose.sample(range(200), count)})
        for count in (choose.randrange(100), choose.randrange(100))
    )
    question = ListQuestion(0, spread, choose.choice([1, 5, 300]))
    sides, needed = BothSides(question), Next.LIST_OWN
    questions = 0
    while needed is not Next.NOTHING:
        if needed is Next.LIST_OWN:
            needed = sides.own_listed(own.carry_out(sides.order()))
        else:
            questions += 1
            needed = sides.peer_listed(peer.list(sides.question))
    assert questions == 1
    end = sides.own.end
    assert 0 < end == sides.peers.end <= spread
    assert names(sides.own) == inside(own.keys, 0, end)
    assert names(sides.peers) == inside(peer.keys, 0, end)


def test_a_side_that_grows_meanwhile_is_asked_again():
    """Here 16384 keys and more have come below the token at which the peer ended."""
    own, peer = Side({}), Side({b"%d" % n: n for n in range(10)})
    sides = BothSides(ListQuestion(0, 1 << 20, 4))
    assert sides.own_listed(own.carry_out(sides.order())) is Next.ASK_PEER
    assert sides.peer_listed(peer.list(sides.question)) is Next.LIST_OWN
    assert sides.peers.end == 3
    own.keys = {b"new %d" % n: n // 10_000 for n in range(30_000)}
    needed = Next.LIST_OWN
    while needed is Next.LIST_OWN:
        needed = sides.own_listed(own.carry_out(sides.order()))
    assert needed is Next.ASK_PEER
    assert sides.question.end == sides.own.end == 1
    assert sides.peer_listed(peer.list(sides.question)) is Next.NOTHING
