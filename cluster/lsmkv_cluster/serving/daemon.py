"""One node as a process: founded or joined, opened, listening, and ended cleanly.

    who it is      node.toml, durable before it speaks to anybody
    what it is of  cluster.toml: made here by who founds a cluster, given by who is joined
    what it knows  the stored document; a new store gets its first from founding or joining
    order          sockets, store, node, peers; clients at last, and first at the end

Nothing here decides anything of the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass, replace

from lsmkv_cluster.boot import NodeSettings, Secrets
from lsmkv_cluster.config.announcing import announced
from lsmkv_cluster.config.cluster_file import (
    ClusterFile,
    load_cluster_file,
    new_cluster,
    save_cluster_file,
)
from lsmkv_cluster.config.cluster_keys import derive_keys
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.node_file import NodeFile, create_node_file, load_node_file
from lsmkv_cluster.config.security import secure
from lsmkv_cluster.config.settings import DaemonSettings, engine_options
from lsmkv_cluster.config.tls import tls_files
from lsmkv_cluster.placement.members import (
    CLUSTER_FACE,
    HTTP_FACE,
    PEER_FACE,
    PLAIN_FACE,
    Address,
    Member,
    default_host,
)
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.serving.client_ports import ClientPorts
from lsmkv_cluster.serving.founding import Founding, first_document
from lsmkv_cluster.serving.hosting import DaemonHost
from lsmkv_cluster.serving.http_port import HttpPort, Page
from lsmkv_cluster.serving.joining import join
from lsmkv_cluster.serving.local_node import LocalNode, has_database, is_serving, open_node
from lsmkv_cluster.serving.node_metrics import metrics_page
from lsmkv_cluster.serving.reports import NodeReports
from lsmkv_cluster.serving.resp_connection import RespLimits
from lsmkv_cluster.serving.running_node import RunningNode
from lsmkv_cluster.serving.sockets import PeerSockets, endpoint_of, listen, listen_for_peers
from lsmkv_cluster.serving.system_clock import SystemClock

__all__ = ["Daemon"]

DRAIN_S = 5.0  # that clients have, at the end, for what is under way

_log = logging.getLogger("lsmkv")


@dataclass(frozen=True, slots=True)
class Bound:
    """Open sockets, by face."""

    plain: socket.socket
    cluster: socket.socket
    peers: PeerSockets
    http: socket.socket | None

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        found = {
            PLAIN_FACE: endpoint_of(self.plain),
            CLUSTER_FACE: endpoint_of(self.cluster),
            PEER_FACE: self.peers.endpoint,
        }
        return found if self.http is None else {**found, HTTP_FACE: endpoint_of(self.http)}

    def close(self) -> None:
        for bound in (self.plain, self.cluster, self.peers, self.http):
            if bound is not None:
                bound.close()


def bind(settings: DaemonSettings) -> Bound:
    """All or none."""
    opened: list[socket.socket | PeerSockets] = []
    try:
        opened.append(plain := listen(settings.listen))
        opened.append(cluster := listen(settings.cluster_listen))
        opened.append(peers := listen_for_peers(settings.peer_listen))
        http = listen(settings.http) if settings.http is not None else None
    except OSError:
        for each in opened:
            each.close()
        raise
    return Bound(plain, cluster, peers, http)


class Daemon:
    """`start`, then `run` until somebody calls `request_stop`, then it has ended."""

    def __init__(self, settings: DaemonSettings) -> None:
        self.settings = settings
        self._stop = asyncio.Event()
        self._clock = SystemClock()

    def request_stop(self) -> None:
        self._stop.set()

    async def start(self) -> None:
        """Whatever goes wrong comes out, and nothing is left open."""
        settings = self.settings
        self.node_file = _node_file(settings)
        cluster = _cluster_file(settings)
        self.security = secure(settings, cluster, self.node_file.name)
        self._bound = bind(settings)
        try:
            self.addresses = announced(settings, self._bound.endpoints)
            local = await self._open(cluster)
            if cluster is None:  # it is known now, and so is the password of its other nodes
                self.security = secure(settings, self._cluster, self.node_file.name)
        except BaseException:
            self._bound.close()
            raise
        self.running = RunningNode(local, self._bound.peers, self.security.peers)
        await self.running.start()
        try:
            await self._listen(local)
        except BaseException:
            await self.running.stop()
            self._bound.close()
            raise

    async def _listen(self, local: LocalNode) -> None:
        settings, now = self.settings, self._clock.now
        host = DaemonHost(
            local, settings, self._cluster, now=now, stop=self.request_stop,
            has_users=self.security.users is not None,
        )  # fmt: skip
        host.port = endpoint_of(self._bound.plain).port
        reports = NodeReports(local.node, now)
        is_express = settings.sync != "always"
        self.clients = ClientPorts(
            self.running,
            host,
            reports,
            self.security.users,
            _limits(settings),
            is_express=is_express,
        )
        tls = self.security.clients
        await self.clients.listen(self._bound.plain, is_cluster_port=False, tls=tls)
        await self.clients.listen(self._bound.cluster, is_cluster_port=True, tls=tls)
        self.http = HttpPort(
            {"/health": self._health, "/ready": self._readiness, "/metrics": self._metrics}
        )
        self._http_server: asyncio.Server | None = None
        if self._bound.http is not None:
            loop = asyncio.get_running_loop()
            self._http_server = await loop.create_server(
                self.http.accept, sock=self._bound.http, ssl=tls
            )

    async def until_serving(self, timeout_s: float) -> bool:
        """Whether its start was over by then. Until it is, requests are refused."""
        is_over = asyncio.Event()

        def look() -> None:
            if is_serving(self.running.node):
                is_over.set()

        self.running.driver.after_step(look)
        look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), timeout_s)
        return is_over.is_set()

    async def run(self) -> None:
        """Until it is to end, or the node has failed: that comes out once all is closed."""
        failed = asyncio.ensure_future(self.running.driver.stopped.wait())
        wished = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([failed, wished], return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        wished.cancel()
        await self.stop()
        failure = self.running.driver.failure
        if failure is not None and not isinstance(failure, asyncio.CancelledError):
            raise failure

    async def stop(self) -> None:
        _log.info("ending: no new clients, %s s for what is under way", DRAIN_S)
        try:
            await self.clients.close(DRAIN_S)
        finally:
            if self._http_server is not None:
                self._http_server.close()
            self.http.close()
            await self.running.stop()

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Where it listens, by face."""
        return self._bound.endpoints

    def greeting(self) -> list[str]:
        """What the user is told once it listens."""
        ends = self.endpoints
        http = f", http {ends[HTTP_FACE]}" if HTTP_FACE in ends else ""
        topology = self.running.node.topology
        members = len(topology.voters)
        plain = ends[PLAIN_FACE]
        tls, grow = "", f"--join {plain}"
        if self.security.clients is not None:
            files = tls_files(self.settings, self._cluster, self.node_file.name)
            tls = f" --tls --cacert {files.ca}" if files is not None else ""
            grow += f" --cluster-file {self.settings.cluster_path} --node-id NAME"
        return [
            f"lsmkv node {self.node_file.name} serves: clients {plain}, cluster clients "
            f"{ends[CLUSTER_FACE]}, nodes {ends[PEER_FACE]}{http}",
            f"cluster {topology.cluster_id.hex()[:8]} of {members} "
            f"{'node' if members == 1 else 'nodes'}; data in {self.settings.data}",
            f"try:   redis-cli -h {plain.host} -p {plain.port}{tls} set hello world",
            f"grow:  lsmkv serve --data DIR {grow} --listen 127.0.0.1:0 "
            "--cluster-listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 --http 127.0.0.1:0",
        ]

    # --- who and where

    def member(self) -> Member:
        settings, node = self.settings, self.node_file
        host = settings.host or default_host(
            node.name, settings.peer_listen.host, socket.gethostname()
        )
        return Member(
            node.id, node.name, settings.dc, settings.rack, host, settings.weight,
            addresses=self.addresses,
        )  # fmt: skip

    async def _open(self, cluster: ClusterFile | None) -> LocalNode:
        settings = self.settings
        first: Topology | None = None
        is_founding = False
        if not has_database(settings.data):
            if settings.join:
                joined = await join(settings, self.member(), cluster, self.security.other_nodes)
                first, cluster = joined.document, joined.cluster
                _save(settings, cluster)
            else:
                cluster = cluster or new_cluster()
                _save(settings, cluster)
                first = _founded(cluster, settings, self.member())
                is_founding = True
        if cluster is None:
            raise FileNotFoundError(f"{settings.cluster_path}: the node's cluster is not known")
        self._cluster = cluster
        keys = derive_keys(cluster.secret, cluster.cluster_id)
        return open_node(
            settings.data,
            self.node_file.id,
            Secrets(keys.contexts, (keys.datagrams,)),
            first,
            is_founding=is_founding,
            options=engine_options(settings),
            settings=_node_settings(settings, self.addresses),
        )

    # --- pages

    def _health(self) -> Page:
        return Page(b"ok\n")

    def _readiness(self) -> Page:
        is_ready = is_serving(self.running.node)
        return Page(b"ok\n") if is_ready else Page(b"starting\n", status=503)

    def _metrics(self) -> Page:
        return metrics_page(self.running, self.clients)


