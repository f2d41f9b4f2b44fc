"""The short way of plain GETs and SETs in a node that is alone: from its parser to its store.

A node that is its cluster's only member decides nothing when it reads or overwrites a plain value:
no quorum, no clock of anybody else. Then the native registers do it where it is stored, and with
the same bytes. Whether that is so is looked at anew after each step of the node; whatever is not
plain goes the long way (executor.py).

    at once       in the loop, while the store is free and quick
    on a thread   while the engine brakes its writers, or reads have to wait for the disk: all who
                  wait in one job, as an order of the store like any other
    later         while the store carries out orders, or new epochs are not durable yet

What holds: the store has one caller at a time and sees everything in one order; the stamps and
epochs used are those of the node's own clock and actor, which go on from there; who waits is not
read from, so that a client which is faster than the disk is slowed down, and never refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, KeysView
from enum import Enum, auto
from time import perf_counter
from typing import Protocol

from lsmkv import DB, Error
from lsmkv.kernel import Registers, ReplyWriter, RequestParser, is_braking
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.keyspaces import Keyspace, Level, Mode, Resolution
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.resp.session import KEYSPACES_LEVELS, Session
from lsmkv_cluster.serving.local_node import is_serving
from lsmkv_cluster.storage.engine_key import KeyScheme
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.versions.actor import Identity

__all__ = ["Express", "Passenger", "Way", "is_alone", "is_plain"]

SERIALS_AT_ONCE = 8192
SERIALS_LEAST = 1024  # more than new keys in a turn; what is left then is never used
# A turn that read blocks and takes longer has waited for the disk: several times the 5 ms for which
# another thread may have the interpreter.
SLOW_S = 0.02
SLOW_FOR_S = 0.5

_log = logging.getLogger("lsmkv.clients")


class Way(Enum):
    """How it goes on with the commands at the front of a parser."""

    SERVED = auto()  # some of them
    LATER = auto()  # the passenger is resumed
    LONG = auto()  # none of them is plain, or they are not for here


class Passenger(Protocol):
    """A connection whose commands may be plain."""

    @property
    def session(self) -> Session: ...

    @property
    def parser(self) -> RequestParser: ...

    @property
    def writer(self) -> ReplyWriter: ...

    def resume(self, served: int) -> None:
        """After it was told LATER: so many of its commands were served meanwhile."""
        ...


class Runner(Protocol):
    @property
    def is_free(self) -> bool: ...

    def run(self, function: Callable[[], None], done: Callable[[], None]) -> None: ...

    def when_free(self, function: Callable[[], None]) -> None: ...


class Clock(Protocol):
    @property
    def wall_ms(self) -> int: ...


def is_alone(topology: Topology, me: bytes) -> bool:
    """Whether a node decides everything by itself."""
    return topology.voters == {me} and not topology.transitions and all(topology.owners)


def is_plain(keyspace: Keyspace) -> bool:
    """Whether one copy in memory is all that a request in it asks for."""
    levels = (keyspace.read, keyspace.write)
    return (
        keyspace.mode is Mode.SLOPPY
        and keyspace.resolution in (Resolution.SIBLINGS, Resolution.LAST_WRITER)
        and all(level.level is not Level.COUNT or level.count <= 1 for level in levels)
    )


class Express:
    """`held`: the keys of commands that are under way. `step` makes the node take a step soon;
    `stepped` is to be called after each."""

    def __init__(
        self,
        node: Node,
        store: Store,
        db: DB,
        runner: Runner,
        clock: Clock,
        held: KeysView[Hashable],
        step: Callable[[], None],
    ) -> None:
        self._node = node
        self._db = db
        self._runner = runner
        self._clock = clock
        self._held = held
        self._step = step
        scheme = KeyScheme(node.topology.key_seed)
        trees = store.trees.by_slot
        self._registers = Registers(db, trees, scheme.hash_key, scheme.tree_key)
        self._topology: Topology | None = None
        self._is_open = False
        self._is_serving = False  # and the node serves
        self._was_stepped = True  # since that was looked at
        self._identity: Identity | None = None
        self._slow_until_s = 0.0
        self._waiting: dict[Passenger, None] = {}
        self._is_waiting_for_runner = False
        self._is_waiting_for_serials = False
        self.served = 0

    # --- in the loop

    def serve(self, passenger: Passenger) -> Way:
        if not self._is_for(passenger.session):
            return Way.LONG
        if not self._runner.is_free or not self._has_serials():
            self._wait(passenger)
            return Way.LATER
        began_s = perf_counter()
        if not self._is_quick(began_s):
            self._wait(passenger)
            return Way.LATER
        registers = self._registers
        block_reads = registers.block_reads
        served = self._carry(passenger)
        if registers.block_reads != block_reads and perf_counter() - began_s > SLOW_S:
            self._slow_until_s = began_s + SLOW_FOR_S
        return Way.SERVED if served else Way.LONG

    def _is_quick(self, now_s: float) -> bool:
        """Whether nobody has to wait for the disk."""
        return now_s >= self._slow_until_s and not is_braking(self._db)

    def _is_for(self, session: Session) -> bool:
        if session.transaction is not None or session.levels is not KEYSPACES_LEVELS:
            return False
        if session.role is not None and session.role < Role.WRITE:
            return False
        if self._was_stepped:
            self._look()
        return self._is_serving

    def _look(self) -> None:
        self._was_stepped = False
        node = self._node
        if node.topology is not self._topology:
            self._look_at(node.topology)
        self._is_serving = self._is_open and is_serving(node)
        self._follow(node.parts.actors.identity)

    def _look_at(self, topology: Topology) -> None:
        self._topology = topology
        self._is_open = is_alone(topology, self._node.me) and all(
            is_plain(keyspace) for keyspace in topology.keyspaces
        )

    def _has_serials(self) -> bool:
        """Whether new keys can be written. Else the next lease is on its way to the disk."""
        if self._was_stepped:
            self._look()
        registers = self._registers
        if registers.serials_left < SERIALS_LEAST:
            actors = self._node.parts.actors
            taken = actors.take_serials(SERIALS_AT_ONCE)
            if taken:
                registers.give_serials(taken.start, taken.stop)
            if actors.effects:
                self._step()
        return registers.serials_left > 0

    def _follow(self, identity: Identity) -> None:
        """Another lease alone takes no serials away."""
        before, self._identity = self._identity, identity
        if before is identity:
            return
        if before is None or before.own() != identity.own() or before.trusted != identity.trusted:
            self._registers.act_as(identity.own(), identity.trusted_epoch)

    # --- waiting

    def _wait(self, passenger: Passenger) -> None:
        self._waiting[passenger] = None
        if not self._is_waiting_for_runner and not self._is_waiting_for_serials:
            self._wait_for_runner()

    def _wait_for_runner(self) -> None:
        self._is_waiting_for_runner = True
        self._runner.when_free(self._free)

    def stepped(self) -> None:
        self._was_stepped = True
        if self._is_waiting_for_serials and self._has_serials():
            self._is_waiting_for_serials = False
            self._wait_for_runner()

    def _free(self) -> None:
        """The store has nothing to do: now those who wait are its work. In the loop again as soon
        as that is quick: else all who come while the thread works would have to wait for it, too,
        and so for ever."""
        self._is_waiting_for_runner = False
        if self._waiting and not self._has_serials():
            self._is_waiting_for_serials = True
            return
        waiting, self._waiting = list(self._waiting), {}
        counts = dict.fromkeys(waiting, 0)
        may_run = [each for each in waiting if self._is_for(each.session)]
        if may_run and not self._is_quick(perf_counter()):
            self._runner.run(lambda: self._carry_all(may_run, counts), lambda: self._resume(counts))
            return
        self._carry_all(may_run, counts)
        self._resume(counts)

    def _resume(self, counts: dict[Passenger, int]) -> None:
        for passenger, served in counts.items():
            passenger.resume(served)

    # --- in the loop, or on the thread of the store

    def _carry_all(self, passengers: Iterable[Passenger], counts: dict[Passenger, int]) -> None:
        for passenger in passengers:
            counts[passenger] = self._carry(passenger)

    def _carry(self, passenger: Passenger) -> int:
        clock = self._node.parts.minter.clock
        registers = self._registers
        try:
            served = registers.serve(
                passenger.parser, passenger.writer, self._clock.wall_ms, clock.last, self._held
            )
        except Error as error:
            # The store says the same to those who go the long way, and they tell the client.
            _log.debug("the short way: %s", error)
            return 0
        if registers.stamp > clock.last:
            clock.last = registers.stamp
        self.served += served
        return served
