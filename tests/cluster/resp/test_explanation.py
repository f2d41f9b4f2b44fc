"""What is where of a key is told in words: who has what, who lacks what, and what is read."""

from __future__ import annotations

from typing import Any

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.placement.members import actor_number
from lsmkv_cluster.resp.explanation import explanation
from lsmkv_cluster.storage.engine_key import KeyScheme
from tests.support.fake_coordinator import FakeCoordinator
from tests.support.members import member_id
from tests.support.resp_lab import WALL_MS, FakeHost, make_cluster

TOPOLOGY = make_cluster(5)
HOST = FakeHost(TOPOLOGY, member_id("n1"))
KEY = b"k"
FIRST, SECOND, THIRD = TOPOLOGY.owners[TOPOLOGY.partition_of(KEY)]
NAMES = {member.id: member.name for member in TOPOLOGY.members}
OWNERS = [NAMES[id] for id in (FIRST, SECOND, THIRD)]


def record(*values: bytes, by: bytes = FIRST) -> bytes:
    """Concurrent values, by one member."""
    fake = FakeCoordinator(KeyScheme(1), actor_number(by))
    for value in values:
        fake.call(ClientRequest(Verb.PUT, KEY, (value,)), WALL_MS)
    return fake.records[KEY]


def explained(*told: Told) -> Any:
    return explanation(HOST, KEY, told, WALL_MS)


def test_all_have_the_same():
    data = record(b"v")
    report = explained(*(Told(id, id, "record", data, 2) for id in (THIRD, FIRST, SECOND)))
    assert [row["member"] for row in report["owners"]] == [
        NAMES[FIRST],
        NAMES[SECOND],
        NAMES[THIRD],
    ]
    assert report["repair"] == []
    (item,) = report["items"]
    assert (item["kind"], item["value"], item["written_ms"]) == ("VALUE", "v", WALL_MS)
    assert item["dot"].startswith(NAMES[FIRST] + ".")
    assert item["held_by"] == OWNERS
    assert report["reads_as"] == {"type": "string", "value": "v", "expiry_ms": 0}
    assert report["owners"][0]["ms"] == 2


def test_who_lacks_something_is_named():
    mine, theirs = record(b"a"), record(b"b", by=SECOND)
    report = explained(
        Told(FIRST, FIRST, "record", mine),
        Told(SECOND, SECOND, "record", theirs),
        Told(THIRD, THIRD, "nothing"),
    )
    assert report["repair"] == OWNERS
    assert {item["value"]: item["held_by"] for item in report["items"]} == {
        "a": [NAMES[FIRST]],
        "b": [NAMES[SECOND]],
    }
    assert [row["siblings"] for row in report["owners"]] == [1, 1, 0]


def test_who_has_not_answered_lacks_nothing_that_anybody_knows():
    stand_in = next(id for id in NAMES if id not in (FIRST, SECOND, THIRD))
    report = explained(
        Told(FIRST, FIRST, "record", record(b"v")),
        Told(SECOND, SECOND, "unreachable"),
        Told(stand_in, SECOND, "nothing"),
        Told(THIRD, THIRD, "record", b"damaged"),
    )
    answers = {row["member"]: (row["answer"], row["stands_in_for"]) for row in report["owners"]}
    assert answers[NAMES[SECOND]] == ("unreachable", None)
    assert answers[NAMES[stand_in]] == ("nothing", NAMES[SECOND])
    assert NAMES[SECOND] not in report["repair"]


def test_of_nothing_there_is_nothing_to_tell():
    report = explained(*(Told(id, id, "nothing") for id in (FIRST, SECOND, THIRD)))
    assert (report["items"], report["repair"]) == ([], [])
    assert report["reads_as"] == {"type": "none", "value": None, "expiry_ms": 0}
    assert explained()["owners"] == []


def test_large_values_and_odd_bytes_are_shown_in_short():
    report = explained(Told(FIRST, FIRST, "record", record(b"\xff" + b"x" * 500)))
    (item,) = report["items"]
    assert item["size_bytes"] == 501
    assert item["value"].startswith("\\xffxxx")
    assert item["value"].endswith("...")
