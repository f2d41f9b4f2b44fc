"""Copies of one key on a few nodes: the version rules put together, without network or disk.

A `Lab` has the time and a ledger in which every dot may stand once. A `Copy` is what a node keeps:
its record, its actors, its clock. Records meet through the guarded native merge, and each result is
compared with the Python merge; what the guard refuses is done again once the distrust is durable,
as a node would.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmkv import Error
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.versions import context, record_format, resolve
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING, Context
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.minting import Change, Limits, Minted, delete, mint, overwrite, write
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.vclock import Actor, Dot

__all__ = ["Copy", "Lab", "settle"]

START_MS = 1_700_000_000_000
SECOND_MS = 1000


class Lab:
    """The time, which goes on by a second with every write, and the ledger of dots."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now_ms = START_MS
        self.limits = limits or Limits()
        self.ledger: dict[Dot, bytes] = {}
        self.cut_count = 0

    def copies(self, names: str) -> list[Copy]:
        return [Copy(self, name, number) for number, name in enumerate(names, 1)]


class Copy:
    def __init__(self, lab: Lab, name: str, node: int) -> None:
        self.lab = lab
        self.name = name
        self.clock = HybridClock()
        self.stored = Identity(node, incarnation=node * 1000)
        self.data: bytes | None = None
        self.distrusts = 0
        self.skew_ms = 0
        self.start()

    # --- its life ---

    def start(self, *, ended_cleanly: bool = True) -> None:
        self.source = ActorSource(
            self.stored, ended_cleanly=ended_cleanly, peers_needed=0, lease_size=8
        )
        self.persist()

    def persist(self) -> None:
        for effect in self.source.effects:
            self.stored = effect.identity
            self.source.persisted(effect.identity)
        self.source.effects.clear()
        self.guarded = RecordMerger(
            own=self.stored.own(), trusted_epoch=self.source.durable_trusted_epoch
        )

    def lose(self) -> None:
        """The record vanishes, identity and epochs stay."""
        self.data = None

    # --- reading ---

    @property
    def record(self) -> Record | None:
        return None if self.data is None else record_format.decode(self.data)

    def context(self) -> Context:
        key, secret = b"key", b"secret"
        encoded = context.encode(context.seen_in(self.record), key, secret)
        return context.decode(encoded, key, secret)

    def values(self) -> list[bytes]:
        return sorted(resolve.siblings(self.record, self.lab.now_ms))

    def get(self) -> bytes | None:
        return resolve.winner(self.record, self.lab.now_ms)

    def dots(self) -> set[Dot]:
        return {item.dot for item in self.record.items} if self.record else set()

    def counters(self) -> dict[Actor, int]:
        assert self.record is not None
        return {actor: entry.counter for actor, entry in self.record.clock}

    # --- writing ---

    def put(self, value: bytes, seen: Context = NOTHING) -> Minted:
        return self.change(lambda local, _: write(local, value, seen), seen)

    def set(self, value: bytes) -> Minted:
        return self.change(lambda local, _: overwrite(local, value))

    def delete(self, seen: Context | None = None) -> Minted:
        return self.change(lambda local, _: delete(local, seen), seen or NOTHING)

    def update(self, value: bytes) -> Minted:
        """Read here, write with what was read."""
        return self.put(value, self.context())

    def change(
        self,
        make: Callable[[Record | None, Actor], Change],
        seen: Context = NOTHING,
    ) -> Minted:
        self.lab.now_ms += SECOND_MS
        local = self.record
        actor = self.source.choose(local, seen, self.lab.now_ms)
        self.persist()
        assert isinstance(actor, Actor), actor
        stamp = self.clock.next(self.lab.now_ms + self.skew_ms)
        change = make(local, actor)
        minted = mint(local, change, actor, stamp, seen=seen, limits=self.lab.limits)
        self.lab.cut_count += minted.cut_count
        for dot, payload in zip(minted.dots, change.payloads, strict=True):
            assert dot not in self.lab.ledger, f"{dot} was used for {self.lab.ledger[dot]!r}"
            self.lab.ledger[dot] = payload.value
        new = record_format.encode(minted.record)
        assert RecordMerger().merge(self.data, new) == new, "a new version descends from the old"
        self.data = new
        return minted

    # --- meeting ---

    def take(self, data: bytes | None) -> bool:
        """Merge a record from elsewhere; whether that changed anything."""
        if data is None:
            return False
        try:
            merged = self.guarded.merge(self.data, data)
        except Error:
            assert self.guarded.missed_epoch >= self.source.durable_trusted_epoch
            self.source.distrust_epochs()
            self.distrusts += 1
            self.persist()
            merged = self.guarded.merge(self.data, data)
        if self.data is not None:
            expected = merge(record_format.decode(self.data), record_format.decode(data))
            assert merged == record_format.encode(expected.record)
            assert not expected.collisions
        is_new = merged != self.data
        self.data = merged
        return is_new


def settle(copies: list[Copy]) -> int:
    """Everybody takes from everybody until nothing changes; how many rounds that took."""
    for rounds in range(100):
        changes = [a.take(b.data) for a in copies for b in copies if a is not b]
        if not any(changes):
            assert len({copy.data for copy in copies}) == 1
            return rounds
    pytest.fail("copies that keep meeting do not become equal")
