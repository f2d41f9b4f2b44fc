"""Going through keys, page by page, and what is done with all of them: SCAN, KEYS, FLUSHALL ...

Keys come in the order of their slots and hashes. What comes or goes meanwhile may be seen or not,
and what stays is seen once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.resp.changing import delete_all, look_at_all
from lsmkv_cluster.resp.cluster_map import slot_runs
from lsmkv_cluster.resp.commanding import CommandError, Run, Steps, Turn
from lsmkv_cluster.resp.glob_match import matcher
from lsmkv_cluster.resp.options import SYNTAX_ERROR, integer, word
from lsmkv_cluster.resp.queries import Page, ScanPage
from lsmkv_cluster.resp.replies import OK
from lsmkv_cluster.resp.stored_values import Stored, see
from lsmkv_cluster.scanning.scan_cursor import CURSOR_END, cursor_of_slot

__all__ = ["dbsize", "flush", "keys", "keys_of_slot", "randomkey", "scan"]

SCAN_COUNT_DEFAULT = 10
WALK_COUNT = 512  # keys a page where all are wanted
COUNTED_KEYS_MAX = 10_000  # DBSIZE counts up to so many, and estimates beyond

Seen = list[tuple[bytes, Stored]]
Wanted = Callable[[bytes], bool]


def slots_of(turn: Turn) -> list[range]:
    """Which slots a connection sees: on the cluster port those of which this node is the master,
    as clients go through all nodes."""
    if not turn.session.is_cluster_port:
        return [range(SLOT_COUNT)]
    runs = slot_runs(turn.host)
    return [range(run.first, run.last + 1) for run in runs if run.master == turn.host.me]


def page(
    turn: Turn, slots: Sequence[range], cursor: int, count: int, wanted: Wanted | None = None
) -> Steps[tuple[Seen, int | None]]:
    """The live keys of the next page, of those that are wanted, and where to go on."""
    place = _first_behind(slots, cursor)
    if place is None:
        return [], None
    cursor, end_slot = place
    answer: Page = yield ScanPage(cursor, count, end_slot)
    listed = [each for each in answer.keys if wanted is None or wanted(each.key)]
    unread = [each.key for each in listed if each.record is None]
    read = dict(zip(unread, (yield from look_at_all(turn, unread)), strict=True)) if unread else {}
    topology = turn.host.topology
    seen: Seen = []
    for key, record in listed:
        stored = read.get(key)
        if stored is None:
            stored = see(record, topology.keyspace_of(key).resolution, turn.wall_ms)
        if stored.is_alive:
            seen.append((key, stored))
    next = answer.cursor if answer.cursor is not None else cursor_of_slot(end_slot)
    return seen, next if _first_behind(slots, next) is not None else None


def _first_behind(slots: Sequence[range], cursor: int) -> tuple[int, int] | None:
    """(cursor, end slot) of the first of these ascending ranges that does not lie before."""
    for each in slots:
        if cursor < cursor_of_slot(each.stop):
            return max(cursor, cursor_of_slot(each.start)), each.stop
    return None


def walk(
    turn: Turn,
    visit: Callable[[Seen], Steps[None] | None],
    slots: Sequence[range] | None = None,
    wanted: Wanted | None = None,
) -> Steps[None]:
    """`visit` is given what there is, page by page."""
    slots = slots_of(turn) if slots is None else slots
    cursor: int | None = 0
    while cursor is not None:
        seen, cursor = yield from page(turn, slots, cursor, WALK_COUNT, wanted)
        if seen and (steps := visit(seen)) is not None:
            yield from steps


# --- commands


def scan(turn: Turn, args: list[bytes]) -> Run:
    cursor = int(args[1]) if args[1].isdigit() and len(args[1]) <= 20 else -1
    if not 0 <= cursor < 1 << 64:
        raise CommandError("ERR invalid cursor")
    count, wanted, type = SCAN_COUNT_DEFAULT, None, None
    options = args[2:]
    if len(options) % 2 and word(options[-1]) in ("count", "match", "type"):
        raise CommandError(SYNTAX_ERROR)
    for name, value in zip(options[::2], options[1::2], strict=False):
        match word(name):
            case "count":
                count = integer(value)
                if count < 1:
                    raise CommandError(SYNTAX_ERROR)
            case "match":
                wanted = matcher(value)
            case "type":
                type = word(value)
            case _:
                raise CommandError(SYNTAX_ERROR)
    if len(options) % 2:
        raise CommandError(SYNTAX_ERROR)
    if cursor >= CURSOR_END:
        return [b"0", []]
    seen, next = yield from page(turn, slots_of(turn), cursor, count, wanted)
    found = [key for key, stored in seen if type in (None, stored.type.value)]
    return [b"%d" % (next or 0), list(found)]


def keys(turn: Turn, args: list[bytes]) -> Run:
    found: list[bytes] = []
    yield from walk(
        turn, lambda seen: found.extend([key for key, _ in seen]), wanted=matcher(args[1])
    )
    return list(found)


def keys_of_slot(turn: Turn, slot: int) -> Steps[list[bytes]]:
    found: list[bytes] = []
    slots = [range(slot, slot + 1)]
    yield from walk(turn, lambda seen: found.extend([key for key, _ in seen]), slots)
    return found


def randomkey(turn: Turn, args: list[bytes]) -> Run:
    """One of the first page behind a random place: not quite as likely as every other."""
    rng, slots = turn.shared.rng, slots_of(turn)
    start = rng.randrange(CURSOR_END)
    for first in (start, 0):
        cursor: int | None = first
        while cursor is not None:
            seen, cursor = yield from page(turn, slots, cursor, SCAN_COUNT_DEFAULT)
            if seen:
                return seen[rng.randrange(len(seen))][0]
    return None


def dbsize(turn: Turn, args: list[bytes]) -> Run:
    """All keys that this node takes care of, on the cluster port those of which it is master: small
    numbers are counted, larger ones estimated from what is here."""
    estimate = turn.host.key_estimate()
    if turn.is_alone and estimate > COUNTED_KEYS_MAX:
        return estimate
    if not turn.is_alone:
        return _estimated_of_all(turn, estimate)
    total = 0

    def count(seen: Seen) -> None:
        nonlocal total
        total += len(seen)

    yield from walk(turn, count)
    return total


def _estimated_of_all(turn: Turn, estimate: int) -> int:
    """Hashes spread keys evenly over slots, so what is here tells of what is elsewhere."""
    topology, me = turn.host.topology, turn.host.me
    kept = sum(me in row for row in topology.owners)
    if not kept:
        return 0
    visible = sum(map(len, slots_of(turn)))
    return estimate * len(topology.owners) * visible // (kept * SLOT_COUNT)


def flush(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 2 or (len(args) == 2 and word(args[1]) not in ("async", "sync")):
        raise CommandError(SYNTAX_ERROR)
    yield from walk(turn, lambda seen: _deleted(turn, [key for key, _ in seen]))
    return OK


def _deleted(turn: Turn, keys: Sequence[bytes]) -> Steps[None]:
    yield from delete_all(turn, keys)
