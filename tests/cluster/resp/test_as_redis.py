"""A node that is alone replies as redis-server 7.0 does, to the byte, in both protocols."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmkv_cluster.resp.replies import ErrorReply, Reply, Verbatim
from tests.support.redis_server import (
    REDIS_SERVER,
    RedisConnection,
    as_resp2,
    as_resp3,
    redis_server,
)
from tests.support.resp_lab import LabClient, RespLab

pytestmark = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")

SCRIPTS = sorted((Path(__file__).parents[2] / "testdata" / "redis").glob("*.txt"))


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    with redis_server() as path:
        yield path


class Both:
    """Two connections to the server, and two to the executor."""

    def __init__(self, path: str, protocol: int) -> None:
        self._protocol = protocol
        self._real = [RedisConnection(path), RedisConnection(path)]
        lab = RespLab()
        self._own = [lab.client(), lab.client()]
        self.do(0, [b"FLUSHALL"])
        for index in (0, 1):
            self.do(index, [b"HELLO", b"%d" % protocol])

    def close(self) -> None:
        for real in self._real:
            real.close()

    def do(self, index: int, args: list[bytes]) -> tuple[Reply, Reply]:
        """(that of redis, ours)."""
        own = self._own[index].do(*args)
        own = as_resp2(own) if self._own[index].session.protocol == 2 else as_resp3(own)
        return self._real[index].do(args), own


def words(line: str) -> list[bytes]:
    """Separated by blanks, or quoted, with escapes."""
    found: list[bytes] = []
    rest = line.strip()
    while rest:
        if rest.startswith('"'):
            end = 1
            while rest[end] != '"':
                end += 2 if rest[end] == "\\" else 1
            found.append(rest[1:end].encode().decode("unicode_escape").encode("latin-1"))
            rest = rest[end + 1 :].lstrip()
        else:
            word, _, rest = rest.partition(" ")
            found.append(word.encode())
            rest = rest.lstrip()
    return found


def kind(reply: Reply) -> object:
    """What it is, without what it says."""
    return reply.text if isinstance(reply, ErrorReply) else type(reply)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_of_a_script_is_answered_alike(path: str, script: Path, protocol: int):
    both = Both(path, protocol)
    differing: list[str] = []
    try:
        for number, line in enumerate(script.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            mark, text = (line[0], line[1:]) if line[0] in "~?" else ("", line)
            index = 1 if text.startswith("2:") else 0
            real, own = both.do(index, words(text.removeprefix("2:")))
            if mark == "~" and isinstance(real, list) and isinstance(own, list):
                real, own = sorted(real, key=repr), sorted(own, key=repr)
            elif mark == "?":
                assert not isinstance(real, ErrorReply), line
                real, own = kind(real), kind(own)
            if real != own or type(real) is not type(own):
                differing.append(
                    f"{script.name}:{number}: {line}\n  redis {real!r}\n  ours  {own!r}"
                )
    finally:
        both.close()
    assert not differing, "\n".join(["", *differing])


# --- drawn ---------------------------------------------------------------------------------------

NAMES = (b"a", b"b", b"c")
VALUES = (b"0", b"1", b"-7", b"10.5", b"text", b"", b"9223372036854775807", b"1e3", b"007")
OFFSETS = (b"0", b"1", b"-1", b"3", b"-3", b"x")
TIMES = (b"1000", b"100000", b"0", b"-1", b"x")


def drawn(rng: random.Random) -> list[bytes]:
    """One command about few keys, mostly of the right form."""
    key, other = rng.choice(NAMES), rng.choice(NAMES)
    value, time = rng.choice(VALUES), rng.choice(TIMES)
    flag = rng.choice((b"NX", b"XX", b"GT", b"LT"))
    options = rng.sample(
        [[b"NX"], [b"XX"], [b"GET"], [b"KEEPTTL"], [b"EX", time], [b"PXAT", b"33177117420123"]],
        rng.choice((0, 0, 1, 1, 2)),
    )
    commands = [
        [b"SET", key, value, *(part for option in options for part in option)],
        [b"GET", key],
        [b"GETSET", key, value],
        [b"GETDEL", key],
        [b"GETEX", key, *rng.choice(([], [b"EX", time], [b"PERSIST"]))],
        [b"SETNX", key, value],
        [b"APPEND", key, value],
        [b"SETRANGE", key, rng.choice(OFFSETS), value],
        [b"GETRANGE", key, rng.choice(OFFSETS), rng.choice(OFFSETS)],
        [b"STRLEN", key],
        [b"INCR", key],
        [b"DECRBY", key, value],
        [b"INCRBYFLOAT", key, value],
        [b"MGET", key, other],
        [b"MSET", key, value, other, b"2"],
        [b"MSETNX", key, value, other, b"2"],
        [b"DEL", key, other],
        [b"EXISTS", key, other],
        [b"EXPIRE", key, time, *rng.choice(([], [flag]))],
        [b"PEXPIREAT", key, b"33177117420999", *rng.choice(([], [flag]))],
        [b"TTL", key],
        [b"EXPIRETIME", key] if rng.random() < 0.2 else [b"TYPE", key],
        [b"PERSIST", key],
        [b"COPY", key, other, *rng.choice(([], [b"REPLACE"]))],
        [b"RENAME", key, other],
        [b"RENAMENX", key, other],
        [b"OBJECT", b"ENCODING", key],
        [b"KEYS", b"*"],
        [b"DBSIZE"],
        [b"MULTI"],
        [b"EXEC"],
        [b"EXEC"],
        [b"WATCH", key],
        [b"DISCARD"],
    ]
    return rng.choice(commands)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_commands_are_answered_alike(path: str, seed: int):
    rng = random.Random(seed)
    both = Both(path, 2 + seed % 2)
    done: list[bytes] = []
    try:
        for _ in range(2000):
            index, args = rng.randrange(2), drawn(rng)
            real, own = both.do(index, args)
            done.append(b"%d: %b" % (index + 1, b" ".join(args)))
            assert comparable(own) == comparable(real), b"\n".join(done[-40:]).decode()
    finally:
        both.close()


def comparable(reply: Reply) -> object:
    """Keys come in any order; a time that is counted from now is not the same on two clocks; small
    values are encoded otherwise where they were appended to."""
    if reply in (b"raw", b"embstr", b"int"):
        return b"some encoding"
    if isinstance(reply, list):
        if all(each in NAMES for each in reply):
            return sorted(reply, key=repr)
        return [comparable(each) for each in reply]
    if isinstance(reply, int) and 1_700_000_000 < reply < 33_000_000_000:
        return "a time from now"
    return reply if not isinstance(reply, Verbatim) else reply.text


def test_lab_clients_say_what_they_get():
    client: LabClient = RespLab().client()
    assert client.do("SET", "k", "v") == "OK"
    assert client.do("GET", "k") == b"v"
