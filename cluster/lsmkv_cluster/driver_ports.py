"""What a driver gives to a node and carries out for it: the border between protocol and world.

The driver owns sockets, clocks, disks and threads; the node (node.py) owns every decision. In:

    FrameIn        a whole frame from a peer whose handshake was accepted
    DatagramIn     the bytes of one datagram, whoever sent them
    PeerLost       the last connection to a peer went away: what was sent may or may not have come
    ClientCall     a request of a client
    AdminCall      an operator's wish for another topology
    ScanCall       a client wants a page of keys
    ExplainCall    somebody wants to know what is where of a key
    RepairCall     an operator wants copies compared now
    Stored         (ports.py) the result of a StoreOrder, by its token

Out:

    FrameOut         to a peer, on the lane it names; lost only with its connection, and in order
    DatagramOut      to a peer; may get lost
    StoreOrder       (ports.py) for the store, in this order
    ClientReply      exactly one for each ClientCall, unless the node dies
    AdminReply       the same for each AdminCall
    ScanReply        the same for each ScanCall, ExplainReply for each ExplainCall, and RepairReply
                     for each RepairCall
    DropConnections  forget all that was received and not given to the node, and begin anew: the
                     node was asleep, and what lies in its buffers is from before
    Alarm            (ports.py) for the log
"""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Stored, StoreOrder
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import Change
from lsmkv_cluster.scanning.scan_pages import Page, ScanPage, Unlisted
from lsmkv_cluster.transport.wire import Frame

__all__ = [
    "AdminCall",
    "AdminReply",
    "ClientCall",
    "ClientReply",
    "DatagramIn",
    "DatagramOut",
    "AnyCall",
    "DropConnections",
    "ExplainCall",
    "ExplainReply",
    "FrameIn",
    "FrameOut",
    "Input",
    "NodeEffect",
    "PeerLost",
    "RepairCall",
    "RepairReply",
    "ScanCall",
    "ScanReply",
]


class FrameIn(NamedTuple):
    peer: MemberId
    frame: Frame


class DatagramIn(NamedTuple):
    data: bytes


class PeerLost(NamedTuple):
    peer: MemberId


class ClientCall(NamedTuple):
    """`deadline_ms` is monotonic time of this node; `call_id` is the driver's, and so is `client`:
    a number for each connection, so that none takes all there is; 0 names none."""

    call_id: int
    request: ClientRequest
    deadline_ms: int
    client: int = 0


class AdminCall(NamedTuple):
    """`is_forced`: decided here alone, in a new generation; what that risks is in the reply."""

    call_id: int
    change: Change
    is_forced: bool = False


class RepairCall(NamedTuple):
    """Of this partition, or of all that the node keeps."""

    call_id: int
    partition: int | None = None


class ScanCall(NamedTuple):
    """Keys may be deleted ones: whoever asks reads those that come without a record."""

    call_id: int
    page: ScanPage
    deadline_ms: int


class ExplainCall(NamedTuple):
    call_id: int
    key: bytes
    deadline_ms: int


AnyCall = ClientCall | ScanCall | ExplainCall


class FrameOut(NamedTuple):
    to: MemberId
    frame: Frame


class DatagramOut(NamedTuple):
    to: MemberId
    data: bytes


class ClientReply(NamedTuple):
    call_id: int
    answer: ClientAnswer


class AdminReply(NamedTuple):
    """The epoch is that of the document that brought the change, or of the present one."""

    call_id: int
    outcome: Outcome
    epoch: int
    text: str


class ScanReply(NamedTuple):
    call_id: int
    result: Page | Unlisted


class ExplainReply(NamedTuple):
    """None: there is too much to do."""

    call_id: int
    told: tuple[Told, ...] | None


class RepairReply(NamedTuple):
    """It has begun; how far it is, the machine tells (antientropy.py)."""

    call_id: int


class DropConnections(NamedTuple):
    pass


Input = FrameIn | DatagramIn | PeerLost | AnyCall | AdminCall | RepairCall | Stored
NodeEffect = (
    FrameOut
    | DatagramOut
    | StoreOrder
    | ClientReply
    | AdminReply
    | ScanReply
    | ExplainReply
    | RepairReply
    | DropConnections
    | Alarm
)
