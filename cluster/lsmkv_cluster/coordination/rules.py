"""What the levels of a request come to in a partition: whose answers, how many, and is it allowed.

Levels and mode that a request does not name are those of its keyspace. In a strict keyspace they
are checked against what strict mode promises, also that they meet those of everybody else.
"""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.coordination.quorum import Need, is_at_least, is_strict, need, total
from lsmkv_cluster.coordination.requests import ClientRequest
from lsmkv_cluster.coordination.view import Place, View
from lsmkv_cluster.placement.keyspaces import Consistency, Mode

__all__ = ["RULES_MAX", "Rules", "RuleTable"]

RULES_MAX = 1 << 14  # pairs of levels that are remembered


class Rules(NamedTuple):
    read: Need
    write: Need
    write_count: int
    is_strict: bool
    is_allowed: bool


class RuleTable:
    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[tuple[int, Consistency, Consistency, Mode, Consistency], Rules] = {}

    def clear(self) -> None:
        """There is a new document."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, place: Place, request: ClientRequest) -> Rules:
        keyspace = self._view.topology.keyspace_of(request.key)
        read, write = request.read or keyspace.read, request.write or keyspace.write
        mode = request.mode or keyspace.mode
        # What others write with, at the least; where that promises nothing, what this one does.
        least = keyspace.write if keyspace.mode is Mode.STRICT else write
        cached = (place.partition, read, write, mode, least)
        rules = self._known.get(cached)
        if rules is None:
            if len(self._known) >= RULES_MAX:
                self._known.clear()
            rules = self._known[cached] = self._make(place, read, write, mode, least)
        return rules

    def _make(
        self, place: Place, read: Consistency, write: Consistency, mode: Mode, least: Consistency
    ) -> Rules:
        dc, strict = self._view.dc, mode is Mode.STRICT
        needed = [need(write, owners, dc) for owners in place.written]
        return Rules(
            need(read, place.owners_by_dc, dc),
            tuple(group for groups in needed for group in groups),
            max(total(groups) for groups in needed),
            strict,
            not strict
            or all(
                is_strict(read, least, owners) and is_at_least(write, least, owners)
                for owners in place.written
            ),
        )
