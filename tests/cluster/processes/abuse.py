"""How much slower is everybody else while a node is abused? `make abuse`

    python -m tests.cluster.processes.abuse [--seconds 10] [KIND ...]

For each kind of junk a process of its own sends it again and again while a client writes and reads
back, one command after the other; before each, the same client without junk. The sender is nice
and rests a while after each round, because it shares the machine with those whom it abuses, which
is no fault of the node. The status is 0 if no kind makes the 99th percentile more than twice as
long. How much memory junk takes is tested (test_junk.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from lsmkv_cluster.config.endpoints import parse_endpoint
from tests.cluster.processes.bystander import Bystander
from tests.cluster.processes.junk import KINDS, Junk
from tests.cluster.processes.launch import die_with_parent
from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.node_process import Greeting, NodeProcess

__all__ = ["main"]

RATIO_MAX = 2.0
REST_S = 0.25  # of the sender, after each round
REPEATS = 3  # of with and without; the best of each counts
P99 = 0.99


def send(kind: str, at: Greeting) -> None:
    """Until this process is ended."""
    os.nice(19)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def play() -> None:
        random = Random(kind)
        while True:
            junk = Junk(at, random)
            await KINDS[kind](junk)
            await asyncio.sleep(REST_S)
            junk.close()

    asyncio.run(play())


def command(kind: str, at: Greeting) -> list[str]:
    ends = ",".join(str(end) for end in (at.resp, at.cluster, at.peer, at.http))
    return [
        sys.executable, "-m", "tests.cluster.processes.abuse", "--send", kind, "--at", ends,
        "--parent", str(os.getpid()),
    ]  # fmt: skip


async def measured(node: NodeProcess, seconds: float) -> Bystander:
    async with Bystander(node.at.resp) as bystander:
        await asyncio.sleep(seconds)
    return bystander


def abused(node: NodeProcess, kind: str, seconds: float) -> Bystander:
    with subprocess.Popen(command(kind, node.at)) as sender:
        try:
            time.sleep(0.5)
            found = asyncio.run(measured(node, seconds))
            assert sender.poll() is None, "the sender has ended"
        finally:
            sender.kill()
    return found


def measure(node: NodeProcess, kinds: Sequence[str], seconds: float) -> bool:
    print(f"{'':28}{'p50 us':>8}{'p99 us':>9}{'alone':>9}{'ratio':>7}{'commands/s':>12}")
    is_good = True
    asyncio.run(measured(node, 2.0))  # warm
    for kind in kinds:
        alone = [asyncio.run(measured(node, seconds)).quantile_s(P99)]
        hit: list[Bystander] = []
        for _ in range(REPEATS):
            hit.append(abused(node, kind, seconds))
            alone.append(asyncio.run(measured(node, seconds)).quantile_s(P99))
        best = min(hit, key=lambda each: each.quantile_s(P99))
        p99_s, alone_s = best.quantile_s(P99), min(alone)
        ratio = p99_s / alone_s
        is_good &= ratio <= RATIO_MAX
        print(
            f"{kind:28}{best.quantile_s(0.5) * 1e6:8.0f}{p99_s * 1e6:9.0f}{alone_s * 1e6:9.0f}"
            f"{ratio:7.2f}{len(best.latencies_s) / seconds:12.0f}",
            flush=True,
        )
    return is_good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.cluster.processes.abuse", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="these alone")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--send", choices=[*KINDS], help=argparse.SUPPRESS)
    parser.add_argument("--at", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.send:
        die_with_parent(parsed.parent)
        send(parsed.send, Greeting(*map(parse_endpoint, parsed.at.split(","))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster(Path(folder), {"dc1": 1})
        try:
            asyncio.run(cluster.start({"a": "dc1"}))
            is_good = measure(cluster.nodes["a"], parsed.kinds or [*KINDS], parsed.seconds)
        finally:
            cluster.close()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
