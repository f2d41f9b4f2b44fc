"""What the commands see of this process (resp/host.py)."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from importlib import metadata

from lsmkv_cluster.config.cluster_file import ClusterFile, encode_cluster_file
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Now
from lsmkv_cluster.resp.host import Fact, Json
from lsmkv_cluster.serving.express import is_alone
from lsmkv_cluster.serving.local_node import LocalNode

__all__ = ["DaemonHost"]

SECONDS_PER_DAY = 86_400


class DaemonHost:
    """`stop` is called when a client wishes so."""

    def __init__(
        self,
        local: LocalNode,
        settings: DaemonSettings,
        cluster: ClusterFile,
        *,
        has_users: bool,
        now: Callable[[], Now],
        stop: Callable[[], None],
    ) -> None:
        self._node = local.node
        self._store = local.store
        self._db = local.db
        self._settings = settings
        self._cluster = cluster
        self._has_users = has_users
        self._now = now
        self._stop = stop
        self._started_ms = now().ms
        self._known: Topology | None = None
        self._is_alone = False
        self.port = settings.listen.port  # as it was bound

    @property
    def topology(self) -> Topology:
        return self._node.topology

    @property
    def me(self) -> MemberId:
        return self._node.me

    @property
    def is_alone(self) -> bool:
        topology = self._node.topology
        if topology is not self._known:
            self._known, self._is_alone = topology, is_alone(topology, self._node.me)
        return self._is_alone

    @property
    def timeout_ms(self) -> int:
        return self._settings.request_timeout_ms

    @property
    def has_users(self) -> bool:
        return self._has_users

    # --- what is known

    def is_reachable(self, member: MemberId) -> bool:
        return member == self._node.me or self._node.parts.membership.is_reachable(member)

    def key_estimate(self) -> int:
        trees = self._store.trees
        return sum(trees[partition].entry_count for partition in trees)

    def partition_size(self) -> int:
        return self._stored_size() // max(1, len(list(self._store.trees)))

    def _stored_size(self) -> int:
        """Bytes of all copies, on disk and still in memory."""
        stats = self._db.stats()
        tables = sum(level["size_bytes"] for level in stats["levels"])
        return int(tables) + int(stats["memtable_bytes"])

    def secrets(self) -> Mapping[str, Json]:
        return {"cluster": encode_cluster_file(self._cluster)}

    def info(self) -> Mapping[str, Mapping[str, Fact]]:
        uptime_s = (self._now().ms - self._started_ms) // 1000
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stats = self._db.stats()
        return {
            "Server": {
                "lsmkv_version": _version(),
                "os": f"{platform.system()} {platform.release()} {platform.machine()}",
                "python_version": sys.version.partition(" ")[0],
                "process_id": os.getpid(),
                "run_id": self.me.hex() + self.topology.cluster_id.hex()[:8],
                "tcp_port": self.port,
                "uptime_in_seconds": uptime_s,
                "uptime_in_days": uptime_s // SECONDS_PER_DAY,
            },
            "Memory": {
                "used_memory": usage.ru_maxrss * 1024,
                "used_memory_rss": usage.ru_maxrss * 1024,
                "used_memory_peak": usage.ru_maxrss * 1024,
            },
            "CPU": {
                "used_cpu_sys": round(usage.ru_stime, 6),
                "used_cpu_user": round(usage.ru_utime, 6),
            },
            "Engine": {
                "lsmkv_stored_bytes": self._stored_size(),
                **{
                    f"lsmkv_{name}": value
                    for name, value in stats.items()
                    if isinstance(value, int | float | str)
                },
            },
        }

    def config(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            "appendonly": "yes",
            "appendfsync": "always" if settings.sync == "always" else "everysec",
            "save": "",
            "maxclients": str(settings.connections_max),
            "timeout": str(settings.idle_seconds),
            "port": str(self.port),
            "proto-max-bulk-len": str(settings.value_bytes_max),
            "dir": str(settings.data),
            "databases": "1",
        }

    def shut_down(self) -> None:
        self._stop()


def _version() -> str:
    try:
        return metadata.version("lsmkv")
    except metadata.PackageNotFoundError:
        return "(not installed)"
