"""The node and the store of the product, as they run on simulated machines."""

from __future__ import annotations

from dataclasses import replace

from lsmkv import DB
from lsmkv_cluster.boot import Boot, NodeSettings, Secrets
from lsmkv_cluster.healing.hint_budget import HintSettings
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.healing.tombstone_limits import TombstoneSettings
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Now
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_opening import open_store, stored_topology
from lsmkv_cluster.swim.member_status import Status
from tests.sim.program import NodeLike, Start, StoreLike

__all__ = ["WITHOUT_COLLECTION", "Product"]

SECRETS = Secrets(
    contexts=b"the contexts of a test", datagrams=(b"the datagrams of a simulated one",)
)
# Shorter than in earnest, so that a run of a few virtual minutes has many periods.
SETTINGS = NodeSettings(
    request_lifetime_max_ms=3_000,
    tombstones=TombstoneSettings(
        lifetime_ms=5_000,
        age_min_ms=1_000,
        skew_limit_ms=1_000,
        interval_ms=500,
        answer_timeout_ms=1_000,
        hints_timeout_ms=10_000,
        hints_again_ms=500,
    ),
    hints=HintSettings(
        settle_ms=300, poll_ms=500, answer_timeout_ms=1000, retry_ms=500, retry_max_ms=4000
    ),
    antientropy=AntiEntropySettings(
        period_ms=5000, retry_ms=500, scrub_interval_ms=500, scrub_leaf_count=256
    ),
)
STATES = {
    Status.ALIVE: "alive",
    Status.SUSPECT: "suspect",
    Status.UNREACHABLE: "unreachable",
    Status.DEAD: "dead",
    Status.LEFT: "left",
}


# As for scenarios that are played by hand: nothing is collected, nor does what has expired go.
WITHOUT_COLLECTION = replace(SETTINGS, tombstones=TombstoneSettings(interval_ms=1 << 40))


class Product:
    settle_period_ms = 5_500  # an anti-entropy period, which may be a tenth late
    detection_ms = 10_000

    def __init__(self, settings: NodeSettings | None = None) -> None:
        self._settings = settings or SETTINGS

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        topology = stored_topology(database) or start.topology
        opened = open_store(database, topology, start.me, is_log_sound=start.is_log_sound)
        boot = Boot.of(
            opened,
            is_log_sound=start.is_log_sound,
            is_founding=start.is_founding,
        )
        node = Node(boot, topology, start.me, SECRETS, start.random, self._settings)
        return node, opened.store

    def states_seen(self, node: NodeLike, now: Now) -> dict[MemberId, str]:
        assert isinstance(node, Node)
        membership = node.parts.membership
        return {id: STATES[membership.status(id)] for id in node.topology.voters}

    def document(self, node: NodeLike) -> Topology | None:
        assert isinstance(node, Node)
        return node.topology

    def has_vote(self, node: NodeLike) -> bool:
        assert isinstance(node, Node)
        return node.parts.keeper.has_vote

    def answers(self, node: NodeLike, partition: int) -> bool:
        assert isinstance(node, Node)
        return node.parts.is_ready(partition)

    def root(self, store: StoreLike, partition: int) -> int | None:
        assert isinstance(store, Store)
        return store.tree(partition).root

    def is_ready(self, node: NodeLike) -> bool:
        assert isinstance(node, Node)
        parts = node.parts
        return parts.starting.is_settled and parts.actors.may_mint and not parts.recovery.is_filling