def _node_file(settings: DaemonSettings) -> NodeFile:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return load_node_file(settings.data) or create_node_file(settings.data, settings.node_id)


def _cluster_file(settings: DaemonSettings) -> ClusterFile | None:
    try:
        return load_cluster_file(settings.cluster_path)
    except FileNotFoundError:
        return None


def _save(settings: DaemonSettings, cluster: ClusterFile) -> None:
    try:
        save_cluster_file(settings.cluster_path, cluster)
    except FileExistsError:
        return


def _founded(cluster: ClusterFile, settings: DaemonSettings, me: Member) -> Topology:
    replicas = cluster.replicas_with(settings.dc)
    founding = Founding(cluster.cluster_id, cluster.key_seed, cluster.partition_count, replicas)
    return first_document(founding, me)


def _node_settings(settings: DaemonSettings, addresses: tuple[Address, ...]) -> NodeSettings:
    default = NodeSettings()
    return replace(
        default,
        addresses=addresses,
        writing=replace(default.writing, syncs_always=settings.sync == "always"),
        antientropy=replace(default.antientropy, period_ms=settings.repair_interval_seconds * 1000),
    )


def _limits(settings: DaemonSettings) -> RespLimits:
    return RespLimits(
        connections_max=settings.connections_max,
        strangers_max=settings.connections_unauthenticated_max,
        login_s=settings.handshake_seconds,
        idle_s=settings.idle_seconds,
        command_size_max=settings.command_bytes_max,
        value_size_max=settings.value_bytes_max,
        pipeline_max=settings.pipeline_depth_max,
        output_size_max=settings.output_buffer_bytes_max,
        input_total_size_max=settings.input_buffers_total_bytes_max,
        output_total_size_max=settings.output_buffers_total_bytes_max,
        slow_s=settings.slow_client_seconds,
    )
