"""One connection of a client, as far as commands know of it.

What commands change here, they change when they begin, and they begin in the order in which they
came: so a SELECT or a MULTI holds for what comes after it, though answers may be outstanding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.placement.keyspaces import Consistency, Mode

__all__ = ["KEYSPACES_LEVELS", "Levels", "Queued", "Session", "Transaction", "Watched"]


class Levels(NamedTuple):
    """What the requests of a connection ask for; None is what the key's keyspace says."""

    read: Consistency | None = None
    write: Consistency | None = None
    mode: Mode | None = None


KEYSPACES_LEVELS = Levels()


class Queued(NamedTuple):
    """A command of a transaction, checked: of a known name, and with as many arguments as fit."""

    name: str
    args: list[bytes]


class Watched(NamedTuple):
    """A key when it was first watched: whether there was something, and its record."""

    is_alive: bool
    record: bytes | None


@dataclass(slots=True)
class Transaction:
    """From MULTI on. `is_broken`: a command was refused, so EXEC will be, too."""

    commands: list[Queued] = field(default_factory=list)
    is_broken: bool = False


@dataclass(slots=True, eq=False)
class Session:
    """`id` is a number that no other connection of this process ever has. `role` is None until the
    client has said who it is, where that matters (Host.has_users)."""

    id: int
    created_ms: int = 0  # wall time
    address: str = ""
    local_address: str = ""
    is_cluster_port: bool = False
    protocol: int = 2
    name: bytes = b""
    library: bytes = b""
    library_version: bytes = b""
    user: str = "default"
    role: Role | None = None
    levels: Levels = KEYSPACES_LEVELS
    transaction: Transaction | None = None
    watched: dict[bytes, Watched] = field(default_factory=dict)
    is_asking: bool = False  # the next command comes from a redirection
    is_closing: bool = False  # nothing is carried out any more
    last_ms: int = 0  # wall time of the last command
    last_command: str = ""

    def reset(self) -> None:
        """As if newly connected; who it is has to be said again."""
        self.protocol = 2
        self.name = b""
        self.user = "default"
        self.role = None
        self.levels = KEYSPACES_LEVELS
        self.transaction = None
        self.watched = {}
        self.is_asking = False
