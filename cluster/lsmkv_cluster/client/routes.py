"""Who owns a key, as a client knows it: made of KV.CLUSTER RING, asked in turn until one answers.

Routes may be old. Nobody is hurt: a node that owns nothing of a key sends the client on (MOVED, on
the port for cluster clients), or asks an owner itself. Pure; the time comes in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from lsmkv_cluster.placement.members import CLUSTER_FACE, PLAIN_FACE
from lsmkv_cluster.placement.slots import Partitioning, slot_of

__all__ = ["Routes", "Station", "Suspects", "moved_to", "routes_of", "turns"]

REST_S = 1.0  # that a node is left alone after it could not be reached; then twice as long
REST_MAX_S = 30.0
OTHERS_MAX = 2  # that are asked when no owner can be reached: any node knows an owner


@dataclass(frozen=True, slots=True)
class Station:
    """Where a member is found. `data` is for what concerns keys: its port for cluster clients."""

    name: str
    dc: str
    data: Endpoint
    plain: Endpoint


@dataclass(frozen=True, slots=True)
class Routes:
    """Of one document. `rows` are the owners of each partition, those that are near first."""

    cluster_id: str
    age: tuple[int, int]  # generation, epoch
    stations: tuple[Station, ...]
    rows: tuple[tuple[Station, ...], ...]

    def owners(self, key: bytes) -> tuple[Station, ...]:
        return self.rows[Partitioning(len(self.rows)).partition_of(slot_of(key))]

    def replaces(self, other: Routes | None) -> bool:
        """Whether they say more: a cluster that was made anew may be younger."""
        return other is None or other.cluster_id != self.cluster_id or self.age >= other.age


def routes_of(text: bytes, dc: str = "") -> Routes:
    """Of the answer to KV.CLUSTER RING, for a client in `dc`. ValueError for anything else."""
    try:
        content = json.loads(text)
        stations = [_station(member) for member in content["members"]]
        known = {each.name: each for each in stations if each is not None}
        shown: dict[tuple[str, ...], tuple[Station, ...]] = {}
        rows = []
        for partition in content["partitions"]:
            names = tuple(partition["owners"])
            if names not in shown:
                found = [known[name] for name in names if name in known]
                shown[names] = tuple(sorted(found, key=lambda station: station.dc != dc))
            rows.append(shown[names])
        age = (int(content["generation"]), int(content["epoch"]))
        routes = Routes(content["cluster_id"], age, tuple(known.values()), tuple(rows))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not what KV.CLUSTER RING replies: {error!r}") from error
    if not routes.rows or not routes.stations:
        raise ValueError("a cluster without partitions or addresses")
    return routes


def _station(member: Mapping[str, Any]) -> Station | None:
    """None: nobody can find it."""
    addresses = member["addresses"]
    plain = addresses.get(PLAIN_FACE)
    if plain is None:
        return None
    data = addresses.get(CLUSTER_FACE, plain)
    return Station(member["name"], member["dc"], parse_endpoint(data), parse_endpoint(plain))


def moved_to(text: str) -> Endpoint | None:
    """Where an error `MOVED slot host:port` sends the client."""
    parts = text.split(" ")
    try:
        return parse_endpoint(parts[2]) if len(parts) == 3 else None
    except ValueError:
        return None


class Suspects:
    """Nodes that could not be reached a moment ago."""

    def __init__(self) -> None:
        self._rests: dict[Endpoint, tuple[float, float]] = {}  # until when, how long

    def failed(self, endpoint: Endpoint, now_s: float) -> None:
        until_s, rest_s = self._rests.get(endpoint, (0.0, REST_S / 2))
        if now_s >= until_s:  # what was under way together fails together
            rest_s = min(2 * rest_s, REST_MAX_S)
            self._rests[endpoint] = (now_s + rest_s, rest_s)

    def worked(self, endpoint: Endpoint) -> None:
        self._rests.pop(endpoint, None)

    def rests(self, endpoint: Endpoint, now_s: float) -> bool:
        found = self._rests.get(endpoint)
        return found is not None and now_s < found[0]


def turns(
    owners: Sequence[Endpoint], others: Iterable[Endpoint], suspects: Suspects, now_s: float
) -> list[Endpoint]:
    """Whom to ask, one after the other: owners, some others, and at last those that rest."""
    awake = [each for each in owners if not suspects.rests(each, now_s)]
    known = set(owners)
    spare = [each for each in others if each not in known and not suspects.rests(each, now_s)]
    resting = [each for each in owners if each not in awake]
    return [*awake, *spare[:OTHERS_MAX], *resting]
