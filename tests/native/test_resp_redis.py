"""The codec beside a real redis-server: the same commands, faults in the same words, same bytes.

Skipped where there is no redis-server. Inputs hold no NUL byte, which Redis takes for the end of a
line, and are sent in one piece.
"""

from __future__ import annotations

import math
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lsmkv.kernel import ReplyWriter, RequestParser
from lsmkv_cluster.resp.replies import ErrorReply, Push, Verbatim
from lsmkv_cluster.resp.reply_reader import reply_parser
from tests.support.resp_cases import packed

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")

FAULTY = [
    *(b"*x\r\n", b"*\r\n", b"*01\r\n", b"*+1\r\n", b"*-\r\n", b"*1 \r\n", b"*99999999999999\r\n"),
    *(b"*9223372036854775808\r\n", b"*1\r\n+PING\r\n", b"*1\r\n\r\n\r\n", b"*1\r\n\xff\r\n"),
    *(b"*1\r\n*1\r\n", b"*1\r\n\nPING\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$x\r\n", b"*1\r\n$\r\n"),
    *(b"*1\r\n$01\r\n", b"*1\r\n$536870913\r\n", b'ECHO "\r\n', b"ECHO '\r\n", b'ECHO "a"b\r\n'),
    *(b"ECHO 'a'b\r\n", b'ECHO a"b\r\n', b'ECHO "a\\"\r\n', b"a" * 70_000, b"*" + b"1" * 70_000),
    b"*1\r\n$" + b"1" * 70_000,
]
SOUND = [
    *(
        b"ECHO a\r\n",
        b"ECHO a\n",
        b"\r\n",
        b"\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*-9\r\n",
        b"  ECHO  a \r\n",
    ),
    *(b'ECHO "a b"\r\n', b"ECHO 'a b'\r\n", b'ECHO "\\x41\\n\\r\\t\\b\\a\\q\\\\\\""\r\n'),
    *(
        b"ECHO 'a\\'b\\n'\r\n",
        b'ECHO x"y z"\r\n',
        b"ECHO ''\r\n",
        b"ECHO \\x41\r\n",
        b"ECHO a\\\r\n",
    ),
    *(
        b"\tECHO\ta\r\n",
        b"ECHO a\vb\fc\r\n",
        b"ECHO \v a\r\n",
        b"ECHO '\xff\xfe'\r\n",
        b'ECHO ""\r\n',
    ),
    *(
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*2\rX$4\rXECHOXX$1\rXaXX",
        b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n",
    ),
    *(b"ECHO\r\n", b"ECHO a b\r\n", b'ECHO "a\\x4"\r\n', b'ECHO "a\\xzz"\r\n', b"ECHO a\rb\r\n"),
]
KINDS = [
    "string",
    "integer",
    "null",
    "array",
    "set",
    "map",
    "push",
    "verbatim",
    "true",
    "false",
    "bignum",
]


