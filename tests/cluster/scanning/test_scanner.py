"""Pages have what a quorum of owners has, whoever lacks, fails or is silent, and come to an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.driver_ports import ScanCall, ScanReply
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Answered, Ask, Asked, Now, Reply, Stored, StoreOrder, Unanswered
from lsmkv_cluster.scanning.scan_cursor import cursor_of_slot
from lsmkv_cluster.scanning.scan_messages import (
    LIST_KEYS,
    Keys,
    KeysQuestion,
    encode_keys,
    encode_keys_question,
)
from lsmkv_cluster.scanning.scan_pages import Page, ScanPage, Unlisted
from lsmkv_cluster.scanning.scanner import Scanner
from lsmkv_cluster.storage.backlog import Backlog
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from tests.support.key_store import KeyStore
from tests.support.members import member_id
from tests.support.resp_lab import make_cluster

KEYS = {b"key:%d" % n for n in range(300)}
WALL_MS = 1_700_000_000_000


class ScanNode:
    def __init__(self, lab: ScanLab, id: MemberId) -> None:
        self.id = id
        self.lab = lab
        self.is_ready = True
        self.store = KeyStore(lab.scheme, KEYS)
        self.view = View(
            lab.topology, id, lambda peer: peer not in lab.down, lambda _: self.is_ready
        )
        self.backlog = Backlog()
        self.scanner = Scanner(self.view, lab.scheme, self.backlog)


class ScanLab:
    """Members that scan each other. Questions to those in `silent` wait in `open`."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.scheme = KeyScheme(topology.key_seed)
        self.down: set[MemberId] = set()
        self.silent: set[MemberId] = set()
        self.open: list[tuple[ScanNode, Ask]] = []
        self.asked: list[Ask] = []
        self.replies: dict[int, Page | Unlisted] = {}
        self.now_ms = 1000
        self.calls = 0
        self.nodes = {member.id: ScanNode(self, member.id) for member in topology.members}

    def __getitem__(self, name: str) -> ScanNode:
        return self.nodes[member_id(name)]

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def begin(self, page: ScanPage, at: str = "n1", timeout_ms: int = 1000) -> int:
        self.calls += 1
        id = self.calls
        node = self[at]
        self.take(
            node, node.scanner.called(self.now, [ScanCall(id, page, self.now_ms + timeout_ms)])
        )
        return id

    def page(self, page: ScanPage, at: str = "n1") -> Page | Unlisted:
        return self.replies[self.begin(page, at)]

    def all_keys(self, count: int, at: str = "n1") -> list[bytes]:
        found: list[bytes] = []
        cursor: int | None = 0
        while cursor is not None:
            page = self.page(ScanPage(cursor, count, SLOT_COUNT), at)
            assert isinstance(page, Page)
            found += [listed.key for listed in page.keys]
            cursor = page.cursor
        return found

    def take(self, node: ScanNode, effects: object) -> None:
        assert isinstance(effects, list)
        for effect in effects:
            if isinstance(effect, StoreOrder):
                stored = Stored(effect.token, node.store.carry_out(effect.order))
                self.take(node, node.scanner.stored(self.now, [stored]))
            elif isinstance(effect, Ask):
                self.asked.append(effect)
                if effect.to in self.silent:
                    self.open.append((node, effect))
                else:
                    self.deliver(node, effect)
            elif isinstance(effect, ScanReply):
                assert effect.call_id not in self.replies
                self.replies[effect.call_id] = effect.result
            else:
                assert isinstance(effect, Reply)
                asker, ask = effect.reply_to  # type: ignore[misc]
                answer = Answered(ask.token, ask.to, effect.status, effect.payload)
                self.take(asker, asker.scanner.answered(self.now, [answer]))

    def deliver(self, node: ScanNode, ask: Ask) -> None:
        other = self.nodes[ask.to]
        asked = Asked(
            node.id,
            ask.opcode,
            ask.payload,
            ask.flags,
            ask.deadline_ms,
            (node, ask),
            node.view.topology.epoch,
        )
        self.take(other, other.scanner.asked(self.now, [asked]))

    def answer(self, status: int, payload: bytes = b"") -> None:
        """What waits longest is answered like this."""
        node, ask = self.open.pop(0)
        answer = Answered(ask.token, ask.to, status, payload)
        self.take(node, node.scanner.answered(self.now, [answer]))


@pytest.fixture
def lab() -> ScanLab:
    return ScanLab(make_cluster(5))


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_every_node_lists_every_key_once(lab: ScanLab, count: int):
    for name in ("n1", "n4"):
        found = lab.all_keys(count, name)
        assert sorted(found) == sorted(KEYS)
        assert found == sorted(found, key=lambda key: lab.scheme.engine_key(Space.DATA, key))


