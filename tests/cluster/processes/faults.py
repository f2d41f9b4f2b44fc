"""Faults of real nodes and of what is between them: how each begins and ends.

A kind is a function that strikes somebody whom no other fault has struck, or returns None if there
is nobody now. What it returns ends the fault; an end that takes long (a node that comes back) is
awaited beside other faults.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import permutations
from random import Random

from lsmkv_cluster.client.calling import CallError
from tests.cluster.processes.disks import Disks
from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.mesh import Mesh
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.waiting import poll, until

__all__ = ["KINDS", "Fault", "Stage"]

BACK_S = 90.0  # until a node that was started serves; it may have to be told by others first
CHANGED_S = 600.0  # until partitions have moved or copies are whole, under faults
DOWN_MAX = 2  # nodes that are struck at a time, of those that have copies of a key at least one
WIPE_AGAIN_S = 60.0  # from one lost disk to the next: copies are compared several times meanwhile
EXTRA_DC = "dc1"


@dataclass(frozen=True, slots=True)
class Fault:
    """`on`: whom it concerns."""

    on: str
    end: Callable[[], Awaitable[None]]


@dataclass(eq=False)
class Stage:
    """What faults act on. `struck` are nodes that a fault has hold of."""

    cluster: LocalCluster
    mesh: Mesh
    disks: Disks
    random: Random
    centres: dict[str, str]  # of each node
    now_s: Callable[[], float]
    struck: set[str] = field(default_factory=set)
    extra: str | None = None  # a node that has joined, and is to leave
    is_changing: bool = False
    wiped_s: float = -WIPE_AGAIN_S
    joined: int = 0

    def nodes(self) -> list[NodeProcess]:
        """Those that run and are not struck."""
        return [
            node
            for node in self.cluster.nodes.values()
            if node.is_running and node.name not in self.struck
        ]

    def one(self) -> NodeProcess | None:
        found = self.nodes()
        if len(self.struck) >= DOWN_MAX or not found:
            return None
        return self.random.choice(found)

    def strike(self, node: NodeProcess) -> None:
        self.struck.add(node.name)

    def release(self, node: NodeProcess) -> None:
        self.struck.discard(node.name)

    async def back(self, *nodes: NodeProcess) -> None:
        """They run again, and serve."""
        for node in nodes:
            if not node.is_running:
                node.start(*self._join_arguments(node))
        await asyncio.gather(*(self.cluster.serving(node, BACK_S) for node in nodes))
        for node in nodes:
            self.release(node)

    def _join_arguments(self, node: NodeProcess) -> list[str]:
        """For a node that finds its disk empty."""
        others = [each for each in self.cluster.nodes.values() if each is not node]
        self.random.shuffle(others)
        return ["--join", *(str(each.at.resp) for each in others if each.has_served)]

    async def ended(self, node: NodeProcess) -> None:
        """It was told to end."""
        await until(lambda: not node.is_running, f"{node.name} ends", BACK_S)


# --- processes -----------------------------------------------------------------------------------


async def kill(stage: Stage) -> Fault | None:
    if (node := stage.one()) is None:
        return None
    stage.strike(node)
    node.kill()
    return Fault(node.name, lambda: stage.back(node))


async def kill_all(stage: Stage) -> Fault | None:
    if stage.struck or stage.is_changing:
        return None
    nodes = stage.nodes()
    for node in nodes:
        stage.strike(node)
        node.kill()
    return Fault("all", lambda: stage.back(*nodes))


async def restart(stage: Stage) -> Fault | None:
    if (node := stage.one()) is None:
        return None
    stage.strike(node)
    node.terminate()

    async def end() -> None:
        await stage.ended(node)
        await stage.back(node)

    return Fault(node.name, end)


async def rolling_restart(stage: Stage) -> Fault | None:
    """One after the other, as an upgrade would."""
    if stage.struck or stage.is_changing:
        return None
    nodes = stage.nodes()
    stage.random.shuffle(nodes)
    for node in nodes:
        stage.strike(node)

    async def end() -> None:
        for node in nodes:
            node.terminate()
            await stage.ended(node)
            await stage.back(node)

    return Fault("all", end)


async def pause(stage: Stage) -> Fault | None:
    if (node := stage.one()) is None:
        return None
    stage.strike(node)
    node.pause()

    async def end() -> None:
        node.resume()
        stage.release(node)

    return Fault(node.name, end)


# --- disks ---------------------------------------------------------------------------------------


async def full_disk(stage: Stage) -> Fault | None:
    if (node := stage.one()) is None:
        return None
    stage.strike(node)
    stage.disks.fill(node)

    async def end() -> None:
        stage.disks.free(node)
        await stage.back(node)

    return Fault(node.name, end)


async def wipe(stage: Stage) -> Fault | None:
    """Writes that were acknowledged are on two disks at least, so one may be lost at a time."""
    is_whole = not stage.struck and not stage.is_changing
    if not is_whole or stage.now_s() - stage.wiped_s < WIPE_AGAIN_S:
        return None
    node = stage.random.choice(stage.nodes())
    stage.strike(node)
    stage.wiped_s = stage.now_s()
    node.kill()
    node.wipe()

    async def end() -> None:
        await stage.back(node)
        stage.is_changing = True  # nobody else may lose anything until it is whole again
        try:
            await poll(lambda: is_complete(stage, node), f"{node.name} is whole again", CHANGED_S)
        finally:
            stage.is_changing = False
            stage.wiped_s = stage.now_s()

    return Fault(node.name, end)


async def is_complete(stage: Stage, node: NodeProcess) -> bool:
    try:
        status = await stage.cluster.status(node)
    except CallError as error:
        raise OSError(str(error)) from error
    return bool(status["is_serving"]) and not status["incomplete"]


# --- the network ---------------------------------------------------------------------------------


def _pairs(stage: Stage) -> list[tuple[str, str]]:
    return [*permutations(sorted(stage.cluster.nodes), 2)]


def _cut(stage: Stage, pairs: list[tuple[str, str]], on: str) -> Fault:
    conditions = [stage.mesh.conditions[pair] for pair in pairs]
    for condition in conditions:
        condition.cut()

    async def end() -> None:
        for condition in conditions:
            condition.mend()

    return Fault(on, end)


async def cut(stage: Stage) -> Fault | None:
    """One node from all others, or from one of them."""
    one, other = stage.random.choice(_pairs(stage))
    if stage.random.random() < 0.5:
        return _cut(stage, [(one, other), (other, one)], f"{one}-{other}")
    return _cut(stage, [pair for pair in _pairs(stage) if one in pair], one)


async def one_way_cut(stage: Stage) -> Fault | None:
    one, other = stage.random.choice(_pairs(stage))
    if stage.random.random() < 0.5:
        return _cut(stage, [(one, other)], f"{one}>{other}")
    return _cut(stage, [pair for pair in _pairs(stage) if pair[0] == one], f"{one}>")


async def centre_cut(stage: Stage) -> Fault | None:
    centre = stage.centres
    pairs = [(one, other) for one, other in _pairs(stage) if centre[one] != centre[other]]
    return _cut(stage, pairs, "dc1-dc2")


def _changed(stage: Stage, name: str, value: float, pairs: list[tuple[str, str]]) -> None:
    for pair in pairs:
        setattr(stage.mesh.conditions[pair], name, value)


def _disturb(name: str, values: tuple[float, ...]) -> Callable[[Stage], Awaitable[Fault | None]]:
    """Of all that one node sends and gets, or of the whole network."""

    async def begin(stage: Stage) -> Fault | None:
        value, pairs, on = stage.random.choice(values), _pairs(stage), "all"
        if stage.random.random() < 0.7:
            on = stage.random.choice(sorted(stage.cluster.nodes))
            pairs = [pair for pair in pairs if on in pair]
        _changed(stage, name, value, pairs)

        async def end() -> None:
            _changed(stage, name, type(value)(0), pairs)

        return Fault(f"{on} {value}", end)

    return begin


async def reset(stage: Stage) -> Fault | None:
    """Streams break, several times."""
    names = sorted(stage.cluster.nodes)
    one = stage.random.choice(names)
    for other in names:
        if other != one:
            stage.mesh.reset(one, other)

    async def end() -> None:
        for other in names:
            if other != one:
                stage.mesh.reset(one, other)

    return Fault(one, end)


# --- membership ----------------------------------------------------------------------------------


async def join(stage: Stage) -> Fault | None:
    """A node that is new, under load. It stays until it leaves."""
    through = stage.one()
    if stage.extra is not None or stage.is_changing or through is None:
        return None
    stage.is_changing = True
    stage.joined += 1
    name = stage.extra = f"x{stage.joined}"
    stage.centres[name] = EXTRA_DC
    node = await stage.cluster.node(name, EXTRA_DC)
    stage.strike(node)
    stage.disks.prepare(node)
    node.start(*stage._join_arguments(node))

    async def end() -> None:
        try:
            await stage.back(node)
            await poll(lambda: _has_settled(stage), f"{name} has its share", CHANGED_S)
        finally:
            stage.is_changing = False

    return Fault(name, end)


async def _has_settled(stage: Stage) -> bool:
    return not (await _status(stage))["moving"]


async def _status(stage: Stage) -> dict[str, object]:
    node = stage.one()
    if node is None:
        raise OSError("nobody can be asked")
    try:
        return dict(await stage.cluster.status(node))
    except CallError as error:
        raise OSError(str(error)) from error


async def leave(stage: Stage) -> Fault | None:
    """Of the node that has joined: it hands over what it has."""
    name = stage.extra
    if name is None or stage.is_changing or name in stage.struck:
        return None
    stage.is_changing = True
    stage.struck.add(name)
    change = json.dumps({"change": "leave", "member": name})

    async def asked() -> bool:
        through = stage.one()
        if through is None:
            return False
        try:
            answer = await stage.cluster.admin(through, "CHANGE", change)
        except CallError as error:
            raise OSError(str(error)) from error
        return answer["outcome"] == "COMMITTED" or await state() != "SERVING"

    async def state() -> str:
        members = (await _status(stage))["members"]
        assert isinstance(members, list)
        return next((str(m["state"]) for m in members if m["name"] == name), "REMOVED")

    async def has_left() -> bool:
        return await state() == "REMOVED"

    async def end() -> None:
        try:
            await poll(asked, f"{name} may leave", CHANGED_S)
            await poll(has_left, f"{name} has left", CHANGED_S)
            node = stage.cluster.nodes.pop(name)
            stage.cluster.gone.append(node)
            node.terminate()
            await stage.ended(node)
            stage.extra = None
            stage.struck.discard(name)
        finally:
            stage.is_changing = False

    return Fault(name, end)


KINDS: dict[str, Callable[[Stage], Awaitable[Fault | None]]] = {
    "kill": kill,
    "kill all": kill_all,
    "restart": restart,
    "rolling restart": rolling_restart,
    "pause": pause,
    "full disk": full_disk,
    "wiped disk": wipe,
    "cut": cut,
    "one-way cut": one_way_cut,
    "data centre cut": centre_cut,
    "delay": _disturb("delay_s", (0.02, 0.1, 0.4)),
    "drip": _disturb("drip_bytes_s", (2_000, 20_000)),
    "reset": reset,
    "datagram loss": _disturb("loss", (0.3, 0.9, 1.0)),
    "join": join,
    "leave": leave,
}
