"""One simulated server: power, disk, clocks, and the process that runs on it, if one does.

    killed, stopped    the process is gone, the files are as it left them
    lost power         unsynced bytes are gone too, it is another boot; nobody's connection is reset
    paused             the process takes no step

Monotonic time begins anywhere with each boot; wall time is virtual time and an offset.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import lsmkv
from lsmkv_cluster.actor import StartEvidence
from lsmkv_cluster.ports import Now
from tests.sim.disk import Copy, Disk
from tests.sim.host import Host
from tests.sim.loop import MS, SECOND
from tests.sim.program import Start

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["WALL_START_MS", "Machine"]

WALL_START_MS = 1_700_000_000_000
BASE_MAX_MS = 1 << 40
RETRY_US = SECOND  # of a start that failed


class Machine:
    def __init__(self, world: World, number: int, random: Random) -> None:
        self.world = world
        self.number = number
        self.name = f"n{number}"
        self.id = world.ids[number]
        self.disk = Disk(Random(f"{self.name}'s files {random.random()}"), dict(world.options.engine))
        self.process: Host | None = None
        self.is_powered = True
        self.paused_until_us = 0
        self.cpu_factor = 1
        self.disk_factor = 1
        self.wall_offset_ms = 0
        self.boot = 0
        self.start_number = 0
        self.has_power_trap = False
        self._random = random
        self._base_ms = random.randrange(BASE_MAX_MS)

    # --- clocks

    def now(self) -> Now:
        now_ms = self.world.loop.now_us // MS
        return Now(self._base_ms + now_ms, WALL_START_MS + now_ms + self.wall_offset_ms)

    def virtual_us(self, monotonic_ms: int) -> int:
        return (monotonic_ms - self._base_ms) * MS

    # --- starting

    def start(self) -> None:
        """REQUIRES: nothing runs here. Tries again later when the disk does not allow it."""
        world = self.world
        if self.process is not None or not self.is_powered:
            return
        self.start_number += 1
        try:
            opened = self.disk.open(self.boot)
            store = world.program.open_store(opened.database, world.topology, self.id)
            evidence = StartEvidence(
                opened.marks.was_closed, opened.marks.boot == self.boot, not opened.was_repaired
            )
            start = Start(
                world.topology,
                self.id,
                evidence,
                is_founding=world.is_founding,
                number=self.start_number,
                random=Random(self._random.getrandbits(64)),
            )
            node = world.program.make_node(store, start)
        except lsmkv.Error as error:
            world.trace.add(self.name, "boot", "failed", str(error))
            self.disk.killed()
            world.loop.after(RETRY_US, self.start)
            return
        if opened.was_repaired:
            world.ledger.lost(self.number, "repaired", 0)
        world.trace.add(self.name, "boot", self.start_number, repr(evidence))
        self.process = Host(self, node, store, Random(self._random.getrandbits(64)))
        world.streams.machine_started(self.number)
        self.process.start()

    # --- ending

    def stop(self) -> None:
        """A clean end; what waits for the store is done first."""
        process = self._end("stop")
        if process is None:
            return
        process.finish()
        if not self.disk.close():
            self.disk.killed()

    def kill(self) -> None:
        process = self._end("kill")
        if process is not None:
            process.die()
            self.disk.killed()

    def lose_power(self, survival: float) -> None:
        """The power comes back with `power_on`."""
        self.is_powered = False
        process = self._end("power loss")
        if process is not None:
            process.die()
        self.disk.lost_power(self._random.getrandbits(32), survival)
        self.world.ledger.lost_power(self.number)
        self.boot += 1
        self._base_ms = self._random.randrange(BASE_MAX_MS)

    def power_on(self) -> None:
        self.is_powered = True
        self.start()

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

    def trapped(self) -> None:
        """The process dies where a trap was set for it (host.py)."""
        self.world.trace.add(self.name, "fault", "trapped")
        if self.has_power_trap:
            self.lose_power(0.5)
            self.world.loop.after(self._random.randrange(SECOND, 3 * SECOND), self.power_on)
        else:
            self.kill()
            self.world.loop.after(self._random.randrange(SECOND, 3 * SECOND), self.start)

    # --- pausing

    def pause(self, duration_us: int) -> None:
        if self.process is not None:
            self.paused_until_us = self.world.loop.now_us + duration_us
            self.process.pause()
            self.world.loop.after(duration_us, self._resume, self.process)

    def _resume(self, process: Host) -> None:
        if process.is_alive:
            process.resume()

    # --- what happens to disks

    def sync_database(self) -> None:
        self.disk.sync()
        self.world.ledger.synced(self.number)

    def wipe(self) -> None:
        assert self.process is None
        self.disk.wipe()
        self.world.ledger.lost(self.number, "wiped", 0)

    def restore(self, copy: Copy, number: int) -> None:
        """`number` is the ledger's, of when the copy was taken."""
        assert self.process is None
        self.disk.restore(copy)
        self.world.ledger.lost(self.number, "restored", number)

    # --- what the network needs

    def receive_datagram(self, source: int, data: bytes) -> None:
        if self.process is not None:
            self.process.receive_datagram(data)
