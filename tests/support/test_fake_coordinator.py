"""The fake coordinator does what a real one does, as far as tests rely on it."""

from __future__ import annotations

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.resp.queries import ScanPage
from lsmkv_cluster.storage.engine_key import KeyScheme
from lsmkv_cluster.versions.record_format import decode
from lsmkv_cluster.versions.resolve import siblings
from tests.support.fake_coordinator import FakeCoordinator

NOW_MS = 1_700_000_000_000


def make() -> FakeCoordinator:
    return FakeCoordinator(KeyScheme(1))


def values(fake: FakeCoordinator, key: bytes) -> tuple[bytes, ...]:
    record = fake.call(ClientRequest(Verb.GET, key), NOW_MS).record
    return siblings(decode(record) if record else None, NOW_MS)


def test_what_was_set_is_read_and_what_was_deleted_is_not():
    fake = make()
    assert values(fake, b"k") == ()
    assert fake.call(ClientRequest(Verb.SET, b"k", (b"v",)), NOW_MS).is_done
    assert values(fake, b"k") == (b"v",)
    fake.call(ClientRequest(Verb.DELETE, b"k"), NOW_MS)
    assert values(fake, b"k") == ()


def test_a_put_supersedes_what_its_context_has_seen_and_nothing_else():
    fake = make()
    seen = fake.call(ClientRequest(Verb.SET, b"k", (b"1",)), NOW_MS).context
    fake.call(ClientRequest(Verb.PUT, b"k", (b"2",), seen), NOW_MS)
    fake.call(ClientRequest(Verb.PUT, b"k", (b"3",), seen), NOW_MS)
    assert values(fake, b"k") == (b"3", b"2")
    damaged = ClientRequest(Verb.PUT, b"k", (b"4",), seen + b"!")
    assert fake.call(damaged, NOW_MS).reason is Reason.BAD_CONTEXT


def test_an_answer_that_was_prepared_is_given_once_and_nothing_is_done():
    fake = make()
    refusal = ClientAnswer(Outcome.REFUSED, Reason.NOT_READY)
    fake.answers.append((b"k", refusal))
    assert fake.call(ClientRequest(Verb.SET, b"k", (b"v",)), NOW_MS) == refusal
    assert values(fake, b"k") == ()


def test_pages_have_every_key_once():
    fake = make()
    keys = {b"%d" % n for n in range(50)}
    for key in keys:
        fake.call(ClientRequest(Verb.SET, key, (key,)), NOW_MS)
    found: list[bytes] = []
    cursor: int | None = 0
    while cursor is not None:
        page = fake.page(ScanPage(cursor, 7, SLOT_COUNT))
        assert len(page.keys) <= 7
        found += [listed.key for listed in page.keys]
        cursor = page.cursor
    assert sorted(found) == sorted(keys)
