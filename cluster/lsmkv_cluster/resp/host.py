"""What the commands want of the process that they run in. The daemon fulfils it.

All of it is known at once: what has to be waited for is a query (queries.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology

__all__ = ["Fact", "Host", "Json"]

Fact = str | int | float
Json = None | bool | int | float | str | list["Json"] | tuple["Json", ...] | Mapping[str, "Json"]


class Host(Protocol):
    @property
    def topology(self) -> Topology: ...

    @property
    def me(self) -> MemberId: ...

    @property
    def is_alone(self) -> bool:
        """The only member, and it carries out what it is asked in the order in which it was asked:
        so commands can be as exact as in Redis."""
        ...

    @property
    def timeout_ms(self) -> int:
        """How long a request of a client may take."""
        ...

    @property
    def has_users(self) -> bool:
        """Whether a client has to say who it is."""
        ...

    def is_reachable(self, member: MemberId) -> bool: ...

    def key_estimate(self) -> int:
        """About how many keys this node has, deleted ones included, without counting them."""
        ...

    def partition_size(self) -> int:
        """About how many bytes one copy of a partition has, by those that are here."""
        ...

    def secrets(self) -> Mapping[str, Json]:
        """What a member needs to know to be one, besides the document: for KV.CLUSTER JOIN."""
        ...

    def info(self) -> Mapping[str, Mapping[str, Fact]]:
        """Sections of INFO by name ("Server", "Memory" ...), with what only the process knows; the
        rest is added, and where both know something this here is shown."""
        ...

    def config(self) -> Mapping[str, str]:
        """Settings for CONFIG GET, beside those that tools of Redis look for."""
        ...

    def shut_down(self) -> None:
        """A client wishes that the process ends cleanly."""
        ...
