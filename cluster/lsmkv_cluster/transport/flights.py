"""How much may be on its way to a peer, lane by lane: what is beyond is not sent.

A question counts from when it is asked until it has an end: an answer, the loss of the connection,
or its deadline. A slow peer therefore costs a bounded part of this node's memory, and who asks it
learns at once that nothing was sent: reads and sloppy writes go on with somebody else. Lanes have
limits of their own, so that a lane that is full of bulk leaves the others alone. A single question
may be larger than all that is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Flight", "FlightLimits", "FlightSettings", "Flights"]


@dataclass(frozen=True, slots=True)
class FlightLimits:
    """Of the questions to one peer on one lane."""

    count_max: int
    size_max_bytes: int  # of their payloads

    def __post_init__(self) -> None:
        if min(self.count_max, self.size_max_bytes) < 1:
            raise ValueError("limits must be positive")


@dataclass(frozen=True, slots=True)
class FlightSettings:
    control: FlightLimits = field(default=FlightLimits(4096, 16 << 20))
    data: FlightLimits = field(default=FlightLimits(8192, 64 << 20))
    bulk: FlightLimits = field(default=FlightLimits(2048, 32 << 20))

    def of(self, lane: Lane) -> FlightLimits:
        return {Lane.CONTROL: self.control, Lane.DATA: self.data, Lane.BULK: self.bulk}[lane]


class Flight:
    """What one peer has been asked on one lane and has not answered."""

    __slots__ = ("_crowded", "_limits", "_peer", "count", "size")

    def __init__(self, peer: MemberId, limits: FlightLimits, crowded: set[MemberId]) -> None:
        self._peer = peer
        self._limits = limits
        self._crowded = crowded
        self.count = 0
        self.size = 0

    def take(self, size: int) -> bool:
        limits = self._limits
        is_beyond = self.count >= limits.count_max or self.size + size > limits.size_max_bytes
        if is_beyond and self.count:
            self._crowded.add(self._peer)
            return False
        self.count += 1
        self.size += size
        return True

    def give_back(self, size: int) -> None:
        self.count -= 1
        self.size -= size
        if self._crowded:
            self._crowded.discard(self._peer)


class Flights:
    """`crowded`: peers that have refused a question on the lane of requests since one was last
    answered."""

    def __init__(self, settings: FlightSettings | None = None) -> None:
        settings = settings or FlightSettings()
        self.crowded: set[MemberId] = set()
        self._limits = {lane: settings.of(lane) for lane in Lane}
        self._by_lane: list[dict[MemberId, Flight]] = [{} for _ in range(max(Lane) + 1)]

    def of(self, peer: MemberId, lane: Lane) -> Flight:
        by_peer = self._by_lane[lane]
        flight = by_peer.get(peer)
        if flight is None:
            crowded = self.crowded if lane is Lane.DATA else set()
            flight = by_peer[peer] = Flight(peer, self._limits[lane], crowded)
        return flight
