"""How fast, how rightly and at what cost members find out who is there, from 5 to 1000 nodes.

    python -m benchmarks.membership [--sizes N ...] [--seed N] [--effort X]

Simulated nodes on a simulated network (tests/support/gossip_network.py): one way takes 1 to 3 ms.
Only the CPU time is this machine's. All begin as acquaintances (start number 0).

Table 1, in a network that loses nothing:

    found        from the kill of a node until the last of the others takes it for dead; the first
                 doubt is an accusation, which comes after a probe of one second
    known        from a node's announcement of another load until the last of the others knows it
    traffic      of one idle node, sent: datagrams with UDP and IPv4 headers, frames with TCP's
    CPU          of one idle node, the simulated network's share included

Table 2, of a cluster in which nobody is killed, with Lifeguard and in plain SWIM:

    lost         of the datagrams; streams send again what is lost, 200 ms later and more
    stalled      every tenth node stops for 2 to 8 s, after running for 5 to 20 s
    starved      every tenth node stops for 0.3 to 3 s, after running for 1 to 300 ms
    accused      episodes of at least one node suspecting another
    evicted      episodes of at least one node taking another for dead, by what was evicted: a
                 healthy node, which is the detector's mistake, or one that stops and starts
    unreachable  how often one node found another out of its own reach

A thousand nodes of which a hundred stop again and again are left out unless --effort is above 1:
every second of theirs takes several.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from tests.support.gossip_network import GossipNetwork

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.swim.gossip_messages import Load
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.membership_settings import MembershipSettings

SIZES = (5, 10, 50, 200, 1000)
SETTLE_MS = 10_000
STEP_MS = 10  # resolution of "known"
HOUR_MS = 3_600_000
LARGE = 1000  # nodes


@dataclass(frozen=True)
class Effort:
    """How much is simulated of one size."""

    kills: int
    kills_at_once: int  # of different nodes: few enough to be independent of each other
    updates: int
    loss_ms: int  # of each condition in table 2 that loses datagrams
    stops_ms: int  # of each that stops nodes


EFFORTS = {
    5: Effort(200, 1, 200, 1_440_000, 1_440_000),
    10: Effort(100, 1, 100, 720_000, 720_000),
    50: Effort(40, 2, 40, 144_000, 144_000),
    200: Effort(15, 5, 15, 36_000, 36_000),
    1000: Effort(10, 10, 5, 7_000, 30_000),
}


def effort_for(size: int, factor: float) -> Effort:
    base = EFFORTS[min(EFFORTS, key=lambda known: abs(known - size))]
    return Effort(
        max(base.kills_at_once, round(base.kills * factor)),
        base.kills_at_once,
        max(1, round(base.updates * factor)),
        round(base.loss_ms * factor),
        round(base.stops_ms * factor),
    )


def percentile(values: list[int], share: float) -> float:
    """In seconds; the smallest value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(100 * share) // 100) - 1)] / 1000


# --- table 1 -------------------------------------------------------------------------------------


def detection_times(network: GossipNetwork, effort: Effort, rng: random.Random) -> list[int]:
    """Kill, wait for the last to notice, start again."""
    found: list[int] = []
    while len(found) < effort.kills:
        network.changes.clear()
        victims = rng.sample(network.ids, effort.kills_at_once)
        killed_ms: dict[MemberId, int] = {}
        for victim in victims:
            network.run(rng.randrange(1000))
            network.kill(victim)
            killed_ms[victim] = network.now_ms
        while not all(network.all_see(victim, Status.DEAD) for victim in victims):
            network.run(500)
        for victim in victims:
            last_ms = max(
                change.at_ms
                for change in network.changes
                if change.member == victim and change.after is Status.DEAD
            )
            found.append(last_ms - killed_ms[victim])
        for victim in victims:
            network.restart(victim)
        network.run(SETTLE_MS)
    return found


