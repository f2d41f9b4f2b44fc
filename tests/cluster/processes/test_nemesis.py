"""A short run of the nemesis on five processes; `make nemesis` makes long ones.

Also: the schedule never rests for long, whatever ends early or late, and nothing is left of nodes
whose test has been killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.nemesis import Options, run_round
from tests.cluster.processes.node_process import ROOT
from tests.cluster.processes.schedule import FaultLog, Interval
from tests.cluster.processes.waiting import wait_until

LOAD_S = 13.0
# Those that end soon: what takes longer has its time in `make nemesis`.
KINDS = ["kill", "restart", "pause", "cut", "one-way cut", "data centre cut", "reset", "full disk"]


@pytest.mark.slow
def test_a_short_run_breaks_no_promise(tmp_path: Path):
    options = Options(
        seed=1, load_s=LOAD_S, folder=tmp_path, kinds=KINDS, repair_interval_s=1, partitions=16
    )
    round = asyncio.run(run_round(options))
    assert round.texts == []
    assert round.acknowledged > 100
    assert sum(round.faults.values()) >= 2


def test_the_longest_rest_is_that_of_all_faults_together():
    log = FaultLog()
    log.intervals = [
        Interval("kill", "a", 1.0, 5.0),
        Interval("cut", "b", 2.0, 3.0),
        Interval("pause", "c", 9.0, None),
    ]
    assert log.longest_rest_s(0.0, 20.0) == 4.0
    assert log.longest_rest_s(-7.0, 20.0) == 8.0
    assert FaultLog().longest_rest_s(0.0, 20.0) == 20.0


KILLED = """
    import asyncio, os, sys, time
    from pathlib import Path
    from tests.cluster.processes.local_cluster import LocalCluster

    async def main():
        cluster = LocalCluster(Path(sys.argv[1]), {"dc1": 1})
        await cluster.start({"a": "dc1"})
        print(cluster.nodes["a"].pid, flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
"""


@pytest.mark.slow
def test_a_node_dies_with_the_test_that_started_it(tmp_path: Path):
    script = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE) as test:
        assert test.stdout is not None
        node = int(test.stdout.readline())
        os.kill(node, 0)
        test.kill()
        test.wait()
    wait_until(lambda: not _runs(node), "the node ends")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # who inherits it may take its time to ask


@pytest.mark.slow
def test_a_node_comes_back_after_each_end(tmp_path: Path):
    """Killed, told to end, paused: what it had it has."""

    async def play() -> None:
        async with LocalCluster(tmp_path, {"dc1": 1}) as cluster:
            await cluster.start({"a": "dc1"})
            node = cluster.nodes["a"]
            for i, end in enumerate((node.kill, lambda: node.stop())):
                await cluster.ask(node, "SET", f"k{i}", "v")
                end()
                node.start()
                await cluster.serving(node)
                await cluster.settled()
            assert await cluster.ask(node, "MGET", "k0", "k1") == [b"v", b"v"]
            node.pause()
            with pytest.raises(TimeoutError):
                await cluster.ask(node, "PING", timeout_s=0.2)
            node.resume()
            assert await cluster.ask(node, "PING") == "PONG"
            os.kill(node.pid, signal.SIGTERM)
            assert node.stop() in (0, -signal.SIGTERM)

    asyncio.run(play())
