"""`lsmkv cluster plan | commit | join | leave | replace | weight | force`: changes of a cluster.

Whatever changes it shows first what is going to move, and with --wait how far that is. A majority
of the members decides; without one nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lsmkv import Error
from lsmkv.cli.arguments import Commands, UsageError
from lsmkv.cli.output import Output, note
from lsmkv.cli.progress import Progress
from lsmkv_cluster.operator.asking_nodes import Act, Nodes, add_node_command
from lsmkv_cluster.operator.cluster_pages import plan_page

__all__ = ["change_of", "register"]

LOOK_EVERY_S = 0.5

Change = dict[str, Any]

CHANGES = "leave NODE | remove NODE | weight NODE WEIGHT | replicas DC=N,... | commit"
RISKS = """\
A forced change is decided by the node of --at alone, for all. Without a majority of the members
nobody can know what the others have:
  - if they are alive, only cut off, there are two clusters from now on, and one of them is thrown
    away when they meet;
  - writes that only they have are lost;
  - partitions of which only they had copies are empty.
Be sure that they are gone for good, and say --yes."""


def register(group: Commands) -> None:
    """Adds them to the commands of `lsmkv cluster`."""
    plan = _add(group, "plan", _plan, "show what a change would move, without making it",
                f"CHANGE is one of: {CHANGES}. Without one: commit.", is_change=False)  # fmt: skip
    plan.add_argument("change", metavar="CHANGE", nargs="*")
    _add(group, "commit", _commit, "give members that are staged their share")
    _add(group, "join", _join, "tell how one more node joins, and with --wait wait for it")
    leave = _add(group, "leave", _leave, "have a node give away what it has, and go")
    leave.add_argument("node", metavar="NODE")
    replace = _add(
        group, "replace", _replace, "remove a dead node, and let staged ones take its place",
        "Start the new node first: lsmkv serve --join HOST:PORT --staged.",
    )  # fmt: skip
    replace.add_argument("node", metavar="OLD")
    weight = _add(group, "weight", _weight, "give a node another share; 100 is ordinary")
    weight.add_argument("node", metavar="NODE")
    weight.add_argument("weight", metavar="WEIGHT", type=int)
    force = _add(group, "force", _force, "change the cluster without a majority of its members",
                 f"CHANGE is one of: {CHANGES}. {RISKS}")  # fmt: skip
    force.add_argument("change", metavar="CHANGE", nargs="+")
    force.add_argument("--yes", action="store_true", help="they are gone for good")


def _add(
    group: Commands, name: str, act: Act, summary: str, details: str = "", *, is_change: bool = True
) -> argparse.ArgumentParser:
    parser = add_node_command(group, name, act, summary, details)
    if is_change:
        parser.add_argument("--wait", action="store_true", help="until nothing moves any more")
    return parser


def change_of(words: Sequence[str]) -> Change:
    """As KV.CLUSTER wants it. UsageError for what is none."""
    match words:
        case [] | ["commit"]:
            return {"change": "commit"}
        case ["leave" | "remove" as name, node]:
            return {"change": name, "member": node}
        case ["weight", node, weight] if weight.isdecimal():
            return {"change": "reweigh", "member": node, "weight": int(weight)}
        case ["replicas", text]:
            pairs = [pair.partition("=") for pair in text.split(",")]
            if all(dc and count.isdecimal() for dc, _, count in pairs):
                return {"change": "replicas", "replicas": {dc: int(n) for dc, _, n in pairs}}
    raise UsageError(f"{' '.join(words)!r} is no change: {CHANGES}")


# --- commands


def _plan(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    plan = _planned(nodes, change_of(arguments.change))
    output.json(plan) if arguments.json else _lines(output, plan_page(plan))


def _commit(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    _make(nodes, [{"change": "commit"}], arguments, output)


def _leave(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    _make(nodes, [{"change": "leave", "member": arguments.node}], arguments, output)


def _weight(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    change = {"change": "reweigh", "member": arguments.node, "weight": arguments.weight}
    _make(nodes, [change], arguments, output)


def _replace(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    """What begins to fill elsewhere after the removal goes to the new ones after the commit."""
    members = nodes.ask("STATUS")["members"]
    if not any(member["state"] == "STAGED" for member in members):
        raise Error(f"nobody is staged: lsmkv serve --join {nodes.at} --staged ...")
    removal = {"change": "remove", "member": arguments.node}
    _make(nodes, [removal, {"change": "commit"}], arguments, output)


def _force(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    change = change_of(arguments.change)
    if not arguments.yes:
        note(RISKS)
        raise Error("nothing was changed")
    _make(nodes, [change], arguments, output, is_forced=True)


def _join(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    known = {member["id"] for member in nodes.ask("STATUS")["members"]}
    if arguments.json:
        output.json({"join": str(nodes.at)})
    else:
        output.line(f"lsmkv serve --data DIR --join {nodes.at}")
        output.line("with --staged it stores nothing until `lsmkv cluster commit`")
    if not arguments.wait:
        return
    while not (new := [m for m in nodes.ask("STATUS")["members"] if m["id"] not in known]):
        time.sleep(LOOK_EVERY_S)
    note(f"{new[0]['name']} has joined")
    _wait(nodes)


# --- what they share


def _planned(nodes: Nodes, change: Change) -> Mapping[str, Any]:
    plan: Mapping[str, Any] = nodes.ask("PLAN", json.dumps(change))
    return plan


def _make(
    nodes: Nodes,
    changes: Sequence[Change],
    arguments: argparse.Namespace,
    output: Output,
    *,
    is_forced: bool = False,
) -> None:
    told = []
    for change in changes:
        plan = _planned(nodes, change) if not is_forced else None
        if plan is not None and not arguments.json:
            _lines(output, plan_page(plan))
        answer = nodes.change(change, is_forced=is_forced)
        told.append({"change": change, "plan": plan, **answer})
        if not arguments.json:
            output.line(f"{answer['outcome'].lower()} in epoch {answer['epoch']}")
        if is_forced and not arguments.json:
            output.line(answer["text"])
    if arguments.wait:
        _wait(nodes)
    if arguments.json:
        output.json(told)


def _wait(nodes: Nodes) -> None:
    """With a bar, until nothing moves as the node of --at sees it."""
    total = nodes.ask("STATUS")["moving"]
    with Progress("moving", total, unit="partitions") as progress:
        while left := nodes.ask("STATUS")["moving"]:
            done = max(0, total - left)
            progress.update(done, done)
            time.sleep(LOOK_EVERY_S)


def _lines(output: Output, lines: Sequence[str]) -> None:
    for line in lines:
        output.line(line)
