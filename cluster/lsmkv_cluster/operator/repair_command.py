"""`lsmkv cluster repair`: the copies of one node are compared with all others now, with a bar.

Copies are compared all the time; who cannot wait for that has it done at once, after a disk was
damaged, or before a node is taken away. It goes on in the node when the command is interrupted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from lsmkv import Error
from lsmkv.cli.arguments import Commands
from lsmkv.cli.output import Output
from lsmkv.cli.progress import Progress
from lsmkv_cluster.operator.asking_nodes import Nodes, add_node_command
from lsmkv_cluster.operator.cluster_pages import repair_page

__all__ = ["register"]

LOOK_EVERY_S = 0.2


def register(group: Commands) -> None:
    """Adds it to the commands of `lsmkv cluster`."""
    repair = add_node_command(
        group, "repair", _repair, "compare copies with those of others now",
        "Every copy of the node of --at is compared with all others of its partition, and what one "
        "of them lacks is given to it. Fails if some could not be compared.",
    )  # fmt: skip
    repair.add_argument("partition", metavar="PARTITION", type=int, nargs="?", help="this alone")


def _repair(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    which = [str(arguments.partition)] if arguments.partition is not None else []
    done = _waited_for(nodes, nodes.ask("REPAIR", *which))
    if arguments.json:
        output.json(done)
    else:
        for line in repair_page(done):
            output.line(line)
    if done["missing"]:
        raise Error(f"not compared with {', '.join(done['missing'])}")


def _waited_for(nodes: Nodes, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until it is over. Error where the node has started anew meanwhile: nothing is known then."""
    wanted = state["partitions"]
    with Progress("repairing", wanted, unit="records repaired") as progress:
        while state["done"] < state["partitions"]:
            progress.update(state["done"], state["pulled"] + state["pushed"])
            time.sleep(LOOK_EVERY_S)
            state = nodes.ask("REPAIR", "PROGRESS")
    if state["partitions"] < wanted:
        raise Error(f"{nodes.at} has started anew: it knows nothing of this repair any more")
    return state
