"""How the commands of operators reach a node: --at, a login, TLS, and one call after another.

With --cluster-file they log in as the cluster itself, by its secret, and trust its authority; with
--user a password is asked for. Without either nothing is shown, which a node without users accepts.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Any

from lsmkv import Error
from lsmkv.cli.arguments import Commands, add_command, add_json
from lsmkv.cli.output import Output
from lsmkv_cluster.client.calling import CallError, Login, call
from lsmkv_cluster.config.cluster_file import load_cluster_file
from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from lsmkv_cluster.config.security import cluster_password
from lsmkv_cluster.config.tls import client_context
from lsmkv_cluster.config.users import CLUSTER_USER
from lsmkv_cluster.placement.members import PLAIN_FACE
from lsmkv_cluster.resp.replies import Reply, Verbatim

__all__ = ["Act", "Nodes", "add_node_command", "read_password"]

AT_DEFAULT = "127.0.0.1:7379"
ANSWER_S = 30.0
OTHERS_S = 3.0  # for what is asked of every node


class Nodes:
    """One node that is asked, and those that it knows."""

    def __init__(self, at: Endpoint, tls: SSLContext | None, login: Login | None) -> None:
        self.at = at
        self._tls = tls
        self._login = login

    def ask(self, *args: str) -> Any:
        """What KV.CLUSTER answers. CallError, OSError, TimeoutError."""
        reply = asyncio.run(self._call(self.at, ("KV.CLUSTER", *args), ANSWER_S))
        try:
            return json.loads(reply if isinstance(reply, bytes) else b"")
        except ValueError as error:
            raise CallError(f"{self.at} answers with something else: {error}") from error

    def change(self, change: Mapping[str, Any], *, is_forced: bool = False) -> Any:
        """Decided on, and how. Error where it was refused, or no majority decided."""
        args = ["CHANGE", json.dumps(change), *(["FORCE"] if is_forced else [])]
        answer = self.ask(*args)
        if answer["outcome"] not in ("COMMITTED", "UNCHANGED"):
            raise Error(f"{answer['outcome'].lower().replace('_', ' ')}: {answer['text']}")
        return answer

    def ask_all(self, members: Iterable[Mapping[str, Any]], *args: str) -> dict[str, Reply]:
        """Of each member that answers, by name."""
        found: dict[str, Reply] = {}

        async def one(name: str, at: Endpoint) -> None:
            try:
                found[name] = await self._call(at, args, OTHERS_S)
            except (CallError, OSError):
                return

        async def every() -> None:
            places = ((each["name"], each["addresses"].get(PLAIN_FACE)) for each in members)
            await asyncio.gather(*(one(name, parse_endpoint(at)) for name, at in places if at))

        asyncio.run(every())
        return found

    async def _call(self, at: Endpoint, args: Iterable[str], timeout_s: float) -> Reply:
        encoded = [arg.encode("utf-8", "surrogateescape") for arg in args]
        return await call(at, encoded, timeout_s=timeout_s, tls=self._tls, login=self._login)

    def stored_bytes(self, members: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """What each member that answers has stored."""
        found = {}
        for name, reply in self.ask_all(members, "INFO", "engine").items():
            text = reply.text if isinstance(reply, Verbatim) else reply
            for line in text.decode().splitlines() if isinstance(text, bytes) else ():
                field, _, value = line.partition(":")
                if field == "lsmkv_stored_bytes":
                    found[name] = int(value)
        return found


def _nodes_of(arguments: argparse.Namespace) -> Nodes:
    """ConfigError, OSError of files; ValueError of an address."""
    at = parse_endpoint(arguments.at)
    tls = client_context(Path(arguments.ca)) if arguments.ca else None
    login: Login | None = None
    if arguments.cluster_file is not None:
        cluster = load_cluster_file(Path(arguments.cluster_file))
        if tls is None and cluster.tls is not None:
            tls = client_context(cluster.tls.ca)
        login = Login(CLUSTER_USER, cluster_password(cluster) or b"")
    if arguments.user is not None:
        login = Login(arguments.user, read_password("password: "))
    return Nodes(at, tls, login)


def read_password(prompt: str) -> bytes:
    """Asked for, or a line of standard input."""
    text = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    return text.rstrip("\n").encode("utf-8", "surrogateescape")


Act = Callable[[Nodes, argparse.Namespace, Output], None]


def add_node_command(
    group: Commands, name: str, act: Act, summary: str, details: str = ""
) -> argparse.ArgumentParser:
    """A command that asks nodes: --at and how to log in, and --json."""

    def run(arguments: argparse.Namespace) -> int:
        act(_nodes_of(arguments), arguments, Output())
        return 0

    parser = add_command(group, name, run, summary, details, database=False)
    _add_node_flags(parser)
    add_json(parser)
    return parser


def _add_node_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", metavar="HOST:PORT", default=AT_DEFAULT, help="any node (default: %(default)s)"
    )
    parser.add_argument("--user", metavar="NAME", help="asks for the password, or reads it")
    parser.add_argument("--ca", metavar="FILE", help="use TLS, with this authority")
    parser.add_argument(
        "--cluster-file", metavar="FILE", help="log in by the secret in it, and use its authority"
    )
