"""Streams between machines: in order on each lane, late, stalled, and lost with their connection.

Between two machines there is one connection at a time, with three lanes in each direction. What
holds, as it does of TCP:
- frames of one lane and direction arrive in the order of sending; lanes overtake each other;
- a blocked link stalls what arrives over it until the link opens, which the sender notices late;
- a stall that lasts too long, the death of an end, or a reset ends the connection. Each side learns
  of it in its own time. Of what was under way, a prefix that nobody knows has arrived;
- what a side sends before it knows is lost. The first frame after that begins a new connection,
  which takes a round trip, and fails after a while when nobody answers.

Every `encode_every`-th frame, and each one that a fault damages, goes through its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.operations import encoded_size
from lsmkv_cluster.transport.wire import FRAME_HEADER_SIZE, Frame, FrameDecoder, Lane, encode_frame
from tests.sim.datagrams import damaged
from tests.sim.links import Links
from tests.sim.loop import MS, SECOND, Loop
from tests.sim.paths import Paths

__all__ = ["End", "StreamLimits", "Streams", "passed_as_bytes"]


class End(Protocol):
    """A running process, as far as streams go. It is dead once `is_alive` is False."""

    is_alive: bool

    def receive_frame(self, source: int, frame: Frame) -> None: ...
    def peer_lost(self, peer: int) -> None: ...


class Site(Protocol):
    """A machine: with power it answers connections, if only by refusing them."""

    is_powered: bool

    @property
    def process(self) -> End | None: ...


@dataclass(frozen=True)
class StreamLimits:
    stall_us: tuple[int, int] = (2 * SECOND, 6 * SECOND)  # until a stalled connection is given up
    notice_us: int = 2 * SECOND  # until the other side knows, at most
    connect_us: tuple[int, int] = (SECOND, 3 * SECOND)  # until an attempt is given up
    resend_us: int = 500 * MS  # until a sender tries an opened link again, at most
    encode_every: int = 16


class _Connection:
    """Between the processes `ends` of machines `low` and `high`. Sides are 0 and 1."""

    __slots__ = (
        "arrival_us",
        "ends",
        "ends_at",
        "is_open",
        "knows",
        "lane_numbers",
        "queued",
        "sent_us",
        "stalled",
        "stalls",
    )

    def __init__(self, ends: tuple[End, End]) -> None:
        self.ends = ends
        self.is_open = False  # until the handshake is done, frames are queued
        self.knows = [False, False]  # that it is over
        self.queued: list[tuple[int, Frame]] = []
        # By the side that sends: what waits behind a blocked link; when the last frame of a lane
        # has been sent whole, and when it arrives.
        self.stalled: list[list[Frame]] = [[], []]
        self.sent_us: list[dict[Lane, int]] = [{}, {}]
        self.arrival_us: list[dict[Lane, int]] = [{}, {}]
        self.ends_at: list[int] | None = None  # by the side that receives
        self.stalls = [0, 0]  # how often each direction began to wait
        self.lane_numbers: dict[Lane, int] = {}  # how often each lane was made anew


class Streams:
    def __init__(
        self, loop: Loop, random: Random, links: Links, paths: Paths, limits: StreamLimits
    ) -> None:
        self._loop = loop
        self._random = random
        self._links = links
        self._paths = paths
        self._limits = limits
        self._connections: dict[tuple[int, int], _Connection] = {}
        self._attempts: set[tuple[int, int]] = set()  # to connect, that will fail
        self._frame_count = 0
        self.sites: list[Site] = []
        self.hits = {"reset": 0, "stream corruption": 0}
        self.failures: list[str] = []  # what no network does: a damaged frame that was accepted
        self.passes: Callable[[int, int, Frame], bool] | None = None  # False: this frame vanishes
        links.opened.append(self._link_opened)

    # --- what processes do

    def send(self, source: int, target: int, frame: Frame) -> None:
        pair, side = _pair(source, target)
        connection = self._connections.get(pair)
        if (
            connection is None
            or connection.knows[side]
            or connection.ends[side] is not self.sites[source].process
        ):
            connection = self._connect(source, target, pair, side)
            if connection is None:
                return
        if connection.ends_at is not None:
            return  # over, and this side does not know
        if not connection.is_open:
            connection.queued.append((side, frame))
            return
        self._put_under_way(connection, pair, side, frame)

    def drop_all_of(self, machine: int) -> None:
        """A process closes its connections, or has died and its system does."""
        for pair in sorted(self._connections):
            if machine in pair:
                self._end(pair, self._connections[pair], closing=pair.index(machine))

    def lose_lane(self, source: int, target: int, lane: Lane) -> None:
        """One of the lanes is reset and made anew: nobody is told, what was under way is lost."""
        connection = self._connections.get(_pair(source, target)[0])
        if connection is not None:
            self.hits["reset"] += 1
            connection.lane_numbers[lane] = connection.lane_numbers.get(lane, 0) + 1
            for frames in connection.stalled:
                frames[:] = [frame for frame in frames if frame.lane is not lane]

    def reset(self, one: int, other: int) -> None:
        pair, side = _pair(one, other)
        connection = self._connections.get(pair)
        if connection is not None and connection.ends_at is None:
            self.hits["reset"] += 1
            self._end(pair, connection, closing=side)

    # --- beginning and end of a connection

    def _connect(
        self, source: int, target: int, pair: tuple[int, int], side: int
    ) -> _Connection | None:
        if (source, target) in self._attempts:
            return None  # lost with the attempt
        here, there = self.sites[source].process, self.sites[target].process
        assert here is not None
        before = self._connections.pop(pair, None)
        low, high = self._paths.quality(source, target).delay_us
        trip_us = low + self._random.randrange(high - low + 1)
        if there is None or not self._links.is_open_both_ways(source, target):
            refused = self.sites[target].is_powered and self._links.is_open_both_ways(
                source, target
            )
            wait_us = 2 * trip_us if refused else self._drawn(self._limits.connect_us)
            self._attempts.add((source, target))
            self._loop.after(wait_us, self._failed, source, target, here)
            return None
        if before is not None:  # the other side sees the new one come, if nothing else
            self._loop.after(trip_us, self._learn, pair, before, 1 - side)
        ends = (here, there) if side == 0 else (there, here)
        connection = self._connections[pair] = _Connection(ends)
        self._loop.after(2 * trip_us, self._opened, pair, connection)
        return connection

    def _opened(self, pair: tuple[int, int], connection: _Connection) -> None:
        if connection.ends_at is not None:
            return
        if not (connection.ends[0].is_alive and connection.ends[1].is_alive):
            self._end(pair, connection, closing=0)
            return
        connection.is_open = True
        queued, connection.queued = connection.queued, []
        for side, frame in queued:
            self._put_under_way(connection, pair, side, frame)

    def _failed(self, source: int, target: int, end: End) -> None:
        self._attempts.discard((source, target))
        if _pair(source, target)[0] not in self._connections:
            self._tell(end, target)

    def _end(self, pair: tuple[int, int], connection: _Connection, closing: int) -> None:
        """The side `closing` closes it or finds it dead; the other one learns of it later."""
        if connection.ends_at is not None:
            return
        now_us = self._loop.now_us
        low, high = self._paths.quality(*pair).delay_us
        other = 1 - closing
        if self._links.is_open(pair[closing], pair[other]):
            notice_us = low + self._random.randrange(high - low + 1)
        else:
            notice_us = self._random.randrange(self._limits.notice_us)
        connection.ends_at = [0, 0]
        connection.ends_at[closing] = now_us
        connection.ends_at[other] = now_us + self._random.randrange(notice_us + 1)
        self._learn(pair, connection, closing)
        self._loop.after(notice_us, self._learn, pair, connection, other)

    def _learn(self, pair: tuple[int, int], connection: _Connection, side: int) -> None:
        if connection.knows[side]:
            return
        connection.knows[side] = True
        self._tell(connection.ends[side], pair[1 - side])
        if all(connection.knows) and self._connections.get(pair) is connection:
            del self._connections[pair]

    def _tell(self, end: End, peer: int) -> None:
        if end.is_alive:
            end.peer_lost(peer)

    # --- frames

    def _put_under_way(
        self, connection: _Connection, pair: tuple[int, int], side: int, frame: Frame
    ) -> None:
        self._frame_count += 1
        if self.passes is not None and not self.passes(pair[side], pair[1 - side], frame):
            return
        quality = self._paths.quality(pair[side], pair[1 - side])
        if quality.stream_corruption and self._random.random() < quality.stream_corruption:
            self._damage(pair, connection, side, frame)
            return
        if self._frame_count % self._limits.encode_every == 0:
            frame = passed_as_bytes(frame, self._random)
        size = FRAME_HEADER_SIZE + encoded_size(frame.operations)
        begin_us = max(self._loop.now_us, connection.sent_us[side].get(frame.lane, 0))
        sent_us = begin_us + int(size / quality.bytes_per_us)
        connection.sent_us[side][frame.lane] = sent_us
        low, high = quality.delay_us
        delay_us = low + int(self._random.random() * (high - low))
        self._plan(connection, pair, side, frame, sent_us + delay_us)

    def _plan(
        self, connection: _Connection, pair: tuple[int, int], side: int, frame: Frame, at_us: int
    ) -> None:
        """Not before the frame ahead of it."""
        arrivals = connection.arrival_us[side]
        at_us = max(at_us, arrivals.get(frame.lane, 0))
        arrivals[frame.lane] = at_us
        number = connection.lane_numbers.get(frame.lane, 0)
        self._loop.at(at_us, self._arrive, connection, pair, side, frame, number)

    def _arrive(
        self,
        connection: _Connection,
        pair: tuple[int, int],
        side: int,
        frame: Frame,
        number: int,
    ) -> None:
        ends_at = connection.ends_at
        if ends_at is not None and ends_at[1 - side] < self._loop.now_us:
            return
        if connection.lane_numbers.get(frame.lane, 0) != number:
            return
        source, target = pair[side], pair[1 - side]
        site, end = self.sites[target], connection.ends[1 - side]
        if not site.is_powered or not self._links.is_open(source, target):
            if not connection.stalled[side]:
                connection.stalls[side] += 1
                wait_us = self._drawn(self._limits.stall_us)
                number = connection.stalls[side]
                self._loop.after(wait_us, self._give_up, connection, pair, side, number)
            connection.stalled[side].append(frame)
        elif not end.is_alive:
            self._end(pair, connection, closing=1 - side)
        else:
            end.receive_frame(source, frame)

    def _give_up(
        self, connection: _Connection, pair: tuple[int, int], side: int, number: int
    ) -> None:
        if connection.stalled[side] and connection.stalls[side] == number:
            self._end(pair, connection, closing=side)

    def _link_opened(self, source: int, target: int) -> None:
        pair, side = _pair(source, target)
        connection = self._connections.get(pair)
        if connection is None or connection.ends_at is not None:
            return
        frames, connection.stalled[side] = connection.stalled[side], []
        at_us = self._loop.now_us + self._random.randrange(self._limits.resend_us)
        for frame in frames:
            self._plan(connection, pair, side, frame, at_us)

    def machine_started(self, machine: int) -> None:
        """What had stalled before a machine without power now reaches a system that knows nothing
        of it."""
        for pair in sorted(self._connections):
            if machine in pair:
                self._link_opened(pair[1 - pair.index(machine)], machine)

    def _damage(
        self, pair: tuple[int, int], connection: _Connection, side: int, frame: Frame
    ) -> None:
        self.hits["stream corruption"] += 1
        data = encode_frame(frame)
        decoder = FrameDecoder(frame.cluster_id)
        decoder.admit(frame.lane)
        changed = damaged(data, self._random)
        try:
            decoder.feed(changed)
            if decoder.next_frame() is not None:
                self.failures.append(f"a damaged frame was accepted: {changed!r}")
        except ProtocolError:
            pass
        self._end(pair, connection, closing=1 - side)

    def _drawn(self, bounds: tuple[int, int]) -> int:
        return bounds[0] + self._random.randrange(bounds[1] - bounds[0] + 1)


def _pair(source: int, target: int) -> tuple[tuple[int, int], int]:
    """The machines in order, and which of them is the source."""
    return ((source, target), 0) if source < target else ((target, source), 1)


def passed_as_bytes(frame: Frame, random: Random) -> Frame:
    """What a decoder makes of its bytes, which come in pieces."""
    data = encode_frame(frame)
    decoder = FrameDecoder(frame.cluster_id)
    decoder.admit(frame.lane)
    cut = random.randrange(len(data) + 1)
    decoder.feed(data[:cut])
    found = decoder.next_frame()
    decoder.feed(data[cut:])
    found = found or decoder.next_frame()
    decoder.end()
    assert found == frame, "a frame is not what its bytes say"
    assert found is not None
    return found