def test_what_a_majority_has_is_listed_whoever_lacks_it(lab: ScanLab):
    for id, node in lab.nodes.items():
        kept = {key for key in KEYS if not lacks(lab, id, key)}
        node.store = KeyStore(lab.scheme, kept)
    for count in (3, 500):
        assert sorted(lab.all_keys(count)) == sorted(KEYS)


def lacks(lab: ScanLab, id: MemberId, key: bytes) -> bool:
    """One owner of each key lacks it."""
    row = lab.topology.owners[lab.topology.partition_of(key)]
    return row[hash_of(key) % len(row)] == id


def hash_of(key: bytes) -> int:
    return sum(key)


def test_pages_of_large_records_are_small():
    for count in (1, 5):
        lab = ScanLab(make_cluster(count))
        for node in lab.nodes.values():
            node.store.record_size = 5 << 20
        page = lab.page(ScanPage(0, 1000, SLOT_COUNT))
        assert isinstance(page, Page)
        assert 0 < len(page.keys) <= 6
        assert sorted(lab.all_keys(1000)) == sorted(KEYS)


def test_a_node_that_is_alone_gives_the_records_too():
    lab = ScanLab(make_cluster(1))
    page = lab.page(ScanPage(0, 1000, SLOT_COUNT))
    assert isinstance(page, Page)
    assert [listed.record for listed in page.keys] == [
        b"record of " + listed.key for listed in page.keys
    ]
    assert len(page.keys) == len(KEYS)
    assert lab.asked == []


def test_no_more_owners_are_asked_than_needed_and_another_one_for_who_cannot(lab: ScanLab):
    slots = lab.topology.partitioning.slots_of(0)
    row = lab.topology.owners[0]
    reader = next(member.name for member in lab.topology.members if member.id not in row)
    page = ScanPage(0, 1000, slots.stop)
    lab.page(page, reader)
    assert len(lab.asked) == 2
    first = lab.asked[0].to
    lab.nodes[first].is_ready = False
    lab.asked.clear()
    assert isinstance(lab.page(page, reader), Page)
    assert lab.asked[0].to == first
    assert len(lab.asked) == 3


def test_a_store_that_cannot_list_is_no_answer(lab: ScanLab):
    broken = [lab.nodes[id] for id in lab.topology.owners[0]]
    page = ScanPage(0, 1000, lab.topology.partitioning.slots_of(0).stop)
    broken[0].store.is_broken = True
    assert isinstance(lab.page(page), Page)
    broken[1].store.is_broken = True
    assert lab.page(page) == Unlisted(1, 2)


def test_without_a_majority_there_is_no_page(lab: ScanLab):
    row = lab.topology.owners[0]
    lab.down.update(row[:2])
    reader = next(member.name for member in lab.topology.members if member.id not in row)
    result = lab.page(ScanPage(0, 10, SLOT_COUNT), reader)
    assert result == Unlisted(0, 2)


def test_a_page_ends_where_the_first_of_its_owners_has_stopped(lab: ScanLab):
    row = lab.topology.owners[0]
    reader = next(member for member in lab.topology.members if member.id not in row)
    lab.silent.update(row)
    end = cursor_of_slot(lab.topology.partitioning.slots_of(0).stop)
    id = lab.begin(ScanPage(0, 2, SLOT_COUNT), reader.name)
    early = encode_keys(Keys(tuple(sorted(KEYS)[:3]), 5))
    lab.answer(OperationStatus.DONE, early)
    lab.answer(OperationStatus.DONE, encode_keys(Keys((), end)))
    assert id not in lab.replies
    _, ask = lab.open[0]
    assert ask.payload[:8] == (5).to_bytes(8, "little")


def test_what_comes_too_late_or_is_damaged_does_not_count(lab: ScanLab):
    row = lab.topology.owners[0]
    reader = next(member for member in lab.topology.members if member.id not in row)
    lab.silent.update(row)
    id = lab.begin(ScanPage(0, 2, SLOT_COUNT), reader.name)
    node, ask = lab.open[0]
    lab.answer(OperationStatus.DONE, b"junk")
    lab.answer(OperationStatus.OVERLOADED)
    assert lab.replies[id] == Unlisted(0, 2, is_busy=True)
    late = Answered(ask.token, ask.to, OperationStatus.DONE, encode_keys(Keys((), 9)))
    assert node.scanner.answered(lab.now, [late]) == []


