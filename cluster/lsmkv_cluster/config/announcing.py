"""What a node tells others about where it is to be found, one address for each face.

An address that was set counts; else the one that was bound, whose port may have been any. Nobody
can connect to "all addresses": there one has to be set.
"""

from __future__ import annotations

from collections.abc import Mapping

from lsmkv_cluster.config.endpoints import Endpoint, is_wildcard
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.placement.members import CLUSTER_FACE, PEER_FACE, PLAIN_FACE, Address

__all__ = ["announced"]

SETTINGS = {  # which sets the address of a face
    PLAIN_FACE: "announce",
    CLUSTER_FACE: "announce_cluster",
    PEER_FACE: "announce_peer",
}


def announced(settings: DaemonSettings, bound: Mapping[str, Endpoint]) -> tuple[Address, ...]:
    """For a Member. `bound`: where each face listens. ConfigError where nobody could connect.

    The host that is announced for clients is also that of faces which were told none.
    """
    return tuple(Address(face, str(_found(settings, face, bound[face]))) for face in sorted(bound))


def _found(settings: DaemonSettings, face: str, at: Endpoint) -> Endpoint:
    setting = SETTINGS.get(face)
    given: Endpoint | None = getattr(settings, setting) if setting is not None else None
    if given is not None:
        return given
    if is_wildcard(at.host):
        if settings.announce is None:
            key = setting or "announce"
            raise ConfigError(f"{face} listens on {at}: others need an address", "", key)
        return Endpoint(settings.announce.host, at.port)
    return at
