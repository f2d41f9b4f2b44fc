"""Whether a call goes on elsewhere after something went wrong. Pure.

What holds: a write that may have been carried out is never sent again. A node that says it has
written nothing is believed, and another may do better: it is on the other side of a cut, or ready.
"""

from __future__ import annotations

from enum import Enum

from lsmkv_cluster.client.outcomes import UNREACHABLE

__all__ = [
    "CONNECT_SHARE",
    "REPLY_SHARE",
    "Step",
    "after_error",
    "after_loss",
    "is_passing",
    "may_go_on",
]

BUSY = "BUSY"

# Of the time of a call: so a second node can be asked when the first is silent, and end in time.
CONNECT_SHARE = 0.1
REPLY_SHARE = 0.35


class Step(Enum):
    GIVE_UP = 0
    ELSEWHERE = 1
    REROUTE = 2  # to where the node says


ELSEWHERE_KINDS = frozenset(
    {
        "NOREPLICAS",  # it cannot reach enough of the others
        "LOADING",
        "CLUSTERDOWN",  # it has been removed
        "MISCONF",  # its disk
    }
)


def after_error(kind: str) -> Step:
    """The error of a node. After BUSY one does not go elsewhere: others would have to do more."""
    if kind == "MOVED":
        return Step.REROUTE
    return Step.ELSEWHERE if kind in ELSEWHERE_KINDS else Step.GIVE_UP


def after_loss(*, is_write: bool, was_sent: bool) -> Step:
    """The connection ended, or nothing came in time."""
    return Step.GIVE_UP if is_write and was_sent else Step.ELSEWHERE


def is_passing(kind: str) -> bool:
    """Whether all may be asked again after a while, nothing having been written."""
    return kind in (BUSY, UNREACHABLE)


def may_go_on(elapsed_s: float, timeout_s: float) -> bool:
    """Whether there is time for one more attempt."""
    return elapsed_s <= timeout_s * (1 - CONNECT_SHARE - REPLY_SHARE)
