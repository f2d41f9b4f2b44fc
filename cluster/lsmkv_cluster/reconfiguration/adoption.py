"""From a document that was learned to the one that this node works by.

    stage       what happens                          next
    SETTLED     a newer document is learned           PREPARING it: the node makes room for it
    PREPARING   a still newer one is learned          PREPARING, the newest counts
    PREPARING   prepared, and a newer one is known    PREPARING that one
    PREPARING   prepared                              STORING it
    STORING     it could not be stored                WAITING, with an alarm
    WAITING     time has passed                       STORING it again
    STORING     it is on stable storage               SETTLED, or PREPARING a newer one

What holds: epochs only grow; a document is worked by only when it is on stable storage; and nothing
is stored that the node has not prepared for, such as by discarding what an earlier stay left behind
in a range that it gains.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple

from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import decode_topology, document_hash, encode_topology
from lsmkv_cluster.ports import Alarm, Effect, Now, StoreOrder
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.storage.storage_orders import Remember

__all__ = ["DOCUMENT_NOTE", "Adopted", "Adopting", "Adoption", "Known", "StoreDocument"]

DOCUMENT_NOTE = b"topology"


@dataclass(frozen=True)
class Known:
    """A document and its bytes."""

    document: Topology
    data: bytes

    @staticmethod
    def of(document: Topology) -> Known:
        return Known(document, encode_topology(document))

    @staticmethod
    def read(data: bytes) -> Known:
        """TopologyError when it is none."""
        return Known(decode_topology(data), data)

    @property
    def epoch(self) -> int:
        return self.document.epoch

    @cached_property
    def hash(self) -> bytes:
        return document_hash(self.data)


class Adopting(NamedTuple):
    """To the node: make room for this document, then say so (`prepared`)."""

    document: Topology


class Adopted(NamedTuple):
    """To the node: this document is on stable storage; work by it from now on."""

    document: Topology


class StoreDocument(NamedTuple):
    """The token of an order."""

    epoch: int


class Stage(Enum):
    SETTLED = auto()
    PREPARING = auto()
    STORING = auto()
    WAITING = auto()


class Adoption:
    """`current` is what is worked by, `newest` what is known to be decided."""

    def __init__(self, current: Known, settings: KeeperSettings) -> None:
        self.current = self.newest = self._next = current
        self.outputs: list[Adopting | Adopted] = []
        self._settings = settings
        self._stage = Stage.SETTLED
        self._again_ms: int | None = None

    @property
    def is_settled(self) -> bool:
        return self._stage is Stage.SETTLED

    def learn(self, known: Known) -> None:
        """REQUIRES: it is of this cluster, and decided."""
        if known.epoch > self.newest.epoch:
            self.newest = known
            if self._stage is Stage.SETTLED:
                self._prepare()

    def _prepare(self) -> None:
        self._stage = Stage.PREPARING
        self._next = self.newest
        self.outputs.append(Adopting(self._next.document))

    def prepared(self) -> list[Effect]:
        if self._stage is not Stage.PREPARING:
            return []
        if self._next is not self.newest:
            self._prepare()
            return []
        return self._store()

    def _store(self) -> list[Effect]:
        self._stage = Stage.STORING
        order = Remember(DOCUMENT_NOTE, self._next.data)
        return [StoreOrder(StoreDocument(self._next.epoch), order)]

    def stored(self, now: Now, *, is_done: bool) -> list[Effect]:
        if not is_done:
            self._stage = Stage.WAITING
            self._again_ms = now.ms + self._settings.persist_again_ms
            return [Alarm(f"the topology of epoch {self._next.epoch} could not be stored")]
        self.current = self._next
        self._stage = Stage.SETTLED
        self.outputs.append(Adopted(self.current.document))
        if self.newest is not self.current:
            self._prepare()
        return []

    def tick(self, now: Now) -> list[Effect]:
        if self._again_ms is None or now.ms < self._again_ms:
            return []
        self._again_ms = None
        return self._store()

    def next_deadline(self) -> int | None:
        return self._again_ms
