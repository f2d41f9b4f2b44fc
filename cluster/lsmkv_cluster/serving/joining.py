"""The side of a node that joins: asks the members it was told of, one after the other.

    KV.CLUSTER JOIN member [STAGED] -> the document that has it, and the file of the cluster

The answer is believed because of whom was asked: an address that its operator gave, over TLS where
the cluster has it. A node that has the file of a cluster joins no other one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext

from lsmkv_cluster.client.calling import CallError, Login, call
from lsmkv_cluster.config.cluster_file import ClusterFile, decode_cluster_file
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.security import cluster_password
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.users import CLUSTER_USER
from lsmkv_cluster.errors import ConfigError, TopologyError
from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import decode_topology
from lsmkv_cluster.resp.change_json import member_json

__all__ = ["Joined", "JoinError", "join"]

ANSWER_S = 30.0
ROUNDS = 5  # through all members that are known
PAUSE_S = 1.0

_log = logging.getLogger("lsmkv")


class JoinError(ConfigError):
    """Nobody took this node in."""


@dataclass(frozen=True, slots=True)
class Joined:
    document: Topology
    cluster: ClusterFile


async def join(
    settings: DaemonSettings,
    me: Member,
    cluster: ClusterFile | None,
    tls: SSLContext | None = None,
) -> Joined:
    """JoinError says what each of those who were asked has answered."""
    args = [b"KV.CLUSTER", b"JOIN", json.dumps(member_json(me)).encode()]
    if settings.staged:
        args.append(b"STAGED")
    said: dict[Endpoint, str] = {}
    for attempt in range(ROUNDS):
        if attempt:
            await asyncio.sleep(PAUSE_S)
        for endpoint in settings.join:
            try:
                answer = await _ask(endpoint, args, cluster, tls)
                return _checked(answer, cluster)
            except (CallError, OSError, TimeoutError) as error:
                said[endpoint] = str(error) or "no answer in time"
                _log.warning("joining at %s: %s", endpoint, said[endpoint])
    raise JoinError("; ".join(f"{endpoint}: {text}" for endpoint, text in said.items()), "", "join")


async def _ask(
    endpoint: Endpoint, args: Sequence[bytes], cluster: ClusterFile | None, tls: SSLContext | None
) -> object:
    """Who has the file of the cluster can log in where that is wanted."""
    try:
        return await call(endpoint, args, timeout_s=ANSWER_S, tls=tls)
    except CallError as error:
        password = cluster_password(cluster)
        if password is None or not str(error).startswith("NOAUTH"):
            raise
    login = Login(CLUSTER_USER, password)
    return await call(endpoint, args, timeout_s=ANSWER_S, tls=tls, login=login)


def _checked(answer: object, cluster: ClusterFile | None) -> Joined:
    try:
        fields = json.loads(answer if isinstance(answer, bytes) else b"")
        document = decode_topology(bytes.fromhex(fields["document"]))
        given = decode_cluster_file(fields["secrets"]["cluster"], "the answer to JOIN")
    except (ValueError, KeyError, TypeError, TopologyError) as error:
        raise CallError(f"it answers with something else: {error}") from error
    if given.cluster_id != document.cluster_id:
        raise CallError("it answers with the document of another cluster")
    if cluster is not None and cluster.cluster_id != given.cluster_id:
        raise JoinError(
            f"that is cluster {given.cluster_id.hex()}, this node is of "
            f"{cluster.cluster_id.hex()}", "", "join",
        )  # fmt: skip
    return Joined(document, cluster or given)
