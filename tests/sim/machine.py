"""One simulated server: power, disk, clocks, and the process that runs on it, if one does.

    killed, stopped    the process is gone, the files are as it left them
    lost power         unsynced bytes are gone too; nobody's connection is reset
    paused             the process takes no step

Monotonic time begins anywhere with each boot; wall time is virtual time and an offset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import lsmkv
from lsmkv import CorruptionError
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Now
from tests.sim.disk import Disk
from tests.sim.host import Host
from tests.sim.loop import MS, SECOND, true_ms
from tests.sim.program import NodeLike, Start, StoreLike

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Machine"]

BASE_MAX_MS = 1 << 40
RETRY_US = SECOND  # of a start that failed
DOWN_US = (SECOND, 3 * SECOND)  # after a death that nobody planned


class Machine:
    def __init__(self, world: World, number: int, random: Random) -> None:
        self.world = world
        self.number = number
        self.name = world.names[number]
        self.member = world.members[number]
        self.id = self.member.id
        self.document: Topology | None = None  # that it was first started with
        self.is_dead = False  # for good
        self.is_out = False  # of the cluster, which does not count on it any more
        self.disk = Disk(Random(random.getrandbits(64)), dict(world.options.engine))
        self.process: Host | None = None
        self.is_powered = True
        self.cpu_factor = 1
        self.disk_factor = 1
        self.wall_offset_ms = 0
        self.start_number = 0
        self._trap: tuple[bool, Callable[[], None]] | None = None  # with a loss of power?
        self._is_failing = False
        self._random = random
        self._base_ms = random.randrange(BASE_MAX_MS)

    # --- clocks

    def now(self) -> Now:
        now_us = self.world.loop.now_us
        return Now(self._base_ms + now_us // MS, true_ms(now_us) + self.wall_offset_ms)

    def virtual_us(self, monotonic_ms: int) -> int:
        return (monotonic_ms - self._base_ms) * MS

    # --- membership

    def join(self, document: Topology) -> None:
        """Start for the first time, as a member of this cluster."""
        self.document = document
        self.start()

    @property
    def is_serving(self) -> bool:
        """A process runs that takes requests."""
        return not self.is_out and self.process is not None and not self.process.is_paused

    # --- starting

    def start(self) -> None:
        """REQUIRES: nothing runs here. Tries again later when the disk does not allow it."""
        world = self.world
        is_startable = self.document is not None and self.is_powered and not self.is_dead
        if self.process is not None or not is_startable:
            return
        self.start_number += 1
        try:
            node, store = self._open()
        except lsmkv.Error as error:
            world.trace.add(self.name, "boot", "failed", str(error))
            self.disk.killed()
            world.loop.after(RETRY_US, self.start)
            return
        world.trace.add(self.name, "boot", self.start_number)
        self._is_failing = False
        self.process = Host(self, node, store, Random(self._random.getrandbits(64)))
        world.streams.machine_started(self.number)
        self.process.start()

    def _open(self) -> tuple[NodeLike, StoreLike]:
        """What is damaged is repaired first."""
        world = self.world
        assert self.document is not None
        start = Start(
            self.document,
            self.id,
            is_log_sound=not self.disk.is_repaired,
            is_founding=world.is_founding,
            number=self.start_number,
            random=Random(self._random.getrandbits(64)),
        )
        try:
            return world.program.start(self.disk.open(), start)
        except CorruptionError as error:
            world.trace.add(self.name, "boot", "repaired", str(error))
        world.ledger.lost(self.number, "repaired", 0)
        self.disk.repair()
        return world.program.start(self.disk.open(), replace(start, is_log_sound=False))

    # --- ending

    def stop(self) -> None:
        """A clean end; what waits for the store is done first."""
        process = self._end("stop")
        if process is None:
            return
        process.finish()
        self.disk.close()

    def kill(self) -> None:
        process = self._end("kill")
        if process is not None:
            process.die()
            self.disk.killed()

    def lose_power(self, survival: float) -> None:
        """Until `recover`."""
        self.is_powered = False
        process = self._end("power loss")
        if process is not None:
            process.die()
        self.disk.lost_power(self._random.getrandbits(32), survival)
        self.world.ledger.lost_power(self.number)
        self._base_ms = self._random.randrange(BASE_MAX_MS)

    def recover(self) -> None:
        """Power, a process, and it runs."""
        self.is_powered = True
        if self.process is None:
            self.start()
        elif self.process.is_paused:
            self.process.resume()

    def _end(self, how: str) -> Host | None:
        process, self.process = self.process, None
        if process is None:
            return None
        self.world.trace.add(self.name, "end", how)
        process.is_alive = False
        if self.is_powered:
            self.world.streams.drop_all_of(self.number)
        self.world.clients.disconnected(self.number)
        return process

    def store_failed(self, process: Host) -> None:
        """An I/O error: what was not synced may be gone, and the process begins anew."""
        if process is not self.process or self._is_failing:
            return
        self._is_failing = True
        self.world.trace.add(self.name, "store failed")
        self.world.ledger.store_failed(self.number)
        self.world.loop.after(self._random.randrange(*DOWN_US), self._replace, process)

    def _replace(self, process: Host) -> None:
        if process is self.process:
            self.kill()
            self.recover()

    # --- traps

    def set_trap(self, where: str, with_power: bool, sprung: Callable[[], None]) -> None:
        """The process dies when it comes to this place (host.py)."""
        if self.process is not None:
            self.process.trap = where
            self._trap = (with_power, sprung)

    def remove_trap(self) -> None:
        if self.process is not None:
            self.process.trap = None

    def trapped(self) -> None:
        assert self._trap is not None
        (with_power, sprung), self._trap = self._trap, None
        sprung()
        if with_power:
            self.lose_power(0.5)
        else:
            self.kill()
        self.world.loop.after(self._random.randrange(*DOWN_US), self.recover)

    # --- pausing

    def pause(self, duration_us: int) -> None:
        if self.process is not None:
            self.world.trace.add(self.name, "paused", duration_us)
            self.process.pause()
            self.world.loop.after(duration_us, self.process.resume)

    # --- what happens to disks

    def sync_database(self) -> None:
        self.disk.sync()
        self.world.ledger.synced(self.number)

    def wipe(self) -> None:
        assert self.process is None
        self.disk.wipe()
        self.world.ledger.lost(self.number, "wiped", 0)

    def restore(self, copy: MemoryFileSystem, number: int) -> None:
        """`number` is the ledger's, of when the copy was taken."""
        assert self.process is None
        self.disk.restore(copy)
        self.world.ledger.lost(self.number, "restored", number)

    # --- what the network needs

    def receive_datagram(self, source: int, data: bytes) -> None:
        if self.process is not None:
            self.process.receive_datagram(data)
