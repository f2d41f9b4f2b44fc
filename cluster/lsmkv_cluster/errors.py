"""What the cluster raises besides the engine's exceptions, all below the engine's Error."""

from __future__ import annotations

from lsmkv import Error
from lsmkv_cluster.refusals import Refusal

__all__ = [
    "ConfigError",
    "ContextError",
    "ExposureError",
    "Malformed",
    "ProtocolError",
    "TooManySiblingsError",
    "TopologyError",
]


class TopologyError(Error, ValueError):
    """A topology that contradicts itself or exceeds a limit, or bytes that are no topology.

    Raised for documents of our own making and for bytes from a peer or a disk alike: neither is
    ever believed in part.
    """


class Malformed(Error):
    """Bytes that no writer of ours can have written. Who knows what they were to be says so with
    an exception of its own."""


class ProtocolError(Error):
    """The peer broke the protocol; `refusal` says how. Nothing of what it sent is kept."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(f"{refusal.name.lower().replace('_', ' ')}: {message}")
        self.refusal = refusal
        self.message = message


class ContextError(Error, ValueError):
    """A context that we did not make, or not for this key."""


class TooManySiblingsError(Error):
    """A client write was refused, nothing was written: read, and write with the context."""


class ConfigError(Error, ValueError):
    """A setting, or a file of settings, that cannot be used.

    `where` names the file, flag or variable, `key` the setting in it (empty: all of it).
    """

    def __init__(self, message: str, where: str = "", key: str = "") -> None:
        super().__init__(": ".join(part for part in (where, key, message) if part))
        self.message = message
        self.where = where
        self.key = key


class ExposureError(ConfigError):
    """An address that others could reach, without what would keep them out."""
