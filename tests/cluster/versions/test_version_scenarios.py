"""Historic ways to lose a write, as far as versions alone decide them. Each copy's ledger proves on
the way that no dot is used twice, and each merge that native and Python merge agree."""

from __future__ import annotations

import pytest

from lsmkv_cluster.errors import TooManySiblingsError
from lsmkv_cluster.versions import context, resolve
from lsmkv_cluster.versions.context import NOTHING
from lsmkv_cluster.versions.minting import Limits, expire, write
from lsmkv_cluster.versions.record import Kind
from tests.support.record_lab import Copy, Lab, settle


def spread(source: Copy, *targets: Copy) -> None:
    for target in targets:
        target.take(source.data)


def test_the_d1_to_d5_example():
    """D1([Sx,1]) -> D2([Sx,2]) -> D3([Sx,2],[Sy,1]) and D4([Sx,2],[Sz,1])
    -> D5([Sx,3],[Sy,1],[Sz,1])."""
    x, y, z = Lab().copies("xyz")
    [(sx, _)] = x.put(b"D1").dots
    assert x.counters() == {sx: 1}
    x.update(b"D2")
    assert x.counters() == {sx: 2}
    spread(x, y, z)
    seen = x.context()
    [(sy, _)] = y.put(b"D3", seen).dots
    assert y.counters() == {sx: 2, sy: 1}
    [(sz, _)] = z.put(b"D4", seen).dots
    assert z.counters() == {sx: 2, sz: 1}
    assert y.record is not None
    assert z.record is not None
    assert y.record.clock.is_concurrent(z.record.clock)
    spread(y, x)
    spread(z, x)
    assert x.values() == [b"D3", b"D4"]
    x.update(b"D5")
    assert x.counters() == {sx: 3, sy: 1, sz: 1}
    assert x.values() == [b"D5"]
    settle([x, y, z])
    assert z.values() == [b"D5"]


def test_kv679_lost_clock():
    a, b, c = Lab().copies("abc")
    a.put(b"phil")
    a.put(b"bob")
    spread(a, b, c)
    a.lose()
    a.put(b"jon")
    settle([a, b, c])
    assert b.values() == [b"bob", b"jon", b"phil"]
    assert sorted(b.counters().values()) == [1, 2]
    assert a.distrusts == 1


def test_kv679_fallback_clock():
    a, b, c, d, e = Lab().copies("abcde")
    a.put(b"bob")
    a.update(b"jim")
    spread(a, d, e)
    a.update(b"jon")
    a.update(b"joe")
    spread(a, b, c)
    a.lose()
    spread(d, a)
    a.update(b"anne")
    spread(a, d, e)
    settle([a, b, c, d, e])
    assert b.values() == [b"anne", b"joe"]


@pytest.mark.parametrize("dave_is_stored", [True, False])
def test_kv679_handoff_amnesia(dave_is_stored: bool):
    a, b, d, e, f = Lab().copies("abdef")
    a.put(b"alice")
    spread(a, d)
    a.update(b"bob")
    a.update(b"charlie")
    spread(a, e)
    b.put(b"dave")
    spread(b, f)
    if dave_is_stored:
        a.lose()
        spread(f, a)
    spread(d, b)
    spread(b, a)
    a.update(b"emma")
    settle([a, b, e])
    assert a.values() == ([b"charlie", b"emma"] if dave_is_stored else [b"emma"])


def test_kv679_doomstones_with_the_tombstone_removed_by_force():
    """Collection on proof is the first line of defence; the fresh epoch alone must do, too."""
    a, b, c, d = Lab().copies("abcd")
    for value in (b"bob", b"phil", b"pete"):
        a.update(value)
    spread(a, b, c)
    b.delete(b.context())
    spread(b, a, c, d)
    for copy in (a, b, c):
        copy.lose()
    a.put(b"jon")
    settle([a, b, c, d])
    assert a.get() == b"jon"
    assert d.values() == [b"jon"]


