"""So many rounds of others at once, whoever they are; those that run go on."""

from __future__ import annotations

from lsmkv_cluster.healing.antientropy_messages import COMPARE, Question, encode_question
from lsmkv_cluster.healing.rounds_served import IDLE_MAX_MS, RoundsServed
from lsmkv_cluster.ports import Asked


def question(peer: bytes, exchange: int, until_ms: int, step: int = 0) -> Asked:
    payload = encode_question(Question(exchange, step, 0, 60, 2, 0, 1, 8, 0, ()))
    return Asked(peer, COMPARE, payload, 0, until_ms, "reply")


def test_so_many_over_all_peers():
    served = RoundsServed(3)
    peers = [b"a", b"a", b"b", b"c", b"d"]
    taken = [served.takes(0, question(peer, n, 100), is_busy=False) for n, peer in enumerate(peers)]
    assert taken == [True, True, True, False, False]


def test_those_that_run_go_on_and_count_until_their_last_deadline():
    served = RoundsServed(1)
    assert served.takes(0, question(b"a", 1, 100), is_busy=False)
    assert served.takes(90, question(b"a", 1, 190, step=1), is_busy=True)
    assert not served.takes(189, question(b"b", 1, 300), is_busy=False)
    assert served.takes(190, question(b"b", 1, 300), is_busy=False)
    assert not served.takes(190, question(b"a", 1, 300, step=2), is_busy=False)


def test_one_that_is_over_or_idle_makes_room():
    served = RoundsServed(1)
    assert served.takes(0, question(b"a", 1, 9_000), is_busy=False)
    assert not served.takes(0, question(b"b", 1, 9_000), is_busy=False)
    served.over(question(b"a", 1, 9_000))
    assert served.takes(1, question(b"b", 1, 9_000), is_busy=False)
    assert not served.takes(1 + IDLE_MAX_MS - 1, question(b"a", 2, 9_000), is_busy=False)
    assert served.takes(1 + IDLE_MAX_MS, question(b"a", 2, 9_000), is_busy=False)


def test_none_begins_while_the_node_has_too_much_to_do():
    served = RoundsServed(3)
    assert not served.takes(0, question(b"a", 1, 100), is_busy=True)
    assert served.takes(0, question(b"a", 1, 100), is_busy=False)
