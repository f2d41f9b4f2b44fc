"""Lists ranges of tokens in whole tokens, here and on both sides, in as many steps as that takes.

The store lists a number of entries and says behind which engine key to go on; entries of the last
token may then be missing. What two owners compare must be complete up to the same token. So a page
that is cut off is listed again up to the token at which it was cut, which is then known to fit, and
the side that had more is listed again up to where the other ended.

Only if more keys share one token than an answer may hold are some left out: they look as if they
were missing, and a merge that was not needed changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from lsmkv.kernel import key_token
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST_COUNT_MAX,
    LIST_SIZE_MAX,
    ListAnswer,
    ListQuestion,
    entries_size,
)
from lsmkv_cluster.storage.storage_orders import Entries, ListEntries, Space

__all__ = ["BothSides", "Next", "TokenListing"]


class TokenListing:
    """Give `order` to the store and its result to `listed`, until that says what there is."""

    __slots__ = ("_count_max", "_end", "_first")

    def __init__(self, question: ListQuestion) -> None:
        self._first = question.first
        self._end = question.end
        self._count_max = question.count_max

    def order(self) -> ListEntries:
        return ListEntries(Space.DATA, self._first, self._end, b"", self._count_max)

    def listed(self, page: Entries) -> ListAnswer | None:
        """The complete list; None when `order` has to be carried out again."""
        is_single = self._end == self._first + 1
        if is_single and (page.after is None or self._count_max == LIST_COUNT_MAX):
            return ListAnswer(page.entries, self._end)
        if page.after is None:
            if entries_size(page.entries) <= LIST_SIZE_MAX:
                return ListAnswer(page.entries, self._end)
            self._count_max = max(1, len(page.entries) // 2)
            return None
        self._end = max(key_token(page.after), self._first + 1)
        if self._end == self._first + 1:
            self._count_max = LIST_COUNT_MAX
        return None


class Next(Enum):
    """What a comparison of keys needs."""

    LIST_OWN = "the result of `order`"
    ASK_PEER = "the answer to `question`"
    NOTHING = "both sides are complete up to the same token"


class BothSides:
    """The keys of one range here and there; begins with LIST_OWN."""

    __slots__ = ("_listing", "own", "peers", "question")

    def __init__(self, question: ListQuestion) -> None:
        self.question = question
        self.own = self.peers = ListAnswer((), question.first)
        self._listing = TokenListing(question)

    def order(self) -> ListEntries:
        return self._listing.order()

    def own_listed(self, page: Entries) -> Next:
        own = self._listing.listed(page)
        if own is None:
            return Next.LIST_OWN
        self.own = own
        self.question = replace(self.question, end=own.end)
        return Next.NOTHING if self.peers.end == own.end else Next.ASK_PEER

    def peer_listed(self, peers: ListAnswer) -> Next:
        self.peers = peers
        if peers.end == self.own.end:
            return Next.NOTHING
        self._listing = TokenListing(ListQuestion(self.question.first, peers.end, LIST_COUNT_MAX))
        return Next.LIST_OWN