def test_partition_comes_home():
    a, b, c, d = Lab().copies("abcd")
    for i in range(5):
        a.update(b"v%d" % i)
    spread(a, b, c, d)
    a.lose()
    d.update(b"v6")
    spread(d, b, c)
    a.put(b"x")
    settle([a, b, c])
    assert a.values() == [b"v6", b"x"]


def test_sibling_explosion():
    """101 interleaved writes of two clients leave at most 2 siblings."""
    [a] = Lab().copies("a")
    first = a.put(b"0")
    replies = [first, a.put(b"1")]
    for i in range(2, 101):
        seen = context.seen_in(replies[i % 2].record)
        replies[i % 2] = a.put(b"%d" % i, seen)
        assert len(a.values()) == 2
    assert a.values() == [b"100", b"99"]
    assert list(a.counters().values()) == [101]


def test_sibling_explosion_through_two_coordinators():
    """The second client writes through b; each write is replicated before the next."""
    a, b = copies = Lab().copies("ab")
    seen = [NOTHING, NOTHING]
    for i in range(101):
        minted = copies[i % 2].put(b"%d" % i, seen[i % 2])
        seen[i % 2] = context.seen_in(minted.record)
        settle([a, b])
        assert len(a.values()) == min(i + 1, 2)
    assert sorted(a.counters().values()) == [50, 51]


def test_blind_writes_meet_the_cap_and_repair_does_not():
    a, b, c = Lab().copies("abc")
    for i in range(100):
        minted = a.put(b"%d" % i)
        assert minted.has_many_siblings == (i >= 25)
    before = a.data
    with pytest.raises(TooManySiblingsError):
        a.put(b"one more")
    assert a.data == before
    for i in range(50):
        b.put(b"elsewhere %d" % i)
    settle([a, b, c])
    assert len(c.values()) == 150
    a.update(b"resolved")
    settle([a, b, c])
    assert c.values() == [b"resolved"]


def test_plain_sets_leave_one_value():
    [a] = Lab().copies("a")
    for i in range(200):
        a.set(b"%d" % i)
    assert a.values() == [b"199"]


def test_two_dc_sibling_explosion():
    west, east = Lab().copies("we")
    west.put(b"1")
    for i in range(1, 101):
        east.update(b"%d" % i)
        spread(east, west)
        assert west.values() == sorted([b"1", b"%d" % i])
        assert east.values() == [b"%d" % i]
    settle([west, east])
    assert east.values() == [b"1", b"100"]


def test_crash_before_sync_takes_a_fresh_epoch():
    a, c = Lab().copies("ac")
    a.put(b"x")
    durable = a.data
    a.update(b"y")
    spread(a, c)
    a.data = durable
    a.start(ended_cleanly=False)
    a.update(b"z")
    settle([a, c])
    assert a.values() == [b"y", b"z"]


def test_lww_drops_acked_writes_and_counts_them():
    lab = Lab()
    a, b = lab.copies("ab")
    hidden = 0
    for i in range(50):
        a.update(b"start %d" % i)
        settle([a, b])
        seen = a.context()
        a.put(b"a%d" % i, seen)
        b.put(b"b%d" % i, seen)
        settle([a, b])
        assert a.values() == [b"a%d" % i, b"b%d" % i]
        assert resolve.last_writer(a.record, lab.now_ms) == b"b%d" % i
        hidden += resolve.hidden_count(b.record)
    assert hidden == 50


@pytest.mark.parametrize("skew_ms", [1000, 3_600_000])
def test_a_context_goes_before_time(skew_ms: int):
    """What has seen a write from the future replaces it, in every keyspace, deletes included."""
    lab = Lab()
    a, b = lab.copies("ab")
    b.skew_ms = skew_ms

    def reads() -> set[bytes | None]:
        return {a.get(), resolve.last_writer(a.record, lab.now_ms)}

    b.put(b"v1")
    spread(b, a)
    a.update(b"v2")
    assert reads() == {b"v2"}
    a.delete(a.context())
    assert reads() == {None}
    a.update(b"v3")
    assert reads() == {b"v3"}
    settle([a, b])
    assert resolve.last_writer(b.record, lab.now_ms) == b"v3"
    assert a.clock.ahead_ms(lab.now_ms) == 0


