"""Three nodes of the product list their keys, also while one of them cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.driver_ports import ScanCall, ScanReply
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.scanning.scan_pages import Page, ScanPage, Unlisted
from tests.support.trio import Trio

KEYS = {b"key:%d" % n for n in range(60)}


@pytest.fixture
def trio() -> Iterator[Trio]:
    with Trio(as_bytes=True) as trio:
        for n, key in enumerate(sorted(KEYS)):
            answer = trio.call(trio.ids[n % 3], ClientRequest(Verb.SET, key, (b"v",)))
            assert answer.is_done
        yield trio


def scanned(trio: Trio, at: int, page: ScanPage, timeout_ms: int = 2000) -> Page | Unlisted:
    call_id = len(trio.others)
    trio.step(trio.ids[at], [ScanCall(call_id, page, trio.now_ms + timeout_ms)])
    for _ in range(30):
        for _, effect in trio.others:
            if isinstance(effect, ScanReply) and effect.call_id == call_id:
                return effect.result
        trio.run(100)
    raise AssertionError("no reply")


def all_keys(trio: Trio, nodes: tuple[int, ...]) -> list[bytes]:
    found: list[bytes] = []
    cursor: int | None = 0
    count = 0
    while cursor is not None:
        page = scanned(trio, nodes[count % len(nodes)], ScanPage(cursor, 7, SLOT_COUNT))
        assert isinstance(page, Page)
        found += [listed.key for listed in page.keys]
        cursor = page.cursor
        count += 1
    return found


def test_any_node_goes_on_with_the_cursor_of_any_other(trio: Trio):
    assert sorted(all_keys(trio, (0, 1, 2))) == sorted(KEYS)


def test_with_one_node_cut_off_the_others_list_everything_and_it_alone_nothing(trio: Trio):
    alone = trio.ids[2]
    for other in trio.ids[:2]:
        trio.cut |= {(alone, other), (other, alone)}
    trio.run(20_000)
    more = {b"more:%d" % n for n in range(20)}
    for key in more:
        assert trio.call(trio.ids[0], ClientRequest(Verb.SET, key, (b"v",))).is_done
    assert sorted(all_keys(trio, (0, 1))) == sorted(KEYS | more)
    assert scanned(trio, 2, ScanPage(0, 10, SLOT_COUNT)) == Unlisted(1, 2)
    trio.cut.clear()
    trio.run(20_000)
    assert sorted(all_keys(trio, (2,))) == sorted(KEYS | more)
