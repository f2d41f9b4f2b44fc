"""The asked side of anti-entropy: compares trees at once, and lists keys through the store.

It answers whoever asks about a partition that this node owns, also while the partition is not
ready: two owners that lost everything fill each other. It keeps the lists that wait for the store,
at most `list_open_max`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.coordination.replica_messages import ReplicaStatus, encode_failure
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_exchange import answer
from lsmkv_cluster.healing.antientropy_messages import COMPARE, decode_question, encode_answer
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST,
    decode_list_question,
    encode_list_answer,
)
from lsmkv_cluster.healing.token_listing import TokenListing
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Asked, Effect, Reply, StoreOrder
from lsmkv_cluster.storage.engine_key import partition_of_token, space_tokens
from lsmkv_cluster.storage.storage_orders import Entries, Failed, Failure, Result, Space

__all__ = ["Answers"]


@dataclass(frozen=True, slots=True)
class _List:
    partition: int
    listing: TokenListing
    reply_to: Hashable


class Answers:
    """Tokens are ("list", serial)."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        trees: Callable[[int], MerkleTree],
        list_open_max: int,
    ) -> None:
        self._topology = topology
        self._me = me
        self._trees = trees
        self._list_open_max = list_open_max
        self._lists: dict[int, _List] = {}
        self._serial = 0

    def asked(self, asked: Asked) -> tuple[Effect, int | None]:
        """The answer or the order that leads to it; and the partition, if a tree was compared."""
        try:
            if asked.opcode not in (COMPARE, LIST):
                return Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE), None
            if asked.flags:
                return Reply(asked.reply_to, OperationStatus.UNKNOWN_FLAGS), None
            if asked.opcode == COMPARE:
                return self._compare(asked)
            return self._list(asked), None
        except Malformed:
            return Reply(asked.reply_to, OperationStatus.MALFORMED), None

    def stored(self, serial: int, result: Result) -> tuple[list[Effect], int | None]:
        """The answer, or one more order; and the partition, if it cannot be read."""
        found = self._lists.pop(serial)
        if isinstance(result, Entries):
            complete = found.listing.listed(result)
            if complete is None:
                return [self._order(found)], None
            payload = encode_list_answer(complete)
            return [Reply(found.reply_to, OperationStatus.DONE, payload)], None
        failure = result.failure if isinstance(result, Failed) else Failure.BROKEN
        reply = Reply(found.reply_to, ReplicaStatus.FAILED, encode_failure(failure))
        return [reply], found.partition if failure is Failure.CORRUPT else None

    def _compare(self, asked: Asked) -> tuple[Effect, int | None]:
        question = decode_question(asked.payload)
        partition = self._owned(question.start)
        if partition is None:
            return Reply(asked.reply_to, ReplicaStatus.NOT_OWNER), None
        found = answer(self._trees(partition), question)
        return Reply(asked.reply_to, OperationStatus.DONE, encode_answer(found)), partition

    def _list(self, asked: Asked) -> Effect:
        question = decode_list_question(asked.payload)
        partition = self._owned(question.first)
        if partition is None or self._owned(question.end - 1) != partition:
            return Reply(asked.reply_to, ReplicaStatus.NOT_OWNER)
        if len(self._lists) >= self._list_open_max:
            return Reply(asked.reply_to, OperationStatus.OVERLOADED)
        return self._order(_List(partition, TokenListing(question), asked.reply_to))

    def _order(self, found: _List) -> StoreOrder:
        self._serial += 1
        self._lists[self._serial] = found
        return StoreOrder(("list", self._serial), found.listing.order())

    def _owned(self, token: int) -> int | None:
        """The partition of a token of Space.DATA, if this node owns it."""
        first, end = space_tokens(Space.DATA).first, space_tokens(Space.DATA).end
        if not first <= token < end:
            return None
        partition = partition_of_token(self._topology.partitioning, token)
        owners = self._topology.owners
        return partition if partition < len(owners) and self._me in owners[partition] else None
