"""The side of scanning that is asked: which keys of this partition are here.

Only an owner answers whose copy is whole: of any other nobody knows what it lacks. Listing is work
that can wait: while the store has much to do it is refused.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Asked, Effect, Now, Reply, Stored, StoreOrder
from lsmkv_cluster.scanning.key_listing import KeyListing
from lsmkv_cluster.scanning.scan_cursor import slot_of_cursor
from lsmkv_cluster.scanning.scan_messages import (
    LIST_KEYS,
    Keys,
    KeysQuestion,
    decode_keys_question,
    encode_keys,
)
from lsmkv_cluster.storage.backlog import Backlog, Work
from lsmkv_cluster.storage.engine_key import KeyScheme
from lsmkv_cluster.storage.storage_orders import Entries

__all__ = ["ListingAnswers", "ListingToken"]

OPEN_MAX = 64  # listings for others at once


class ListingToken(NamedTuple):
    """Of an order for another node."""

    serial: int


class ListingAnswers:
    def __init__(self, view: View, scheme: KeyScheme, backlog: Backlog) -> None:
        self._view = view
        self._scheme = scheme
        self._backlog = backlog
        self._open: dict[int, tuple[Hashable, KeyListing]] = {}
        self._serial = 0

    def asked(self, now: Now, asked: Asked) -> Effect:
        if asked.opcode != LIST_KEYS:
            return Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE)
        if asked.flags:
            return Reply(asked.reply_to, OperationStatus.UNKNOWN_FLAGS)
        if now.ms >= asked.deadline_ms:
            return Reply(asked.reply_to, OperationStatus.EXPIRED)
        try:
            question = decode_keys_question(asked.payload)
            status = self._unable(question, asked.epoch)
        except Malformed:
            status = OperationStatus.MALFORMED
        if status is not None:
            return Reply(asked.reply_to, status)
        listing = KeyListing(self._scheme, *question)
        self._serial += 1
        self._open[self._serial] = (asked.reply_to, listing)
        return StoreOrder(ListingToken(self._serial), listing.order)

    def _unable(self, question: KeysQuestion, epoch: int) -> int | None:
        """Malformed for a range of several partitions."""
        partition_of = self._view.topology.partitioning.partition_of
        partition = partition_of(slot_of_cursor(question.first))
        if partition != partition_of(slot_of_cursor(question.end - 1)):
            raise Malformed("keys of several partitions")
        place = self._view.place(partition)
        if epoch < place.placed:
            return OperationStatus.STALE_EPOCH
        if not place.is_owner:
            return ReplicaStatus.NOT_OWNER
        if not self._view.is_ready(partition):
            return OperationStatus.NOT_READY
        if len(self._open) >= OPEN_MAX or not self._backlog.take(Work.BULK, 0):
            return OperationStatus.OVERLOADED
        return None

    def stored(self, stored: Stored) -> Effect:
        assert isinstance(stored.token, ListingToken)
        reply_to, listing = self._open[stored.token.serial]
        if not isinstance(stored.result, Entries):
            del self._open[stored.token.serial]
            return Reply(reply_to, OperationStatus.NOT_READY)
        if not listing.listed(stored.result):
            return StoreOrder(stored.token, listing.order)
        del self._open[stored.token.serial]
        payload = encode_keys(Keys(listing.keys, listing.complete_to, listing.size))
        return Reply(reply_to, OperationStatus.DONE, payload)
