"""Explore a scope of the model as far as a budget allows, or look for what a companion must show.

    python -m tests.model.run --states 1000000 [--scope NAME ...] [--order breadth|depth] [--seed N]
    python -m tests.model.run --companion NAME

Depth-first runs with other seeds see other ends of paths. The status is 0 when no promise was
broken; with --companion, when one was. A fault is told with the steps that lead to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import perf_counter

from tests.model.explorer import Verdict, explore
from tests.model.scopes import COMPANIONS, SCOPES
from tests.model.setting import Setting
from tests.model.world import Model

__all__ = ["main", "story"]


def story(verdict: Verdict) -> str:
    """The fault and the way to it, or nothing."""
    if not verdict.fault:
        return ""
    steps = [f"{number:3} {step}" for number, step in enumerate(verdict.path, 1)]
    return "\n".join([*steps, verdict.fault])


def run(name: str, setting: Setting, states_max: int, *, breadth: bool, seed: int) -> Verdict:
    model = Model(setting)
    began = perf_counter()

    def tell(text: str) -> None:
        rate = int(text.split()[0]) / (perf_counter() - began)
        print(f"{name}: {text}, {rate:.0f} states/s", flush=True)

    verdict = explore(model, states_max=states_max, breadth=breadth, seed=seed, progress=tell)
    elapsed_s = perf_counter() - began
    machines = f"{len(model.locals.known)} states of nodes, {model.locals.step_count} steps of them"
    rate = verdict.states / elapsed_s
    print(f"{name}: {verdict}; {machines}; {elapsed_s:.1f} s, {rate:.0f} states/s", flush=True)
    if verdict.fault:
        print(story(verdict), flush=True)
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.model.run", description=__doc__)
    parser.add_argument("--states", type=int, default=1_000_000, help="of each scope")
    parser.add_argument("--scope", action="append", choices=list(SCOPES))
    parser.add_argument("--companion", choices=list(COMPANIONS))
    parser.add_argument("--order", choices=("breadth", "depth"), default="breadth")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.companion:
        setting = COMPANIONS[given.companion].setting
        return int(not run(given.companion, setting, given.states, breadth=True, seed=0).fault)
    faults = 0
    for name in given.scope or SCOPES:
        breadth = given.order == "breadth"
        verdict = run(name, SCOPES[name], given.states, breadth=breadth, seed=given.seed)
        faults += bool(verdict.fault)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
