"""What commands ask for while they run, and what they are told.

    query          answer         who knows
    ClientRequest  ClientAnswer   the coordinator (coordination/requests.py)
    AdminChange    AdminAnswer    the keeper of the topology (driver_ports.AdminCall, AdminReply)
    ScanPage       Page           who lists keys (scanning/scanner.py)
    Explain        Explained      who asks each owner of a key (coordination/explaining.py)
    Login          LoggedIn       who knows the users
    Repair         Report         who compares copies; how far that is, REPAIR tells as well
    AdminReport    Report         what the process knows of itself: STATUS, HINTS, MOVES, REPAIR ...

A query that cannot be answered is answered with Failed, and the client with its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import Change
from lsmkv_cluster.resp.host import Json
from lsmkv_cluster.scanning.scan_pages import Listed, Page, ScanPage

__all__ = [
    "AdminAnswer",
    "AdminChange",
    "AdminReport",
    "Answer",
    "Asking",
    "Explain",
    "Explained",
    "Failed",
    "Listed",
    "LoggedIn",
    "Login",
    "Page",
    "Query",
    "Repair",
    "Report",
    "ScanPage",
]

# --- queries -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdminChange:
    change: Change
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Explain:
    key: bytes


@dataclass(frozen=True, slots=True)
class Repair:
    """Of one partition, or of all that are here."""

    partition: int | None = None


@dataclass(frozen=True, slots=True)
class AdminReport:
    """`subject` is a subcommand of KV.CLUSTER, such as "STATUS", with its arguments."""

    subject: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Login:
    """To check a password takes its time, on purpose."""

    user: str
    password: bytes


Query = ClientRequest | AdminChange | ScanPage | Explain | Repair | AdminReport | Login


class Asking(NamedTuple):
    """`token` comes back with the answer; `client` is the session's id. Within `timeout_ms` the
    answer is there, whatever it says."""

    token: int
    query: Query
    timeout_ms: int
    client: int


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """The epoch is that of the document that brought the change, or of the present one."""

    outcome: Outcome
    epoch: int
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    content: Json


class Explained(NamedTuple):
    told: tuple[Told, ...]


class LoggedIn(NamedTuple):
    """`role` None: as nobody."""

    role: Role | None


@dataclass(frozen=True, slots=True)
class Failed:
    """`text` is the error that the client gets, beginning with its kind."""

    text: str


Answer = ClientAnswer | AdminAnswer | Page | Explained | Report | LoggedIn | Failed
