"""One client request on its way through a node, checked and with its rules looked up.

The coordinator makes Calls; reading.py and writing.py carry them out and answer with Finish.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from lsmkv_cluster.coordination.quorum import Need
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason
from lsmkv_cluster.coordination.view import Place
from lsmkv_cluster.ports import Effect
from lsmkv_cluster.versions.context import Context

__all__ = ["Call", "Finish", "Step", "refusal"]


@dataclass(frozen=True, slots=True)
class Call:
    """`token` is the coordinator's. `seen` is the request's context, decoded."""

    token: Hashable
    request: ClientRequest
    deadline_ms: int  # monotonic
    place: Place
    seen: Context
    read: Need
    write: Need
    write_count: int  # so many answers are enough at the least
    is_strict: bool


class Finish(NamedTuple):
    """The one answer to a Call; goes to the coordinator, not to the node."""

    token: Hashable
    answer: ClientAnswer


Step = Effect | Finish


def refusal(reason: Reason, answered: int = 0, needed: int = 0) -> ClientAnswer:
    """Nothing was written."""
    return ClientAnswer(Outcome.REFUSED, reason, answered, needed)
