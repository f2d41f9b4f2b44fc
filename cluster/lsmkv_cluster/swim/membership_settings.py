"""What can be set about membership: memberlist's values for one local network, but one.

Each news is sent 5 * ceil(log10(members + 1)) times by everybody. With memberlist's 4 one news in
fifty left somebody out of a hundred, until the next exchange of tables half a minute later; with 5
none did (benchmarks/membership.py).

Times are multiplied by the local health (local_health.py) where a probe is concerned, and grow with
the logarithm of the members where a suspicion or a full exchange is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, log2

from lsmkv_cluster.swim.suspicion import Timeouts, timeouts

__all__ = ["MembershipSettings"]

EXCHANGE_SCALE_MEMBERS = 32  # from here on exchanges become rarer, because their tables grow


@dataclass(frozen=True, slots=True)
class MembershipSettings:
    probe_interval_ms: int = 1000  # one member is probed in each
    probe_timeout_ms: int = 500  # for a direct answer; then others are asked, up to the interval
    relay_timeout_ms: int = 300  # after which who was asked reports that it got no answer either
    relay_count: int = 3
    gossip_interval_ms: int = 200  # while there is news
    gossip_fanout: int = 3
    retransmit_multiplier: int = 5  # of ceil(log10(members + 1)): how often each news is sent
    suspicion_multiplier: int = 4  # of log10(members) probe intervals: the shortest suspicion
    suspicion_max_multiplier: int = 6  # of that: the longest
    exchange_interval_ms: int = 30_000  # of full tables
    exchange_timeout_ms: int = 10_000
    health_score_max: int = 8
    lateness_ms_max: int = 250  # a tick that comes later finds this node guilty
    lifeguard: bool = True  # False is plain SWIM, to compare with

    def __post_init__(self) -> None:
        if min(getattr(self, field.name) for field in fields(self)[:-1]) < 1:
            raise ValueError("settings of membership must be positive")
        if not self.relay_timeout_ms < self.probe_interval_ms - self.probe_timeout_ms:
            raise ValueError("relays must be able to report within the interval of a probe")

    def suspicion(self, member_count: int) -> Timeouts:
        """Plain SWIM knows one timeout only."""
        max_multiplier = self.suspicion_max_multiplier if self.lifeguard else 1
        return timeouts(
            member_count, self.probe_interval_ms, self.suspicion_multiplier, max_multiplier
        )

    def exchange_every_ms(self, member_count: int) -> int:
        doublings = max(0, ceil(log2(member_count / EXCHANGE_SCALE_MEMBERS)))
        return self.exchange_interval_ms * (doublings + 1)
