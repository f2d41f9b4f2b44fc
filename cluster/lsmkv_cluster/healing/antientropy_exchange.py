"""Two owners of a partition find the ranges of tokens in which their copies differ.

One asks, the other answers. The asker is a machine, `Exchange`; the answerer is a function,
`answer`, that keeps nothing: lost, doubled and late messages need no thought on its side, and a
peer can make it hold nothing. The asker sends one question at a time, repeats it when no answer
comes, takes only the answer to it, and gives up after a number of attempts.

- Equal trees cost one question and one answer of a few dozen bytes.
- Otherwise every round trip descends two levels (antientropy_messages.py), and no message has the
  digests below more than `node_count_max` nodes, in either direction. When more differs, the nodes
  from `cursor` on, around the end, are followed, and the result says that it is not all: a caller
  who moves the cursor on from round to round reaches everything, even if some range can never be
  repaired.
- Trees may have different depths: they meet on the deepest level that both have.
- Trees change meanwhile. A range may be reported because a write had reached one owner only; that
  costs a comparison of records and changes nothing. What is written after its range was compared
  is for the next round.

The result is where to look, not what to do: repair merges records, and a merge never harms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.healing.antientropy_messages import (
    FANOUT_BITS,
    NODE_COUNT_MAX,
    Answer,
    Node,
    Outcome,
    Question,
)
from lsmkv_cluster.storage.engine_key import TokenRange

__all__ = [
    "Exchange",
    "ExchangeLimits",
    "Finished",
    "Result",
    "SendQuestion",
    "TokenRange",
    "answer",
    "is_last",
]


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """How much and how long."""

    node_count_max: int = 64  # in one message: 64 with children take about 8.5 kB
    range_count_max: int = 64  # in the result: what one round repairs
    timeout_ms: int = 1000  # until a question is repeated
    attempt_count_max: int = 5  # of one question

    def __post_init__(self) -> None:
        if not 1 <= self.node_count_max <= NODE_COUNT_MAX:
            raise ValueError(f"node_count_max must be in 1..{NODE_COUNT_MAX}")
        if min(self.range_count_max, self.timeout_ms, self.attempt_count_max) < 1:
            raise ValueError("limits must be positive")


class Result(Enum):
    EQUAL = "equal"
    DIFFERENT = "different"
    OTHER_TREE = "other tree"  # the peer's partition covers other tokens
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class SendQuestion:
    """An effect: to the peer, by any way that may lose, double and reorder."""

    question: Question


@dataclass(frozen=True, slots=True)
class Finished:
    """The last effect. `complete` is False when more differs than was followed."""

    result: Result
    ranges: tuple[TokenRange, ...] = ()
    complete: bool = True


Effect = SendQuestion | Finished


def _from_cursor(
    tree: MerkleTree, level: int, indices: Sequence[int], cursor: int, count_max: int
) -> list[int]:
    """At most `count_max` of the ascending indices: those from the cursor on, then from the start;
    ascending again."""
    if len(indices) <= count_max:
        return list(indices)
    first = (cursor - tree.start) >> (tree.span_bits - FANOUT_BITS * level)
    ahead = [index for index in indices if index >= first]
    behind = [index for index in indices if index < first]
    return sorted((ahead + behind)[:count_max])


def _with_children(tree: MerkleTree, level: int, indices: Sequence[int]) -> tuple[Node, ...]:
    return tuple([Node(index, tree.children(level, index)) for index in indices])


def _differing(tree: MerkleTree, level: int, nodes: Sequence[Node]) -> list[int]:
    """The children, on level + 1, that differ from the peer's."""
    return tree.differing(level, [node.index for node in nodes], [node.children for node in nodes])


def answer(tree: MerkleTree, question: Question, node_count_max: int = NODE_COUNT_MAX) -> Answer:
    """The answer of an owner whose tree this is, as it is now. Keeps nothing."""

    def made(
        outcome: Outcome, level: int = 0, partial: bool = False, nodes: Iterable[Node] = ()
    ) -> Answer:
        return Answer(
            question.exchange, question.step, tree.depth, outcome, level, partial, tuple(nodes)
        )

    if (tree.start, tree.span_bits) != (question.start, question.span_bits):
        return made(Outcome.OTHER_TREE)
    if question.root == tree.root:
        return made(Outcome.EQUAL)
    depth = min(tree.depth, question.depth)
    if not question.nodes:
        return made(Outcome.NARROWED, 0, False, _with_children(tree, 0, [0]))
    if question.level >= depth:
        return made(Outcome.OTHER_TREE)  # a tree that was rebuilt with less depth meanwhile
    level = question.level + 1
    found = _differing(tree, question.level, question.nodes)
    if level == depth:
        return made(Outcome.LEAVES, level, False, [Node(index) for index in found])
    count_max = min(node_count_max, question.node_count_max)
    taken = _from_cursor(tree, level, found, question.cursor, count_max)
    return made(
        Outcome.NARROWED, level, len(taken) < len(found), _with_children(tree, level, taken)
    )


