"""How the faults of machines begin and end: processes, clocks, power, disks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from lsmkv.filenames import FileKind
from tests.sim.faults import Active, Nemesis
from tests.sim.kinds import FaultKind
from tests.sim.loop import MS, SECOND
from tests.sim.machine import Machine

__all__ = ["MACHINE_INJECTORS"]

DOWN_US = (200 * MS, 6 * SECOND)
AGAIN_US = (50 * MS, 2 * SECOND)  # from a start on a bad disk to the next end
COPY_AGE_US = (3 * SECOND // 2, 4 * SECOND)
SURVIVALS = (0.0, 0.5, 0.9, 1.0)
JUMPS_MS = (200, 2_000, 20_000, 3_600_000)
ABSENCE_US = (8 * SECOND, 20 * SECOND)
TRAPS = ("minted", "sending", "replying")


def _nothing() -> None:
    """What ends by itself, or not at all."""


# --- processes and clocks ------------------------------------------------------------------------


def _ending(
    kind: FaultKind, how: Callable[[Machine, Random], None], *, of_all: bool = False
) -> Callable[[Nemesis], Active | None]:
    """Processes end in this way and begin anew later, also if that is before the fault's end."""

    def begin(nemesis: Nemesis) -> Active | None:
        world, random = nemesis.world, nemesis.random
        found = nemesis.running()
        if not found:
            return None
        numbers = found if of_all else [found[random.randrange(len(found))]]
        for number in numbers:
            how(world.machines[number], random)
            world.loop.after(random.randrange(*DOWN_US), world.machines[number].recover)
        nemesis.hit(kind)
        return Active(kind, frozenset(numbers), _nothing)

    return begin


def _absence(nemesis: Nemesis) -> Active | None:
    """For so long that what was deleted meanwhile would be collected, if nobody waited for it."""
    number = nemesis.one_running()
    if number is None or any(each.kind is FaultKind.ABSENCE for each in nemesis.active):
        return None
    machine = nemesis.world.machines[number]
    how = nemesis.random.choice((machine.stop, machine.kill, partial(machine.lose_power, 0.5)))
    how()
    nemesis.hit(FaultKind.ABSENCE)
    duration_us = nemesis.random.randrange(*ABSENCE_US)
    return Active(FaultKind.ABSENCE, frozenset([number]), machine.recover, duration_us=duration_us)


def _pause(nemesis: Nemesis) -> Active | None:
    number = nemesis.one_running()
    if number is None:
        return None
    duration_us = 100 * MS + int(nemesis.random.random() ** 2 * 15 * SECOND)
    nemesis.world.machines[number].pause(duration_us)
    nemesis.hit(FaultKind.PAUSE)
    return Active(FaultKind.PAUSE, frozenset([number]), _nothing, f"n{number} {duration_us} us")


def _slow(kind: FaultKind, attribute: str, factors: tuple[int, int]) -> Callable[..., Active]:
    def begin(nemesis: Nemesis) -> Active:
        number = nemesis.random.randrange(nemesis.world.options.machines)
        machine = nemesis.world.machines[number]
        setattr(machine, attribute, nemesis.random.randint(*factors))
        nemesis.hit(kind)
        return Active(kind, frozenset([number]), lambda: setattr(machine, attribute, 1))

    return begin


def _clock_jump(nemesis: Nemesis) -> Active:
    random = nemesis.random
    number = random.randrange(nemesis.world.options.machines)
    machine = nemesis.world.machines[number]
    jump_ms = random.choice(JUMPS_MS) * random.choice((-1, 1))
    machine.wall_offset_ms += jump_ms

    def end() -> None:
        machine.wall_offset_ms -= jump_ms

    nemesis.hit(FaultKind.CLOCK_JUMP)
    return Active(FaultKind.CLOCK_JUMP, frozenset([number]), end, f"n{number} {jump_ms} ms")


def _coordinator_death(nemesis: Nemesis) -> Active | None:
    number = nemesis.one_running()
    if number is None:
        return None
    machine, random = nemesis.world.machines[number], nemesis.random
    trap = random.choice(TRAPS)

    def sprung() -> None:
        nemesis.hit(FaultKind.COORDINATOR_DEATH)

    machine.set_trap(trap, random.random() < 0.4, sprung)
    return Active(
        FaultKind.COORDINATOR_DEATH, frozenset([number]), machine.remove_trap, f"n{number} {trap}"
    )


# --- disks ---------------------------------------------------------------------------------------


def _back(nemesis: Nemesis, machine: Machine) -> None:
    """It comes back after a while; perhaps only to end again, while it gets what it lacks."""
    world, random = nemesis.world, nemesis.random
    how = random.choice((machine.stop, machine.kill, None))
    back_us, again_us = random.randrange(*DOWN_US), random.randrange(*AGAIN_US)

    def end_again() -> None:
        if how is not None and machine.number in nemesis.running() and not nemesis.is_healing:
            how()
            world.loop.after(random.randrange(*AGAIN_US), machine.recover)

    world.loop.after(back_us, machine.recover)
    world.loop.after(back_us + again_us, end_again)


