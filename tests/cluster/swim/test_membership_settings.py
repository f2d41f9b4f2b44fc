"""Defaults are memberlist's for one local network; what cannot work is refused."""

from __future__ import annotations

import pytest

from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.suspicion import Timeouts


def test_exchanges_become_rarer_with_each_doubling_above_32_members():
    settings = MembershipSettings()
    found = [settings.exchange_every_ms(count) // 1000 for count in (1, 32, 33, 64, 65, 1000)]
    assert found == [30, 30, 60, 60, 90, 180]


def test_plain_swim_has_one_timeout():
    assert MembershipSettings().suspicion(5) == Timeouts(4000, 24_000)
    assert MembershipSettings(lifeguard=False).suspicion(5) == Timeouts(4000, 4000)


@pytest.mark.parametrize("wrong", [{"probe_interval_ms": 0}, {"relay_timeout_ms": 500}])
def test_what_cannot_work_is_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError):
        MembershipSettings(**wrong)
