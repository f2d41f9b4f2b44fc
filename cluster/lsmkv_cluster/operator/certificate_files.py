"""The certificates of a cluster as files, beside the file of the cluster.

    tls/ca.pem    tls/ca.key         the authority; its key makes nodes, and no node needs it
    tls/NODE.pem  tls/NODE.key       of each node

Files are never overwritten: a node whose certificate runs out gets a new one after the old was
moved away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lsmkv.cli.arguments import UsageError
from lsmkv_cluster.config.cluster_file import ClusterFile, TlsFiles
from lsmkv_cluster.config.files import check_secret_file, write_file
from lsmkv_cluster.errors import ConfigError, TopologyError
from lsmkv_cluster.placement.members import check_name

if TYPE_CHECKING:
    from lsmkv_cluster.config.certificates import Credentials

__all__ = ["RELATIVE", "NodeHosts", "add_node", "make_authority", "parse_node_hosts"]

RELATIVE = TlsFiles(Path("tls/ca.pem"), Path("tls/{node}.pem"), Path("tls/{node}.key"))
AUTHORITY_KEY = "ca.key"  # beside its certificate
RESERVED_NAME = "ca"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class NodeHosts:
    """A node, and the names and addresses by which clients find it."""

    name: str
    hosts: tuple[str, ...]


def parse_node_hosts(text: str) -> NodeHosts:
    """NAME or NAME=HOST,HOST; UsageError for anything else."""
    name, _, listed = text.partition("=")
    try:
        check_name("node", name)
    except TopologyError as error:
        raise UsageError(str(error)) from error
    if name == RESERVED_NAME:
        raise UsageError(f"{name} is the authority, a node is called otherwise")
    return NodeHosts(name, tuple(host for host in listed.split(",") if host))


def make_authority(directory: Path, cluster: ClusterFile, now: datetime) -> None:
    """`directory` is that of the file of the cluster."""
    made = _new_authority(cluster.cluster_id, now)
    path = directory / RELATIVE.ca
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(path, path.with_name(AUTHORITY_KEY), made)


def add_node(cluster: ClusterFile, node: NodeHosts, now: datetime) -> TlsFiles:
    """REQUIRES: paths in `cluster` are where files are. The node's files; FileExistsError where
    there are some."""
    if cluster.tls is None:
        raise ConfigError("this cluster has no certificates: `lsmkv cluster init --tls` makes them")
    files = cluster.tls.of_node(node.name)
    made = _issue_node(cluster, cluster.tls.ca, node, now)
    _write(files.certificate, files.key, made)
    return files


def _new_authority(cluster_id: bytes, now: datetime) -> Credentials:
    try:
        from lsmkv_cluster.config.certificates import new_authority
    except ImportError as error:
        raise _missing(error) from error
    return new_authority(cluster_id, now)


def _issue_node(cluster: ClusterFile, ca: Path, node: NodeHosts, now: datetime) -> Credentials:
    try:
        from lsmkv_cluster.config.certificates import Credentials, issue_node
    except ImportError as error:
        raise _missing(error) from error
    key = ca.with_name(AUTHORITY_KEY)
    check_secret_file(key)
    authority = Credentials(ca.read_bytes(), key.read_bytes())
    hosts = _all_hosts(node.hosts)
    return issue_node(authority, cluster.cluster_id, node.name, hosts, now)


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(f"certificates need the extra: pip install 'lsmkv[certs]' ({error})")


def _all_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Local clients come by way of loopback."""
    return tuple(dict.fromkeys((*hosts, *LOCAL_HOSTS)))


def _write(certificate: Path, key: Path, made: Credentials) -> None:
    """The certificate is what says that both are there."""
    write_file(key, made.key)
    write_file(certificate, made.certificate, mode=0o644)
