"""A record is one value of one type to plain commands, and everything to KV.GET."""

from __future__ import annotations

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.placement.keyspaces import Resolution
from lsmkv_cluster.resp.stored_values import NOTHING, Stored, Type, concurrent, everything, see
from lsmkv_cluster.storage.engine_key import KeyScheme
from tests.support.fake_coordinator import FakeCoordinator

NOW_MS = 1_790_000_000_000


class Key:
    """One key, written by several verbs."""

    def __init__(self) -> None:
        self.fake = FakeCoordinator(KeyScheme(1))

    def write(self, verb: Verb, *values: bytes, context: bytes = b"", **others: int) -> bytes:
        request = ClientRequest(verb, b"k", values, context, **others)
        assert self.fake.call(request, NOW_MS).is_done
        return self.fake.call(ClientRequest(Verb.GET, b"k"), NOW_MS).context

    @property
    def record(self) -> bytes | None:
        return self.fake.records.get(b"k")

    def seen(self, resolution: Resolution = Resolution.SIBLINGS, now_ms: int = NOW_MS) -> Stored:
        return see(self.record, resolution, now_ms)


def test_a_value_and_its_expiry():
    key = Key()
    assert key.seen() is NOTHING
    key.write(Verb.SET, b"v")
    assert key.seen() == Stored(Type.STRING, b"v")
    key.write(Verb.SET, b"w" * 300, expiry_ms=NOW_MS + 5)
    assert key.seen() == Stored(Type.STRING, b"w" * 300, NOW_MS + 5)
    assert key.seen(now_ms=NOW_MS + 5) == NOTHING


def test_of_siblings_the_newest_and_kv_get_shows_all():
    key = Key()
    key.write(Verb.PUT, b"old")
    key.write(Verb.PUT, b"new")
    assert key.seen().value == b"new"
    assert everything(key.record, NOW_MS) == ("string", [b"new", b"old"])


def test_a_delete_beside_a_write_hides_it_where_the_last_writer_wins():
    key = Key()
    context = key.write(Verb.SET, b"seen")
    key.write(Verb.PUT, b"unseen", context=context)
    key.write(Verb.DELETE, context=context)
    assert key.seen().value == b"unseen"
    assert key.seen(Resolution.LAST_WRITER) == NOTHING


def test_counts_are_part_of_the_value():
    key = Key()
    key.write(Verb.SET, b"10")
    key.write(Verb.INCREMENT, delta=5)
    assert key.seen() == Stored(Type.STRING, b"15", is_counter=True)
    assert everything(key.record, NOW_MS) == ("counter", [b"15"])
    key.write(Verb.PUT, b"text")
    assert key.seen() == Stored(Type.STRING, b"text")
    assert everything(key.record, NOW_MS) == ("string", [b"text", b"10"])


def test_sets_and_maps_are_no_strings():
    key = Key()
    key.write(Verb.ADD_ELEMENTS, b"b", b"a")
    assert key.seen().type is Type.SET
    assert everything(key.record, NOW_MS) == ("set", [b"a", b"b"])
    other = Key()
    other.write(Verb.PUT_FIELDS, b"f", b"v")
    assert other.seen().type is Type.HASH
    assert everything(other.record, NOW_MS) == ("map", [b"f", b"v"])


def test_what_was_written_beside_the_own_value_is_found():
    key = Key()
    context = key.write(Verb.SET, b"before")
    key.write(Verb.PUT, b"theirs", context=context, expiry_ms=NOW_MS + 9)
    key.write(Verb.PUT, b"mine", context=context)
    assert concurrent(key.record, b"mine", NOW_MS) == Stored(Type.STRING, b"theirs", NOW_MS + 9)
    key.write(Verb.SET, b"mine")
    assert concurrent(key.record, b"mine", NOW_MS) is None


def test_two_equal_values_are_two_writes():
    key = Key()
    key.write(Verb.PUT, b"same")
    key.write(Verb.PUT, b"same")
    assert concurrent(key.record, b"same", NOW_MS) == Stored(Type.STRING, b"same")
