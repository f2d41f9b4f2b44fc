"""What keeps others out of a node, put together before it opens a socket.

    settings, file of the cluster -> who may come where -> TLS contexts and users

Whatever is missing or wrong is an error here, so a node listens with everything or not at all.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from lsmkv_cluster.config.cluster_file import ClusterFile
from lsmkv_cluster.config.cluster_keys import derive_keys
from lsmkv_cluster.config.exposure import Protection, check_exposure
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.tls import (
    PeerContexts,
    client_context,
    peer_contexts,
    server_context,
    tls_files,
)
from lsmkv_cluster.config.users import Users, load_users

__all__ = ["Security", "cluster_password", "secure"]


@dataclass(frozen=True, slots=True)
class Security:
    peers: PeerContexts | None = None
    clients: ssl.SSLContext | None = None  # of the ports of clients, and of HTTP
    other_nodes: ssl.SSLContext | None = None  # for their ports of clients, to join there
    users: Users | None = None  # None: everybody is an administrator


def secure(settings: DaemonSettings, cluster: ClusterFile | None, node: str) -> Security:
    """`cluster`: None where it is not known yet, because the node joins without a file; the user
    `cluster` can log in once it is. ExposureError, ConfigError, or OSError of a file."""
    files = tls_files(settings, cluster, node)
    # A founder makes a secret, and who joins is given one before it answers any peer.
    protection = Protection(
        has_tls=files is not None, has_users=settings.users_file is not None, has_secret=True
    )
    check_exposure(settings, protection)
    users = (
        load_users(settings.users_file, cluster_password(cluster)) if settings.users_file else None
    )
    if files is None:
        return Security(users=users)
    return Security(
        peers=peer_contexts(files),
        clients=server_context(files) if settings.tls_clients else None,
        other_nodes=client_context(files.ca) if settings.tls_clients else None,
        users=users,
    )


def cluster_password(cluster: ClusterFile | None) -> bytes | None:
    """Of the user `cluster`."""
    return derive_keys(cluster.secret, cluster.cluster_id).password if cluster is not None else None
