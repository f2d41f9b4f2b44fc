"""The port for tools: what it answers, and that nobody can make it grow."""

from __future__ import annotations

import asyncio

import pytest

from lsmkv_cluster.serving import http_port
from lsmkv_cluster.serving.http_port import HttpPort, Page


def pages() -> HttpPort:
    return HttpPort(
        {"/metrics": lambda: Page(b"up 1\n"), "/ready": lambda: Page(b"no", status=503)}
    )


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x", b"200 OK"),
        (b"GET /metrics?x=1 HTTP/1.0", b"200 OK"),
        (b"GET /ready HTTP/1.1", b"503 Service Unavailable"),
        (b"GET /../etc/passwd HTTP/1.1", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET /metrics", b"400 Bad Request"),
        (b"\xff\xfe\x00", b"400 Bad Request"),
        (b"", b"400 Bad Request"),
    ],
)
def test_statuses(head: bytes, status: bytes) -> None:
    assert pages().answer(head).startswith(b"HTTP/1.1 " + status + b"\r\n")


def test_head_says_the_size_and_sends_nothing() -> None:
    response = pages().answer(b"HEAD /metrics HTTP/1.1")
    assert b"Content-Length: 5\r\n" in response
    assert response.endswith(b"\r\n\r\n")


def served(*requests: bytes) -> list[bytes]:
    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        port = pages()
        server = await loop.create_server(port.accept, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        answers = []
        for request in requests:
            reader, writer = await asyncio.open_connection(*address)
            for byte in range(0, len(request), 1000):
                writer.write(request[byte : byte + 1000])
            answers.append(await reader.read())
            writer.close()
        server.close()
        assert not port.connections
        return answers

    return asyncio.run(run())


def test_one_answer_for_each_connection() -> None:
    twice = b"GET /metrics HTTP/1.1\r\n\r\n" * 2
    for answer in served(twice, twice):
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        assert answer.endswith(b"up 1\n")


def test_a_head_without_end_is_refused_at_its_limit() -> None:
    [answer] = served(b"GET / HTTP/1.1\r\n" + b"x" * 20_000)
    assert answer.startswith(b"HTTP/1.1 431")


def test_who_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "REQUEST_S", 0.01)
    assert served(b"GET /") == [b""]


def test_the_oldest_makes_room_for_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody who only holds connections keeps others out."""
    monkeypatch.setattr(http_port, "CONNECTIONS_MAX", 2)

    async def run() -> None:
        port = pages()
        server = await asyncio.get_running_loop().create_server(port.accept, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        silent = [await asyncio.open_connection(*address) for _ in range(2)]
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        assert await silent[0][0].read() == b""
        assert not silent[1][0].at_eof()
        for _, other in (*silent, (reader, writer)):
            other.close()
        server.close()

    asyncio.run(run())
