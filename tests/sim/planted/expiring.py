"""Bugs in what expires, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lsmkv_cluster import parts
from lsmkv_cluster.coordination import coordinator
from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.coordination.requests import ClientRequest, decode_request
from lsmkv_cluster.healing import tombstones
from lsmkv_cluster.storage.storage_orders import Mint
from tests.sim.canaries import canary, replaced

AHEAD_MS = 2_000


@canary("an expiry gets lost on the way", "C16 read after its expiry")
def expiry_gets_lost() -> Iterator[None]:
    """A write that is forwarded lives for ever: its expiry is not among what is sent along."""

    def without_expiry(payload: bytes) -> ClientRequest:
        return replace(decode_request(payload), expiry_ms=0)

    with replaced(coordinator, "decode_request", without_expiry):
        yield


@canary("every clock is right", "C16 gone before its expiry")
def every_clock_is_right() -> Iterator[None]:
    """Whoever collects goes by its own clock, whatever those of the others say: one that is ahead
    takes values away that were to stay."""
    with replaced(parts.Parts, "_clock_agrees", lambda self: True):
        yield


@canary("a margin too little", "C16 gone before its expiry")
def margin_too_little() -> Iterator[None]:
    """What expires in two seconds makes room now, as by a clock that is taken to be right and is
    not: nobody waits for as long as clocks may differ."""
    before = tombstones.expiry_order

    def order(minter: Minter, keys: tuple[bytes, ...], wall_ms: int, by_ms: int) -> Mint:
        return before(minter, keys, wall_ms, by_ms + AHEAD_MS)

    with replaced(tombstones, "expiry_order", order):
        yield
