"""What two owners of a partition say to each other while they look for their differences.

A question names nodes of one level and the asker's digests of their children; the answer names the
children that differ and, unless they are leaves, the answerer's digests one level further down. So
each round trip descends two levels. Payloads, in terms of coding.py:

    question, opcode 0x0601                     answer, the same opcode
    u64    exchange, u16 step                   u64    exchange, u16 step
    u64    start, u8 span bits: the partition   u8     depth of the answerer's tree
    u8     depth of the asker's tree            u8     outcome
    u64    cursor: which nodes come first       u8     level
    u64    digest of the root                   u8     1 = not all of what differs
    u16    node limit of the answer             nodes
    u8     level
    nodes

    nodes  varint count, then for each a varint index - (index before + 1), the first as it is,
           then for each 16 u64, the digests of its children; leaves have none

With the flag WHOLE the question is answered only by a copy that lacks nothing: else NOT_READY.
A question without nodes asks about the root: 40 bytes in all, and 15 are the answer when the trees
are equal. Indices are coded as gaps, so a list that does not ascend cannot be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode

__all__ = [
    "COMPARE",
    "NODE_COUNT_MAX",
    "WHOLE",
    "Answer",
    "Node",
    "Outcome",
    "Question",
    "decode_answer",
    "decode_question",
    "encode_answer",
    "encode_question",
]

COMPARE = opcode(Machine.ANTIENTROPY, 1)
WHOLE = 1

FANOUT_BITS = 4
FANOUT = 1 << FANOUT_BITS
DEPTH_MAX = 5
NODE_COUNT_MAX = 1024  # with children: 132 KiB; LEAF_COUNT_MAX bounds those without
LEAF_COUNT_MAX = FANOUT * NODE_COUNT_MAX


class Outcome(IntEnum):
    """What an answer says. Persistent."""

    EQUAL = 1
    NARROWED = 2  # these nodes differ, and here are my digests of their children
    LEAVES = 3  # these leaves differ, on the deepest level that both trees have
    OTHER_TREE = 4  # the partition I have covers other tokens


@dataclass(frozen=True, slots=True)
class Node:
    """A node by its index in its level, with the digests of its children; a leaf has none."""

    index: int
    children: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Which children of these nodes differ from yours?"""

    exchange: int
    step: int
    start: int
    span_bits: int
    depth: int
    cursor: int
    root: int
    node_count_max: int
    level: int = 0
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """These do."""

    exchange: int
    step: int
    depth: int
    outcome: Outcome
    level: int = 0
    partial: bool = False
    nodes: tuple[Node, ...] = ()


def _write_nodes(writer: Writer, nodes: tuple[Node, ...], child_count: int) -> None:
    writer.varint(len(nodes))
    expected = 0
    for node in nodes:
        writer.varint(node.index - expected)
        expected = node.index + 1
    for node in nodes:
        if len(node.children) != child_count:
            raise ValueError(f"a node with {len(node.children)} children")
        for digest in node.children:
            writer.u64(digest)


def _read_nodes(reader: Reader, level: int, child_count: int) -> tuple[Node, ...]:
    count = reader.varint(NODE_COUNT_MAX if child_count else LEAF_COUNT_MAX)
    last = (1 << FANOUT_BITS * level) - 1
    indices: list[int] = []
    index = -1
    for _ in range(count):
        index += 1 + reader.varint(last)
        if index > last:
            raise Malformed(f"node {index} of level {level}")
        indices.append(index)
    return tuple([Node(index, reader.u64s(child_count)) for index in indices])


def _read_level(reader: Reader) -> int:
    return _at_most(reader.u8(), DEPTH_MAX, "level")


def _read_depth(reader: Reader) -> int:
    depth = _at_most(reader.u8(), DEPTH_MAX, "depth")
    if depth == 0:
        raise Malformed("a tree of depth 0")
    return depth


def _at_most(value: int, limit: int, what: str) -> int:
    if value > limit:
        raise Malformed(f"{what} {value} is over {limit}")
    return value


def encode_question(question: Question) -> bytes:
    writer = Writer().u64(question.exchange).u16(question.step)
    writer.u64(question.start).u8(question.span_bits).u8(question.depth)
    writer.u64(question.cursor).u64(question.root).u16(question.node_count_max).u8(question.level)
    _write_nodes(writer, question.nodes, FANOUT)
    return writer.finish()


def decode_question(payload: bytes) -> Question:
    """Malformed for what cannot be one."""
    reader = Reader(payload)
    exchange, step, start = reader.u64(), reader.u16(), reader.u64()
    span_bits = _at_most(reader.u8(), 64, "a span of bits")
    depth = _read_depth(reader)
    cursor, root = reader.u64(), reader.u64()
    node_count_max = _at_most(reader.u16(), NODE_COUNT_MAX, "a node limit")
    level = _read_level(reader)
    if level >= depth:
        raise Malformed(f"children on level {level} of {depth}")
    nodes = _read_nodes(reader, level, FANOUT)
    reader.end()
    return Question(
        exchange, step, start, span_bits, depth, cursor, root, node_count_max, level, nodes
    )


def encode_answer(answer: Answer) -> bytes:
    writer = Writer().u64(answer.exchange).u16(answer.step).u8(answer.depth).u8(answer.outcome)
    writer.u8(answer.level).u8(answer.partial)
    _write_nodes(writer, answer.nodes, FANOUT if answer.outcome is Outcome.NARROWED else 0)
    return writer.finish()


def decode_answer(payload: bytes) -> Answer:
    """Malformed for what cannot be one."""
    reader = Reader(payload)
    exchange, step = reader.u64(), reader.u16()
    depth = _read_depth(reader)
    outcome = reader.one_of(Outcome)
    level = _read_level(reader)
    partial = _at_most(reader.u8(), 1, "a truth value")
    nodes = _read_nodes(reader, level, FANOUT if outcome is Outcome.NARROWED else 0)
    if nodes and outcome not in (Outcome.NARROWED, Outcome.LEAVES):
        raise Malformed(f"nodes in an answer that says {outcome.name}")
    if level > depth or (outcome is Outcome.NARROWED and level == depth):
        raise Malformed(f"nodes on level {level} of {depth}")
    reader.end()
    return Answer(exchange, step, depth, outcome, level, bool(partial), nodes)
