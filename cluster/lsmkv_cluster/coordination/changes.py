"""Verbs of clients as changes of a record: a table from verb to what minting needs.

Every entry gets the record that the coordinator holds, what the client has seen, the request, the
actor that will write and the time; and makes a Change (minting.py), or raises ValueError for what
cannot be done to such a record, such as counting on a text.

A version knows what its writer has seen, and so supersedes all of it, wherever it is. That is right
for a value or a tombstone in the place of all; a change of a part of a record, such as one element
of a set, must not take along the other parts that its client has seen and its coordinator lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.versions import crdt, minting
from lsmkv_cluster.versions.context import Context
from lsmkv_cluster.versions.minting import Change
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Actor

__all__ = ["Situation", "change_of", "dot_count", "is_well_formed", "superseded_by"]


class Situation(NamedTuple):
    local: Record | None
    seen: Context
    actor: Actor
    wall_ms: int


def _put(request: ClientRequest, at: Situation) -> Change:
    return minting.write(at.local, request.values[0], at.seen, request.expiry_ms)


def _set(request: ClientRequest, at: Situation) -> Change:
    return minting.overwrite(at.local, request.values[0], request.expiry_ms)


def _delete(request: ClientRequest, at: Situation) -> Change:
    return minting.delete(at.local, at.seen if request.context else None)


def _increment(request: ClientRequest, at: Situation) -> Change:
    return crdt.increment(at.local, at.actor, request.delta, at.wall_ms)


def _add_elements(request: ClientRequest, at: Situation) -> Change:
    return crdt.add_elements(at.local, request.values, request.expiry_ms)


def _remove_elements(request: ClientRequest, at: Situation) -> Change:
    return crdt.remove_elements(at.local, request.values)


def _put_fields(request: ClientRequest, at: Situation) -> Change:
    return crdt.put_fields(at.local, _pairs(request), request.expiry_ms)


def _remove_fields(request: ClientRequest, at: Situation) -> Change:
    return crdt.remove_fields(at.local, request.values)


def _pairs(request: ClientRequest) -> dict[bytes, bytes]:
    return dict(zip(request.values[::2], request.values[1::2], strict=True))


class Rule(NamedTuple):
    """`fits`: whether a request has as many values as its verb takes. `dots`: how many it mints.
    `is_whole`: whether it takes the place of all that its client has seen."""

    change: Callable[[ClientRequest, Situation], Change]
    fits: Callable[[int], bool]
    dots: Callable[[ClientRequest], int]
    is_whole: bool = False


def _one(count: int) -> bool:
    return count == 1


def _none(count: int) -> bool:
    return count == 0


def _some(count: int) -> bool:
    return count > 0


def _even(count: int) -> bool:
    return count > 0 and count % 2 == 0


RULES: dict[Verb, Rule] = {
    Verb.PUT: Rule(_put, _one, lambda request: 1, is_whole=True),
    Verb.SET: Rule(_set, _one, lambda request: 1, is_whole=True),
    Verb.DELETE: Rule(_delete, _none, lambda request: 1, is_whole=True),
    Verb.INCREMENT: Rule(_increment, _none, lambda request: 1),
    Verb.ADD_ELEMENTS: Rule(_add_elements, _some, lambda request: len(set(request.values))),
    Verb.REMOVE_ELEMENTS: Rule(_remove_elements, _some, lambda request: 0),
    Verb.PUT_FIELDS: Rule(_put_fields, _even, lambda request: len(_pairs(request))),
    Verb.REMOVE_FIELDS: Rule(_remove_fields, _some, lambda request: 0),
}


def is_well_formed(request: ClientRequest) -> bool:
    """Whether the values of a request fit its verb."""
    if request.verb is Verb.GET:
        return not request.values
    return RULES[request.verb].fits(len(request.values))


def dot_count(request: ClientRequest) -> int:
    return RULES[request.verb].dots(request)


def superseded_by(request: ClientRequest, seen: Context) -> Context:
    """The part of what the client has seen that the new version will know: of a change of a part
    nothing, it only gets a later stamp."""
    return seen if RULES[request.verb].is_whole else Context(stamp=seen.stamp)


def change_of(request: ClientRequest, at: Situation) -> Change:
    """ValueError for what cannot be done to such a record."""
    return RULES[request.verb].change(request, at)
