"""What the cluster raises besides the engine's exceptions."""

from __future__ import annotations

from lsmkv import Error

__all__ = ["TopologyError"]


class TopologyError(Error, ValueError):
    """A topology that contradicts itself or exceeds a limit, or bytes that are no topology.

    Raised for documents of our own making and for bytes from a peer or a disk alike: neither is
    ever believed in part.
    """
