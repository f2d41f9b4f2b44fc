"""Short names for what scenarios look at, and a few steps that several of them take.

A dot is written as in the histories of such losses: "A1" is the first write of A's first actor,
"A'1" the first one of A's next actor. Actors are those that minted the key, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from lsmkv import CorruptionError
from lsmkv.filenames import FileKind
from lsmkv.kernel import merge_batch
from lsmkv_cluster.reconfiguration.paxos_messages import FETCH, PUBLISH
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Merge, Merged
from lsmkv_cluster.transport.wire import Frame
from lsmkv_cluster.versions.record import Kind, Record
from lsmkv_cluster.versions.record_format import encode
from lsmkv_cluster.versions.vclock import Actor
from tests.sim.lab import Lab, Told
from tests.sim.ledger import MintEvent
from tests.sim.machine import Machine
from tests.sim.planted import CANARIES

__all__ = [
    "add",
    "clock",
    "cloned",
    "collect_by_force",
    "damage",
    "is_news",
    "keep_by_force",
    "minted",
    "numbers",
    "planted",
    "plug",
    "put_all",
    "read_modify_write",
    "shown",
    "step_until",
    "union",
]

FINE_STEP_US = 5
TOMBSTONE = "T"


def shown(lab: Lab, name: str = "A", key: bytes | None = None) -> dict[str, str]:
    """The items on a machine and their dots."""
    record = _held(lab, name, key)
    names = _actor_names(lab, key or lab.key)
    return {
        TOMBSTONE if item.kind is Kind.TOMBSTONE else item.value.decode(): (
            f"{names[item.dot.actor]}{item.dot.counter}"
        )
        for item in record.items
    }


def clock(lab: Lab, name: str = "A", key: bytes | None = None) -> dict[str, int]:
    names = _actor_names(lab, key or lab.key)
    entries = _held(lab, name, key).clock.entries
    return {names[actor]: entry.counter for actor, entry in entries.items()}


def minted(lab: Lab, key: bytes | None = None) -> list[MintEvent]:
    """What was ever written."""
    return [mint for mint in lab.world.ledger.mints if mint.key == (key or lab.key)]


class _Names(dict[Actor, str]):
    """Actors of nobody here, too."""

    def __missing__(self, actor: Actor) -> str:
        return f"?{actor.node}."


def _held(lab: Lab, name: str, key: bytes | None) -> Record:
    record = lab.record(name, key)
    assert isinstance(record, Record), f"{name} has {record}"
    return record


def _actor_names(lab: Lab, key: bytes) -> dict[Actor, str]:
    names = _Names()
    primes: dict[str, int] = {}
    for mint in minted(lab, key):
        for dot in mint.dots:
            if dot.actor not in names:
                machine = lab.world.names[mint.machine]
                count = primes[machine] = primes.get(machine, -1) + 1
                names[dot.actor] = machine + "'" * count
    return names


# --- clients -------------------------------------------------------------------------------------


def read_modify_write(lab: Lab, via: str, value: bytes, **how: object) -> Told:
    """Instead of all that a read shows."""
    return lab.put(via, value, lab.get(via, **how).context, **how)


def union(values: set[bytes]) -> set[int]:
    """What a client makes of siblings that are sets of numbers."""
    return {int(part) for value in values for part in value.split()}


def add(lab: Lab, via: str, before: Told, number: int) -> Told:
    """A set with one number more, instead of what the client was last told."""
    value = numbers(before.values | {b"%d" % number})
    return lab.put(via, value.encode(), before.context)


def numbers(values: set[bytes]) -> str:
    """The value of a client that joins them."""
    return " ".join(str(number) for number in sorted(union(values)))


def put_all(lab: Lab, via: str, values: Iterable[bytes]) -> None:
    """Without context, all at once."""
    told = [lab.put(via, value, wait=False) for value in values]
    lab.wait_until(lambda: all(one.call.ending is not None for one in told))
    assert all(one.is_done for one in told)


# --- time ----------------------------------------------------------------------------------------


def step_until(lab: Lab, condition: Callable[[], bool], limit_us: int = 5_000_000) -> None:
    """Stop within microseconds of it."""
    loop = lab.world.loop
    came = loop.run_while(lambda: not condition(), loop.now_us + limit_us, FINE_STEP_US)
    assert came, "what was waited for did not come"


# --- what no rule allows -------------------------------------------------------------------------


def collect_by_force(lab: Lab, names: str) -> None:
    """Remove the record of the key, as a collection that had no right to would."""
    pair = (_engine_key(lab), b"")
    tree_key = KeyScheme(lab.world.topology.key_seed).tree_key
    for name in names:
        machine = lab.world.machines[lab.world.names.index(name)]
        assert machine.process is not None
        changes = merge_batch(
            machine.disk.database,
            [pair],
            lambda key, old, operand: None,
            hash_key=tree_key,
        )
        machine.process.store.trees.apply(changes)  # type: ignore[attr-defined]
        assert lab.record(name) is None


def keep_by_force(lab: Lab, names: str, record: Record) -> None:
    """Merge a record whose items nobody here has minted."""
    ledger = lab.world.ledger
    for item in record.items:
        ledger.items[lab.key, item.dot] = item
    for name in names:
        machine = lab.world.machines[lab.world.names.index(name)]
        assert machine.process is not None
        order = Merge(Space.DATA, ((lab.key, encode(record)),))
        assert ledger.carried_out(machine, machine.process.store, order) == Merged((True,))


def planted(name: str) -> AbstractContextManager[None]:
    """With this bug (tests/sim/planted)."""
    return CANARIES[name].patch()


def is_news(source: int, target: int, frame: Frame) -> bool:
    """Of a document that was decided on."""
    return frame.operations[0].opcode in (PUBLISH, FETCH)


# --- machines that run twice --------------------------------------------------------------------


@contextmanager
def cloned(lab: Lab, name: str) -> Iterator[Machine]:
    """Another machine under the same name, on a copy of the disk as it is now. It does not run, and
    hears nothing. Only one of the two is left in the end."""
    first = lab.world.machines[lab.world.names.index(name)]
    second = Machine(lab.world, first.number, Random(f"the other {name}"))
    second.document = first.document
    second.disk.restore(first.disk.copy())
    try:
        yield second
    finally:
        left = lab.world.machines[first.number]
        (second if left is first else first).disk.release()


def plug(lab: Lab, name: str, machine: Machine) -> None:
    """From now on it is this machine that is heard under the name; the other one waits."""
    world, number = lab.world, lab.world.names.index(name)
    before = world.machines[number].process
    if before is not None:
        before.pause()
    world.streams.drop_all_of(number)
    world.machines[number] = world.streams.sites[number] = machine
    world.datagrams.receivers[number] = machine
    machine.recover()


# --- disks ---------------------------------------------------------------------------------------


def damage(lab: Lab, name: str) -> None:
    """Flip bits on the disk until the machine's copy of the key cannot be read. It stays so."""
    disk = lab.world.machines[lab.world.names.index(name)].disk
    disk.database.flush()
    random = Random(7)
    for _ in range(100):
        disk.damage((FileKind.TABLE,), random)
        try:
            disk.database.get(_engine_key(lab))
        except CorruptionError:
            return
    raise AssertionError("it can be read in spite of all")


def _engine_key(lab: Lab) -> bytes:
    return KeyScheme(lab.world.topology.key_seed).engine_key(Space.DATA, lab.key)
