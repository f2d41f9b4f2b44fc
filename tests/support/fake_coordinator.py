"""Answers requests of clients at once, from a dict of records: one copy, with the real minting.

So what a verb does to a record is the product's doing; who is asked, quorums and failures are not
played. Tests say what goes wrong: `answers` are given instead of carrying a request out, `before`
is called ahead of a write, and may write itself, as somebody elsewhere would.
"""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.coordination.changes import is_well_formed
from lsmkv_cluster.coordination.minter import MintEntry, Minter
from lsmkv_cluster.coordination.requests import (
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    is_within_limits,
)
from lsmkv_cluster.errors import ContextError
from lsmkv_cluster.resp.queries import Listed, Page, ScanPage
from lsmkv_cluster.scanning.scan_cursor import cursor_of_slot, cursor_of_token
from lsmkv_cluster.storage.engine_key import HEAD_SIZE, KeyScheme, Space
from lsmkv_cluster.versions import context
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.record_format import decode

__all__ = ["SECRET", "FakeCoordinator"]

SECRET = b"secret"


class FakeCoordinator:
    def __init__(self, scheme: KeyScheme, actor: int = 7) -> None:
        actors = ActorSource(Identity(actor, 1), ended_cleanly=True, peers_needed=0)
        actors.persisted(actors.effects[-1].identity)
        self._minter = Minter(actors, HybridClock())
        self._scheme = scheme
        self.records: dict[bytes, bytes] = {}
        self.requests: list[ClientRequest] = []
        self.answers: list[tuple[bytes, ClientAnswer]] = []  # for the next request of a key
        self.before: Callable[[ClientRequest], None] | None = None

    def call(self, request: ClientRequest, wall_ms: int) -> ClientAnswer:
        self.requests.append(request)
        for index, (key, answer) in enumerate(self.answers):
            if key == request.key:
                del self.answers[index]
                return answer
        if not is_within_limits(request) or not is_well_formed(request):
            return ClientAnswer(Outcome.REFUSED, Reason.BAD_REQUEST)
        if request.is_write and self.before is not None:
            hook, self.before = self.before, None
            hook(request)
        return self._carry_out(request, wall_ms)

    def _carry_out(self, request: ClientRequest, wall_ms: int) -> ClientAnswer:
        old = self.records.get(request.key)
        if request.verb is Verb.GET:
            return self._done(request.key, old)
        seen = context.NOTHING
        if request.context:
            try:
                seen = context.decode(request.context, request.key, SECRET)
            except ContextError:
                return ClientAnswer(Outcome.REFUSED, Reason.BAD_CONTEXT)
        result = self._minter.mint(MintEntry(request, seen), old, wall_ms)
        if result.reason is not Reason.NONE:
            return ClientAnswer(Outcome.REFUSED, result.reason)
        if result.stored is not None:
            self.records[request.key] = result.stored
        return self._done(request.key, result.stored)

    def _done(self, key: bytes, record: bytes | None) -> ClientAnswer:
        encoded = b""
        if record is not None:
            encoded = context.encode(context.seen_in(decode(record)), key, SECRET)
        return ClientAnswer(Outcome.DONE, Reason.NONE, 1, 1, encoded, record)

    # --- listing

    def page(self, query: ScanPage) -> Page:
        """Keys with every second record, so that the others have to be read."""
        found = sorted(self._scheme.engine_key(Space.DATA, key) for key in self.records)
        listed: list[Listed] = []
        end = cursor_of_slot(query.end_slot)
        for engine_key in found:
            cursor = cursor_of_token(int.from_bytes(engine_key[:HEAD_SIZE], "big"))
            if not query.cursor <= cursor < end:
                continue
            if len(listed) >= query.count:
                return Page(tuple(listed), cursor)
            key = engine_key[HEAD_SIZE:]
            listed.append(Listed(key, self.records[key] if len(listed) % 2 else None))
        return Page(tuple(listed), None)
