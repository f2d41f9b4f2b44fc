"""Bugs in what a read makes of the answers that it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lsmkv_cluster.coordination import reading
from lsmkv_cluster.coordination.evidence import Heard
from lsmkv_cluster.coordination.write_back import Kept, WriteBack
from lsmkv_cluster.storage.storage_orders import (
    Entries,
    Failed,
    Failure,
    ListEntries,
    Scrub,
    Scrubbed,
)
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.versions.record_format import decode
from tests.sim.canaries import canary, replaced


@canary("strict reads do not write back", "C5 stale strict read")
def no_write_back() -> Iterator[None]:
    """A strict read returns what a minority has without bringing it to a majority: a later read
    may miss it (the phantom of Attiya, Bar-Noy and Dolev without their second round)."""

    def begin(self: WriteBack, id: int, *_: Any) -> tuple[list[Any], list[Kept]]:
        return [], [Kept(id, True)]

    with replaced(WriteBack, "begin", begin):
        yield


@canary("a read returns the newest", "C5 stale strict read")
def newest_record() -> Iterator[None]:
    """Of the records that were heard the one with the newest stamp is the answer, not their join:
    what was written beside it is not seen, nor repaired (last write wins in read repair)."""

    def newest(heard: Iterable[Heard], merge: Callable[..., bytes]) -> bytes | None:
        records = [answer.record for answer in heard if answer.record is not None]
        return max(records, key=lambda data: decode(data).newest_stamp(), default=None)

    with replaced(reading, "joined", newest):
        yield


@canary("digests are not compared", "C5 stale strict read")
def digests_are_not_compared() -> Iterator[None]:
    """The first record is the answer, whatever digests say: a quorum of answers, and the value of
    the nearest copy."""
    with replaced(reading, "unseen", lambda heard: []):
        yield


@canary("what cannot be read is not there", "C5 stale strict read", "C3 copies differ")
def error_is_a_miss() -> Iterator[None]:
    """What cannot be read is answered with "nothing here", to readers, to repair and to the scrub
    (kv679_handoff_amnesia: an I/O error taken for "not found")."""
    read_one, list_entries, scrub = Store._read_one, Store._list_entries, Store._scrub

    def read(self: Store, key: bytes) -> Any:
        found = read_one(self, key)
        return None if isinstance(found, Failure) else found

    def listed(self: Store, order: ListEntries) -> Any:
        found = list_entries(self, order)
        return Entries((), None) if isinstance(found, Failed) else found

    def scrubbed(self: Store, order: Scrub) -> Any:
        found = scrub(self, order)
        return Scrubbed(None, 0) if isinstance(found, Failed) else found

    with (
        replaced(Store, "_read_one", read),
        replaced(Store, "_list_entries", listed),
        replaced(Store, "_scrub", scrubbed),
    ):
        yield
