"""What the simulator sees of a cluster from above: the disks of all machines at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lsmkv_cluster.storage.engine_key import Space, space_tokens
from lsmkv_cluster.storage.storage_orders import Entries, ListEntries, Read, Values
from lsmkv_cluster.versions.record import Record, merge
from tests.sim.world import World

HINTS = (Space.HINT, space_tokens(Space.HINT).first, space_tokens(Space.HINT).end)

__all__ = [
    "copies",
    "differing_trees",
    "disagreements",
    "has_all",
    "hint_count",
    "stored",
    "strays",
    "wrong_rows",
]


def stored(world: World, machine: int, keys: tuple[bytes, ...], space: Space) -> Values | None:
    """What a machine's store answers; None when nothing runs there."""
    process = world.machines[machine].process
    if process is None:
        return None
    result = process.store.carry_out(Read(space, keys))
    return result if isinstance(result, Values) else None


def copies(world: World, key: bytes) -> dict[int, bytes | str | None]:
    """By owner: the record, None for nothing, or why it cannot be read."""
    found: dict[int, bytes | str | None] = {}
    for owner in world.owners(key):
        values = stored(world, owner, (key,), Space.DATA)
        value = values.values[0] if values is not None else "not running"
        found[owner] = value if value is None or isinstance(value, bytes) else str(value)
    return found


def disagreements(world: World, keys: Iterable[bytes]) -> list[str]:
    """The keys whose owners are not equal, byte by byte."""
    found = []
    for key in keys:
        by_owner = copies(world, key)
        if len(set(by_owner.values())) > 1 or any(isinstance(v, str) for v in by_owner.values()):
            found.append(f"{key!r}: " + ", ".join(f"n{n} {_short(v)}" for n, v in by_owner.items()))
    return found


def differing_trees(world: World) -> list[str]:
    """Partitions of which the trees of owners are not equal."""
    document, found = world.document, []
    for partition, row in enumerate(document.owners):
        stores = [world.machines[world.numbers[id]].process for id in row]
        roots = {world.program.root(p.store, partition) for p in stores if p is not None}
        if len(roots) > 1:
            found.append(f"partition {partition}: {sorted(map(str, roots))}")
    return found


def wrong_rows(world: World) -> list[str]:
    """Partitions that have not as many owners as operators want: so many of each data centre, if it
    has so many members that store. With equal copies at all of them, that many are live."""
    document, found = world.document, []
    storing = Counter(member.dc for member in document.members if member.stores)
    wanted = {dc: min(count, storing[dc]) for dc, count in document.replicas.items()}
    for partition, row in enumerate(document.owners):
        has = Counter(document.members_by_id[id].dc for id in row)
        if has != wanted or len(set(row)) != len(row):
            found.append(f"partition {partition}: {dict(has)} owners, where {wanted} are wanted")
    return found


def strays(world: World, keys: Iterable[bytes]) -> list[str]:
    """What members have and are not to keep."""
    found = []
    for key in keys:
        document = world.document
        keepers = document.keepers(document.partition_of(key))
        for machine in world.in_cluster():
            values = stored(world, machine.number, (key,), Space.DATA)
            if machine.id not in keepers and values is not None and values.values[0] is not None:
                found.append(f"{key!r} at {machine.name}, which does not keep it")
    return found


def has_all(world: World, machine: int) -> bool:
    """Whether a machine runs and its copies show all that those of all its co-owners show, or any
    stand-in keeps for them."""
    for key in world.options.keys:
        owners = world.owners(key)
        if machine not in owners:
            continue
        joined: Record | None = None
        own: Record | None = None
        for number in (other.number for other in world.in_cluster()):
            for space in (Space.DATA, Space.HINT):
                values = stored(world, number, (key,), space)
                if values is None:
                    return False
                value = values.values[0]
                if not isinstance(value, bytes):
                    if value is not None and number == machine:
                        return False
                    continue
                record = world.ledger.record(value)
                joined = record if joined is None else merge(joined, record).record
                if number == machine and space is Space.DATA:
                    own = record
        if joined != own:
            return False
    return True


def hint_count(world: World, number: int | None = None) -> int:
    """Records that stand-ins still keep for owners, on one machine or all that run."""
    total = 0
    for machine in world.in_cluster() if number is None else [world.machines[number]]:
        if machine.process is None:
            continue
        result = machine.process.store.carry_out(ListEntries(*HINTS))
        if isinstance(result, Entries):
            total += len(result.entries)
    return total


def _short(value: bytes | str | None) -> str:
    return value if isinstance(value, str) else "nothing" if value is None else value.hex()[:16]
