"""Three nodes of the product tell what they have of a key, or why not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsmkv_cluster.coordination.explaining import OPEN_MAX, Explainer
from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.driver_ports import ExplainCall, ExplainReply
from lsmkv_cluster.operations import Machine, OperationStatus, opcode
from lsmkv_cluster.ports import Asked, Now, Reply
from tests.support.trio import Trio, make_trio_topology


@pytest.fixture
def trio() -> Iterator[Trio]:
    with Trio(as_bytes=True) as trio:
        assert trio.call(trio.ids[0], ClientRequest(Verb.SET, b"k", (b"v",))).is_done
        yield trio


def explained(trio: Trio, key: bytes, at: int = 0) -> dict[bytes, Told]:
    call_id = len(trio.others)
    trio.step(trio.ids[at], [ExplainCall(call_id, key, trio.now_ms + 1000)])
    for _ in range(20):
        for _, effect in trio.others:
            if isinstance(effect, ExplainReply) and effect.call_id == call_id:
                assert effect.told is not None
                return {told.member: told for told in effect.told}
        trio.run(100)
    raise AssertionError("no reply")


def test_everybody_tells_what_it_has(trio: Trio):
    told = explained(trio, b"k", at=1)
    assert {each.word for each in told.values()} == {"record"}
    assert len({each.record for each in told.values()}) == 1
    assert sorted(told) == sorted(trio.ids)
    assert {each.word for each in explained(trio, b"other").values()} == {"nothing"}


def test_who_is_silent_and_who_is_known_to_be_away_are_told_apart(trio: Trio):
    gone = trio.ids[2]
    for other in trio.ids[:2]:
        trio.cut |= {(gone, other), (other, gone)}
    assert explained(trio, b"k")[gone].word == "silent"
    trio.run(20_000)
    told = explained(trio, b"k")
    assert told[gone].word == "unreachable"
    assert told[trio.ids[0]].word == told[trio.ids[1]].word == "record"


def test_too_many_at_once_are_refused_and_nobody_else_is_served():
    topology = make_trio_topology()
    me = topology.members[0].id
    explainer = Explainer(View(topology, me, lambda _: True, lambda _: True))
    now = Now(1000, 1_700_000_000_000)
    for n in range(OPEN_MAX):
        effects = explainer.called(now, [ExplainCall(n, b"k", 2000)])
        assert not any(isinstance(effect, ExplainReply) for effect in effects)
    assert explainer.called(now, [ExplainCall(99, b"k", 2000)]) == [ExplainReply(99, None)]
    asked = Asked(me, opcode(Machine.ADMIN, 1), b"", 0, 2000, "reply")
    assert explainer.asked(now, [asked]) == [Reply("reply", OperationStatus.UNKNOWN_OPCODE)]