@dataclass(frozen=True)
class Server:
    path: str

    def exchange(self, data: bytes) -> bytes:
        """All that it answers until it closes, which it does at the end of the input or a fault."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.path)
            received = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has closed already, and its answer is there
            while True:
                try:
                    piece = connection.recv(1 << 16)
                except ConnectionResetError:
                    return received
                if not piece:
                    return received
                received += piece


def serve(directory: Path, *options: str) -> Iterator[Server]:
    path = directory / "redis.sock"
    command = [str(REDIS), "--port", "0", "--unixsocket", str(path), "--save", "", *options]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not any(b"ready to accept connections" in line.lower() for line in process.stdout):
                pytest.skip("this redis-server does not start with the options of the test")
            yield Server(str(path))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve(tmp_path_factory.mktemp("redis"), "--enable-debug-command", "yes")


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory):
    yield from serve(tmp_path_factory.mktemp("redis"), "--requirepass", "secret")


def values(data: bytes) -> list[Any]:
    parser = reply_parser()
    parser.feed(data)
    found = parser.take(100_000)
    assert (parser.fault, parser.buffered_size) == (None, 0), data
    return found


def answer(command: list[bytes]) -> Any:
    name = command[0].decode("utf-8", "surrogateescape")
    if name.upper() != "ECHO":
        return ErrorReply(f"ERR unknown command '{name}'")
    if len(command) != 2:
        return ErrorReply("ERR wrong number of arguments for 'echo' command")
    return command[1]


def expected(data: bytes, *, is_restricted: bool = False) -> list[Any]:
    """What a server answers that reads with our parser and knows ECHO."""
    parser = RequestParser((1 << 31) - 1, 512 << 20, 1 << 30)
    parser.is_restricted = is_restricted
    parser.feed(data)
    found: list[Any] = []
    while taken := parser.take(100):
        found += map(answer, taken)
    if parser.fault is not None:
        found.append(ErrorReply(f"ERR {parser.fault}"))
    return found


def shortened(value: Any) -> Any:
    """An unknown command without what else is said of it."""
    if isinstance(value, ErrorReply) and value.text.startswith("ERR unknown command"):
        return ErrorReply(value.text.partition(", with args")[0])
    return value


def compare(server: Server, data: bytes) -> None:
    assert [shortened(value) for value in values(server.exchange(data))] == expected(data), data


@pytest.mark.parametrize("data", SOUND)
def test_commands_are_read_alike(server, data):
    compare(server, data + b"ECHO behind\r\n")


@pytest.mark.parametrize("data", FAULTY)
def test_faults_are_told_in_the_same_words(server, data):
    assert isinstance(expected(data)[-1], ErrorReply)
    compare(server, b"ECHO before\r\n" + data)


@pytest.mark.parametrize("seed", range(4))
def test_runs_of_pieces_are_read_alike(server, seed):
    choose = random.Random(seed)
    short = [data for data in FAULTY if len(data) < 1000]
    for _ in range(60):
        pieces = choose.choices(SOUND, k=choose.randint(1, 8))
        if choose.random() < 0.5:
            pieces.append(choose.choice(short))
        compare(server, b"".join(pieces))


@pytest.mark.parametrize("seed", range(4))
def test_random_quoting_is_read_alike(server, seed):
    choose = random.Random(seed)
    for _ in range(100):
        line = "".join(choose.choices("a x41\\\"'\t\v\f\rn", k=choose.randint(0, 12)))
        compare(server, b"ECHO " + line.encode() + b"\r\n")


@pytest.mark.parametrize(
    "data", [b"*11\r\n", b"*1\r\n$16385\r\n", b"*10\r\n$x\r\n", b"*1\r\n$536870913\r\n"]
)
def test_limits_before_authentication_are_told_alike(locked_server, data):
    assert values(locked_server.exchange(data)) == expected(data, is_restricted=True)


@pytest.mark.parametrize("size", [pytest.param(16384, id="bulk"), pytest.param(10, id="arguments")])
def test_what_fits_before_authentication_fits_there(locked_server, size):
    command = [b"ECHO", bytes(size)] if size > 10 else [b"DEL"] * size
    parser = RequestParser(100, 1 << 20, 1 << 20)
    parser.is_restricted = True
    parser.feed(packed(command))
    assert parser.take(2) == [command]
    (refusal,) = values(locked_server.exchange(packed(command)))
    assert refusal.text.startswith("NOAUTH")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_read_and_written_as_by_the_server(server, protocol, kind):
    """What it sends, read and written again, is what it sent."""
    hello, ask = (
        packed([b"HELLO", b"%d" % protocol]),
        packed([b"DEBUG", b"PROTOCOL", kind.encode()]),
    )
    greeting = server.exchange(hello)
    sent = server.exchange(hello + ask).removeprefix(greeting[: greeting.index(b"$2\r\nid")])
    reply = values(server.exchange(hello + ask))[1:]
    writer = ReplyWriter(1 << 20, protocol)
    for value in reply:
        writer.value(value)
    written = writer.take()
    assert written
    if kind != "set" or protocol == 2:  # whose order is ours
        assert sent.endswith(written)
    else:
        assert sorted(sent[-len(written) :]) == sorted(written)


def test_types_of_replies_are_those_meant(server):
    ask = [packed([b"DEBUG", b"PROTOCOL", kind.encode()]) for kind in KINDS]
    answers = values(server.exchange(packed([b"HELLO", b"3"]) + b"".join(ask)))
    types = [bytes, int, type(None), list, frozenset, dict, Push, Verbatim, bool, bool, int]
    assert isinstance(answers[0], dict)
    assert isinstance(answers.pop(8), bytes), "what is said behind the push"
    assert list(map(type, answers[1:])) == types


@pytest.mark.parametrize("value", [0.5, -3.0, 1e300, math.inf, -math.inf])
def test_doubles_of_the_server_are_read(server, value):
    commands = [
        [b"HELLO", b"3"],
        [b"ZADD", b"z", repr(value).encode(), b"m"],
        [b"ZSCORE", b"z", b"m"],
    ]
    assert values(server.exchange(b"".join(map(packed, commands))))[-1] == value
