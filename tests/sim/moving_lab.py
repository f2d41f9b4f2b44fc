"""A laboratory in which owners change: operators by hand, and moves that go step by step.

Machines named in `spares` have disks and no document until they join; X, Y, Z stand in the second
data centre. What the cluster does of its own accord goes on as usual, unless it is held:

    with MovingLab(spares="G") as lab:
        lab.hold()                  # no document but those that the scenario asks for
        lab.move("ABG")             # FILLING: read from A, B, C, written to G, too
        lab.until_phase(SWITCHED)   # filled, confirmed
        lab.until_phase(None)       # handed over: settled, C drops its copy
        lab.settle()                # also everything that is open goes on to its end

Whatever the members are to do for a step, they do while `step` waits for it; frames that get lost
(`swallow`, `cut`) keep it from coming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lsmkv import DB
from lsmkv_cluster.boot import NodeSettings
from lsmkv_cluster.driver_ports import AdminReply
from lsmkv_cluster.placement.members import Member, MemberId
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    Fields,
    Leave,
    Remove,
    SetReplicas,
)
from tests.sim.lab import Lab
from tests.sim.product import Product
from tests.sim.program import NodeLike, Start, StoreLike

__all__ = ["MovingLab"]


STEPS_MAX = 8


@dataclass(frozen=True)
class _Wish:
    """What one conductor is to propose after this epoch, whatever the reports say."""

    via: MemberId
    epoch: int
    fields: Fields


class _Held(Product):
    """Conductors propose nothing beyond the epoch `limit`; `wish` comes first."""

    def __init__(self, settings: NodeSettings | None = None) -> None:
        super().__init__(settings)
        self.limit: int | None = None
        self.wish: _Wish | None = None

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        node, store = super().start(database, start)
        made: Any = node
        conductor = made.parts.keeper._conductor
        conductor.judge = partial(self._judge, start.me, conductor.judge)
        return node, store

    def _judge(
        self, me: MemberId, judge: Callable[[Topology], Fields | None], document: Topology
    ) -> Fields | None:
        wish = self.wish
        if wish is not None:
            return wish.fields if (wish.via, wish.epoch) == (me, document.epoch) else None
        if self.limit is not None and document.epoch >= self.limit:
            return None
        return judge(document)


class MovingLab(Lab):
    def __init__(
        self, *arguments: Any, settings: NodeSettings | None = None, **options: Any
    ) -> None:
        self._held = _Held(settings)
        self._changes = 0
        super().__init__(*arguments, program=self._held, **options)

    # --- what is decided

    @property
    def document(self) -> Topology:
        """The newest that any machine works by."""
        return self.world.document

    @property
    def partition(self) -> int:
        return self.document.partition_of(self.key)

    @property
    def phase(self) -> Phase | None:
        """Of the key's partition; None: settled."""
        move = self.document.transitions_by_partition.get(self.partition)
        return move.phase if move is not None else None

    def row(self, name: str | None = None) -> str:
        """Who is asked for the key, by the newest document, or that of a machine."""
        document = self.document if name is None else self.node(name).topology
        return self._names(document.owners[document.partition_of(self.key)])

    def voters(self) -> str:
        return "".join(sorted(self._names(tuple(self.document.voters))))

    def epoch(self, name: str) -> int:
        """That a machine works by."""
        return int(self.node(name).topology.epoch)

    def until_epoch(self, names: str, epoch: int) -> None:
        self.wait_until(
            lambda: all(self.epoch(name) >= epoch for name in names),
            f"for {names} to come to epoch {epoch}",
        )

    def has_filled(self, names: str) -> bool:
        """Whether these machines would confirm the key's partition now."""
        return all(self.partition in self.node(n).parts._report().filled for n in names)

    def _names(self, ids: tuple[MemberId, ...]) -> str:
        return "".join(self.world.names[self.world.numbers[id]] for id in ids)

    def id(self, name: str) -> MemberId:
        return self.world.ids[self._number(name)]

    # --- operators

    def change(
        self, via: str, change: Change, *, is_forced: bool = False, wait: bool = True
    ) -> AdminReply | None:
        """What the operator is told; None if that is not waited for."""
        process = self.world.machines[self._number(via)].process
        assert process is not None, f"{via} does not run"
        self._changes += 1
        number, replies = self._changes, self.world.admin_replies
        process.admin(number, change, is_forced=is_forced)
        if not wait:
            return None
        self.wait_until(lambda: number in replies, f"for {via} to answer an operator")
        if replies[number].outcome is Outcome.COMMITTED:
            self.until_epoch(via, replies[number].epoch)
        if self._held.limit is not None:
            self.hold()
        return replies[number]

    def replied(self) -> AdminReply | None:
        """The answer to the last change."""
        return self.world.admin_replies.get(self._changes)

    def join(self, name: str, via: str = "A") -> AdminReply | None:
        """A spare machine becomes a member, and starts."""
        reply = self.change(via, AddMember(self.member(name)))
        self.start_new(name)
        return reply

    def member(self, name: str) -> Member:
        return self.world.members[self._number(name)]

    def start_new(self, name: str) -> None:
        """A machine that the document names by now, and has never run."""
        self.world.machines[self._number(name)].join(self.document)

    def leave(self, name: str, via: str = "A") -> AdminReply | None:
        return self.change(via, Leave(self.id(name)))

    def remove(self, name: str, via: str = "A") -> AdminReply | None:
        reply = self.change(via, Remove(self.id(name)))
        if reply is not None and reply.outcome is Outcome.COMMITTED:
            self.world.machines[self._number(name)].is_out = True
        return reply

    def replicas(self, via: str = "A", **copies: int) -> AdminReply | None:
        return self.change(via, SetReplicas(tuple(sorted(copies.items()))))

    # --- step by step

    def hold(self) -> None:
        """From now on conductors propose nothing of their own."""
        self._held.limit = self.document.epoch

    def free(self) -> None:
        """Conductors do what they would."""
        self._held.limit = None

    def step(self) -> None:
        """One more document of a conductor, with all that it takes."""
        epoch = self.document.epoch + 1
        self._held.limit = epoch
        with self.letting(None):
            self.wait_until(lambda: self.document.epoch >= epoch, f"for epoch {epoch}")

    def until_phase(self, phase: Phase | None) -> None:
        """Steps until the partition of the key has come to it."""
        for _ in range(STEPS_MAX):
            if self.phase is phase:
                return
            self.step()
        raise AssertionError(f"the partition does not come to {phase}")

    def move(self, row: str, via: str = "A") -> None:
        """The partition of the key is to have these owners: it is FILLING."""
        document = self.document
        ids = tuple(self.id(name) for name in row)
        move = Transition(self.partition, Phase.FILLING, ids)
        others = [each for each in document.transitions if each.partition != move.partition]
        moves = sorted([*others, move], key=lambda each: each.partition)
        self.propose({"transitions": tuple(moves)}, via)

    def propose(self, fields: Fields, via: str = "A") -> None:
        """What the next document changes, decided on as what a conductor finds is."""
        epoch = self.document.epoch
        self._held.wish = _Wish(self.id(via), epoch, fields)
        self.wait_until(lambda: self.document.epoch > epoch, "for a document to be chosen")
        self._held.wish = None
        if self._held.limit is not None:
            self.hold()

    # --- the end

    def settle(self) -> None:
        self.free()
        super().settle()

    def finish(self) -> None:
        """Everything that is open ends, with nobody looking."""
        self.free()
        with self.letting(None):
            self.wait_until(lambda: self._is_settled({self.key}), "for moves to end")
