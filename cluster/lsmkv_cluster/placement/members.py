"""Members: the nodes that a topology document names, and where they stand.

A member is known by its id, random and never used again: a node that comes back with an empty
store is another member, whatever its name. Names, too, are unique, for the people who read them.
`host` is what fails together with the process, `rack` and `dc` what fails or is cut off together;
all members of a host are in the same rack.

Weights are relative: 100 is an ordinary member, one of 200 carries twice as much. Weight 0
coordinates requests and stores nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from lsmkv_cluster.errors import TopologyError

__all__ = [
    "CLUSTER_ID_SIZE",
    "MEMBER_ID_SIZE",
    "MEMBERS_MAX",
    "ADDRESSES_MAX",
    "CLUSTER_FACE",
    "HTTP_FACE",
    "PEER_FACE",
    "PLAIN_FACE",
    "WEIGHT_ORDINARY",
    "WEIGHT_MAX",
    "Address",
    "Member",
    "MemberId",
    "MemberState",
    "actor_number",
    "check_members",
    "check_name",
    "default_host",
]

CLUSTER_ID_SIZE = 16  # bytes, random
MEMBER_ID_SIZE = 16  # bytes, random
MEMBERS_MAX = 1024
ADDRESSES_MAX = 8  # faces of one member
WEIGHT_ORDINARY = 100
WEIGHT_MAX = 10_000

# Faces that this version has: an ordinary server for clients, slots for clients of clusters, peers.
PLAIN_FACE: Final = "resp"
CLUSTER_FACE: Final = "cluster"
PEER_FACE: Final = "peer"
HTTP_FACE: Final = "http"

MemberId = bytes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_ADDRESS = re.compile(r"[!-~]{1,255}")


class MemberState(IntEnum):
    """Numbers are persistent."""

    JOINED = 1  # a member without partitions, until the next plan
    SERVING = 2  # gets its share of partitions
    LEAVING = 3  # gets none: the next plan takes away what it has
    STAGED = 4  # a member without partitions, until an operator commits
    REMOVED = 5  # for good: nobody listens to it, and it stays here only while a row names it


@dataclass(frozen=True, order=True)
class Address:
    """Where one face of a member announces itself, such as peer and 10.0.0.7:7100."""

    face: str
    location: str

    def __post_init__(self) -> None:
        check_name("face", self.face)
        if not _ADDRESS.fullmatch(self.location):
            raise TopologyError(f"address {self.location!r} of face {self.face}")


@dataclass(frozen=True)
class Member:
    id: MemberId
    name: str
    dc: str
    rack: str
    host: str
    weight: int = WEIGHT_ORDINARY
    state: MemberState = MemberState.SERVING
    addresses: tuple[Address, ...] = ()  # ascending, one for each face

    def __post_init__(self) -> None:
        if len(self.id) != MEMBER_ID_SIZE:
            raise TopologyError(f"a member id of {len(self.id)} bytes instead of {MEMBER_ID_SIZE}")
        for what in ("name", "dc", "rack", "host"):
            check_name(what, getattr(self, what))
        if not 0 <= self.weight <= WEIGHT_MAX:
            raise TopologyError(f"{self.name}: weight {self.weight} is not 0 to {WEIGHT_MAX}")
        if len(self.addresses) > ADDRESSES_MAX:
            raise TopologyError(f"{self.name}: more than {ADDRESSES_MAX} addresses")
        faces = [address.face for address in self.addresses]
        if faces != sorted(set(faces)):
            raise TopologyError(f"{self.name}: addresses out of order, or two for one face")

    def location_of(self, face: str) -> str | None:
        return next((each.location for each in self.addresses if each.face == face), None)

    @property
    def stores(self) -> bool:
        """Whether a plan gives partitions to it."""
        return self.state is MemberState.SERVING and self.weight > 0

    @property
    def votes(self) -> bool:
        """Whether it takes part in deciding on the next document."""
        return self.state is not MemberState.REMOVED


def actor_number(id: MemberId) -> int:
    """What stands for a member in dots: the first 32 bits of its id."""
    return int.from_bytes(id[:4], "big")


def check_name(what: str, name: str) -> None:
    """Names are short, printable and free of spaces: they stand in tables and scripts."""
    if not _NAME.fullmatch(name):
        raise TopologyError(f"{what} {name[:80]!r}: 1 to 64 letters, digits, and . _ : - inside")


def check_members(members: Iterable[Member]) -> None:
    """Ids, their actor numbers and names are unique, and nobody stands in two places."""
    ids: set[MemberId] = set()
    numbers: set[int] = set()
    names: set[str] = set()
    places: dict[str, tuple[str, str]] = {}
    for member in members:
        number = actor_number(member.id)
        if number in numbers or member.name in names:
            raise TopologyError(
                f"two members {member.name}, or with ids like {member.id.hex()}: the first 4 bytes "
                "must differ, as they name who wrote a version"
            )
        place = (member.dc, member.rack)
        if places.setdefault(member.host, place) != place:
            raise TopologyError(f"host {member.host} stands in two racks")
        ids.add(member.id)
        numbers.add(number)
        names.add(member.name)
    if len(ids) > MEMBERS_MAX:
        raise TopologyError(f"{len(ids)} members, the limit is {MEMBERS_MAX}")


def default_host(name: str, address: str, hostname: str) -> str:
    """The host of a member that was not told one.

    On loopback every node counts as a host of its own, because a cluster on one machine could not
    place two copies otherwise: it pretends, and the tools say so.
    """
    bare = address.removeprefix("[").partition("]")[0] if "]" in address else address
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        is_loopback = ipaddress.ip_address(bare).is_loopback
    except ValueError:
        is_loopback = bare == "localhost"
    return name if is_loopback else hostname
