"""Which authentic datagrams are new: one window of sequences for each sender.

Datagrams may come late, twice or out of order, and who overheard one can send it again. For each
sender the window knows the highest sequence it has seen and which of the `WINDOW_SIZE` up to it
have been; what is older is refused unseen. A run of a node is named by its boot number
(handshake.py), which rises with every start:

    boot number                   sequence            verdict
    higher than known             any                 FRESH: a new window
    known                         above the highest   FRESH
    known                         in the window       FRESH once, then REPLAYED
    known                         below the window    TOO_OLD
    lower, other start count      any                 EARLIER_RUN: replayed, or an old disk
    other, same start count       any                 CLONE: two runs claim one start

A restarted receiver has forgotten its windows and may take old datagrams until it hears from their
sender again; what gossip may do bears that. The window does not check MACs: it must never see what
DatagramOpener has not opened, or anybody could move it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["SENDER_COUNT_MAX", "WINDOW_SIZE", "ReplayWindow", "Verdict"]

WINDOW_SIZE = 1024  # datagrams
SENDER_COUNT_MAX = 4096

_WINDOW_MASK = (1 << WINDOW_SIZE) - 1


class Verdict(Enum):
    """Only FRESH is to be acted on; CLONE calls for an operator."""

    FRESH = "fresh"
    REPLAYED = "replayed"
    TOO_OLD = "too old"
    EARLIER_RUN = "earlier run"
    CLONE = "clone"
    TOO_MANY_SENDERS = "too many senders"


@dataclass(slots=True)
class _Sender:
    boot_number: int
    highest: int
    seen: int  # bit i: highest - i was seen


class ReplayWindow:
    """The windows of all senders. Bounded: `forget` those who leave."""

    __slots__ = ("_sender_count_max", "_senders")

    def __init__(self, sender_count_max: int = SENDER_COUNT_MAX) -> None:
        self._senders: dict[bytes, _Sender] = {}
        self._sender_count_max = sender_count_max

    def judge(self, node_id: bytes, boot_number: int, sequence: int) -> Verdict:
        """Whether this datagram is new; if it is FRESH, it never will be again."""
        sender = self._senders.get(node_id)
        if sender is None:
            if len(self._senders) >= self._sender_count_max:
                return Verdict.TOO_MANY_SENDERS
            self._senders[node_id] = _Sender(boot_number, sequence, 1)
            return Verdict.FRESH
        if boot_number != sender.boot_number:
            return self._judge_run(sender, boot_number, sequence)
        ahead = sequence - sender.highest
        if ahead > 0:
            # Shifting by a peer's number is bounded: beyond the window nothing is left of it.
            kept = sender.seen << ahead & _WINDOW_MASK if ahead < WINDOW_SIZE else 0
            sender.seen = kept | 1
            sender.highest = sequence
            return Verdict.FRESH
        if -ahead >= WINDOW_SIZE:
            return Verdict.TOO_OLD
        if sender.seen >> -ahead & 1:
            return Verdict.REPLAYED
        sender.seen |= 1 << -ahead
        return Verdict.FRESH

    def _judge_run(self, sender: _Sender, boot_number: int, sequence: int) -> Verdict:
        if boot_number >> 32 == sender.boot_number >> 32:
            return Verdict.CLONE
        if boot_number < sender.boot_number:
            return Verdict.EARLIER_RUN
        sender.boot_number, sender.highest, sender.seen = boot_number, sequence, 1
        return Verdict.FRESH

    def forget(self, node_id: bytes) -> None:
        """The node is no member any more. One that was never heard of may be forgotten too."""
        self._senders.pop(node_id, None)
