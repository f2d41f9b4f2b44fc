"""A node on this machine: its database, store and machines, opened and closed in the right order.

    open      database, store (trees), boot; the first document of a new store is durable before
              the node begins
    run       driver.py
    close     the driver stops, what was ordered is carried out, trees are checkpointed, and the
              mark of a clean end is the last thing that is written

Whether a damaged database may be repaired is for the operator to say. That one was is remembered in
a file beside it until a clean end, because what was not synced, and perhaps more, is missing then
(boot.py).
"""

from __future__ import annotations

import logging
import os
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lsmkv
from lsmkv import DB, CorruptionError
from lsmkv_cluster.boot import Boot, NodeSettings, Secrets
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import encode_topology
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_marks import note_key
from lsmkv_cluster.storage.store_opening import TOPOLOGY_NOTE, open_store, stored_topology

__all__ = ["LocalNode", "has_database", "is_serving", "open_node"]

DATABASE = "db"
REPAIRED = "repaired"

_log = logging.getLogger("lsmkv.node")


def is_serving(node: Node) -> bool:
    """Whether its start is over, and it is still a member."""
    return not node.is_retired and node.parts.is_started


@dataclass(frozen=True, slots=True)
class LocalNode:
    path: Path
    db: DB
    store: Store
    node: Node

    def close(self) -> None:
        """REQUIRES: nothing is carried out any more."""
        try:
            ended = self.store.close()
            self.db.close()
        except BaseException:
            self.db.close()
            raise
        _log.info("closed: %s", ended)
        (self.path / REPAIRED).unlink(missing_ok=True)


def has_database(path: Path) -> bool:
    return (path / DATABASE).exists()


def open_node(
    path: Path,
    me: MemberId,
    secrets_: Secrets,
    first: Topology | None,
    *,
    is_founding: bool = False,
    may_repair: bool = False,
    options: Mapping[str, Any] | None = None,
    settings: NodeSettings | None = None,
) -> LocalNode:
    """`first`: the document of a store that has none yet; `is_founding`: made together with the
    cluster. Errors of the engine come out."""
    path.mkdir(parents=True, exist_ok=True)
    db = _open_database(path, may_repair, options or {})
    try:
        is_log_sound = not (path / REPAIRED).exists()
        topology = stored_topology(db)
        if topology is None:
            if first is None:
                raise CorruptionError(f"{path / DATABASE} is no node's: it has no topology")
            topology = first
            db.put(note_key(TOPOLOGY_NOTE), encode_topology(first), sync=True)
        else:
            is_founding = False
        opened = open_store(db, topology, me, is_log_sound=is_log_sound)
        boot = Boot.of(opened, is_log_sound=is_log_sound, is_founding=is_founding)
        rng = random.Random(secrets.randbits(256))
        node = Node(boot, topology, me, secrets_, rng, settings)
    except BaseException:
        db.close()
        raise
    return LocalNode(path, db, opened.store, node)


def _open_database(path: Path, may_repair: bool, options: Mapping[str, Any]) -> DB:
    database = path / DATABASE
    try:
        return lsmkv.open(database, **options)
    except CorruptionError as error:
        if not may_repair:
            raise
        _log.warning("%s: repairing, and filling from the other nodes what is missing", error)
    marker = path / REPAIRED
    with marker.open("wb") as file:
        os.fsync(file.fileno())
    lsmkv.repair(database)
    return lsmkv.open(database, **options)
