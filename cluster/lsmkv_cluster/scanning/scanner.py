"""Pages of keys for clients: of each partition what enough of its owners have, one after the other.

    page asked for -> owners of its partition listed -> next partition -> ... -> page

What holds:
- a page is complete up to its cursor: whatever a write that was acknowledged at QUORUM has put
  there is in it, as the owners that list are a majority. What only hints have is not;
- a page ends where the first of its owners has stopped, so that no key is left out;
- keys that are deleted may be listed: whoever asked for the page reads them. Only where this node
  has the one copy that there is, the records come along;
- after a new document what is under way begins anew with the partition that it has come to;
- at its deadline a page ends where it is; if it has come nowhere, that is said.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.quorum import Need, is_met, need, total
from lsmkv_cluster.coordination.view import Place, View
from lsmkv_cluster.driver_ports import ScanCall, ScanReply
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Asked, Effect, Now, Stored, StoreOrder, Unanswered
from lsmkv_cluster.scanning.key_listing import LISTED_COUNT_MAX, RECORDS_SIZE_MAX, KeyListing
from lsmkv_cluster.scanning.listing_answers import ListingAnswers, ListingToken
from lsmkv_cluster.scanning.scan_cursor import cursor_of_slot, cursor_of_token, slot_of_cursor
from lsmkv_cluster.scanning.scan_messages import (
    LIST_KEYS,
    Keys,
    KeysQuestion,
    decode_keys,
    encode_keys_question,
)
from lsmkv_cluster.scanning.scan_pages import Listed, Page, Unlisted
from lsmkv_cluster.storage.backlog import Backlog, Work
from lsmkv_cluster.storage.engine_key import HEAD_SIZE, KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Entries, Failure, Read, Values
from lsmkv_cluster.transport.timers import Timers
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Scanner"]

SCANS_MAX = 64  # pages that are made at once
KEYS_MAX = 4096  # of one page, or a few more
PARTITIONS_MAX = 256  # that one page looks at, full or not
QUORUM = Consistency(Level.QUORUM)
NOTHING_ASKED = KeysQuestion(0, 0, 0)

Out = Effect | ScanReply


class _Token(NamedTuple):
    """Of a question or an order; `attempt` tells those of an earlier step apart."""

    scan: int
    attempt: int


@dataclass(slots=True, eq=False)
class _Scan:
    id: int
    call: ScanCall
    cursor: int
    end: int
    keys: list[Listed] = field(default_factory=list)
    partitions: int = 0
    size: int = 0  # bytes of the records of these keys, about
    attempt: int = 0
    # Of the present partition:
    place: Place | None = None
    needed: Need = ()
    question: KeysQuestion = NOTHING_ASKED
    tried: list[MemberId] = field(default_factory=list)
    waiting: set[MemberId] = field(default_factory=set)
    heard: dict[MemberId, Keys] = field(default_factory=dict)
    listing: KeyListing | None = None
    is_busy: bool = False


class Scanner:
    def __init__(self, view: View, scheme: KeyScheme, backlog: Backlog) -> None:
        self._view = view
        self._scheme = scheme
        self._backlog = backlog
        self._answers = ListingAnswers(view, scheme, backlog)
        self._scans: dict[int, _Scan] = {}
        self._timers = Timers()
        self._next_id = 0

    # --- what comes in

    def called(self, now: Now, calls: Sequence[ScanCall]) -> list[Out]:
        out: list[Out] = []
        for call in calls:
            end = cursor_of_slot(call.page.end_slot)
            if len(self._scans) >= SCANS_MAX or now.ms >= call.deadline_ms:
                out.append(ScanReply(call.call_id, Unlisted(0, 0, is_busy=True)))
            elif call.page.cursor >= end:
                out.append(ScanReply(call.call_id, Page((), None)))
            else:
                self._next_id += 1
                scan = _Scan(self._next_id, call, call.page.cursor, end)
                self._scans[scan.id] = scan
                self._timers.start(scan.id, call.deadline_ms)
                self._begin(now, scan, out)
        return out

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        return [self._answers.asked(now, asked) for asked in requests]

    def adopted(self, now: Now) -> list[Out]:
        """There is a new document, and the view knows it."""
        out: list[Out] = []
        for scan in list(self._scans.values()):
            self._begin(now, scan, out)
        return out

    # --- one partition

    def _begin(self, now: Now, scan: _Scan, out: list[Out]) -> None:
        partitioning = self._view.topology.partitioning
        partition = partitioning.partition_of(slot_of_cursor(scan.cursor))
        end = min(scan.end, cursor_of_slot(partitioning.slots_of(partition).stop))
        wanted = max(1, min(scan.call.page.count - len(scan.keys), LISTED_COUNT_MAX))
        scan.attempt += 1
        scan.place = self._view.place(partition)
        scan.needed = need(QUORUM, scan.place.owners_by_dc, self._view.dc)
        scan.question = KeysQuestion(scan.cursor, end, wanted)
        scan.tried, scan.waiting, scan.heard, scan.listing = [], set(), {}, None
        self._ask_enough(now, scan, out)

    def _ask_enough(self, now: Now, scan: _Scan, out: list[Out]) -> None:
        assert scan.place is not None
        while not is_met(scan.needed, scan.waiting.union(scan.heard)):
            candidates = [id for id in self._candidates(scan.place) if id not in scan.tried]
            if not candidates:
                self._give_up(scan, out)
                return
            self._ask(now, scan, candidates[0], out)

    def _candidates(self, place: Place) -> list[MemberId]:
        """This node first, if its copy is whole."""
        me, view = self._view.me, self._view
        has_own = place.is_owner and view.is_ready(place.partition)
        others = [id for id in view.reachable_owners(place) if id != me]
        return [me, *others] if has_own else others

    def _ask(self, now: Now, scan: _Scan, member: MemberId, out: list[Out]) -> None:
        scan.tried.append(member)
        token = _Token(scan.id, scan.attempt)
        if member != self._view.me:
            scan.waiting.add(member)
            deadline_ms = now.ms + max(1, (scan.call.deadline_ms - now.ms) // 2)
            payload = encode_keys_question(scan.question)
            out.append(Ask(member, Lane.BULK, LIST_KEYS, payload, deadline_ms, token))
        elif self._backlog.take(Work.BULK, 0):
            scan.waiting.add(member)
            scan.listing = KeyListing(self._scheme, *scan.question)
            out.append(StoreOrder(token, scan.listing.order))
        else:
            scan.is_busy = True

    # --- what comes back

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Out]:
        out: list[Out] = []
        for answer in answers:
            scan = self._scan_of(answer.token)
            if scan is None:
                continue
            scan.waiting.discard(answer.peer)
            if isinstance(answer, Answered):
                if answer.is_done:
                    try:
                        scan.heard[answer.peer] = decode_keys(answer.payload, scan.question)
                    except Malformed:
                        pass
                scan.is_busy |= answer.status == OperationStatus.OVERLOADED
            self._proceed(now, scan, out)
        return out

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Out]:
        out: list[Out] = []
        for stored in results:
            if isinstance(stored.token, ListingToken):
                out.append(self._answers.stored(stored))
                continue
            scan = self._scan_of(stored.token)
            if scan is None:
                continue
            listing, result = scan.listing, stored.result
            if isinstance(result, Values):
                self._read(now, scan, result, out)
            elif not isinstance(result, Entries) or listing is None:
                scan.waiting.discard(self._view.me)
                self._proceed(now, scan, out)
            elif listing.listed(result):
                scan.waiting.discard(self._view.me)
                scan.heard[self._view.me] = Keys(listing.keys, listing.complete_to, listing.size)
                self._proceed(now, scan, out)
            else:
                out.append(StoreOrder(stored.token, listing.order))
        return out

    def _scan_of(self, token: Hashable) -> _Scan | None:
        assert isinstance(token, _Token)
        scan = self._scans.get(token.scan)
        return scan if scan is not None and scan.attempt == token.attempt else None

    def _proceed(self, now: Now, scan: _Scan, out: list[Out]) -> None:
        if not is_met(scan.needed, scan.heard):
            self._ask_enough(now, scan, out)
            return
        assert scan.place is not None
        end = min(found.complete_to for found in scan.heard.values())
        keys = self._in_order({key for found in scan.heard.values() for key in found.keys}, end)
        scan.cursor = end
        scan.size += max(found.size for found in scan.heard.values())
        if keys and scan.place.owners == (self._view.me,):
            scan.keys += [Listed(key) for key in keys]
            token = _Token(scan.id, scan.attempt)
            out.append(StoreOrder(token, Read(Space.DATA, tuple(keys))))
        else:
            scan.keys += [Listed(key) for key in keys]
            self._go_on(now, scan, out)

    def _in_order(self, keys: set[bytes], end: int) -> list[bytes]:
        engine_keys = sorted(self._scheme.engine_key(Space.DATA, key) for key in keys)
        return [
            each[HEAD_SIZE:]
            for each in engine_keys
            if cursor_of_token(int.from_bytes(each[:HEAD_SIZE], "big")) < end
        ]

    def _read(self, now: Now, scan: _Scan, result: Values, out: list[Out]) -> None:
        """The records of the keys that were listed last."""
        first = len(scan.keys) - len(result.values)
        for index, value in enumerate(result.values, first):
            if not isinstance(value, Failure):
                scan.keys[index] = Listed(scan.keys[index].key, value)
        self._go_on(now, scan, out)

    def _go_on(self, now: Now, scan: _Scan, out: list[Out]) -> None:
        scan.partitions += scan.cursor == scan.question.end
        is_full = len(scan.keys) >= scan.call.page.count or scan.partitions >= PARTITIONS_MAX
        is_large = len(scan.keys) >= KEYS_MAX or scan.size >= RECORDS_SIZE_MAX
        if is_full or is_large or scan.cursor >= scan.end:
            self._finish(scan, out)
        else:
            self._begin(now, scan, out)

    # --- the end

    def tick(self, now: Now) -> list[Out]:
        out: list[Out] = []
        for id in self._timers.take_due(now.ms):
            self._give_up(self._scans[id], out)
        return out

    def next_deadline(self) -> int | None:
        return self._timers.next_deadline()

    def _give_up(self, scan: _Scan, out: list[Out]) -> None:
        if scan.cursor > scan.call.page.cursor:
            self._finish(scan, out)
        else:
            unlisted = Unlisted(len(scan.heard), total(scan.needed), scan.is_busy)
            self._end(scan, ScanReply(scan.call.call_id, unlisted), out)

    def _finish(self, scan: _Scan, out: list[Out]) -> None:
        cursor = scan.cursor if scan.cursor < scan.end else None
        self._end(scan, ScanReply(scan.call.call_id, Page(tuple(scan.keys), cursor)), out)

    def _end(self, scan: _Scan, reply: ScanReply, out: list[Out]) -> None:
        del self._scans[scan.id]
        self._timers.stop(scan.id)
        out.append(reply)
