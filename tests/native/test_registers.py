"""Registers against the rules of the cluster: the same bytes, or left to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsmkv
from lsmkv import CorruptionError
from lsmkv._native.registers import (
    VALUE_SIZE_MAX,
    Registers,
    overwrite_register,
    read_register,
    slot_of,
)
from lsmkv.kernel import ReplyWriter, RequestParser
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning
from lsmkv_cluster.placement.slots import slot_of as slot_by_rule
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING
from lsmkv_cluster.versions.hlc import stamp_from_ms
from lsmkv_cluster.versions.minting import delete, mint, overwrite, write
from lsmkv_cluster.versions.record import Kind, Record
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.resolve import last_writer, winner
from lsmkv_cluster.versions.vclock import Actor

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000
ME = Identity(node=7, incarnation=9, start_number=1, leased=1 << 16, trusted=3)


def actor(serial: int, start_s: int = NOW_S, node: int = 7, incarnation: int = 9) -> Actor:
    return Actor(node, incarnation, serial << 32 | start_s)


# --- slots ---------------------------------------------------------------------------------------


def test_the_slot_of_the_check_value() -> None:
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"") == 0


@given(st.lists(st.sampled_from([b"{", b"}", b"a", b"\xff", b"\0", b"user"]), max_size=9))
def test_slots_are_those_of_the_cluster(parts: list[bytes]) -> None:
    key = b"".join(parts)
    assert slot_of(key) == slot_by_rule(key)


# --- one record ----------------------------------------------------------------------------------


def by_rule(
    old: Record | None, value: bytes, stamp: int, fresh_epoch: int, expiry_ms: int = 0
) -> tuple[bytes, bool]:
    """What the cluster mints."""
    source = ActorSource(ME, ended_cleanly=True, peers_needed=0)
    source.persisted(source.identity)
    chosen = source.choose(old, NOTHING, NOW_MS)
    assert isinstance(chosen, Actor)
    is_fresh = old is None or chosen not in old.clock.entries
    if is_fresh:
        chosen = Actor(ME.node, ME.incarnation, fresh_epoch)
    minted = mint(old, overwrite(old, value, expiry_ms), chosen, stamp)
    return encode(minted.record), is_fresh


def overwritten(
    old: Record | None, value: bytes, stamp: int, fresh_epoch: int, expiry_ms: int = 0
) -> tuple[bytes, bool] | None:
    return overwrite_register(
        encode(old) if old is not None else None, value, ME.own(),
        trusted_epoch=ME.trusted_epoch, fresh_epoch=fresh_epoch, stamp=stamp, expiry_ms=expiry_ms,
    )  # fmt: skip


FRESH = 40_000 << 32 | NOW_S
ACTORS = [
    actor(1),  # not trusted any more
    actor(3),
    actor(4, NOW_S + 50),  # its start lies ahead of the clock
    actor(9, NOW_S - 10**6),
    actor(5, node=6),
    actor(5, node=8),
    actor(5, incarnation=2),
]


@st.composite
def histories(draw: st.DrawFn) -> Record | None:
    """A record as writes of many make it: values, deletes, siblings."""
    record: Record | None = None
    stamp = stamp_from_ms(NOW_MS - 10**6)
    for writer in draw(st.lists(st.sampled_from(ACTORS), max_size=12)):
        stamp += draw(st.integers(1, 10**9))
        kind = draw(st.sampled_from(["set", "set", "delete", "beside"]))
        if kind == "set":
            expiry_ms = draw(st.sampled_from([0, 0, NOW_MS - 1, NOW_MS, NOW_MS + 1]))
            change = overwrite(record, draw(st.binary(max_size=300)), expiry_ms)
        elif kind == "delete":
            change = delete(record)
        else:
            change = write(record, draw(st.binary(max_size=3)), NOTHING)
        record = mint(record, change, writer, stamp).record
    return record


@settings(max_examples=400)
@given(histories(), st.binary(max_size=200), st.integers(0, 3_000_000), st.booleans())
def test_overwriting_gives_the_bytes_of_the_rules(
    old: Record | None, value: bytes, ahead_ms: int, expires: bool
) -> None:
    stamp = stamp_from_ms(NOW_MS + ahead_ms)
    expiry_ms = NOW_MS + 5 if expires else 0
    found = overwritten(old, value, stamp, FRESH, expiry_ms)
    if found is None:
        assert old is not None
        assert old.newest_stamp() >= stamp or len(old.items) > 8
    else:
        assert found == by_rule(old, value, stamp, FRESH, expiry_ms)
        assert read_register(found[0], NOW_MS) == (True, value)


@settings(max_examples=300)
@given(histories())
def test_reading_says_what_the_rules_say(record: Record | None) -> None:
    if record is None:
        return
    is_plain, value = read_register(encode(record), NOW_MS)
    if is_plain:
        assert value == winner(record, NOW_MS) == last_writer(record, NOW_MS)
    else:
        assert len(record.items) > 1


STAMP = stamp_from_ms(NOW_MS)
PLAIN = mint(None, overwrite(None, b"v"), actor(3), STAMP - 1).record


def test_what_needs_the_full_rules() -> None:
    cut = PLAIN.cut(NOW_S - 1)
    [item] = PLAIN.items
    counter = Record(PLAIN.clock, (replace(item, kind=Kind.COUNT, value=bytes(8)),))
    assert cut.cut_s
    for old in (cut, counter):
        assert overwritten(old, b"w", STAMP, FRESH) is None
    assert overwritten(PLAIN, b"w", STAMP - 1, FRESH) is None, "not newer"
    assert overwritten(None, b"w", STAMP, 0) is None, "no epoch at hand"
    assert overwritten(PLAIN, b"w", STAMP, 0) is not None, "it counts on"
    assert overwritten(None, bytes(VALUE_SIZE_MAX + 1), STAMP, FRESH) is None
    assert overwritten(None, bytes(VALUE_SIZE_MAX), STAMP, FRESH) is not None
    assert read_register(encode(counter), NOW_MS) == (False, None)


def test_a_clock_at_its_threshold_is_left_to_the_rules() -> None:
    record: Record | None = None
    for node in range(50):
        found = overwritten(record, b"w", STAMP, FRESH)
        assert found == by_rule(record, b"w", STAMP, FRESH), node
        writer = actor(5, node=100 + node)
        record = mint(record, overwrite(record, b"v"), writer, STAMP - 100 + node).record
    assert len(record.clock) == 50
    assert overwritten(record, b"w", STAMP, FRESH) is None


def test_every_damaged_byte_is_noticed() -> None:
    sound = encode(PLAIN)
    for position in range(len(sound)):
        for bit in range(8):
            damaged = bytearray(sound)
            damaged[position] ^= 1 << bit
            with pytest.raises(CorruptionError):
                read_register(bytes(damaged), NOW_MS)
            assert overwrite_register(
                bytes(damaged), b"w", ME.own(), trusted_epoch=0, fresh_epoch=FRESH, stamp=STAMP
            ) is None  # fmt: skip
    for size in range(len(sound)):
        with pytest.raises(CorruptionError):
            read_register(sound[:size], NOW_MS)


# --- commands ------------------------------------------------------------------------------------


class Lane:
    """Registers on a database of their own."""

    def __init__(self, path: Path) -> None:
        self.db = lsmkv.open(path / "db")
        self.scheme = KeyScheme(5)
        partitioning = Partitioning(16)
        self.trees = PartitionTrees(self.scheme, partitioning, range(16))
        self.registers = Registers(
            self.db, self.trees.by_slot, self.scheme.hash_key, self.scheme.tree_key
        )
        self.registers.act_as(ME.own(), ME.trusted_epoch)
        self.registers.give_serials(10, 5000)
        self.parser = RequestParser(1000, 1 << 20, 1 << 22)
        self.writer = ReplyWriter(1 << 22)
        self.stamp = 0

    def run(self, *commands: list[bytes], locked: object = None) -> tuple[int, bytes]:
        for args in commands:
            self.parser.feed(b"*%d\r\n" % len(args))
            for arg in args:
                self.parser.feed(b"$%d\r\n%b\r\n" % (len(arg), arg))
        served = self.registers.serve(self.parser, self.writer, NOW_MS, self.stamp, locked)
        self.stamp = self.registers.stamp
        return served, self.writer.take()

    def close(self) -> None:
        self.db.close()


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    found = Lane(tmp_path)
    yield found
    found.close()


def test_gets_and_sets_in_their_order(lane: Lane) -> None:
    served, replies = lane.run(
        [b"GET", b"k"], [b"SET", b"k", b"v1"], [b"get", b"k"], [b"Set", b"k", b"v2"], [b"GET", b"k"]
    )
    assert served == 5
    assert replies == b"$-1\r\n+OK\r\n$2\r\nv1\r\n+OK\r\n$2\r\nv2\r\n"
    assert (lane.registers.reads, lane.registers.hits, lane.registers.writes) == (3, 2, 2)


def test_it_stops_at_the_first_other_command_and_leaves_it(lane: Lane) -> None:
    served, replies = lane.run([b"SET", b"k", b"v"], [b"SET", b"k", b"w", b"NX"], [b"GET", b"k"])
    assert (served, replies) == (1, b"+OK\r\n")
    assert lane.parser.take(10) == [[b"SET", b"k", b"w", b"NX"], [b"GET", b"k"]]


@pytest.mark.parametrize(
    "other", [[b"GET"], [b"GET", b"a", b"b"], [b"SET", b"a"], [b"GIT", b"a"], [b"GETX", b"a"],
              [b"MGET", b"a"], [b"GET", bytes(65_529)], [b"SET", bytes(65_529), b""]],
)  # fmt: skip
def test_what_is_not_plain_is_left(lane: Lane, other: list[bytes]) -> None:
    assert lane.run(other) == (0, b"")
    assert lane.parser.take(1) == [other]


def test_keys_that_somebody_holds_are_left(lane: Lane) -> None:
    assert lane.run([b"SET", b"a", b"1"], [b"SET", b"b", b"2"], locked={b"b"}) == (1, b"+OK\r\n")
    assert lane.run(locked={b"c"}) == (1, b"+OK\r\n")


def test_without_serials_new_keys_are_left_and_known_ones_are_not(lane: Lane) -> None:
    lane.registers.give_serials(10, 11)
    assert lane.run([b"SET", b"a", b"1"], [b"SET", b"a", b"2"], [b"SET", b"b", b"1"])[0] == 2
    assert lane.registers.serials_left == 0
    lane.registers.give_serials(20, 21)
    assert lane.run()[0] == 1


def test_records_and_trees_are_those_of_the_rules(lane: Lane) -> None:
    """Every key is minted again by the rules, and every tree built again from the database."""
    rng = Random(5)
    model: dict[bytes, bytes] = {}
    for _ in range(60):
        batch = []
        for _ in range(rng.randrange(1, 40)):
            key = b"{t%d}k%d" % (rng.randrange(9), rng.randrange(60))
            value = rng.randbytes(rng.randrange(0, 200))
            batch.append([b"SET", key, value])
            model[key] = value
        assert lane.run(*batch)[0] == len(batch)
    for key, value in model.items():
        stored = lane.db[lane.scheme.engine_key(Space.DATA, key)]
        record = decode(stored)
        assert winner(record, NOW_MS) == value
        assert len(record.clock) == len(record.items) == 1
        assert lane.run([b"GET", key]) == (1, b"$%d\r\n%b\r\n" % (len(value), value))
    used = {actor for key in model for actor, _ in record_of(lane, key).clock}
    assert len(used) == len(model), "each key has an epoch of its own"
    assert {(actor.node, actor.incarnation) for actor in used} == {(7, 9)}
    rebuilt = PartitionTrees(lane.scheme, Partitioning(16), range(16))
    for partition in range(16):
        rebuilt.rebuild(lane.db, partition)
        ours, theirs = lane.trees[partition], rebuilt[partition]
        assert (ours.level(0), ours.entry_count) == (theirs.level(0), theirs.entry_count)


def record_of(lane: Lane, key: bytes) -> Record:
    return decode(lane.db[lane.scheme.engine_key(Space.DATA, key)])


def test_siblings_go_the_long_way(lane: Lane) -> None:
    record = mint(PLAIN, write(PLAIN, b"w", NOTHING), actor(5, node=8), STAMP).record
    lane.db[lane.scheme.engine_key(Space.DATA, b"k")] = encode(record)
    assert lane.run([b"GET", b"k"]) == (0, b"")
    lane.db[lane.scheme.engine_key(Space.DATA, b"k")] = b"no record"
    assert lane.run() == (0, b"")


def test_a_slot_without_a_tree_is_somebody_elses(lane: Lane) -> None:
    lane.trees.remove(Partitioning(16).partition_of(slot_of(b"k")))
    assert lane.run([b"SET", b"k", b"v"]) == (0, b"")
    assert lane.scheme.engine_key(Space.DATA, b"k") not in lane.db


def test_a_database_that_refuses_is_heard_of(lane: Lane) -> None:
    assert lane.run([b"SET", b"a", b"1"])[0] == 1
    lane.db.close()
    with pytest.raises(lsmkv.Error):
        lane.run([b"SET", b"a", b"2"])
    assert lane.parser.take(1) == [[b"SET", b"a", b"2"]], "it is left, too"


def test_replies_end_at_their_limit(lane: Lane) -> None:
    lane.run([b"SET", b"k", bytes(100_000)])
    served, replies = lane.run(*[[b"GET", b"k"]] * 10)
    assert served == 3, "the caller sends what there is"
    assert len(replies) == 3 * (100_000 + 11)
    lane.writer = ReplyWriter(50_000)
    assert lane.run() == (0, b""), "never more than the writer takes"
    lane.writer = ReplyWriter(1 << 20)
    assert lane.run()[0] == 3


def test_inputs_are_checked(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db") as db:
        scheme = KeyScheme(5)
        trees = [None] * SLOT_COUNT
        for wrong in (
            (db, [], scheme.hash_key, scheme.tree_key),
            (db, trees, b"", scheme.tree_key),
        ):
            with pytest.raises(ValueError):
                Registers(*wrong)
        registers = Registers(db, trees, scheme.hash_key, scheme.tree_key)
        with pytest.raises(ValueError):
            registers.act_as(b"short", 0)
        for first, end in ((0, 5), (5, 4), (5, (1 << 32) + 1)):
            with pytest.raises(ValueError):
                registers.give_serials(first, end)
