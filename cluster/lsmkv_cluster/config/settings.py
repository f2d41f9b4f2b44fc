"""Every setting of the daemon, each described once.

A field of DaemonSettings is a setting: `listen` is the flag --listen, the variable LSMKV_LISTEN and
the key `listen` in a TOML file. Its description carries kind, default, group and help, and from it
come flags, environment, files, checks and the table in the documents (settings_table.py). Which of
several sources wins stands in origins.py; rules between settings stand here, in `check`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lsmkv_cluster.config.endpoints import Endpoint, is_wildcard
from lsmkv_cluster.config.setting_kinds import (
    Choice,
    EndpointList,
    FilePath,
    HostPort,
    Kind,
    Label,
    Number,
    Size,
    Switch,
)
from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.placement.members import WEIGHT_MAX, WEIGHT_ORDINARY

__all__ = [
    "CLUSTER_FILE",
    "ENVIRONMENT_PREFIX",
    "DaemonSettings",
    "Setting",
    "all_settings",
    "engine_options",
]

ENVIRONMENT_PREFIX = "LSMKV_"
CLUSTER_FILE = "cluster.toml"  # in the data directory, unless another is named
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

NODE = "Node"
ADDRESSES = "Addresses"
LIMITS = "Limits"
STORAGE = "Durability and memory"
SECURITY = "Security"
LOGGING = "Logging"

_COUNT = Number(1, 1_000_000)
_SECONDS = Number(1, 86_400)
_SECONDS_OR_NEVER = Number(0, 31_536_000)
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Setting:
    """What one setting is called, takes and means."""

    name: str
    kind: Kind
    group: str
    help: str
    default: object  # meaningless where it is required
    is_required: bool
    is_in_files: bool  # whether a TOML file may set it

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


def _setting(default: Any, kind: Kind, group: str, help: str, *, is_in_files: bool = True) -> Any:
    metadata = {"kind": kind, "group": group, "help": help, "is_in_files": is_in_files}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _local(port: int) -> Endpoint:
    return Endpoint("127.0.0.1", port)


@dataclass(frozen=True, kw_only=True)
class DaemonSettings:
    """REQUIRES: every value is one that its kind gives. ConfigError where they do not go
    together."""

    # --- node

    data: Path = _setting(_REQUIRED, FilePath("DIR"), NODE, "directory of everything it keeps")
    config: Path | None = _setting(
        None, FilePath(), NODE, "TOML file with settings; no key in one", is_in_files=False
    )
    cluster_file: Path | None = _setting(
        None, FilePath(), NODE,
        "file of the cluster, as `lsmkv cluster init` writes it (default: DATA/cluster.toml)",
    )  # fmt: skip
    join: tuple[Endpoint, ...] = _setting(
        (), EndpointList(64), NODE, "nodes of the cluster to join; without one it founds a cluster"
    )
    staged: bool = _setting(
        False, Switch(), NODE, "after joining, store nothing until `lsmkv cluster commit`"
    )
    node_id: str = _setting(
        "",
        Label(can_be_empty=True),
        NODE,
        "name of this node, unique in its cluster (default: made up, and kept)",
    )
    dc: str = _setting("dc1", Label(), NODE, "data centre it stands in")
    rack: str = _setting("rack1", Label(), NODE, "rack it stands in")
    host: str = _setting(
        "", Label(can_be_empty=True), NODE,
        "machine it runs on: has no two copies (default: host name; on loopback the node's name)",
    )  # fmt: skip
    weight: int = _setting(
        WEIGHT_ORDINARY, Number(0, WEIGHT_MAX), NODE,
        f"its share of the data; {WEIGHT_ORDINARY} is ordinary, 0 stores nothing",
    )  # fmt: skip

    # --- addresses

    listen: Endpoint = _setting(_local(7379), HostPort(), ADDRESSES, "for any client of Redis")
    cluster_listen: Endpoint = _setting(
        _local(7380), HostPort(), ADDRESSES, "for cluster clients of Redis"
    )
    peer_listen: Endpoint = _setting(
        _local(17379), HostPort(), ADDRESSES, "for the other nodes; its UDP port is gossip"
    )
    http: Endpoint | None = _setting(
        _local(8379), HostPort("off"), ADDRESSES, "for metrics, health and the dashboard"
    )
    announce: Endpoint | None = _setting(
        None, HostPort(""), ADDRESSES,
        "where others find `listen` (default: where it listens)",
    )  # fmt: skip
    announce_cluster: Endpoint | None = _setting(
        None, HostPort(""), ADDRESSES, "where others find `cluster_listen`"
    )
    announce_peer: Endpoint | None = _setting(
        None, HostPort(""), ADDRESSES, "where others find `peer_listen`"
    )

    # --- limits

    connections_max: int = _setting(10_000, _COUNT, LIMITS, "clients that are connected at once")
    connections_unauthenticated_max: int = _setting(
        256, _COUNT, LIMITS, "of them, those that still have to log in, where they have to"
    )
    handshake_seconds: int = _setting(
        10, _SECONDS, LIMITS, "until TLS is agreed on and, where it is needed, a login succeeds"
    )
    idle_seconds: int = _setting(
        0, _SECONDS_OR_NEVER, LIMITS, "without a command, until a client is disconnected; 0: never"
    )
    command_bytes_max: int = _setting(
        64 * MIB, Size(64 << 10, 512 * MIB), LIMITS, "of one command with all its arguments"
    )
    command_unauthenticated_bytes_max: int = _setting(
        64 << 10, Size(1 << 10, MIB), LIMITS, "of one command before a login"
    )
    key_bytes_max: int = _setting(32 << 10, Size(1, 65_000), LIMITS, "of a key")
    value_bytes_max: int = _setting(8 * MIB, Size(1, 8 * MIB), LIMITS, "of a value")
    pipeline_depth_max: int = _setting(
        1024, _COUNT, LIMITS, "commands of one client under way; more are not read until then"
    )
    input_buffers_total_bytes_max: int = _setting(
        32 * MIB, Size(MIB, TIB), LIMITS,
        "of large commands of all clients that have not come in whole; more of them wait",
    )  # fmt: skip
    output_buffer_bytes_max: int = _setting(
        32 * MIB,
        Size(64 << 10, 4 * GIB),
        LIMITS,
        "of replies that wait for one client to read them",
    )
    output_buffers_total_bytes_max: int = _setting(
        256 * MIB, Size(MIB, TIB), LIMITS, "of replies that wait for all clients"
    )
    slow_client_seconds: int = _setting(
        60, _SECONDS, LIMITS, "that a client may leave replies unread"
    )
    request_timeout_ms: int = _setting(
        2_000,
        Number(10, 30_000),
        LIMITS,
        "until a request is answered, whatever the other nodes do",
    )

    # --- durability and memory

    sync: str = _setting(
        "interval", Choice(("interval", "always")), STORAGE,
        "when a write is on stable storage: within `sync_interval_ms`, or before it is answered",
    )  # fmt: skip
    sync_interval_ms: int = _setting(
        1_000, Number(10, 60_000), STORAGE, "longest time between syncs"
    )
    repair_interval_seconds: int = _setting(
        600, Number(1, 86_400), STORAGE, "between two comparisons of a copy with each other one"
    )
    block_cache_size: int = _setting(
        128 * MIB, Size(0, TIB), STORAGE, "memory for blocks that were read"
    )
    row_cache_size: int = _setting(
        384 * MIB, Size(0, TIB), STORAGE, "memory for values that were read or written lately"
    )
    write_buffer_size: int = _setting(
        64 * MIB, Size(MIB, 4 * GIB), STORAGE, "memory for the newest writes; up to four of them"
    )

    # --- security

    users_file: Path | None = _setting(
        None, FilePath(), SECURITY, "TOML file of users, passwords and roles (default: no login)"
    )
    tls_ca: Path | None = _setting(
        None, FilePath(), SECURITY, "certificate of the cluster's authority, PEM"
    )
    tls_certificate: Path | None = _setting(
        None, FilePath(), SECURITY, "certificate of this node, PEM"
    )
    tls_key: Path | None = _setting(None, FilePath(), SECURITY, "key of that certificate, PEM")
    tls_clients: bool = _setting(
        True, Switch(), SECURITY, "clients, too, must use TLS where the node has a certificate"
    )

    # --- logging

    log_level: str = _setting(
        "info", Choice(("debug", "info", "warning", "error")), LOGGING, "what is logged at least"
    )
    log_format: str = _setting(
        "text", Choice(("text", "json")), LOGGING, "lines to read, or one JSON object a line"
    )

    def __post_init__(self) -> None:
        self._check_addresses()
        self._check_limits()
        given = [self.tls_ca, self.tls_certificate, self.tls_key]
        if any(given) and not all(given):
            raise ConfigError(
                "tls_ca, tls_certificate and tls_key are given together or not at all"
            )

    def _check_addresses(self) -> None:
        if self.staged and not self.join:
            raise ConfigError("a node that founds a cluster cannot wait for a commit", "", "staged")
        taken: dict[Endpoint, str] = {}
        for name in ("listen", "cluster_listen", "peer_listen", "http"):
            at: Endpoint | None = getattr(self, name)
            if at is not None and at.port and (other := taken.setdefault(at, name)) != name:
                raise ConfigError(f"{at} is that of {other}", "", name)
        for name in ("announce", "announce_cluster", "announce_peer"):
            at = getattr(self, name)
            if at is not None and (is_wildcard(at.host) or not at.port):
                raise ConfigError(f"nobody can connect to {at}", "", name)

    def _check_limits(self) -> None:
        if self.command_bytes_max < self.key_bytes_max + self.value_bytes_max:
            raise ConfigError(
                "a command has no room for a key and a value", "", "command_bytes_max"
            )
        if self.output_buffers_total_bytes_max < self.output_buffer_bytes_max:
            raise ConfigError("less than one client may have", "", "output_buffers_total_bytes_max")

    @property
    def cluster_path(self) -> Path:
        """Of the file of the cluster."""
        return self.cluster_file if self.cluster_file is not None else self.data / CLUSTER_FILE


def engine_options(settings: DaemonSettings) -> dict[str, object]:
    """For lsmkv.open: settings that are called as options of the engine are such."""
    names = ("block_cache_size", "row_cache_size", "write_buffer_size", "sync_interval_ms")
    return {name: getattr(settings, name) for name in names}


@cache
def all_settings() -> dict[str, Setting]:
    """By name, in the order in which they are explained."""
    found = {}
    for field in dataclasses.fields(DaemonSettings):
        is_required = field.default is dataclasses.MISSING
        default = None if is_required else field.default
        found[field.name] = Setting(
            name=field.name, default=default, is_required=is_required, **field.metadata
        )
    return found
