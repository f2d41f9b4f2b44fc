"""What the server says it is: the Redis whose commands it has, as tools ask for versions."""

from __future__ import annotations

from typing import Final

from lsmkv_cluster.resp.session import Session

__all__ = ["REDIS_VERSION", "mode_of"]

REDIS_VERSION: Final = "7.0.15"


def mode_of(session: Session) -> str:
    """By port: what is not asked as a cluster does not look like one."""
    return "cluster" if session.is_cluster_port else "standalone"
