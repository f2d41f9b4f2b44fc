"""Announcements and notes travel unchanged, and a note follows what is announced."""

from __future__ import annotations

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.start_messages import Announcement, OwnStarts, Seen, SeenBefore
from tests.support.damaged_payloads import damaged

FIRST = Announcement(incarnation=7, start_number=1, nonce=11, sequence=100)


@pytest.mark.parametrize(
    "message",
    [FIRST, SeenBefore(3, 9, 4), Seen(FIRST, SeenBefore(3, 9, 4))],
    ids=lambda m: type(m).__name__,
)
def test_they_travel_unchanged_and_nothing_else_is_taken(
    message: Announcement | SeenBefore | Seen,
) -> None:
    data = message.encode()
    assert type(message).decode(data) == message
    for is_flipped, payload in damaged(data):
        if is_flipped:
            assert type(message).decode(payload) != message
        else:
            with pytest.raises(Malformed):
                type(message).decode(payload)


@pytest.mark.parametrize(
    ("told", "before", "announced_start", "announced_sequence"),
    [
        (FIRST, SeenBefore(0, 0, 0), 1, 100),
        (Announcement(7, 2, 12, 150), SeenBefore(1, FIRST.nonce, 100), 2, 150),
        (Announcement(7, 2, 12, 50), SeenBefore(1, FIRST.nonce, 100), 2, 100),
        (Announcement(8, 2, 12, 50), SeenBefore(1, FIRST.nonce, 0), 2, 50),
        (Announcement(7, 1, 12, 100), SeenBefore(1, FIRST.nonce, 100), 1, 100),
    ],
    ids=["again", "next", "with less", "new incarnation", "other run"],
)
def test_what_was_seen_follows_announcements(
    told: Announcement, before: SeenBefore, announced_start: int, announced_sequence: int
) -> None:
    seen = Seen().follow(FIRST).follow(told)
    assert seen.before == before
    assert seen.announced.start_number == announced_start
    assert seen.announced.sequence == announced_sequence
    assert seen.follow(told) is seen or told.start_number != announced_start


def test_a_store_knows_its_last_starts() -> None:
    own = OwnStarts()
    for number in range(1, 100):
        own = own.begin(number, 1000 + number)
    assert len(own.nonces) == 64
    assert own.know(SeenBefore(99, 1099, 0))
    assert not own.know(SeenBefore(99, 1098, 0))
    assert own.know(SeenBefore(7, 5, 0)), "too long ago"
    assert own.know(SeenBefore(0, 0, 0)), "never seen"
    assert own.begin(99, 5).nonces[-1] == (99, 5)
    note = own.encode()
    assert OwnStarts.decode(note) == own
    for broken in (note[:-1], note + b"x", b"", b"\xff" + note[1:]):
        with pytest.raises(Malformed):
            OwnStarts.decode(broken)
