"""Hand-made histories for the tests of the checkers: who wrote what, who held it, what was lost.

    story = Story()
    phil = story.put(0, b"phil")                  # minted by machine 0, acknowledged
    bob = story.put(0, b"bob", seen=phil)         # by a client that had seen it
    story.hold(1, bob.record)                     # and machine 1 got it
    story.judge(checker, {0: bob.record})         # findings, when this is what owners have at last

Records are made by the product's own minting, unless a test bends one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Drop,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Sync,
    Values,
)
from lsmkv_cluster.storage.storage_orders import (
    Done as StoreDone,
)
from lsmkv_cluster.versions import context, minting
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.record_format import encode
from lsmkv_cluster.versions.vclock import Actor
from tests.sim.checks.evidence import Evidence, Finding
from tests.sim.history import Call, Ending
from tests.sim.ledger import Ledger
from tests.sim.loop import Loop
from tests.sim.trace import Trace

__all__ = ["KEY", "Story", "Written", "joined"]

KEY = b"k"
SECRET = b"a story"


@dataclass(frozen=True)
class Written:
    """A call and the record that it was answered with."""

    call: Call
    record: Record

    @property
    def context(self) -> bytes:
        return context.encode(context.seen_in(self.record), KEY, SECRET)


class _Store:
    """Does what it is told; the record that is stored comes with the order."""

    def __init__(self, stored: bytes | None = None) -> None:
        self._stored = stored

    def carry_out(self, order: Order) -> Result:
        if isinstance(order, Mint):
            order.decide(0, self._stored)
            return Merged((True,))
        if isinstance(order, Read):
            return Values((self._stored,))
        if isinstance(order, Drop | Collect):
            self._stored = None
        return Merged((True,)) if isinstance(order, Merge) else StoreDone()

    def close(self) -> None:
        """Nothing to do."""


class Story:
    def __init__(self, machines: int = 3) -> None:
        self.loop = Loop()
        self.broken: list[str] = []  # what the ledger saw
        self.calls: list[Call] = []
        self.ledger = Ledger(
            machines,
            Trace(self.loop),
            self._fail,
            lambda key: 0,
            lambda machine, key: frozenset(range(3)),
        )
        world = SimpleNamespace(loop=self.loop)
        self._machines: list[Any] = [
            SimpleNamespace(number=n, name=f"n{n}", world=world) for n in range(machines)
        ]

    def _fail(self, promise: str, where: str, text: str) -> None:
        self.broken.append(promise)

    # --- what clients do

    def put(
        self, machine: int, value: bytes, *, seen: Written | None = None, **how: Any
    ) -> Written:
        return self._write(machine, Verb.PUT, (value,), seen, **how)

    def set(self, machine: int, value: bytes, **how: Any) -> Written:
        return self._write(machine, Verb.SET, (value,), None, **how)

    def delete(self, machine: int, *, seen: Written | None = None, **how: Any) -> Written:
        return self._write(machine, Verb.DELETE, (), seen, **how)

    def get(self, record: Record | None, *, seen: Written | None = None, **how: Any) -> Call:
        """Answered two seconds from now."""
        given = seen.context if seen else b""
        return self._call(ClientRequest(Verb.GET, KEY, context=given), record, **how)

    def _write(
        self,
        machine: int,
        verb: Verb,
        values: tuple[bytes, ...],
        seen: Written | None,
        *,
        local: Record | None = None,
        made: Record | None = None,
        ending: Ending = Ending.DONE,
        is_strict: bool = False,
        expiry_ms: int = 0,
    ) -> Written:
        """`local` is what the machine has of the key; `made` bends what it makes of it."""
        if local is None and seen is not None:
            local = seen.record
        given = seen.context if seen else b""
        request = ClientRequest(verb, KEY, values, given, expiry_ms=expiry_ms)
        record = made or self._minted(machine, request, local)
        stored = encode(local) if local else None
        order = Mint(Space.DATA, (KEY,), lambda index, old: encode(record), sync=is_strict)
        self.ledger.carried_out(self._machines[machine], _Store(stored), order)
        return Written(self._call(request, record, ending=ending, is_strict=is_strict), record)

    def _minted(self, machine: int, request: ClientRequest, local: Record | None) -> Record:
        given, values, expiry_ms = request.context, request.values, request.expiry_ms
        seen = context.decode(given, KEY, SECRET) if given else context.NOTHING
        if request.verb is Verb.PUT:
            change = minting.write(local, values[0], seen, expiry_ms)
        elif request.verb is Verb.SET:
            change = minting.overwrite(local, values[0], expiry_ms)
        else:
            change = minting.delete(local, seen if given else None)
        return self._made(machine, change, local, seen)

    def _made(
        self,
        machine: int,
        change: minting.Change,
        local: Record | None,
        seen: context.Context = context.NOTHING,
    ) -> Record:
        stamp = (self.ledger.number + 1) << 16
        return minting.mint(local, change, Actor(machine, 1, 1 << 32), stamp, seen=seen).record

    def _call(
        self,
        request: ClientRequest,
        record: Record | None,
        *,
        ending: Ending = Ending.DONE,
        is_strict: bool = False,
        clock_error_ms: int = 0,
    ) -> Call:
        """It takes a second, and begins one after the call before it."""
        self.ledger.number += 1
        begun = self.loop.now_us + 1_000_000
        self.loop.run_until(begun + 1_000_000)
        mode = Mode.STRICT if is_strict else Mode.SLOPPY
        number = self.ledger.number
        call = Call(len(self.calls), 0, 0, mode, request, begun, number)
        call.ended_us, call.ended, call.ending = self.loop.now_us, number, ending
        call.clock_error_ms = clock_error_ms
        if ending is Ending.DONE:
            self._acknowledge(call, record)
        self.calls.append(call)
        return call

    def acknowledge(self, written: Written) -> None:
        """Only now is it answered."""
        written.call.ending = Ending.DONE
        self._acknowledge(written.call, written.record)

    def _acknowledge(self, call: Call, record: Record | None) -> None:
        call.replied, call.replied_us = self.ledger.number, self.loop.now_us
        seen = context.encode(context.seen_in(record), KEY, SECRET)
        stored = encode(record) if record else None
        call.answer = ClientAnswer(Outcome.DONE, context=seen, record=stored)

    # --- what machines go through

    def hold(self, machine: int, record: Record) -> None:
        order = Merge(Space.DATA, ((KEY, encode(record)),))
        self.ledger.carried_out(self._machines[machine], _Store(), order)

    def keep_hint(self, machine: int, record: Record) -> None:
        order = Merge(Space.HINT, ((KEY, encode(record)),))
        self.ledger.carried_out(self._machines[machine], _Store(), order)

    def drop_hint(self, machine: int, record: Record) -> None:
        order = Drop(Space.HINT, ((KEY, 0),))
        self.ledger.carried_out(self._machines[machine], _Store(encode(record)), order)

    def expire(self, machine: int, local: Record, by_ms: int) -> Record:
        """A tombstone takes the place of what had expired by then."""
        change = minting.expire(local, by_ms)
        assert change is not None
        record = self._made(machine, change, local)
        order = Mint(Space.DATA, (KEY,), lambda index, old: encode(record))
        self.ledger.carried_out(self._machines[machine], _Store(encode(local)), order)
        return record

    def collect(self, machine: int, record: Record) -> None:
        """The machine drops a deleted record for good."""
        store = _Store(encode(record))
        self.ledger.carried_out(self._machines[machine], store, Collect(((KEY, 0),)))

    def look_up(self, machine: int, record: Record | None) -> None:
        """A strict reader gets this from the machine."""
        store = _Store(encode(record) if record else None)
        self.ledger.carried_out(self._machines[machine], store, Read(Space.DATA, (KEY,), True))

    def sync(self, machine: int) -> None:
        self.ledger.carried_out(self._machines[machine], _Store(), Sync())

    # --- the end

    def judge(
        self,
        checker: Callable[[Evidence], Iterable[Finding]],
        copies: Mapping[int, Record | None] | None = None,
    ) -> list[Finding]:
        stored = {
            machine: encode(record) if record else None
            for machine, record in (copies or {}).items()
        }
        return list(checker(Evidence(self.calls, self.ledger, {KEY: stored})))


def joined(*records: Record) -> Record:
    """What owners have who have met."""
    result = records[0]
    for record in records[1:]:
        result = merge(result, record).record
    return result
