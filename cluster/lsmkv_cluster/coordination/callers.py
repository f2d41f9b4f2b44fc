"""Where a call came from, and how its answer gets back there."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, encode_answer
from lsmkv_cluster.driver_ports import ClientReply
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Reply

__all__ = ["Caller", "Client", "Peer", "sent_back", "size_of"]


class Client(NamedTuple):
    """A client of this node. `who` and `size` are those of admission.py."""

    call_id: int
    who: int
    size: int


class Peer(NamedTuple):
    """Another node, which forwarded the call."""

    reply_to: Hashable
    who: MemberId
    size: int


Caller = Client | Peer


def size_of(request: ClientRequest) -> int:
    """Bytes of key and values."""
    values = request.values
    return len(request.key) + (len(values[0]) if len(values) == 1 else sum(map(len, values)))


def sent_back(caller: Caller, answer: ClientAnswer) -> Reply | ClientReply:
    if isinstance(caller, Client):
        return ClientReply(caller.call_id, answer)
    return Reply(caller.reply_to, OperationStatus.DONE, encode_answer(answer))
