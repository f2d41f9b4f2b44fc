"""Members for tests: ids that follow from the name, everything else short to write."""

from __future__ import annotations

import hashlib

from lsmkv_cluster.members import MEMBER_ID_SIZE, WEIGHT_ORDINARY, Member, MemberState

__all__ = ["make_member", "member_id"]


def member_id(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=MEMBER_ID_SIZE).digest()


def make_member(
    name: str,
    *,
    dc: str = "east",
    rack: str = "r1",
    host: str = "",
    weight: int = WEIGHT_ORDINARY,
    state: MemberState = MemberState.SERVING,
) -> Member:
    """A host of its own unless `host` is given."""
    return Member(member_id(name), name, dc, rack, host or name, weight, state)
