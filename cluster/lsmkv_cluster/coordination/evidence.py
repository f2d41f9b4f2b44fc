"""What the answers to a read amount to. Pure: decides, asks nobody.

Each answer is a Heard: what a member has for the key, as a record or as its digest only, 0 for
nothing. What holds:
- an owner's answer counts, also "nothing here": it is ready, or it would not have answered;
- a stand-in's record counts in the place of its owner, its "nothing here" means "don't know": it
  counts only where somebody else has found something, and so can never make a "not found";
- what is returned is the join of all records heard, never a choice among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.versions.context import Context
from lsmkv_cluster.versions.record import Record

__all__ = ["NOTHING_HERE", "Heard", "counting", "covers", "joined", "unseen"]

NOTHING_HERE = 0  # the digest of no record


@dataclass(frozen=True, slots=True)
class Heard:
    """`record` is None where only the digest came, or nothing is there."""

    member: MemberId
    owner: MemberId
    digest: int
    record: bytes | None = None

    @property
    def is_hint(self) -> bool:
        return self.member != self.owner


def counting(heard: Iterable[Heard]) -> set[MemberId]:
    """The owners that have been answered for."""
    answers = list(heard)
    found = any(answer.digest != NOTHING_HERE for answer in answers)
    return {
        answer.owner
        for answer in answers
        if found or not answer.is_hint or answer.digest != NOTHING_HERE
    }


def unseen(heard: Iterable[Heard]) -> list[Heard]:
    """One answer for each record of which only the digest is known."""
    answers = list(heard)
    seen = {answer.digest for answer in answers if answer.record is not None}
    wanted: dict[int, Heard] = {}
    for answer in answers:
        if answer.digest != NOTHING_HERE and answer.digest not in seen:
            wanted.setdefault(answer.digest, answer)
    return list(wanted.values())


def joined(heard: Iterable[Heard], merge: Callable[[bytes | None, bytes], bytes]) -> bytes | None:
    """The join of all records; None when there is none."""
    result: bytes | None = None
    for record in {answer.record: None for answer in heard if answer.record is not None}:
        result = merge(result, record)
    return result


def covers(record: Record | None, seen: Context) -> bool:
    """Whether a record knows all that a reader has seen before. What has been cut since cannot be
    told, and counts as known."""
    if record is None:
        return not len(seen.clock)
    if record.cut_s > seen.cut_s:
        return True
    return record.clock.descends(seen.clock)
