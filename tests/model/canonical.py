"""What a node is, as bytes: equal for nodes that will do the same, whatever made them so.

Everything that is reached from a node's machines is taken in, also what machines will get one day,
but for what is named here: counters that only name things, caches, settings, timers (time stands),
counts for people, and what others give to machines at their making. Order is kept in lists and
tuples; dicts and sets are sorted, because in which order a machine came to hold two calls decides
nothing but the order in which it sends, and messages on their way have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from lsmkv_cluster.coordination.view import Place, View
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.transport.timers import Timers
from tests.model.node import ModelNode

__all__ = ["canonical"]

LEFT_OUT = {
    *("_next_id", "_episodes", "episode"),  # names
    *("_rules", "_settings", "_secret", "limits", "_minter", "_asking"),
    *("_timers", "_latencies", "_budget", "_look_ms", "_begun", "_pace"),  # time
    *("mended", "counters", "found"),
}
PLAIN = (int, str, bytes, float, type(None))


def canonical(node: ModelNode) -> bytes:
    """16 bytes for all that decides what the node will do and show."""
    parts, disk = node.parts, node.disk
    roots = (
        node.run,
        node.queue,
        node.open,
        vars(disk),
        parts.topology,
        parts.coordinator,
        parts.reading,
        parts.writing,
        parts.recovery,
        parts.handover,
        parts.confirming,
        parts.actors,
        parts.minter.clock,
        parts.latencies._average,
        node.lost_dots,
    )
    return hashlib.blake2b(repr(_plain(roots)).encode(), digest_size=16).digest()


def _plain(thing: Any) -> Hashable:
    if isinstance(thing, Enum):
        return thing.name
    if isinstance(thing, PLAIN):
        return thing
    if isinstance(thing, list | tuple):
        return tuple([_plain(each) for each in thing])
    if isinstance(thing, set | frozenset):
        return tuple(sorted([_plain(each) for each in thing], key=repr))
    if isinstance(thing, Mapping):
        pairs = [(_plain(key), _plain(each)) for key, each in thing.items()]
        return tuple(sorted(pairs, key=repr))
    if isinstance(thing, Topology):
        return thing.epoch
    if isinstance(thing, Place):
        return thing.placed
    if isinstance(thing, View | Timers) or callable(thing):
        return None
    return (type(thing).__name__, *[_plain(each) for each in _held(thing)])


def _held(thing: Any) -> list[Any]:
    """What an object holds, in the order of its names."""
    if is_dataclass(thing):
        names = [field.name for field in fields(thing)]
    else:
        slots = getattr(type(thing), "__slots__", ())
        names = sorted([*slots, *getattr(thing, "__dict__", {})])
    return [getattr(thing, name) for name in names if name not in LEFT_OUT]
