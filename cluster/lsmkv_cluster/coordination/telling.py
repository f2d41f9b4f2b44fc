"""What a member tells of a key when somebody wants to know."""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId

__all__ = ["Told"]


class Told(NamedTuple):
    """What `member` said, in the place of `owner` or as it: "record", "nothing", or in a word why
    it said neither."""

    member: MemberId
    owner: MemberId
    word: str
    record: bytes | None = None
    elapsed_ms: int = 0