def test_expired_key_revived():
    lab = Lab()
    a, b, c = lab.copies("abc")
    expiry_ms = lab.now_ms + 60_000
    a.change(lambda local, _: write(local, b"v", NOTHING, expiry_ms))
    spread(a, b, c)
    seen = b.context()
    lab.now_ms = expiry_ms - 2000
    b.put(b"v2", seen)
    lab.now_ms = expiry_ms + 1000
    assert a.values() == []
    assert c.values() == []
    assert a.record is not None
    for copy in (a, c):  # any owner may, and two did
        copy.change(lambda local, _: expire(local, lab.now_ms) if local else pytest.fail("gone"))
    assert [item.kind for item in a.record.items] == [Kind.TOMBSTONE]
    settle([a, b, c])
    assert a.values() == [b"v2"]
    assert expire(a.record, lab.now_ms) is None


def test_an_expiry_tombstone_covers_exactly_what_has_expired():
    lab = Lab()
    [a] = lab.copies("a")
    a.put(b"stays")
    a.change(lambda local, _: write(local, b"goes", NOTHING, lab.now_ms + 5000))
    a.put(b"stays too")
    lab.now_ms += 10_000
    a.change(lambda local, _: expire(local, lab.now_ms) if local else pytest.fail("gone"))
    assert a.values() == [b"stays", b"stays too"]


def seeded_for_a_cut(lab: Lab) -> list[Copy]:
    """{x:1, y:1, a:1, b:1} on a and b; c kept v1 of x. x and y have left."""
    x, y, a, b, c = lab.copies("xyabc")
    x.put(b"v1")
    spread(x, y, c)
    y.update(b"v2")
    spread(y, a)
    a.update(b"v3")
    spread(a, b)
    lab.limits = Limits(clock_threshold=4)
    b.update(b"v4")
    spread(b, a)
    lab.limits = Limits(clock_threshold=3)
    return [x, y, a, b, c]


def test_prune_repair_loop():
    lab = Lab()
    x, _, a, b, c = seeded_for_a_cut(lab)
    assert a.data == b.data
    assert len(a.counters()) == 4
    assert [c.take(b.data), c.take(a.data)] == [True, False], "one repair: a merge never cuts"
    actors = list(b.counters())
    minted = b.update(b"v5")
    assert lab.cut_count == minted.cut_count == 1
    assert list(b.counters()) == actors[1:], "x, the oldest, fell"
    assert settle([a, b, c]) == 1
    assert a.values() == [b"v5"]
    # A hint of v1: that it was superseded is forgotten, so it shows. It never hides v5.
    assert x.values() == [b"v1"]
    a.take(x.data)
    settle([a, b, c])
    assert c.values() == [b"v1", b"v5"]
    a.update(b"v6")
    settle([a, b, c])
    assert c.values() == [b"v6"], "and the next write ends it, on every copy"
    assert not a.take(x.data)


def test_a_cut_lasts():
    """A copy that was never cut does not bring a cut entry back."""
    lab = Lab()
    _, _, a, b, _ = seeded_for_a_cut(lab)
    uncut = a.data
    b.update(b"v5")
    kept = b.counters()
    b.take(uncut)
    assert b.counters() == kept
    a.take(b.data)
    assert a.data == b.data


def test_an_actor_that_was_cut_does_not_count_on():
    """x wrote twice, its entry fell, an old hint shows x:1 again: (x, 2) must not come twice."""
    lab = Lab(Limits(clock_threshold=3))
    x, *others = lab.copies("xabcdef")
    x.put(b"x1")
    old_hint = x.data
    x.update(b"x2")
    latest = x
    for copy in others:
        copy.take(latest.data)
        copy.update(copy.name.encode())
        latest = copy
    assert not any(actor.node == 1 for actor in latest.counters()), "x was cut"
    latest.take(old_hint)
    assert latest.values() == [b"f", b"x1"]
    x.take(latest.data)
    before = x.counters()
    x.update(b"x3")
    assert set(x.counters()) - set(before), "a fresh actor"
    assert x.values() == [b"x3"]
