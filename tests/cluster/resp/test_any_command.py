"""Whatever is sent, each command gets one reply, nothing is left behind, and no command breaks what
runs it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from lsmkv_cluster.coordination.requests import ClientAnswer, Outcome, Reason
from lsmkv_cluster.placement.keyspaces import Keyspace, Resolution
from lsmkv_cluster.resp.catalogue import COMMANDS
from lsmkv_cluster.resp.queries import Report
from tests.support.resp_lab import RespLab, make_cluster

WORDS = (
    *("a", "b", "{t}1", "{t}2", "l:x", "c:x", "", "0", "1", "-1", "100", "x", "*", "k?"),
    *("NX", "XX", "EX", "PX", "GET", "KEEPTTL", "PERSIST", "MATCH", "COUNT", "TYPE", "READ", "W"),
    *("QUORUM", "STRICT", "CONTEXT", "ID", "SKIPME", "no", "FORCE", "AUTH", "2", "3", "RESOLVE"),
    *("9223372036854775807", "18446744073709551616", "1e400", "{}", '{"change": "commit"}', "user"),
    "\x00\xff",
)
KEYSPACES = (
    Keyspace(),
    Keyspace(b"c:", resolution=Resolution.CRDT),
    Keyspace(b"l:", best_effort=True, resolution=Resolution.LAST_WRITER),
)
NAMES = [
    [row.name, *inner.name.split("|")[1:]]
    for row in COMMANDS.values()
    for inner in (*row.subcommands.values(), row)
    if row.name not in ("quit", "shutdown")
]


def drawn(rng: random.Random) -> Sequence[str]:
    return [*rng.choice(NAMES), *rng.choices(WORDS, k=rng.choice((0, 1, 1, 2, 2, 3, 4, 6)))]


@pytest.mark.parametrize("count", [1, 5], ids=["alone", "cluster"])
@pytest.mark.parametrize("seed", range(6))
def test_each_command_gets_one_reply(seed: int, count: int):
    rng = random.Random(seed)
    lab = RespLab(make_cluster(count, keyspaces=KEYSPACES), seed=seed)
    lab.reports = {name: Report({"is": 1}) for name in ("STATUS", "HINTS", "MOVES", "REPAIR")}
    lab.is_slow = True
    clients = [lab.client(on_cluster_port=n % 2 == 1) for n in range(4)]
    sent = [0] * len(clients)
    got = [0] * len(clients)
    for _ in range(1500):
        index = rng.randrange(len(clients))
        if rng.random() < 0.02:
            answer = ClientAnswer(rng.choice(list(Outcome)[1:]), rng.choice(list(Reason)), 1, 2)
            lab.coordinator.answers.append((rng.choice((b"a", b"b", b"{t}1")), answer))
        if clients[index].session.is_closing:
            lab.executor.closed(clients[index].session)
            clients[index] = lab.client(on_cluster_port=rng.random() < 0.5)
            sent[index] = got[index] = 0
        clients[index].send(*drawn(rng))
        sent[index] += 1
        while lab.open and rng.random() < 0.7:
            lab.answer(rng.randrange(len(lab.open)))
        for each, client in enumerate(clients):
            got[each] += len(client.take())
    lab.run()
    for each, client in enumerate(clients):
        got[each] += len(client.take())
        assert client.session.is_closing or got[each] == sent[each]
        assert lab.executor.pending(client.session) == 0
    last = lab.client()
    assert lab.executor.is_free(last.session, b"a")
    assert last.do("PING") == "PONG"
