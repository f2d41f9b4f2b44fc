"""What nodes that have ended left on their disks: every record of every owner, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lsmkv
from lsmkv_cluster.config.node_file import load_node_file
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.engine_key import Space, client_key, space_tokens
from lsmkv_cluster.storage.store_opening import stored_topology
from lsmkv_cluster.versions.record_format import decode

__all__ = ["StoredCopies", "read_copies"]


@dataclass
class StoredCopies:
    """By key and owner; `strays` counts records where nobody is to keep them, `hints` what others
    still keep for owners."""

    topology: Topology
    by_key: dict[bytes, dict[str, bytes | None]] = field(default_factory=dict)
    strays: int = 0
    hints: int = 0

    def unequal(self) -> list[bytes]:
        """Keys whose owners differ. A tombstone that only some have collected is no difference."""
        return [key for key, copies in self.by_key.items() if not _are_equal(copies)]


def _are_equal(copies: Mapping[str, bytes | None]) -> bool:
    distinct = set(copies.values())
    if len(distinct) == 1:
        return True
    if None not in distinct:
        return False
    shown = [decode(data).items for data in distinct if data is not None]
    return len(shown) == 1 and not shown[0]


def read_copies(folders: Iterable[Path]) -> StoredCopies:
    """REQUIRES: the nodes of these data directories have ended."""
    topology: Topology | None = None
    found: dict[MemberId, dict[bytes, bytes]] = {}
    hints = 0
    for folder in folders:
        node = load_node_file(folder)
        assert node is not None, folder
        with lsmkv.open(folder / "db") as db:
            document = stored_topology(db)
            assert document is not None, folder
            if topology is None or document.epoch > topology.epoch:
                topology = document
            keys = space_tokens(Space.DATA).keys
            with db.scan(keys.start, keys.stop) as scan:
                found[node.id] = {client_key(key): value for key, value in scan}
            keys = space_tokens(Space.HINT).keys
            with db.scan(keys.start, keys.stop) as scan:
                hints += sum(1 for _ in scan)
    assert topology is not None
    copies = StoredCopies(topology, hints=hints)
    names = {member.id: member.name for member in topology.members}
    for key in {key for records in found.values() for key in records}:
        owners = topology.owners[topology.partition_of(key)]
        copies.by_key[key] = {names[owner]: found.get(owner, {}).get(key) for owner in owners}
        copies.strays += sum(
            key in records and member not in owners for member, records in found.items()
        )
    return copies