def test_at_the_deadline_a_page_ends_where_it_is_or_says_that_it_came_nowhere(lab: ScanLab):
    rows = lab.topology.owners
    reader = next(member for member in lab.topology.members if member.id not in rows[0])
    scanner = lab[reader.name].scanner
    lab.silent.update(rows[0])
    nowhere = lab.begin(ScanPage(0, 1000, SLOT_COUNT), reader.name)
    lab.silent.clear()
    lab.open.clear()
    other = next(n for n, row in enumerate(rows) if reader.id not in row and n > 0)
    lab.silent.update(set(rows[other]) - {rows[other][0]})
    somewhere = lab.begin(ScanPage(0, 1000, SLOT_COUNT), reader.name)
    assert scanner.next_deadline() == 2000
    lab.now_ms = 2000
    lab.take(lab[reader.name], scanner.tick(lab.now))
    assert lab.replies[nowhere] == Unlisted(0, 2)
    page = lab.replies[somewhere]
    if isinstance(page, Page):
        assert page.cursor is not None
        assert page.cursor > 0
    assert scanner.next_deadline() is None


def test_a_lost_connection_leads_to_another_owner(lab: ScanLab):
    row = lab.topology.owners[0]
    reader = next(member for member in lab.topology.members if member.id not in row)
    lab.silent.add(row[0])
    id = lab.begin(ScanPage(0, 1, lab.topology.partitioning.slots_of(0).stop), reader.name)
    while id not in lab.replies:
        node, ask = lab.open.pop()
        lab.take(node, node.scanner.answered(lab.now, [Unanswered(ask.token, ask.to)]))
    assert isinstance(lab.replies[id], Page)
    assert {ask.to for ask in lab.asked} == set(row)


def test_after_a_new_document_a_partition_is_listed_anew(lab: ScanLab):
    row = lab.topology.owners[0]
    reader = next(member for member in lab.topology.members if member.id not in row)
    lab.silent.update(row)
    id = lab.begin(ScanPage(0, 1, lab.topology.partitioning.slots_of(0).stop), reader.name)
    newer = replace(lab.topology, epoch=2, parent=b"p" * 32, placed=(2, *lab.topology.placed[1:]))
    late, lab.silent = lab.open, set()
    lab.open = []
    for node in lab.nodes.values():
        node.view.follow(newer)
    for node in lab.nodes.values():
        lab.take(node, node.scanner.adopted(lab.now))
    assert isinstance(lab.replies[id], Page)
    node, ask = late[0]
    stale = Answered(ask.token, ask.to, OperationStatus.DONE, encode_keys(Keys((), 9)))
    assert node.scanner.answered(lab.now, [stale]) == []


def test_owners_refuse_what_is_not_theirs_not_whole_late_or_junk(lab: ScanLab):
    owner = lab.nodes[lab.topology.owners[0][0]]
    stranger = next(node for id, node in lab.nodes.items() if id not in lab.topology.owners[0])
    end = cursor_of_slot(lab.topology.partitioning.slots_of(0).stop)
    good = encode_keys_question(KeysQuestion(0, end, 5))
    wide = encode_keys_question(KeysQuestion(0, end + 1, 5))

    def status(node: ScanNode, payload: bytes, *, deadline_ms: int = 5000, flags: int = 0) -> int:
        asked = Asked(member_id("n1"), LIST_KEYS, payload, flags, deadline_ms, None)
        (effect,) = node.scanner.asked(lab.now, [asked])
        return effect.status if isinstance(effect, Reply) else 0

    assert status(owner, good) == 0
    assert status(owner, wide) == OperationStatus.MALFORMED
    assert status(owner, good + b"!") == OperationStatus.MALFORMED
    assert status(owner, good, deadline_ms=1000) == OperationStatus.EXPIRED
    assert status(owner, good, flags=1) == OperationStatus.UNKNOWN_FLAGS
    assert status(stranger, good) == 66
    owner.is_ready = False
    assert status(owner, good) == OperationStatus.NOT_READY


def test_too_many_pages_at_once_are_refused(lab: ScanLab):
    lab.silent.update(lab.nodes)
    results = []
    for n in range(65):
        call = ScanCall(n, ScanPage(0, 1, SLOT_COUNT), 5000)
        results.append(lab["n1"].scanner.called(lab.now, [call]))
    assert [ScanReply(64, Unlisted(0, 0, is_busy=True))] == results[-1]
    assert lab["n1"].scanner.called(lab.now, [ScanCall(99, ScanPage(0, 1, SLOT_COUNT), 0)]) == [
        ScanReply(99, Unlisted(0, 0, is_busy=True))
    ]


def test_a_store_with_too_much_to_do_is_not_given_more():
    lab = ScanLab(make_cluster(1))
    lab["n1"].backlog.count = 1 << 20
    assert lab.page(ScanPage(0, 10, SLOT_COUNT)) == Unlisted(0, 1, is_busy=True)


def test_behind_the_end_there_is_nothing(lab: ScanLab):
    assert lab.page(ScanPage(cursor_of_slot(9), 10, 9)) == Page((), None)
