"""What a node tells operators: states of members, moves, hints, how far a repair is.

All of it is what this node knows now; nothing is asked of anybody. The commands of operators show
it (operator/), and KV.CLUSTER gives it as JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Now
from lsmkv_cluster.resp.change_json import member_json
from lsmkv_cluster.resp.host import Json
from lsmkv_cluster.resp.queries import AdminReport, Answer, Failed, Report
from lsmkv_cluster.serving.local_node import is_serving

__all__ = ["NodeReports", "incomplete_count"]


class NodeReports:
    def __init__(self, node: Node, now: Callable[[], Now]) -> None:
        self._node = node
        self._now = now
        self._subjects: dict[str, Callable[[], Json]] = {
            "STATUS": self.status,
            "MOVES": self.moves,
            "HINTS": self.hints,
            "REPAIR": self.repair,
        }

    def report(self, query: AdminReport) -> Answer:
        make = self._subjects.get(query.subject.upper())
        if make is None:
            return Failed(f"ERR unknown subcommand '{query.subject}' of KV.CLUSTER")
        if query.args:
            return Failed(f"ERR wrong number of arguments for '{query.subject}'")
        return Report(make())

    @property
    def _topology(self) -> Topology:
        return self._node.topology

    # --- the cluster

    def status(self) -> Json:
        """All members as this node sees them."""
        topology, parts = self._topology, self._node.parts
        seen = {row.member: row for row in parts.membership.report(self._now())}
        share = _shares(topology)
        members: list[Json] = []
        for member in topology.members:
            row = seen.get(member.id)
            is_me = member.id == self._node.me
            members.append(
                {
                    **member_json(member),
                    "status": "up" if is_me else row.status.name.lower() if row else "unknown",
                    "partitions": share[member.id],
                    "owns": round(share[member.id] / max(1, sum(share.values())), 4),
                    "load": parts.membership.load(member.id) if member.votes else 0,
                }
            )
        return {
            "cluster_id": topology.cluster_id.hex(),
            "epoch": topology.epoch,
            "generation": topology.generation,
            "me": self._node.me.hex(),
            "is_serving": is_serving(self._node),
            "partitions": len(topology.owners),
            "moving": len(topology.transitions),
            "incomplete": incomplete_count(self._node),
            "replicas": topology.replicas,
            "members": members,
        }

    def moves(self) -> Json:
        """Partitions on their way, by phase and by who gets them."""
        topology = self._topology
        names = {member.id: member.name for member in topology.members}
        coming: Counter[str] = Counter()
        for move in topology.transitions:
            before = set(topology.owners[move.partition])
            if move.phase is Phase.FILLING:
                coming.update(names[id] for id in move.row if id not in before)
        phases = Counter(move.phase.name.lower() for move in topology.transitions)
        return {"epoch": topology.epoch, "phases": dict(phases), "coming": dict(coming)}

    def hints(self) -> Json:
        report = self._node.parts.hints.report
        oldest_ms = report.oldest_ms
        return {
            "count": report.count,
            "size_bytes": report.size,
            "oldest_ms": oldest_ms,
            "is_counted": report.is_counted,
        }

    def repair(self) -> Json:
        """How far that is which was asked for last."""
        progress = self._node.parts.antientropy.progress
        names = {member.id: member.name for member in self._topology.members}
        return {
            "partitions": progress.partitions,
            "done": progress.done,
            "rounds": progress.rounds,
            "pulled": progress.pulled,
            "pushed": progress.pushed,
            "missing": {names.get(id, id.hex()): count for id, count in progress.missing},
        }


def incomplete_count(node: Node) -> int:
    """Copies here that still have to be filled or confirmed by others, as after a lost disk."""
    return sum(not node.parts.is_ready(each) for each in node.topology.kept_by(node.me))


def _shares(topology: Topology) -> Counter[MemberId]:
    """Copies that each member has."""
    return Counter(id for row in topology.owners for id in row)