def is_last(question: Question, given: Answer) -> bool:
    """Whether the asker needs no other answer after this one: what it still compares are leaves."""
    depth = min(question.depth, given.depth)
    return given.outcome is not Outcome.NARROWED or given.level + 1 >= depth


class Exchange:
    """The asking side of one comparison. Made, started, fed with answers and ticks, finished once.

    `exchange_id` differs from that of every other exchange with this peer that might still be on
    its way. After Finished every input is ignored.
    """

    __slots__ = (
        "_attempts",
        "_complete",
        "_cursor",
        "_deadline_ms",
        "_exchange_id",
        "_limits",
        "_question",
        "_tree",
    )

    def __init__(
        self,
        tree: MerkleTree,
        exchange_id: int,
        cursor: int | None = None,
        limits: ExchangeLimits | None = None,
    ) -> None:
        self._tree = tree
        self._exchange_id = exchange_id
        self._cursor = tree.start if cursor is None else cursor
        self._limits = limits or ExchangeLimits()
        if not 0 <= self._cursor - tree.start < 1 << tree.span_bits:
            raise ValueError(f"the cursor {cursor} lies outside the tree")
        self._question: Question | None = None  # the one that waits for its answer
        self._attempts = 0  # of it
        self._deadline_ms: int | None = None  # of this attempt
        self._complete = True

    def start(self, now_ms: int) -> list[Effect]:
        """Ask about the root."""
        return self._ask(now_ms, 0, ())

    def next_deadline(self) -> int | None:
        """When `tick` has something to do; None when nothing is waited for."""
        return self._deadline_ms

    def tick(self, now_ms: int) -> list[Effect]:
        """Repeat a question whose time is up, or give up."""
        if self._question is None or self._deadline_ms is None or now_ms < self._deadline_ms:
            return []
        if self._attempts >= self._limits.attempt_count_max:
            return self._finish(Result.NO_ANSWER)
        self._attempts += 1
        self._deadline_ms = now_ms + self._limits.timeout_ms
        return [SendQuestion(self._question)]

    def receive(self, now_ms: int, received: Answer) -> list[Effect]:
        """Follow what the answer says. Answers to other questions than the last are ignored, and
        so are those that do not fit it."""
        asked = self._question
        if asked is None or (received.exchange, received.step) != (asked.exchange, asked.step):
            return []
        if received.outcome is Outcome.EQUAL:
            return self._finish(Result.EQUAL)
        if received.outcome is Outcome.OTHER_TREE:
            return self._finish(Result.OTHER_TREE)
        depth = min(self._tree.depth, received.depth)
        if not self._fits(asked, received, depth):
            return []
        self._complete = self._complete and not received.partial
        indices = [node.index for node in received.nodes]
        if received.outcome is Outcome.LEAVES:
            return self._finish_with(received.level, indices)
        found = _differing(self._tree, received.level, received.nodes)
        level = received.level + 1
        if level == depth or not found:
            return self._finish_with(level, found)
        taken = _from_cursor(self._tree, level, found, self._cursor, self._limits.node_count_max)
        self._complete = self._complete and len(taken) == len(found)
        return self._ask(now_ms, level, _with_children(self._tree, level, taken))

    def _fits(self, asked: Question, received: Answer, depth: int) -> bool:
        """Whether an answer can be one to this question: the right level, and nodes below those
        that were asked about."""
        leaves = received.outcome is Outcome.LEAVES
        if not asked.nodes:
            return not leaves and received.level == 0 and len(received.nodes) == 1
        if received.level != asked.level + 1 or leaves != (received.level == depth):
            return False
        if not leaves and len(received.nodes) > asked.node_count_max:
            return False
        parents = {node.index for node in asked.nodes}
        return all(node.index >> FANOUT_BITS in parents for node in received.nodes)

    def _ask(self, now_ms: int, level: int, nodes: tuple[Node, ...]) -> list[Effect]:
        tree = self._tree
        self._question = Question(
            exchange=self._exchange_id,
            step=0 if self._question is None else self._question.step + 1,
            start=tree.start,
            span_bits=tree.span_bits,
            depth=tree.depth,
            cursor=self._cursor,
            root=tree.root,
            node_count_max=self._limits.node_count_max,
            level=level,
            nodes=nodes,
        )
        self._attempts = 1
        self._deadline_ms = now_ms + self._limits.timeout_ms
        return [SendQuestion(self._question)]

    def _finish_with(self, level: int, indices: Sequence[int]) -> list[Effect]:
        taken = _from_cursor(self._tree, level, indices, self._cursor, self._limits.range_count_max)
        self._complete = self._complete and len(taken) == len(indices)
        ranges = tuple([TokenRange(*self._tree.token_range(level, index)) for index in taken])
        # No leaf, and nothing left out: what differed is no longer there.
        equal = not ranges and self._complete
        return self._finish(Result.EQUAL if equal else Result.DIFFERENT, ranges, self._complete)

    def _finish(
        self, result: Result, ranges: tuple[TokenRange, ...] = (), complete: bool = True
    ) -> list[Effect]:
        self._question = None
        self._deadline_ms = None
        return [Finished(result, ranges, complete)]
