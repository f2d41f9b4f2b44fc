"""Two owners find exactly the ranges they differ in, over any network, in bounded messages.

Exchange and answer are joined by a network in memory that loses, doubles, delays and reorders by
one seed; every message passes through its bytes.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv.kernel import MerkleTree, entry_hash, key_token
from lsmkv_cluster.healing.antientropy_exchange import (
    Effect,
    Exchange,
    ExchangeLimits,
    Finished,
    Result,
    SendQuestion,
    TokenRange,
    answer,
    is_last,
)
from lsmkv_cluster.healing.antientropy_messages import (
    Answer,
    Node,
    Outcome,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)

HASH_KEY = b"k" * 16
START, SPAN_BITS = 1 << 56, 44
Entries = dict[bytes, bytes]


def key(number: int) -> bytes:
    """Spread over the whole span, as hashed keys are."""
    token = START + number * 0x9E3779B97F4A7C15 % (1 << SPAN_BITS)
    return token.to_bytes(8, "big") + b"%d" % number


def tree_of(entries: Entries, depth: int = 3) -> MerkleTree:
    tree = MerkleTree(START, SPAN_BITS, depth=depth)
    tree.add_entries(HASH_KEY, entries.items())
    return tree


def some_entries(count: int) -> Entries:
    return {key(number): b"record %d" % number for number in range(count)}


@dataclass
class Network:
    """Between one asker and one answerer. Delays are up to 400 ms, so messages overtake."""

    seed: int
    loss: float = 0.0
    doubling: float = 0.0
    now_ms: int = 1000
    byte_count: int = 0
    largest_size: int = 0
    message_count: int = 0
    _pending: list[tuple[int, int, bool, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def send(self, to_asker: bool, data: bytes) -> None:
        self.byte_count += len(data)
        self.largest_size = max(self.largest_size, len(data))
        for _ in range(2 if self._random.random() < self.doubling else 1):
            self.message_count += 1
            if self._random.random() >= self.loss:
                due = self.now_ms + self._random.randrange(1, 400)
                heapq.heappush(self._pending, (due, self.message_count, to_asker, data))

    def run(self, exchange: Exchange, other: MerkleTree) -> Finished:
        """Until the exchange has finished; then everything still under way arrives too."""
        finished = self._carry_out(exchange.start(self.now_ms))
        while finished is None:
            deadline = exchange.next_deadline()
            assert deadline is not None
            if self._pending and self._pending[0][0] <= deadline:
                self.now_ms, _, to_asker, data = heapq.heappop(self._pending)
                finished = self._deliver(exchange, other, to_asker, data)
            else:
                self.now_ms = deadline
                finished = self._carry_out(exchange.tick(self.now_ms))
        assert exchange.next_deadline() is None
        while self._pending:
            self.now_ms, _, to_asker, data = heapq.heappop(self._pending)
            assert self._deliver(exchange, other, to_asker, data) is None
        return finished

    def _deliver(
        self, exchange: Exchange, other: MerkleTree, to_asker: bool, data: bytes
    ) -> Finished | None:
        if to_asker:
            return self._carry_out(exchange.receive(self.now_ms, decode_answer(data)))
        self.send(True, encode_answer(answer(other, decode_question(data))))
        return None

    def _carry_out(self, effects: list[Effect]) -> Finished | None:
        finished = None
        for effect in effects:
            if isinstance(effect, SendQuestion):
                self.send(False, encode_question(effect.question))
            else:
                finished = effect
        return finished


def compare(
    one: MerkleTree,
    other: MerkleTree,
    network: Network | None = None,
    limits: ExchangeLimits | None = None,
    cursor: int | None = None,
) -> Finished:
    return (network or Network(1)).run(Exchange(one, 7, cursor, limits), other)


def ranges_of(tokens: set[int], depth: int) -> tuple[TokenRange, ...]:
    """The ranges of the leaves that hold these tokens: the definition of a right result."""
    bits = SPAN_BITS - 4 * depth
    leaves = sorted({(token - START) >> bits for token in tokens})
    return tuple(
        TokenRange(START + (leaf << bits), START + ((leaf + 1) << bits)) for leaf in leaves
    )


def tokens_that_differ(one: Entries, other: Entries) -> set[int]:
    return {key_token(name) for name in one | other if one.get(name) != other.get(name)}


# --- what is found -------------------------------------------------------------------------------


def test_equal_trees_cost_one_small_message_each_way():
    entries = some_entries(3000)
    network = Network(1)
    assert compare(tree_of(entries), tree_of(entries), network) == Finished(Result.EQUAL)
    assert network.message_count == 2
    assert network.byte_count == 40 + 15


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("other_depth", [1, 2, 3, 4])
def test_exactly_the_ranges_that_differ(depth, other_depth):
    """Changed, missing here, missing there; trees of any two depths."""
    here = some_entries(2000)
    there = dict(here)
    there[key(5)] = b"changed"
    del there[key(77)], here[key(1234)]
    found = compare(tree_of(here, depth), tree_of(there, other_depth))
    expected = ranges_of(tokens_that_differ(here, there), min(depth, other_depth))
    assert found == Finished(Result.DIFFERENT, expected)


def test_a_range_is_where_its_keys_are():
    here, there = some_entries(500), some_entries(500)
    there[key(9)] = b"changed"
    [found] = compare(tree_of(here), tree_of(there)).ranges
    assert found.first <= key_token(key(9)) < found.end
    tree = tree_of(here)
    tree.update(
        key_token(key(9)),
        entry_hash(HASH_KEY, key(9), here[key(9)]),
        entry_hash(HASH_KEY, key(9), b"changed"),
    )
    assert compare(tree, tree_of(there)).result is Result.EQUAL


def test_ten_differences_take_three_round_trips():
    here, there = some_entries(20_000), some_entries(20_000)
    for number in range(10):
        there[key(number * 1777)] = b"changed"
    network = Network(1)
    found = compare(tree_of(here, 4), tree_of(there, 4), network)
    assert found == Finished(Result.DIFFERENT, ranges_of(tokens_that_differ(here, there), 4))
    assert network.message_count == 6
    assert network.byte_count < 5000


# --- over a bad network --------------------------------------------------------------------------


@given(
    st.integers(0, 2**32),
    st.sets(st.integers(0, 399), max_size=20),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([0.0, 0.5]),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_any_network_gives_the_same_result(seed, changed, loss, doubling, depth):
    """Losses, doubles and overtaking cost time, never a wrong range."""
    here = some_entries(400)
    there = here | {key(number): b"changed" for number in changed}
    network = Network(seed, loss, doubling)
    limits = ExchangeLimits(attempt_count_max=200)
    found = compare(tree_of(here, depth), tree_of(there), network, limits)
    expected = ranges_of(tokens_that_differ(here, there), min(depth, 3))
    assert found == Finished(Result.DIFFERENT if expected else Result.EQUAL, expected)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("changed", [0, 7])
def test_the_answerer_knows_which_answer_was_the_last(depth, changed):
    """Whom it serves at a time is known by it."""
    here = some_entries(400)
    there = tree_of(here | {key(number): b"changed" for number in range(changed)})
    exchange = Exchange(tree_of(here, depth), 7)
    [effect] = exchange.start(0)
    while isinstance(effect, SendQuestion):
        given = answer(there, effect.question)
        was_last = is_last(effect.question, given)
        [effect] = exchange.receive(0, given)
        assert was_last == isinstance(effect, Finished)


def test_a_peer_that_is_gone():
    """Every attempt is made, at its time, and no more."""
    network = Network(1, loss=1.0)
    limits = ExchangeLimits(timeout_ms=250, attempt_count_max=4)
    tree = tree_of(some_entries(10))
    assert compare(tree, tree, network, limits) == Finished(Result.NO_ANSWER)
    assert network.message_count == 4
    assert network.now_ms == 1000 + 4 * 250


def test_a_tick_before_its_time_does_nothing():
    exchange = Exchange(tree_of({}), 1)
    assert exchange.tick(0) == []
    exchange.start(100)
    assert exchange.next_deadline() == 1100
    assert exchange.tick(1099) == []
    assert len(exchange.tick(1100)) == 1
    assert exchange.next_deadline() == 2100


# --- bounds --------------------------------------------------------------------------------------


def test_messages_and_result_are_bounded_when_everything_differs():
    network = Network(3)
    limits = ExchangeLimits(node_count_max=8, range_count_max=5)
    found = compare(tree_of(some_entries(5000)), tree_of({}), network, limits)
    assert found.result is Result.DIFFERENT
    assert (len(found.ranges), found.complete) == (5, False)
    assert network.largest_size <= 8 * (16 * 8 + 2) + 48
    assert found.ranges == tuple(sorted(found.ranges, key=lambda part: part.first))


def test_what_the_answerer_left_out_is_told():
    """One node of level 1 differs, and in it more nodes of level 2 than an answer may have."""
    inside = {name: record for name, record in some_entries(4000).items() if name[2] < 1}
    limits = ExchangeLimits(node_count_max=8, range_count_max=1000)
    found = compare(tree_of(inside), tree_of({}), limits=limits)
    nodes = {(part.first - START) >> (SPAN_BITS - 8) for part in found.ranges}
    assert len(nodes) == 8
    assert not found.complete


def test_moving_the_cursor_reaches_everything():
    """Rounds that repair what they report, or cannot: every range is reported within one turn."""
    here, there = tree_of(some_entries(5000)), tree_of({})
    limits = ExchangeLimits(node_count_max=8, range_count_max=8)
    cursor = START
    reported: set[TokenRange] = set()
    for seed in range(4096 // 8 + 16):
        found = compare(here, there, Network(seed), limits, cursor)
        assert found.ranges
        reported |= set(found.ranges)
        ahead = [part.end for part in found.ranges if part.first >= cursor]
        cursor = max(ahead, default=START)
        cursor = cursor if cursor < START + (1 << SPAN_BITS) else START
    expected = ranges_of({key_token(name) for name in some_entries(5000)}, 3)
    assert reported == set(expected)


# --- trees that move, and peers that err ---------------------------------------------------------


def test_what_became_equal_meanwhile_is_no_difference():
    here, there = some_entries(100), some_entries(100)
    there[key(3)] = b"changed"
    one, other = tree_of(here), tree_of(there)
    exchange = Exchange(one, 1)
    [first] = exchange.start(0)
    assert isinstance(first, SendQuestion)
    reply = answer(other, first.question)
    assert reply.outcome is Outcome.NARROWED
    hashes = (entry_hash(HASH_KEY, key(3), record) for record in (here[key(3)], b"changed"))
    one.update(key_token(key(3)), *hashes)
    assert exchange.receive(1, reply) == [Finished(Result.EQUAL)]


def test_another_partition_is_told():
    other = MerkleTree(START, SPAN_BITS + 1, depth=2)
    assert compare(tree_of({}), other) == Finished(Result.OTHER_TREE)


def test_answers_that_do_not_fit_are_ignored():
    """Another exchange, another step, a wrong level, nodes nobody asked about, too many."""
    here, there = tree_of(some_entries(300)), tree_of({})
    exchange = Exchange(here, 7, limits=ExchangeLimits(node_count_max=2))
    [first] = exchange.start(0)
    assert isinstance(first, SendQuestion)
    right = answer(there, first.question)
    zeros = (0,) * 16
    asked_root = (
        Answer(8, 0, 3, Outcome.EQUAL),
        Answer(7, 1, 3, Outcome.EQUAL),
        Answer(7, 0, 3, Outcome.LEAVES, 1, False, (Node(0),)),
        Answer(7, 0, 3, Outcome.NARROWED, 1, False, (Node(0, zeros),)),
        Answer(7, 0, 3, Outcome.NARROWED, 0, False, ()),
    )
    for wrong in asked_root:
        assert exchange.receive(1, wrong) == []
    [second] = exchange.receive(1, right)
    assert isinstance(second, SendQuestion)
    assert [node.index for node in second.question.nodes] == [0, 1]
    asked_level_1 = (
        right,
        Answer(7, 1, 3, Outcome.NARROWED, 2, False, (Node(32, zeros),)),
        Answer(7, 1, 3, Outcome.NARROWED, 2, False, tuple(Node(i, zeros) for i in range(3))),
        Answer(7, 1, 3, Outcome.LEAVES, 2, False, (Node(0),)),
        Answer(7, 1, 3, Outcome.NARROWED, 1, False, (Node(0, zeros),)),
    )
    for wrong in asked_level_1:
        assert exchange.receive(2, wrong) == []
    [third] = exchange.receive(3, answer(there, second.question))
    assert isinstance(third, Finished)


def test_a_finished_exchange_ignores_everything():
    tree = tree_of(some_entries(10))
    exchange = Exchange(tree, 7)
    [first] = exchange.start(0)
    assert isinstance(first, SendQuestion)
    reply = answer(tree, first.question)
    assert exchange.receive(1, reply) == [Finished(Result.EQUAL)]
    assert exchange.receive(2, reply) == []
    assert exchange.tick(10**9) == []


def test_arguments():
    for wrong in ({"node_count_max": 0}, {"node_count_max": 1025}, {"timeout_ms": 0}):
        with pytest.raises(ValueError):
            ExchangeLimits(**wrong)
    with pytest.raises(ValueError, match="cursor"):
        Exchange(tree_of({}), 1, cursor=START - 1)
