"""The count of all hints at the start: page by page, one partition after the other, so that one
that cannot be read is known as such."""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.placement.slots import Partitioning
from lsmkv_cluster.storage.engine_key import Space, partition_tokens
from lsmkv_cluster.storage.storage_orders import ListEntries

__all__ = ["HintSurvey"]


@dataclass(slots=True)
class HintSurvey:
    """Where the count is."""

    partitioning: Partitioning
    page_count_max: int
    partition: int = 0
    after: bytes = b""

    @property
    def is_over(self) -> bool:
        return self.partition >= self.partitioning.count

    def order(self) -> ListEntries:
        """The page to be counted next."""
        tokens = partition_tokens(Space.HINT, self.partitioning, self.partition)
        return ListEntries(Space.HINT, tokens.first, tokens.end, self.after, self.page_count_max)

    def counted(self, after: bytes | None) -> None:
        """The page is done; None: it was the last of its partition."""
        if after is None:
            self.partition += 1
        self.after = after or b""
