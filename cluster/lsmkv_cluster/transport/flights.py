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

    __slots__ = ("_crowded", "_peer", "count", "size")

    def __init__(self, peer: MemberId, crowded: set[MemberId]) -> None:
        self._peer = peer
        self._crowded = crowded
        self.count = 0
        self.size = 0

    def give_back(self, size: int) -> None:
        self.count -= 1
        self.size -= size
        if self._crowded:
            self._crowded.discard(self._peer)


class _Lane:
    __slots__ = ("by_peer", "count_max", "size_max")

    def __init__(self, limits: FlightLimits) -> None:
        self.count_max = limits.count_max
        self.size_max = limits.size_max_bytes
        self.by_peer: dict[MemberId, Flight] = {}


class Flights:
    """`crowded`: peers that have refused a question on the lane of requests since one was last
    answered."""

    def __init__(self, settings: FlightSettings | None = None) -> None:
        settings = settings or FlightSettings()
        self.crowded: set[MemberId] = set()
        self._lanes = {lane: _Lane(settings.of(lane)) for lane in Lane}

    def take(self, peer: MemberId, lane: Lane, size: int) -> Flight | None:
        """Where one question of `size` bytes has its place, to be given back; None: nowhere."""
        flights = self._lanes[lane]
        flight = flights.by_peer.get(peer)
        if flight is None:
            crowded = self.crowded if lane is Lane.DATA else set()
            flight = flights.by_peer[peer] = Flight(peer, crowded)
        elif flight.count and (
            flight.count >= flights.count_max or flight.size + size > flights.size_max
        ):
            if lane is Lane.DATA:
                self.crowded.add(peer)
            return None
        flight.count += 1
        flight.size += size
        return flight