def convergence_times(network: GossipNetwork, effort: Effort, rng: random.Random) -> list[int]:
    found: list[int] = []
    for _ in range(effort.updates):
        member = rng.choice(network.ids)
        load = network.machine(member).load(member) ^ Load.OVERLOADED
        network.call(
            member,
            lambda machine, now, load=load: machine.describe(
                now, load=load, sequence=0, oldest_hint_ms=0
            ),
        )
        start_ms = network.now_ms
        unaware = network.running()
        while unaware:
            network.run(STEP_MS)
            unaware = [machine for machine in unaware if machine.load(member) != load]
        found.append(network.now_ms - start_ms)
        network.run(SETTLE_MS // 2)
    return found


def idle_costs(network: GossipNetwork, size: int) -> tuple[float, float]:
    """Bytes and microseconds of CPU of one node in one second."""
    time_ms = max(20_000, 1_000_000 // size)
    before = network.byte_count
    started = time.process_time()
    network.run(time_ms)
    seconds = time.process_time() - started
    node_seconds = size * time_ms / 1000
    return (network.byte_count - before) / node_seconds, 1e6 * seconds / node_seconds


def costs_and_times(sizes: list[int], seed: int, factor: float) -> None:
    print("Nothing is lost, nobody stops\n")
    print("         found, s                known, s               idle node")
    print(" nodes   kills  median     p99  updates  median    p99      B/s  CPU us/s")
    for size in sizes:
        effort = effort_for(size, factor)
        rng = random.Random(seed)
        network = GossipNetwork(size, seed, start_number=0)
        network.run(SETTLE_MS)
        traffic, cpu = idle_costs(network, size)
        known = convergence_times(network, effort, rng)
        found = detection_times(network, effort, rng)
        print(
            f"{size:6}  {len(found):6} {percentile(found, 0.5):7.2f} {percentile(found, 0.99):7.2f}"
            f"  {len(known):7} {percentile(known, 0.5):7.2f} {percentile(known, 0.99):6.2f}"
            f"  {traffic:7.0f}  {cpu:8.0f}",
            flush=True,
        )


# --- table 2 -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    name: str
    loss: float = 0.0
    stops_ms: tuple[int, int] | None = None  # of every tenth node
    runs_ms: tuple[int, int] = (1, 1)


CONDITIONS = (
    Condition("nothing lost"),
    Condition("5 % lost", loss=0.05),
    Condition("20 % lost", loss=0.20),
    Condition("10 % stalled", stops_ms=(2000, 8000), runs_ms=(5000, 20_000)),
    Condition("10 % starved", stops_ms=(300, 3000), runs_ms=(1, 300)),
)


class Episodes:
    """Counts when a member begins to be taken for something by anybody."""

    def __init__(self) -> None:
        self._holders: Counter[tuple[MemberId, Status]] = Counter()
        self.begun: Counter[tuple[MemberId, Status]] = Counter()
        self.unreachable_count = 0

    def take(self, network: GossipNetwork) -> None:
        for change in network.changes:
            self._holders[change.member, change.before] -= 1
            held = self._holders[change.member, change.after]
            self._holders[change.member, change.after] = held + 1
            self.begun[change.member, change.after] += held == 0
            self.unreachable_count += change.after is Status.UNREACHABLE
        network.changes.clear()

    def count(self, status: Status, is_wanted: Callable[[MemberId], bool]) -> int:
        return sum(
            count
            for (member, of), count in self.begun.items()
            if of is status and is_wanted(member)
        )


def stop_again_and_again(
    network: GossipNetwork, member: MemberId, condition: Condition, rng: random.Random
) -> None:
    assert condition.stops_ms is not None
    stops_ms = rng.randint(*condition.stops_ms)
    network.pause(member, stops_ms)
    again_ms = network.now_ms + stops_ms + rng.randint(*condition.runs_ms)
    network.at(again_ms, lambda: stop_again_and_again(network, member, condition, rng))


@dataclass(frozen=True)
class Mistakes:
    """Per node and hour."""

    accused: float
    evicted_healthy: float
    evicted_stopping: float
    unreachable: float


def mistakes(size: int, seed: int, condition: Condition, lifeguard: bool, time_ms: int) -> Mistakes:
    rng = random.Random(seed)
    settings = MembershipSettings(lifeguard=lifeguard)
    network = GossipNetwork(size, seed, settings, start_number=0)
    network.run(SETTLE_MS)
    network.changes.clear()
    network.loss = condition.loss
    stopping = set(rng.sample(network.ids, max(1, size // 10))) if condition.stops_ms else set()
    for member in network.ids:
        if member in stopping:
            stop_again_and_again(network, member, condition, rng)
    episodes = Episodes()
    for _ in range(0, time_ms, 1000):
        network.run(1000)
        episodes.take(network)
    hours = size * time_ms / HOUR_MS
    return Mistakes(
        episodes.count(Status.SUSPECT, lambda member: member not in stopping) / hours,
        episodes.count(Status.DEAD, lambda member: member not in stopping) / hours,
        episodes.count(Status.DEAD, lambda member: member in stopping) / hours,
        episodes.unreachable_count / hours,
    )


def false_positives(sizes: list[int], seed: int, factor: float) -> None:
    print("\nMistakes of each node in an hour: Lifeguard | plain SWIM\n")
    print("                        node  healthy        healthy        stopping       found")
    print(" nodes  condition      hours  accused        evicted        evicted        unreachable")
    for size in sizes:
        effort = effort_for(size, factor)
        for condition in CONDITIONS:
            time_ms = effort.loss_ms if condition.stops_ms is None else effort.stops_ms
            if condition.stops_ms is not None and size >= LARGE and factor <= 1:
                continue
            with_it, without = (
                mistakes(size, seed, condition, lifeguard, time_ms) for lifeguard in (True, False)
            )
            pairs = [
                f"{getattr(with_it, field.name):6.2f} |{getattr(without, field.name):6.2f}"
                for field in fields(Mistakes)
            ]
            hours = size * time_ms / HOUR_MS
            print(
                f"{size:6}  {condition.name:12} {hours:7.1f}  {'  '.join(pairs)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--effort", type=float, default=1.0, help="times the simulated time")
    arguments = parser.parse_args()
    costs_and_times(arguments.sizes, arguments.seed, arguments.effort)
    false_positives(arguments.sizes, arguments.seed, arguments.effort)


if __name__ == "__main__":
    main()
