"""What clients ask for follows the options of the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from tests.sim.loop import true_ms
from tests.sim.options import Options, draw
from tests.sim.profiles import PROFILES
from tests.sim.workload import LIFE_MS, MAY_EXPIRE, Workload

NOW_MS = true_ms(5_000_000)


def asked(options: Options, count: int = 2000) -> list[ClientRequest]:
    workload = Workload(options, Random(1))
    [session, *_] = workload.sessions
    return [workload.next(session, NOW_MS).request for _ in range(count)]


def test_some_of_what_may_expire_does():
    requests = asked(replace(draw(1), expiry_share=0.3))
    lives = [r.expiry_ms - NOW_MS for r in requests if r.expiry_ms]
    low, high = LIFE_MS
    assert low <= min(lives) < 1000 < max(lives) < high
    assert {r.verb for r in requests if r.expiry_ms} <= set(MAY_EXPIRE)
    may = sum(r.verb in MAY_EXPIRE for r in requests)
    assert 0.2 * may < len(lives) < 0.4 * may
    assert not any(r.expiry_ms for r in asked(replace(draw(1), expiry_share=0.0)))


def test_runs_of_deletes_delete_what_they_write():
    verbs = Counter(request.verb for request in asked(PROFILES["deletes"](1)))
    writes = verbs[Verb.SET] + verbs[Verb.PUT]
    assert abs(verbs[Verb.DELETE] - writes) < 30
    assert verbs[Verb.DELETE] > 900
