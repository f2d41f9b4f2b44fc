"""Operators: nodes come and go while everything else happens.

One change follows the other, some at the same time. An operator asks a running node, and asks
another one when no answer comes; whether a change was made, the newest document tells. Who is named
in it for the first time is started with it; who has left it goes on running, retired, or stays off.

Budget: a node that is removed as dead takes its copies with it, so it counts as damaged until no
row names it any more. Nobody is removed, and nobody leaves, if there are no hosts left for all
copies.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lsmkv_cluster.placement.members import Member, MemberId, MemberState
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    Leave,
    Remove,
    Reweigh,
    SetReplicas,
)
from tests.sim.faults import Nemesis
from tests.sim.kinds import ChangeKind
from tests.sim.loop import MS, SECOND
from tests.sim.machine import Machine
from tests.sim.world import World

__all__ = ["Changes"]

LOOK_US = 100 * MS
ASK_AGAIN_US = (SECOND, 4 * SECOND)
WEIGHTS = (50, 100, 100, 200, 300)


class Changes:
    """`wanted` are changes that an operator insists on until the document shows them."""

    def __init__(self, world: World, nemesis: Nemesis, random: Random) -> None:
        self.hits: dict[ChangeKind, int] = {}
        self._world = world
        self._nemesis = nemesis
        self._random = random
        self._wanted: dict[str, Callable[[Topology], Change | None]] = {}
        self._round: list[ChangeKind] = []
        self._is_over = False
        self._calls = 0

    def begin(self) -> None:
        self._world.loop.after(self._gap_us(), self._next)
        self._world.loop.after(LOOK_US, self._look)

    def heal(self) -> None:
        """No further change; what is wanted is still asked for."""
        self._is_over = True

    @property
    def is_done(self) -> bool:
        """Whether everything has been done that was begun."""
        document = self._world.document
        waiting = (MemberState.JOINED, MemberState.LEAVING, MemberState.REMOVED)
        return not (
            self._wanted
            or document.transitions
            or any(member.state in waiting for member in document.members)
        )

    # --- the schedule

    def _gap_us(self) -> int:
        return self._random.randrange(2 * self._world.options.change_gap_ms * MS)

    def _next(self) -> None:
        if self._is_over:
            return
        self._world.loop.after(self._gap_us(), self._next)
        if not self._round:
            self._round = list(self._world.options.changes)
            self._random.shuffle(self._round)
        for kind in list(self._round):
            if self._begin(kind):
                self._round.remove(kind)
                self.hits[kind] = self.hits.get(kind, 0) + 1
                self._world.trace.add("", "change", kind.value)
                return

    def _begin(self, kind: ChangeKind) -> bool:
        match kind:
            case ChangeKind.JOIN:
                return self._join(1)
            case ChangeKind.JOIN_TWO:
                return self._join(2)
            case ChangeKind.LEAVE:
                return self._leave()
            case ChangeKind.REPLACE:
                return self._replace(returns=False)
            case ChangeKind.RETURN:
                return self._replace(returns=True)
            case ChangeKind.REWEIGH:
                return self._reweigh()
            case ChangeKind.REPLICAS:
                return self._set_replicas()
            case ChangeKind.RIVALS:
                return self._reweigh() and self._reweigh()

    def _look(self) -> None:
        """Start who is new, ask again for what is wanted and not there."""
        world, document = self._world, self._world.document
        for machine in world.machines:
            is_named = machine.id in document.voters
            if is_named and machine.document is None:
                machine.join(document)
                world.clients.serves(machine.number)
            elif not is_named and machine.document is not None and not machine.is_out:
                machine.is_out = True
                world.clients.leaves(machine.number)
        for member in document.members:
            if not member.votes:
                world.machines[world.numbers[member.id]].is_out = True
        self._world.loop.after(LOOK_US, self._look)

    # --- wishes

    def _want(self, name: str, wish: Callable[[Topology], Change | None]) -> None:
        """`wish` gives the change as long as the document does not show it."""
        self._wanted[name] = wish
        self._ask(name)

    def _ask(self, name: str) -> None:
        world, random = self._world, self._random
        wish = self._wanted.get(name)
        if wish is None:
            return
        change = wish(world.document)
        if change is None:
            del self._wanted[name]
            return
        world.loop.after(random.randrange(*ASK_AGAIN_US), self._ask, name)
        running = [machine for machine in world.machines if machine.is_serving]
        if running:
            self._calls += 1
            machine = running[random.randrange(len(running))]
            world.trace.add("", "operator", machine.name, type(change).__name__)
            assert machine.process is not None
            machine.process.admin(self._calls, change)

    # --- kinds

    def _join(self, count: int) -> bool:
        spare = self._spare()
        if len(spare) < count:
            return False
        for machine in spare[:count]:
            self._add(machine.member)
        return True

    def _add(self, member: Member) -> None:
        def wish(document: Topology) -> Change | None:
            return None if member.id in document.members_by_id else AddMember(member)

        self._want(f"add {member.name}", wish)

    def _spare(self) -> list[Machine]:
        return [
            machine
            for machine in self._world.machines
            if machine.document is None and f"add {machine.name}" not in self._wanted
        ]

    def _leave(self) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._want(f"leave {victim.name}", _until_gone(victim.id, Leave(victim.id)))
        return True

    def _replace(self, *, returns: bool) -> bool:
        """Dead for good, or back when nobody knows it any more."""
        victim, spare = self._victim(), self._spare()
        if victim is None or not spare or not self._nemesis.may_destroy():
            return False
        world, number = self._world, victim.number
        victim.kill()
        victim.is_dead = True
        world.ledger.lost(number, "dead", 0)
        self._nemesis.damaged.add(number)
        self._add(spare[0].member)
        self._want(f"remove {victim.name}", _until_gone(victim.id, Remove(victim.id)))

        def come_back() -> None:
            member = world.document.members_by_id.get(victim.id)
            if member is not None and member.votes:
                world.loop.after(SECOND, come_back)
                return
            victim.is_dead = False
            victim.recover()

        if returns:
            world.loop.after(2 * SECOND, come_back)
        return True

    def _victim(self) -> Machine | None:
        """One whose data centre has hosts enough without it, and those that are going already."""
        world, document = self._world, self._world.document
        going = {name.partition(" ")[2] for name in self._wanted}
        staying = [m for m in document.members if m.stores and m.name not in going]
        found = [
            world.machines[world.numbers[member.id]]
            for member in staying
            if sum(other.dc == member.dc for other in staying) > document.replicas[member.dc]
        ]
        found = [machine for machine in found if machine.is_serving]
        return found[self._random.randrange(len(found))] if found and len(staying) > 3 else None

    def _reweigh(self) -> bool:
        members = [member for member in self._world.document.members if member.stores]
        member = members[self._random.randrange(len(members))]
        weight = WEIGHTS[self._random.randrange(len(WEIGHTS))]
        deadline_us = self._world.loop.now_us + 5 * SECOND

        def wish(document: Topology) -> Change | None:
            known = document.members_by_id.get(member.id)
            if known is None or not known.stores or known.weight == weight:
                return None
            return Reweigh(member.id, weight) if self._world.loop.now_us < deadline_us else None

        self._want(f"reweigh {self._calls}", wish)
        return True

    def _set_replicas(self) -> bool:
        """Between two and three, where three are wanted at first."""
        document = self._world.document
        [name, *others] = document.replicas
        if others or self._world.options.replicas != 3 or "replicas" in self._wanted:
            return False
        wanted = 2 if document.replicas[name] == 3 else 3

        def wish(document: Topology) -> Change | None:
            is_so = document.replicas[name] == wanted
            return None if is_so else SetReplicas(((name, wanted),))

        self._want("replicas", wish)
        return True


def _until_gone(id: MemberId, change: Change) -> Callable[[Topology], Change | None]:
    """Until the document says so; the cluster does the rest by itself."""

    def wish(document: Topology) -> Change | None:
        member = document.members_by_id.get(id)
        if member is None or member.state is MemberState.REMOVED:
            return None
        is_leaving = member.state is MemberState.LEAVING and isinstance(change, Leave)
        return None if is_leaving else change

    return wish
