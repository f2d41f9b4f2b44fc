"""A node sees to it that the topology document says where it is to be found. Pure.

Others look for a node where the document says it is. Where that says otherwise the node asks for
the change, again and again: who comes back elsewhere may find too few of the others at first. Once
the document has said it, nothing more is asked for in that generation, or two that run under one
name would not come to an end. Who forces a document may not have known it.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import Address, MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Alarm, Effect, Now
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome
from lsmkv_cluster.reconfiguration.topology_changes import Readdress

__all__ = ["READDRESSING", "Readdressing"]

READDRESSING = "readdressing"  # the token of the change


class Readdressing:
    """`addresses`: where it listens, () where nobody has to be told."""

    def __init__(
        self, me: MemberId, addresses: tuple[Address, ...], settings: KeeperSettings
    ) -> None:
        self._me = me
        self._addresses = addresses
        self._settings = settings
        self._known_in = -1  # the generation in which a document has said it
        self._is_asking = False
        self._again_ms = 0
        self._has_failed = False

    def wish(self, now: Now, document: Topology) -> Readdress | None:
        """What the keeper is to be asked for now. It answers, and `ended` is to hear it."""
        me = document.members_by_id.get(self._me)
        if not self._addresses or me is None or not me.votes:
            return None
        if me.addresses == self._addresses:
            self._known_in = document.generation
        if self._is_asking or now.ms < self._again_ms or self._known_in == document.generation:
            return None
        self._is_asking = True
        return Readdress(self._me, self._addresses)

    def ended(self, now: Now, changed: Changed) -> list[Effect]:
        """The first of several failures is told."""
        self._is_asking = False
        self._again_ms = now.ms + self._settings.announce_again_ms
        had_failed, self._has_failed = self._has_failed, changed.outcome is not Outcome.COMMITTED
        if had_failed or not self._has_failed:
            return []
        text = f"others do not know yet where this node is, and will be told again: {changed.text}"
        return [Alarm(text)]
