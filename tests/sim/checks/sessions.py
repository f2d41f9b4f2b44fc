"""C5: what sessions may rely on.

- Who gives a context with a read is answered with nothing older, in every mode.
- In strict keyspaces everything that ended before a read began is seen by it: acknowledged writes,
  and what earlier reads returned, whoever did them. (This is not linearizability: of calls that
  overlap nothing is said.)
- The context that a call returns covers the one that it was given.
Contexts that were cut are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.versions.vclock import Clock
from tests.sim.checks.evidence import Evidence, Finding, clock_of_context
from tests.sim.history import Call

__all__ = ["contexts_grow", "strict_reads_see_what_ended_before"]


def contexts_grow(evidence: Evidence) -> Iterator[Finding]:
    for call in evidence.calls:
        if not call.is_done or call.answer is None or not call.request.context:
            continue
        if call.request.verb is Verb.GET or call.answer.context:
            given, _ = clock_of_context(call.request.context)
            returned, cut_s = clock_of_context(call.answer.context)
            if not cut_s and not _known(evidence, call, returned).descends(given):
                yield Finding("C5 context went back", call.key, str(call))


def strict_reads_see_what_ended_before(evidence: Evidence) -> Iterator[Finding]:
    for key in evidence.keys:
        calls = [call for call in evidence.calls_of(key) if call.is_strict and call.is_done]
        for read in calls:
            if read.request.verb is not Verb.GET:
                continue
            shown, cut_s = _returned(read)
            if cut_s:
                continue
            shown = _known(evidence, read, shown)
            for other in calls:
                if other.ended is None or other.ended_us is None or other is read:
                    continue
                if other.ended_us < read.invoked_us and not shown.descends(_returned(other)[0]):
                    yield Finding("C5 stale strict read", key, f"{read} after {other}")
                    break


def _known(evidence: Evidence, call: Call, returned: Clock) -> Clock:
    """Together with what had been collected: of that nothing is left to be returned."""
    for collected in evidence.collected_of(call.key):
        if call.replied is None or collected.number <= call.replied:
            returned = returned.merge(collected.record.clock)
    return returned


def _returned(call: Call) -> tuple[Clock, int]:
    assert call.answer is not None
    return clock_of_context(call.answer.context)
