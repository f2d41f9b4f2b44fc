"""What a node is made of: what was found on its disk, what the cluster shares, what can be set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.coordination.coordinator import CoordinatorSettings
from lsmkv_cluster.coordination.read_state import ReadSettings
from lsmkv_cluster.coordination.write_state import WriteSettings
from lsmkv_cluster.healing.hint_budget import HintSettings
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.healing.starting import StartSettings
from lsmkv_cluster.healing.tombstone_limits import TombstoneSettings
from lsmkv_cluster.placement.members import Address
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.storage.backlog import BacklogSettings
from lsmkv_cluster.storage.storage_orders import Lack
from lsmkv_cluster.storage.store_opening import Opened
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.transport.flights import FlightSettings
from lsmkv_cluster.transport.traffic import REQUEST_LIFETIME_MAX_MS
from lsmkv_cluster.versions.actor import Identity

__all__ = ["Boot", "NodeSettings", "Secrets"]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    asleep_after_ms: int = 1_000  # late by so much: this node was stopped
    request_lifetime_max_ms: int = REQUEST_LIFETIME_MAX_MS  # of what others ask
    describe_interval_ms: int = 1_000  # what it says of itself to others
    addresses: tuple[Address, ...] = ()  # where it listens; (): as the document says
    membership: MembershipSettings = field(default_factory=MembershipSettings)
    reading: ReadSettings = field(default_factory=ReadSettings)
    writing: WriteSettings = field(default_factory=WriteSettings)
    coordinator: CoordinatorSettings = field(default_factory=CoordinatorSettings)
    starting: StartSettings = field(default_factory=StartSettings)
    hints: HintSettings = field(default_factory=HintSettings)
    topology: KeeperSettings = field(default_factory=KeeperSettings)
    tombstones: TombstoneSettings = field(default_factory=TombstoneSettings)
    antientropy: AntiEntropySettings = field(default_factory=AntiEntropySettings)
    backlog: BacklogSettings = field(default_factory=BacklogSettings)
    flights: FlightSettings = field(default_factory=FlightSettings)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The same on all nodes of a cluster."""

    contexts: bytes  # at most 64 bytes
    datagrams: tuple[bytes, ...]  # keys, the first is used for sealing


@dataclass(frozen=True, slots=True)
class Boot:
    """What was found when the store was opened (store_opening.Opened)."""

    identity: Identity | None
    was_closed: bool
    is_log_sound: bool  # it had to be repaired neither now nor since the last clean end
    is_founding: bool  # made together with the cluster: what is not here never was
    sequence: int
    notes: Mapping[bytes, bytes]
    tree: Callable[[int], MerkleTree]
    durable_sequence: Callable[[], int]
    damaged: frozenset[int] = frozenset()
    damaged_hints: frozenset[int] = frozenset()
    incomplete: Mapping[int, Lack] = field(default_factory=dict)

    @staticmethod
    def of(opened: Opened, *, is_log_sound: bool, is_founding: bool) -> Boot:
        """Of a store that was just opened, and what only the driver knows."""
        store = opened.store
        return Boot(
            identity=opened.identity,
            was_closed=opened.was_closed,
            is_log_sound=is_log_sound,
            is_founding=is_founding,
            sequence=opened.sequence,
            notes=opened.notes,
            tree=store.tree,
            durable_sequence=lambda: store.durable_sequence,
            damaged=opened.damaged,
            damaged_hints=opened.damaged_hints,
            incomplete=dict(store.incomplete),
        )

    @property
    def lack(self) -> Lack | None:
        """What all copies here may have lost."""
        if self.is_founding:
            return None
        if self.identity is None or not self.is_log_sound:
            return Lack.LOST
        return None if self.ended_cleanly else Lack.UNSYNCED

    @property
    def ended_cleanly(self) -> bool:
        """Whether all that was written is here, if this is the newest disk."""
        return self.was_closed and self.is_log_sound
