"""`lsmkv cluster status | ring | hints | keyspaces`: what a cluster tells of itself."""

from __future__ import annotations

import argparse
import json

from lsmkv.cli.arguments import Commands
from lsmkv.cli.output import Output
from lsmkv_cluster.operator.asking_nodes import Nodes, add_node_command
from lsmkv_cluster.operator.cluster_pages import (
    hints_page,
    keyspaces_page,
    partition_page,
    ring_page,
    status_page,
)

__all__ = ["register"]


def register(group: Commands) -> None:
    """Adds them to the commands of `lsmkv cluster`."""
    add_node_command(group, "status", _status, "show all members, as one of them sees them")
    ring = add_node_command(group, "ring", _ring, "show who owns what")
    ring.add_argument("key", metavar="KEY|SLOT", nargs="?", help="of this alone")
    add_node_command(group, "hints", _hints, "show writes that wait for members which were away")
    add_node_command(group, "keyspaces", _keyspaces, "show how keys are read, written and resolved")


def _status(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    status = nodes.ask("STATUS")
    stored = nodes.stored_bytes(status["members"])
    if arguments.json:
        for member in status["members"]:
            member["stored_bytes"] = stored.get(member["name"])
        output.json(status)
    else:
        _lines(output, status_page(status, stored, {}))


def _ring(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    ring = nodes.ask("RING", *([arguments.key] if arguments.key is not None else []))
    page = ring_page if arguments.key is None else partition_page
    output.json(ring) if arguments.json else _lines(output, page(ring))


def _hints(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    members = nodes.ask("STATUS")["members"]
    replies = nodes.ask_all(members, "KV.CLUSTER", "HINTS")
    hints = {name: json.loads(text) for name, text in replies.items() if isinstance(text, bytes)}
    output.json(hints) if arguments.json else _lines(output, hints_page(hints))


def _keyspaces(nodes: Nodes, arguments: argparse.Namespace, output: Output) -> None:
    keyspaces = nodes.ask("KEYSPACES")
    output.json(keyspaces) if arguments.json else _lines(output, keyspaces_page(keyspaces))


def _lines(output: Output, lines: list[str]) -> None:
    for line in lines:
        output.line(line)
