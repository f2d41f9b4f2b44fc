"""May a node listen there? On loopback always; where others could come only with what keeps them
out.

    port               needs, unless it is on loopback
    peer_listen        TLS (both sides show certificates of the cluster), and the secret
    listen,
    cluster_listen,    TLS, and users
    http

Anything that is not known to be loopback counts as reachable: a name, an unspecified address. The
daemon asks before it opens any socket, and an error ends it: it never listens in part.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.config.endpoints import Endpoint, is_loopback
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.errors import ExposureError

__all__ = ["Protection", "check_exposure"]

CLIENT_PORTS = ("listen", "cluster_listen", "http")
PEER_PORT = "peer_listen"
TLS_HINT = "TLS (tls_ca, tls_certificate and tls_key, or [tls] in the file of the cluster)"
CLIENT_TLS_HINT = "TLS for clients (tls_clients = true)"
USERS_HINT = "users (users_file; `lsmkv cluster passwd` makes a line of it)"
SECRET_HINT = "a secret (`lsmkv cluster init` makes one)"


@dataclass(frozen=True, slots=True)
class Protection:
    """What there is to keep others out."""

    has_tls: bool
    has_users: bool
    has_secret: bool


def check_exposure(settings: DaemonSettings, protection: Protection) -> None:
    """ExposureError names the address and all that is missing for it."""
    for name in (*CLIENT_PORTS, PEER_PORT):
        at: Endpoint | None = getattr(settings, name)
        if at is None or is_loopback(at.host):
            continue
        missing = [] if protection.has_tls else [TLS_HINT]
        if name == PEER_PORT:
            missing += [] if protection.has_secret else [SECRET_HINT]
        else:
            missing += [] if settings.tls_clients else [CLIENT_TLS_HINT]
            missing += [] if protection.has_users else [USERS_HINT]
        if missing:
            message = f"others could reach {at}: it needs {' and '.join(missing)}, or 127.0.0.1"
            raise ExposureError(message, "", name)
