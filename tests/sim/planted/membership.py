"""Bugs in whom members take for dead, and in what they take from a connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmkv_cluster.swim import member_table
from lsmkv_cluster.swim.suspicion import Verdict
from lsmkv_cluster.transport import wire
from tests.sim.canaries import canary, replaced


@canary("one accuser suffices", "C11 healthy eviction")
def one_accuser_suffices() -> Iterator[None]:
    """A suspicion that is not refuted in time ends in death, whoever accuses: a member that hears
    nobody buries all the others (plain SWIM, before Lifeguard)."""
    with replaced(member_table, "judge", lambda *_: Verdict.CONFIRMED):
        yield


@canary("checksums are not checked", "a damaged frame was accepted")
def checksums_are_not_checked() -> Iterator[None]:
    """The body of a frame is believed as it comes (Amazon S3, July 2008: one flipped bit in gossip
    that was not checksummed)."""

    class Believer(int):
        def __ne__(self, other: object) -> bool:
            return False

        def __hash__(self) -> int:
            return int(self)

    before: Any = wire.crc32c
    with replaced(wire, "crc32c", lambda data: Believer(before(data))):
        yield
