"""Bugs in what a read makes of the answers that it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lsmkv_cluster.coordination import reading
from lsmkv_cluster.coordination.evidence import Heard
from lsmkv_cluster.coordination.write_back import Kept, WriteBack
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.versions.record_format import decode
from tests.sim.canaries import canary, replaced


@canary("strict reads do not write back")
def no_write_back() -> Iterator[None]:
    """A strict read returns what a minority has without bringing it to a majority: a later read
    may miss it (the phantom of Attiya, Bar-Noy and Dolev without their second round)."""

    def begin(self: WriteBack, id: int, *_: Any) -> tuple[list[Any], list[Kept]]:
        return [], [Kept(id, True)]

    with replaced(WriteBack, "begin", begin):
        yield


@canary("a read returns the newest")
def newest_record() -> Iterator[None]:
    """Of the records that were heard the one with the newest stamp is the answer, not their join:
    what was written beside it is not seen, nor repaired (last write wins in read repair)."""

    def newest(heard: Iterable[Heard], merge: Callable[..., bytes]) -> bytes | None:
        records = [answer.record for answer in heard if answer.record is not None]
        return max(records, key=lambda data: decode(data).newest_stamp(), default=None)

    with replaced(reading, "joined", newest):
        yield


@canary("digests are not compared")
def digests_are_not_compared() -> Iterator[None]:
    """The first record is the answer, whatever digests say: a quorum of answers, and the value of
    the nearest copy."""
    with replaced(reading, "unseen", lambda heard: []):
        yield


@canary("what cannot be read is not there")
def error_is_a_miss() -> Iterator[None]:
    """A copy that cannot be read answers "nothing here" (kv679_handoff_amnesia: an I/O error taken
    for "not found")."""
    before = Store._read_one

    def read_one(self: Store, key: bytes) -> Any:
        found = before(self, key)
        return found if isinstance(found, bytes) else None

    with replaced(Store, "_read_one", read_one):
        yield
