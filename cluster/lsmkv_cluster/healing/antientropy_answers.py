"""The asked side of anti-entropy: compares trees at once, lists keys and syncs through the store.

It answers whoever asks about a partition that this node keeps, by the document that placed it there
or a later one, also while the partition is not ready: two owners that lost everything fill each
other. It keeps the questions that wait for the store, at most `list_open_max`, and of each copy a
number (antientropy_sync_messages.py), no more.

When a partition has moved, the store may still have merges to carry out that were taken for the
place before. Until those are done (`settle`) its tree is not compared: whoever has met this copy
must have got them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.coordination.replica_messages import ReplicaStatus, encode_failure
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_exchange import answer, is_last
from lsmkv_cluster.healing.antientropy_messages import (
    COMPARE,
    WHOLE,
    decode_question,
    encode_answer,
)
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST,
    decode_list_question,
    encode_list_answer,
)
from lsmkv_cluster.healing.antientropy_sync_messages import (
    SYNC,
    decode_sync_question,
    encode_sync_answer,
)
from lsmkv_cluster.healing.token_listing import TokenListing
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Asked, Effect, Random, Reply, StoreOrder
from lsmkv_cluster.storage.engine_key import partition_of_token, space_tokens
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Entries,
    Failed,
    Failure,
    Order,
    Result,
    Space,
    Sync,
)

__all__ = ["Answers", "Given"]


class Given(NamedTuple):
    """The answer to a question, or the order that leads to it."""

    effect: Effect
    compared: int | None = None  # the partition, if its tree was
    is_over: bool = False  # nobody has a reason to ask on about this tree


@dataclass(frozen=True, slots=True)
class _List:
    partition: int
    reply_to: Hashable
    listing: TokenListing


@dataclass(frozen=True, slots=True)
class _Sync:
    partition: int
    reply_to: Hashable


class Answers:
    """Tokens are ("answer", serial). `is_busy`: the store has no room for background work."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        trees: Callable[[int], MerkleTree],
        random: Random,
        list_open_max: int,
        is_whole: Callable[[int], bool] = lambda partition: True,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._topology = topology
        self._me = me
        self._trees = trees
        self._is_whole = is_whole
        self._random = random
        self._list_open_max = list_open_max
        self._is_busy = is_busy
        self._open: dict[int, _List | _Sync] = {}
        self._serial = 0
        self._copies: dict[int, int] = {}  # the numbers of those that were asked for
        self._unsettled: set[int] = set()

    def follow(self, topology: Topology, moved: Collection[int]) -> list[Effect]:
        """Answers that wait for the store, about partitions that have moved, are not given."""
        self._topology = topology
        self._unsettled.update(moved)
        effects: list[Effect] = []
        for serial, waiting in list(self._open.items()):
            if waiting.partition in moved:
                del self._open[serial]
                effects.append(Reply(waiting.reply_to, OperationStatus.STALE_EPOCH))
        for partition in moved:
            self.forget(partition)
        return effects

    def settle(self) -> None:
        """The store has carried out everything from before the partitions moved."""
        self._unsettled.clear()

    def forget(self, partition: int) -> None:
        """The copy is another one now, or may have lost something."""
        self._copies.pop(partition, None)

    def asked(self, asked: Asked) -> Given:
        try:
            if asked.opcode not in (COMPARE, LIST, SYNC):
                return Given(Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE))
            if asked.flags & ~(WHOLE if asked.opcode == COMPARE else 0):
                return Given(Reply(asked.reply_to, OperationStatus.UNKNOWN_FLAGS), is_over=True)
            if asked.opcode == COMPARE:
                return self._compare(asked)
            return Given(self._list(asked) if asked.opcode == LIST else self._sync(asked))
        except Malformed:
            return Given(Reply(asked.reply_to, OperationStatus.MALFORMED), is_over=True)

    def stored(self, serial: int, result: Result) -> tuple[list[Effect], int | None]:
        """The answer, or one more order; and the partition, if it cannot be read."""
        found = self._open.pop(serial, None)
        if found is None:
            return [], None
        if isinstance(found, _Sync) and isinstance(result, Done):
            payload = encode_sync_answer(self._copy(found.partition))
            return [Reply(found.reply_to, OperationStatus.DONE, payload)], None
        if isinstance(found, _List) and isinstance(result, Entries):
            complete = found.listing.listed(result)
            if complete is None:
                return [self._order(found, found.listing.order())], None
            payload = encode_list_answer(complete)
            return [Reply(found.reply_to, OperationStatus.DONE, payload)], None
        failure = result.failure if isinstance(result, Failed) else Failure.BROKEN
        reply = Reply(found.reply_to, ReplicaStatus.FAILED, encode_failure(failure))
        return [reply], found.partition if failure is Failure.CORRUPT else None

    def _compare(self, asked: Asked) -> Given:
        question = decode_question(asked.payload)
        partition = self._kept(question.start)
        if partition is None:
            return Given(Reply(asked.reply_to, ReplicaStatus.NOT_OWNER), is_over=True)
        if self._is_stale(asked, partition):
            return Given(Reply(asked.reply_to, OperationStatus.STALE_EPOCH), is_over=True)
        if partition in self._unsettled or (asked.flags & WHOLE and not self._is_whole(partition)):
            return Given(Reply(asked.reply_to, OperationStatus.NOT_READY), is_over=True)
        found = answer(self._trees(partition), question)
        reply = Reply(asked.reply_to, OperationStatus.DONE, encode_answer(found))
        return Given(reply, partition, is_over=is_last(question, found))

    def _list(self, asked: Asked) -> Effect:
        question = decode_list_question(asked.payload)
        partition = self._kept(question.first)
        if partition is None or self._kept(question.end - 1) != partition:
            return Reply(asked.reply_to, ReplicaStatus.NOT_OWNER)
        listing = TokenListing(question)
        waiting = _List(partition, asked.reply_to, listing)
        return self._refused(asked, partition) or self._order(waiting, listing.order())

    def _sync(self, asked: Asked) -> Effect:
        partition = self._kept(decode_sync_question(asked.payload))
        if partition is None:
            return Reply(asked.reply_to, ReplicaStatus.NOT_OWNER)
        waiting = _Sync(partition, asked.reply_to)
        return self._refused(asked, partition) or self._order(waiting, Sync())

    def _refused(self, asked: Asked, partition: int) -> Effect | None:
        """Why nothing is ordered of the store."""
        if self._is_stale(asked, partition):
            return Reply(asked.reply_to, OperationStatus.STALE_EPOCH)
        if len(self._open) >= self._list_open_max or self._is_busy():
            return Reply(asked.reply_to, OperationStatus.OVERLOADED)
        return None

    def _is_stale(self, asked: Asked, partition: int) -> bool:
        return asked.epoch < self._topology.placed[partition]

    def _copy(self, partition: int) -> int:
        if partition not in self._copies:
            self._copies[partition] = self._random.getrandbits(64)
        return self._copies[partition]

    def _order(self, waiting: _List | _Sync, order: Order) -> StoreOrder:
        self._serial += 1
        self._open[self._serial] = waiting
        return StoreOrder(("answer", self._serial), order)

    def _kept(self, token: int) -> int | None:
        """The partition of a token of Space.DATA, if this node keeps it."""
        first, end = space_tokens(Space.DATA).first, space_tokens(Space.DATA).end
        if not first <= token < end:
            return None
        partition = partition_of_token(self._topology.partitioning, token)
        if partition >= self._topology.partitioning.count:
            return None
        return partition if self._me in self._topology.keepers(partition) else None
