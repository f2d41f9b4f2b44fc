"""A seed gives the same run in every process, whatever hashes are salted with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.options import draw
from tests.sim.product import Product
from tests.sim.simulation import Simulation
from tests.sim.toy import ToyProgram

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (0, 2, 7, 13)  # two data centres, damaged disks, one machine down, a bit of everything
PROGRAM = """
import logging, sys
from tests.sim.test_determinism import digest
logging.disable(logging.CRITICAL)
for seed in map(int, sys.argv[1:]):
    print(digest(seed))
"""


def digest(seed: int) -> str:
    simulation = Simulation(draw(seed), Product())
    simulation.run()
    return simulation.world.trace.digest()


def digests_elsewhere(salt: str) -> list[str]:
    """In a process of its own."""
    paths = [str(ROOT), *sys.path]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


@pytest.mark.slow
def test_two_processes_trace_alike():
    first = digests_elsewhere("1")
    assert len(set(first)) == len(SEEDS)
    assert digests_elsewhere("4711") == first


def test_two_runs_in_one_process_trace_alike():
    """Nothing is left over in a module from the run before."""
    assert digest(0) == digest(0)


def test_a_trace_follows_what_happened():
    runs = [Simulation(draw(seed), ToyProgram()) for seed in (1, 1, 9)]
    for simulation in runs:
        simulation.run()
    one, same, other = [simulation.world.trace.digest() for simulation in runs]
    assert one == same != other