def _full_disk(nemesis: Nemesis) -> Active:
    number = nemesis.random.randrange(nemesis.world.options.machines)
    disk = nemesis.world.machines[number].disk
    disk.set_full(True)
    nemesis.hit(FaultKind.FULL_DISK)
    return Active(FaultKind.FULL_DISK, frozenset([number]), lambda: disk.set_full(False))


def _failed_sync(nemesis: Nemesis) -> Active | None:
    number = nemesis.one_running()
    if number is None or nemesis.world.machines[number].disk.is_full:
        return None
    nemesis.world.machines[number].disk.fail_next_sync()
    nemesis.hit(FaultKind.FAILED_SYNC)
    return Active(FaultKind.FAILED_SYNC, frozenset([number]), _nothing)


def _wipe(nemesis: Nemesis) -> Active | None:
    number = nemesis.one_running()
    if number is None:
        return None
    machine = nemesis.world.machines[number]
    machine.kill()
    machine.wipe()
    nemesis.damaged.add(number)
    _back(nemesis, machine)
    nemesis.hit(FaultKind.WIPE)
    return Active(FaultKind.WIPE, frozenset([number]), _nothing)


def _old_copy(nemesis: Nemesis) -> Active | None:
    """The copy is taken now, of a running machine or of one that is stopped for it, and put back
    later; until then the machine is left alone.

    It is put back only if some other machine has kept its memory since: it is the last to know how
    far this one was. What a store cannot learn from anybody is no fault to survive (starting.py).
    """
    number = nemesis.one_running()
    if number is None:
        return None
    world, random = nemesis.world, nemesis.random
    machine = world.machines[number]
    down_us = 0
    if random.random() < 0.5:
        down_us = random.randrange(*AGAIN_US)
        machine.stop()
        world.loop.after(down_us, machine.recover)
    copy, taken = machine.disk.copy(), world.ledger.number
    runs = {m: m.start_number for m in world.machines if m is not machine and m.process is not None}
    nemesis.reserved.add(number)

    def put_back() -> None:
        nemesis.reserved.discard(number)
        witnesses = [m for m, n in runs.items() if m.process is not None and m.start_number == n]
        if nemesis.is_healing or not witnesses:
            return
        machine.kill()
        machine.restore(copy, taken)
        nemesis.damaged.add(number)
        nemesis.hit(FaultKind.OLD_COPY)
        world.trace.add("", "fault", "the old copy is put back", number)
        _back(nemesis, machine)

    world.loop.after(down_us + random.randrange(*COPY_AGE_US), put_back)
    return Active(FaultKind.OLD_COPY, frozenset([number]), _nothing)


def _damaged_file(nemesis: Nemesis) -> Active | None:
    """Of a running machine, or of one that is down for it."""
    number = nemesis.one_running()
    if number is None:
        return None
    world, random = nemesis.world, nemesis.random
    machine = world.machines[number]
    kinds = (FileKind.TABLE,) if random.random() < 0.8 else (FileKind.MANIFEST,)
    is_down = kinds != (FileKind.TABLE,) or random.random() < 0.5
    if is_down:
        machine.kill()
        _back(nemesis, machine)
    name = machine.disk.damage(kinds, random)
    if name is None:
        return None
    world.ledger.lost(number, "damaged", 0)
    nemesis.damaged.add(number)
    nemesis.hit(FaultKind.DAMAGED_FILE)
    return Active(FaultKind.DAMAGED_FILE, frozenset([number]), _nothing, f"n{number} {name}")


MACHINE_INJECTORS: dict[FaultKind, Callable[[Nemesis], Active | None]] = {
    FaultKind.KILL: _ending(FaultKind.KILL, lambda machine, random: machine.kill()),
    FaultKind.KILL_ALL: _ending(
        FaultKind.KILL_ALL, lambda machine, random: machine.kill(), of_all=True
    ),
    FaultKind.RESTART: _ending(FaultKind.RESTART, lambda machine, random: machine.stop()),
    FaultKind.POWER_LOSS: _ending(
        FaultKind.POWER_LOSS,
        lambda machine, random: machine.lose_power(random.choice(SURVIVALS)),
    ),
    FaultKind.POWER_LOSS_ALL: _ending(
        FaultKind.POWER_LOSS_ALL,
        lambda machine, random: machine.lose_power(random.choice(SURVIVALS)),
        of_all=True,
    ),
    FaultKind.ABSENCE: _absence,
    FaultKind.PAUSE: _pause,
    FaultKind.SLOW_PROCESSOR: _slow(FaultKind.SLOW_PROCESSOR, "cpu_factor", (50, 400)),
    FaultKind.CLOCK_JUMP: _clock_jump,
    FaultKind.COORDINATOR_DEATH: _coordinator_death,
    FaultKind.FULL_DISK: _full_disk,
    FaultKind.SLOW_DISK: _slow(FaultKind.SLOW_DISK, "disk_factor", (20, 200)),
    FaultKind.FAILED_SYNC: _failed_sync,
    FaultKind.WIPE: _wipe,
    FaultKind.OLD_COPY: _old_copy,
    FaultKind.DAMAGED_FILE: _damaged_file,
}
