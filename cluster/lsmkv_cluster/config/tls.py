"""TLS contexts: between nodes, for clients of a node, and of clients.

    between nodes   TLS 1.3; both sides show certificates, the cluster's authority is the only one.
                    Hosts are not looked at: `node_of` says which node it is, whatever its address
    for clients     TLS 1.2 or 1.3; the node shows its certificate, clients log in (users.py)
    of clients      the authority of the cluster, and the host in the certificate

Keys that others may read are refused, and encrypted ones: nobody is there to type a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsmkv_cluster.config.cluster_file import ClusterFile, TlsFiles
from lsmkv_cluster.config.files import check_secret_file
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.errors import ConfigError, ProtocolError
from lsmkv_cluster.refusals import Refusal

__all__ = [
    "PeerContexts",
    "client_context",
    "node_of",
    "node_uri",
    "peer_contexts",
    "server_context",
    "tls_files",
]


def tls_files(settings: DaemonSettings, cluster: ClusterFile | None, node: str) -> TlsFiles | None:
    """What the settings say, else the file of the cluster; None: there is no TLS."""
    if settings.tls_ca and settings.tls_certificate and settings.tls_key:
        return TlsFiles(settings.tls_ca, settings.tls_certificate, settings.tls_key)
    return cluster.tls.of_node(node) if cluster is not None and cluster.tls is not None else None


@dataclass(frozen=True, slots=True)
class PeerContexts:
    """Both ways of connections between nodes."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def peer_contexts(files: TlsFiles) -> PeerContexts:
    """ConfigError names the file that cannot be used; OSError as it comes."""
    made = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        _trust(context, files.ca)
        _show(context, files)
        made.append(context)
    server, client = made
    server.num_tickets = 0  # connections last, and each is to show its certificate
    return PeerContexts(server, client)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For the ports of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    _show(context, files)
    return context


def client_context(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, ca)
    return context


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise ConfigError(f"no certificate of an authority: {error}", str(ca)) from error


def _show(context: ssl.SSLContext, files: TlsFiles) -> None:
    check_secret_file(files.key)
    try:
        # With a password none is asked for.
        context.load_cert_chain(files.certificate, files.key, password=b"")
    except ssl.SSLError as error:
        message = f"no key of {files.certificate}: {error}"
        raise ConfigError(message, str(files.key)) from error


# --- who shows a certificate


def node_uri(cluster_id: bytes, name: str) -> str:
    """What the certificate of a node says it is."""
    return f"urn:lsmkv:{cluster_id.hex()}:node:{name}"


def node_of(certificate: Mapping[str, Any] | None, cluster_id: bytes) -> str:
    """The name of the node whose certificate (`getpeercert`) was verified; ProtocolError if it is
    none of this cluster, but perhaps one that the same authority gave to somebody else."""
    prefix = node_uri(cluster_id, "")
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "URI" and value.startswith(prefix):
            return str(value.removeprefix(prefix))
    raise ProtocolError(
        Refusal.UNAUTHENTIC, "its certificate is not that of a node of this cluster"
    )
