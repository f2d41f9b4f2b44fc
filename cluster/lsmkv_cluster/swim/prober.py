"""Probes: one member after the other is asked for a sign of life, for us and for others.

    0                      ping
    timeout                three others are asked to ping it, and a ping goes over the stream
    interval               without any answer it is accused; the next probe begins

Both times are multiplied by the local health. What comes after the probe's end is a sign of life
(membership.py) and no more. Who pings for another reports also that it got no answer: a relay that
says nothing at all makes this node doubt itself.

The dead are not probed. Somebody of the living pings each of them about once an interval, so that a
cluster that was cut apart finds itself again; whoever gets such a ping learns from it that it has
to refute its death.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lsmkv_cluster.operations import Operation
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Ask, Now, Random
from lsmkv_cluster.swim.gossip_messages import (
    INDIRECT_PING,
    NOT_REACHED,
    PING,
    REACHED,
    IndirectPing,
    OwnState,
    encode_indirect_ping,
    encode_number,
)
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable, Record
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.peer_clocks import better, measured
from lsmkv_cluster.swim.peers import Peers
from lsmkv_cluster.transport.wire import Lane

__all__ = ["RELAYS_MAX", "Failed", "PingToken", "Prober", "Tell"]

RELAYS_MAX = 1024  # probes for others at a time; a further one is not answered
_NUMBER_MASK = (1 << 32) - 1


class Tell(NamedTuple):
    """An operation for a datagram."""

    to: MemberId
    operation: Operation


class Failed(NamedTuple):
    """No sign of life in time. Of a first failure others are told."""

    record: Record


class PingToken(NamedTuple):
    """Of the ping over the stream."""

    number: int


ProbeEffect = Tell | Ask | Failed


class _Probe:
    __slots__ = ("asked", "has_relays", "indirect_ms", "number", "relays", "target", "verdict_ms")

    def __init__(self, number: int, target: MemberId, asked: Now) -> None:
        self.number = number
        self.target = target
        self.asked = asked
        self.indirect_ms = 0  # when others are to be asked
        self.verdict_ms = 0  # when it has failed
        self.has_relays = False  # whether others have been asked
        self.relays: dict[MemberId, bool] = {}  # and whether they have reported

    @property
    def deadline_ms(self) -> int:
        return self.verdict_ms if self.has_relays else self.indirect_ms


class _Relay(NamedTuple):
    requester: MemberId
    number: int  # the requester's
    target: MemberId
    deadline_ms: int


class Prober:
    """`state_of(number, now)` is the payload of a ping. `start` comes before everything else."""

    def __init__(
        self,
        table: MemberTable,
        peers: Peers,
        health: LocalHealth,
        settings: MembershipSettings,
        rng: Random,
        state_of: Callable[[int, Now], bytes],
    ) -> None:
        self._table = table
        self._peers = peers
        self._health = health
        self._settings = settings
        self._rng = rng
        self._state_of = state_of
        # An answer to the run before this one must not fit.
        self._number = rng.getrandbits(32)
        self._probe: _Probe | None = None
        self._next_ms = 0
        self._relays: dict[int, _Relay] = {}  # by our number; deadlines ascend

    def start(self, now_ms: int) -> None:
        """Members that start together do not probe together."""
        self._next_ms = now_ms + self._rng.randrange(self._settings.probe_interval_ms)

    def follow(self, now_ms: int) -> None:
        """Who stands no more in the table is neither probed, nor asked to probe, nor answered."""
        records, probe = self._table.records, self._probe
        if probe is not None:
            probe.relays = {
                member: has for member, has in probe.relays.items() if member in records
            }
            if probe.target not in records:
                self._probe = None
                self._next_ms = max(self._next_ms, now_ms)
        self._relays = {
            number: relay
            for number, relay in self._relays.items()
            if relay.requester in records and relay.target in records
        }

    def reset(self, now_ms: int) -> None:
        """Nothing that was under way counts."""
        self._probe = None
        self._relays.clear()
        self._next_ms = now_ms + self._settings.probe_interval_ms

    def next_deadline(self) -> int:
        deadline_ms = self._next_ms if self._probe is None else self._probe.deadline_ms
        for relay in self._relays.values():
            return min(deadline_ms, relay.deadline_ms)
        return deadline_ms

    def tick(self, now: Now) -> list[ProbeEffect]:
        effects: list[ProbeEffect] = []
        while self._relays:
            number, relay = next(iter(self._relays.items()))
            if now.ms < relay.deadline_ms:
                break
            del self._relays[number]
            effects.append(_report(relay, NOT_REACHED))
        probe = self._probe
        if probe is not None and now.ms >= probe.verdict_ms:
            effects.append(self._fail(probe))
            probe = None
        if probe is not None and not probe.has_relays and now.ms >= probe.indirect_ms:
            effects += self._ask_others(now, probe)
        if probe is None and now.ms >= self._next_ms:
            effects += self._begin(now)
        return effects

    def ping(self, now: Now, to: MemberId) -> Tell:
        """One whose answer is a sign of life and nothing else."""
        return Tell(to, Operation(PING, self._state_of(self._next_number(), now)))

    def relay(self, now: Now, requester: MemberId, asked: IndirectPing) -> list[Tell]:
        """Ping a member for another one."""
        if asked.target not in self._table.records or len(self._relays) >= RELAYS_MAX:
            return []
        tell = self.ping(now, asked.target)
        self._relays[self._number] = _Relay(
            requester, asked.number, asked.target, now.ms + self._settings.relay_timeout_ms
        )
        return [tell]

    def acknowledged(self, now: Now, peer: MemberId, state: OwnState) -> list[Tell]:
        """A ping was answered by the peer itself."""
        number = state.number
        relay = self._relays.get(number)
        if relay is not None and relay.target == peer:
            del self._relays[number]
            return [_report(relay, REACHED)]
        probe = self._probe
        if probe is not None and (probe.number, probe.target) == (number, peer):
            record = self._table.records[peer]
            asked_ms, asked_wall_ms = probe.asked
            wall_ms = state.vitals.wall_ms
            sample = measured(asked_wall_ms, wall_ms, now.ms - asked_ms, now.ms)
            record.clock = better(record.clock, sample)
            self._succeed()
        return []

    def answered(self, number: int) -> None:
        """The ping over the stream was."""
        if self._probe is not None and self._probe.number == number:
            self._succeed()

    def reported(self, peer: MemberId, number: int, is_reached: bool) -> None:
        """A relay says how its ping ended."""
        probe = self._probe
        if probe is None or probe.number != number or peer not in probe.relays:
            return
        probe.relays[peer] = True
        if is_reached:
            self._succeed()

    def _next_number(self) -> int:
        self._number = (self._number + 1) & _NUMBER_MASK
        return self._number

    def _is_probed(self, member: MemberId) -> bool:
        return self._table.records[member].status not in (Status.DEAD, Status.LEFT)

    def _begin(self, now: Now) -> list[ProbeEffect]:
        effects: list[ProbeEffect] = []
        self._next_ms = now.ms + self._settings.probe_interval_ms
        target = self._peers.next(self._is_probed)
        if target is not None:
            tell = self.ping(now, target)
            effects.append(tell)
            self._probe = probe = _Probe(self._number, target, now)
            probe.indirect_ms = now.ms + self._health.scaled(self._settings.probe_timeout_ms)
            probe.verdict_ms = now.ms + self._health.scaled(self._settings.probe_interval_ms)
        dead = self._table.dead
        if dead and self._rng.random() * self._table.live_count < len(dead):
            effects += [self.ping(now, member) for member in self._peers.pick(1, dead.__contains__)]
        return effects

    def _ask_others(self, now: Now, probe: _Probe) -> list[ProbeEffect]:
        records = self._table.records
        relays = self._peers.pick(
            self._settings.relay_count,
            lambda member: records[member].status is Status.ALIVE and member != probe.target,
        )
        probe.has_relays = True
        probe.relays = dict.fromkeys(relays, False)
        asked = Operation(
            INDIRECT_PING, encode_indirect_ping(IndirectPing(probe.number, probe.target))
        )
        effects: list[ProbeEffect] = [Tell(relay, asked) for relay in relays]
        state = self._state_of(probe.number, now)
        token = PingToken(probe.number)
        effects.append(Ask(probe.target, Lane.CONTROL, PING, state, probe.verdict_ms, token))
        return effects

    def _succeed(self) -> None:
        self._probe = None
        self._health.note(-1)

    def _fail(self, probe: _Probe) -> Failed:
        self._probe = None
        record = self._table.records[probe.target]
        if not record.own_probe_failed:  # that it still fails says nothing of us
            silent = sum(not has_reported for has_reported in probe.relays.values())
            self._health.note(silent if probe.relays else 1)
        return Failed(record)


def _report(relay: _Relay, code: int) -> Tell:
    return Tell(relay.requester, Operation(code, encode_number(relay.number)))
