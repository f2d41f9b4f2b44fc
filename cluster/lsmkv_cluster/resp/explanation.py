"""What is where of a key, in words: who owns it, what each has, and what a read makes of that.

    owners     each one's answer, how long it took, its version, whether it lacks something
    items      everything that is known and not superseded, with who has it
    reads_as   what a plain GET would be answered with
    repair     who has less than all that is known, and is sent it by the next read

Pure: made of the topology and of what the members said (coordination/explaining.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lsmkv import Error
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.resp.change_json import keyspace_json
from lsmkv_cluster.resp.host import Host, Json
from lsmkv_cluster.resp.stored_values import see
from lsmkv_cluster.versions.hlc import stamp_to_ms
from lsmkv_cluster.versions.record import Item, Record, merge
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Actor, Clock

__all__ = ["explanation"]

SHOWN_SIZE_MAX = 128  # bytes of a value


class _Heard(NamedTuple):
    told: Told
    record: Record | None


def explanation(host: Host, key: bytes, told: Sequence[Told], now_ms: int) -> Json:
    topology = host.topology
    partition = topology.partition_of(key)
    names = {member.id: member.name for member in topology.members}
    keyspace = topology.keyspace_of(key)
    heard = [_Heard(each, _decoded(each.record)) for each in told]
    joined = _joined(each.record for each in heard)
    order = {id: index for index, id in enumerate(topology.owners[partition])}
    heard.sort(key=lambda each: (order.get(each.told.owner, len(order)), each.told.member))
    actors = {int.from_bytes(member.id[:4], "big"): member.name for member in topology.members}
    data = encode(joined) if joined else None
    seen = see(data, keyspace.resolution, now_ms)
    lacking = [each for each in heard if _lacks(each, joined)]
    return {
        "key": _text(key),
        "slot": slot_of(key),
        "partition": partition,
        "epoch": topology.epoch,
        "is_moving": partition in topology.transitions_by_partition,
        "coordinator": names[host.me],
        "keyspace": keyspace_json(keyspace),
        "owners": [_owner(each, names, actors, joined) for each in heard],
        "items": [_item(item, heard, names, actors, now_ms) for item in joined.items]
        if joined
        else [],
        "reads_as": {
            "type": seen.type.value,
            "value": _text(seen.value) if seen.is_alive else None,
            "expiry_ms": seen.expiry_ms,
        },
        "repair": [names[each.told.member] for each in lacking],
    }


def _decoded(record: bytes | None) -> Record | None:
    """None for one that was damaged on its way, too."""
    try:
        return decode(record) if record is not None else None
    except (Error, ValueError):
        return None


def _joined(records: Iterable[Record | None]) -> Record | None:
    joined: Record | None = None
    for record in records:
        if record is not None:
            joined = record if joined is None else merge(joined, record).record
    return joined


def _lacks(heard: _Heard, joined: Record | None) -> bool:
    """Of those who have said what they have."""
    if heard.told.word not in ("record", "nothing") or joined is None:
        return False
    return heard.record is None or heard.record.cut(joined.cut_s) != joined


def _owner(
    heard: _Heard, names: dict[bytes, str], actors: dict[int, str], joined: Record | None
) -> Json:
    told, record = heard
    return {
        "member": names[told.member],
        "stands_in_for": names[told.owner] if told.owner != told.member else None,
        "answer": told.word,
        "ms": told.elapsed_ms,
        "bytes": len(told.record) if told.record is not None else 0,
        "clock": _clock(record.clock, actors) if record else {},
        "siblings": len(record.items) if record else 0,
        "is_behind": _lacks(heard, joined),
    }


def _item(
    item: Item,
    heard: Sequence[_Heard],
    names: dict[bytes, str],
    actors: dict[int, str],
    now_ms: int,
) -> Json:
    holders = [each for each in heard if each.record and item in each.record.items]
    return {
        "kind": item.kind.name,
        "dot": f"{_actor(item.dot.actor, actors)}:{item.dot.counter}",
        "written_ms": stamp_to_ms(item.stamp),
        "expiry_ms": item.expiry_ms,
        "is_expired": 0 < item.expiry_ms <= now_ms,
        "name": _text(item.name),
        "value": _text(item.value),
        "size_bytes": len(item.value),
        "held_by": [names[each.told.member] for each in holders],
    }


def _clock(clock: Clock, actors: dict[int, str]) -> dict[str, Json]:
    return {_actor(actor, actors): entry.counter for actor, entry in clock}


def _actor(actor: Actor, names: dict[int, str]) -> str:
    """A member, in one of its runs."""
    number, *run = actor
    return ".".join([names.get(number, f"{number:08x}"), *(f"{part:x}" for part in run)])


def _text(data: bytes) -> str:
    shown = data[:SHOWN_SIZE_MAX].decode("utf-8", "backslashreplace")
    return shown + "..." if len(data) > SHOWN_SIZE_MAX else shown
