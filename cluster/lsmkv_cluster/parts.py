"""What a node is made of: its machines, and what they ask of each other.

The node (node.py) brings them what has happened and carries away what they want done. Here they are
put together, and follow a document that was adopted, all in one step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lsmkv.kernel import RecordMerger, entry_hash
from lsmkv_cluster.boot import Boot, NodeSettings, Secrets
from lsmkv_cluster.coordination.calls import refusal
from lsmkv_cluster.coordination.coordinator import Coordinator
from lsmkv_cluster.coordination.explaining import Explainer
from lsmkv_cluster.coordination.latency import Latencies
from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.coordination.reading import Reading
from lsmkv_cluster.coordination.replica import Replica
from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.driver_ports import (
    AnyCall,
    ClientCall,
    ClientReply,
    ExplainCall,
    ExplainReply,
    ScanCall,
    ScanReply,
)
from lsmkv_cluster.healing.antientropy import AntiEntropy
from lsmkv_cluster.healing.confirming import Confirming
from lsmkv_cluster.healing.handover import Handover
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.healing.starting import Starting
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Alarm, Effect, Now, Random
from lsmkv_cluster.ports import Machine as MachinePort
from lsmkv_cluster.reconfiguration.document_keeper import DocumentKeeper
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.reconfiguration.readdressing import Readdressing
from lsmkv_cluster.reconfiguration.transition_rules import is_filled
from lsmkv_cluster.reconfiguration.voter import PAXOS_NOTE
from lsmkv_cluster.scanning.scan_pages import Unlisted
from lsmkv_cluster.scanning.scanner import Scanner
from lsmkv_cluster.storage.backlog import Backlog, Work
from lsmkv_cluster.storage.engine_key import KeyScheme
from lsmkv_cluster.swim.clock_watch import ClockWatch
from lsmkv_cluster.swim.gossip_messages import Load
from lsmkv_cluster.swim.membership import Membership
from lsmkv_cluster.transport.flights import Flights
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.hlc import HybridClock

__all__ = ["RECOVERY", "Out", "Parts", "turned_away"]

OVERLOADED = int(Load.OVERLOADED)
RECOVERY = 0  # is asked nothing by others, and so has no opcodes

Out = Effect | ClientReply | ScanReply | ExplainReply
Given = tuple[int, Sequence[Out]]  # a machine's number, and what it wants done


class Parts:
    def __init__(
        self,
        boot: Boot,
        topology: Topology,
        me: MemberId,
        secrets: Secrets,
        rng: Random,
        settings: NodeSettings,
    ) -> None:
        self.me = me
        self.topology = topology
        self.settings = settings
        self.gone: set[MemberId] = set()  # peers that the last document has removed
        self._rng = rng
        self._clocks = ClockWatch()
        stored = boot.identity or Identity(actor_number(me), rng.getrandbits(32))
        self.backlog = Backlog(settings.backlog)
        self.flights = Flights(settings.flights)
        peers = self.peers
        self.actors = ActorSource(stored, ended_cleanly=boot.ended_cleanly, peers_needed=len(peers))
        self.announce(self.actors.identity.start_number)
        self.hints = HintedHandoff(topology, me, self.is_reachable, settings.hints)
        self.starting = Starting(
            self.actors, peers, boot.sequence, boot.notes, rng, settings.starting
        )
        self.recovery = Recovery(self._co_owners(), self.is_reachable, self._is_filled, self.actors)
        self.handover = Handover(topology, me, self.is_reachable)
        self.confirming = Confirming(topology, me, self.is_reachable)
        self.antientropy = AntiEntropy(
            topology,
            me,
            trees=boot.tree,
            reachable=self.is_reachable,
            not_ready=lambda: self.recovery.wanting() + self.confirming.wanting(),
            is_whole=self.is_ready,
            random=rng,
            settings=settings.antientropy,
            is_busy=lambda: not self.backlog.has_room(Work.BULK),
        )
        self.keeper = DocumentKeeper(
            topology,
            me,
            self.is_reachable,
            rng,
            boot.notes.get(PAXOS_NOTE),
            settings.topology,
            report=self._report,
            may_vote=lambda: self.starting.is_settled,
        )
        self.readdressing = Readdressing(me, settings.addresses, settings.topology)
        self._make_coordinator(secrets.contexts)
        self.tombstones = self._make_collector()
        self.machines: dict[int, MachinePort] = {
            Machine.CONNECTION: self.starting,
            Machine.MEMBERSHIP: self.membership,
            Machine.REPLICA: self.replica,
            Machine.HINTS: self.hints,
            Machine.ANTIENTROPY: self.antientropy,
            Machine.TOPOLOGY: self.keeper,
            Machine.TOMBSTONES: self.tombstones,
            RECOVERY: self.recovery,
            Machine.COORDINATOR: self.coordinator,  # type: ignore[dict-item]
            Machine.SCAN: self.scanner,  # type: ignore[dict-item]
            Machine.ADMIN: self.explainer,  # type: ignore[dict-item]
        }

    def _make_collector(self) -> TombstoneCollector:
        return TombstoneCollector(
            self.topology,
            self.me,
            self.minter,
            is_ready=self.is_ready,
            oldest_hint_ms=lambda: self.hints.report.oldest_ms,
            clock_agrees=self._clock_agrees,
            random=self._rng,
            settings=self.settings.tombstones,
        )

    def _make_coordinator(self, secret: bytes) -> None:
        """What serves clients and replicas."""
        settings = self.settings
        scheme = KeyScheme(self.topology.key_seed)
        tree_key = scheme.tree_key

        def digest(key: bytes, record: bytes) -> int:
            return entry_hash(tree_key, key, record)

        self.view = View(
            self.topology,
            self.me,
            self.is_reachable,
            self.is_ready,
            self._load_of,
            self.flights.crowded,
        )
        self.minter = Minter(self.actors, HybridClock())
        self.latencies = Latencies()
        join = RecordMerger().merge
        self.reading = Reading(self.view, secret, digest, join, self.latencies, settings.reading)
        self.writing = Writing(self.view, self.minter, secret, self._take_hint, settings.writing)
        self.coordinator = Coordinator(
            self.view,
            self.reading,
            self.writing,
            secret,
            lambda: self.actors.may_mint,
            self.backlog,
            settings.coordinator,
        )
        self.replica = Replica(self.view, digest, self._take_hint, self.backlog)
        self.scanner = Scanner(self.view, scheme, self.backlog)
        self.explainer = Explainer(self.view)

    def announce(self, start_number: int) -> None:
        """Take part in the membership as this run: to the others a new one, if there was another
        number before."""
        members = tuple(sorted(self.topology.voters | {self.me}))
        settings = self.settings.membership
        self.membership = Membership(members, self.me, start_number, self._rng, settings)

    def announced_again(self, start_number: int) -> None:
        self.announce(start_number)
        self.machines[Machine.MEMBERSHIP] = self.membership

    # --- what they ask of each other

    @property
    def peers(self) -> tuple[MemberId, ...]:
        return tuple(m.id for m in self.topology.members if m.votes and m.id != self.me)

    @property
    def is_started(self) -> bool:
        """It may mint, and knows whether what it has is the newest."""
        return self.actors.may_mint and self.starting.is_settled

    def is_reachable(self, member: MemberId) -> bool:
        return member in self.topology.voters and self.membership.is_reachable(member)

    def is_ready(self, partition: int) -> bool:
        return self.starting.is_settled and self.recovery.is_ready(partition)

    def clock_offset_ms(self, member: MemberId) -> int:
        if member not in self.topology.voters:
            return 0
        offset = self.membership.clock_offset_ms(member)
        return offset.offset_ms if offset is not None else 0

    def to_compare_anew(self) -> list[int]:
        """Partitions of which what was learned in exchanges so far does not count."""
        begun, whole = self.recovery.take_begun(), self.recovery.take_whole()
        if whole:
            wanting = self.confirming.wanting()
            begun += [p for p in whole if p in wanting]
        return begun

    def _clock_agrees(self) -> bool:
        """With those of most members whose clocks are known."""
        clocks = [self.membership.clock_offset_ms(peer) for peer in self.peers]
        known = [clock.offset_ms for clock in clocks if clock is not None]
        limit_ms = self.settings.tombstones.skew_limit_ms
        near = sum(abs(offset_ms) <= limit_ms for offset_ms in known)
        return not self.peers or 2 * near > len(known)

    def _co_owners(self) -> dict[int, frozenset[MemberId]]:
        """Of each partition that this node keeps, the others that are read, and not removed."""
        topology, others = self.topology, self.topology.voters - {self.me}
        return {p: others.intersection(topology.owners[p]) for p in topology.kept_by(self.me)}

    def _is_filled(self, partition: int, met: Collection[MemberId]) -> bool | None:
        if not self.topology.is_filling(partition, self.me):
            return None
        return is_filled(self.topology, partition, met, self.is_reachable)

    def _take_hint(self, now: Now, key: bytes, size: int) -> bool:
        if not self.hints.accepts(size):
            return False
        self.hints.keep(now, key, size)
        return True

    def _report(self) -> MemberReport:
        topology, me, recovery = self.topology, self.me, self.recovery
        coming = [m.partition for m in topology.transitions if topology.is_filling(m.partition, me)]
        confirmed = [*coming, *self.confirming.confirmed()]
        filled = [p for p in confirmed if recovery.is_ready(p)]
        return MemberReport(
            epoch=topology.epoch,
            filled=tuple(sorted(filled)),
            handed_over=tuple(sorted(self.handover.handed_over())),
            has_hints=self.hints.report.count > 0 or not self.hints.report.is_counted,
        )

    def _own_load(self) -> int:
        """What others are told."""
        load = Load.FILLING if self.recovery.is_filling else Load(0)
        if self.backlog.is_overloaded:
            load |= Load.OVERLOADED
        if self.backlog.is_read_only:
            load |= Load.READ_ONLY
        return int(load)

    def _load_of(self, member: MemberId) -> int:
        """Of this node itself also what is true for this moment only."""
        if member == self.me and not self.backlog.has_room(Work.CALLS):
            return self.membership.load(member) | OVERLOADED
        return self.membership.load(member) if member in self.topology.voters else 0

    def describe(self, now: Now, sequence: int) -> list[Effect]:
        """Tell others how far this store is, and note how far theirs are."""
        oldest_ms = self.hints.report.oldest_ms  # 0 while nobody knows, None where there are none
        effects = self.membership.describe(
            now,
            load=self._own_load(),
            sequence=sequence,
            oldest_hint_ms=1 if oldest_ms == 0 else oldest_ms or 0,
        )
        for row in self.membership.report(now):
            if row.vitals is not None and row.member != self.me:
                vitals = row.vitals
                self.starting.heard_sequence(row.member, vitals.start_number, vitals.sequence)
                if (told := self._clocks.look(row.member, row.clock)) is not None:
                    name = self.topology.members_by_id[row.member].name
                    effects.append(Alarm(f"{name}: {told}"))
        return effects

    # --- what clients want

    def called(self, now: Now, calls: Sequence[AnyCall]) -> list[Given]:
        requests = [call for call in calls if isinstance(call, ClientCall)]
        scans = [call for call in calls if isinstance(call, ScanCall)]
        explains = [call for call in calls if isinstance(call, ExplainCall)]
        given: list[Given] = []
        if requests:
            given.append((Machine.COORDINATOR, self.coordinator.called(now, requests)))
        if scans:
            given.append((Machine.SCAN, self.scanner.called(now, scans)))
        if explains:
            given.append((Machine.ADMIN, self.explainer.called(now, explains)))
        return given

    # --- the next document

    def prepare(self, now: Now, document: Topology) -> list[Effect]:
        """Make room for what is coming, before the document may be adopted."""
        return self.recovery.prepare(self._coming(document))

    def _coming(self, document: Topology) -> list[int]:
        """The copies that this node is to have and has not, or cannot go on with."""
        now, me = self.topology, self.me
        kept = set(now.kept_by(me))
        return [
            p
            for p in document.kept_by(me)
            if p not in kept or (document.is_filling(p, me) and now.placed[p] != document.placed[p])
        ]

    def follow(self, now: Now, document: Topology) -> list[Given]:
        """The document is durable. REQUIRES: this node is a member of it."""
        before = self.peers
        self.topology = document
        self.gone = set(before) - set(self.peers)
        given: list[Given] = [
            (Machine.MEMBERSHIP, self.membership.follow(now, sorted(document.voters)))
        ]
        self.view.follow(document)
        self.hints.follow(now, document)
        self.handover.follow(document)
        self.tombstones.follow(now, document)
        self.confirming.follow(document)
        given.append((RECOVERY, self.recovery.follow(self._co_owners())))
        given.append((Machine.ANTIENTROPY, self.antientropy.follow(now, document)))
        given.append((Machine.COORDINATOR, self.coordinator.adopted(now)))
        given.append((Machine.SCAN, self.scanner.adopted(now)))
        return given


def turned_away(call: AnyCall) -> ClientReply | ScanReply | ExplainReply:
    """By a node that has been removed."""
    if isinstance(call, ScanCall):
        return ScanReply(call.call_id, Unlisted(0, 0))
    if isinstance(call, ExplainCall):
        return ExplainReply(call.call_id, ())
    return ClientReply(call.call_id, refusal(Reason.NOT_A_MEMBER))
