"""A real redis-server on a Unix socket, and what it replies as values of resp/replies.py."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lsmkv_cluster.resp.replies import NULL_ARRAY, ErrorReply, Push, Reply, Verbatim

__all__ = ["REDIS_SERVER", "RedisConnection", "as_resp2", "as_resp3", "redis_server"]

REDIS_SERVER = shutil.which("redis-server")
READY = b"ready to accept connections"


@contextmanager
def redis_server() -> Iterator[str]:
    """The path of its socket."""
    assert REDIS_SERVER is not None
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        path = str(Path(folder) / "s")
        settings = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        with subprocess.Popen([REDIS_SERVER, *settings], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert any(READY in line.lower() for line in process.stdout)
                yield path
            finally:
                process.kill()


class RedisConnection:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> RedisConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def do(self, args: list[bytes]) -> Reply:
        parts = [b"*%d\r\n" % len(args), *(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)]
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Reply:
        line = self._file.readline()
        kind, text = line[:1], line[1:-2]
        match kind:
            case b"+":
                return text.decode("latin-1")
            case b"-":
                return ErrorReply(text.decode("latin-1"))
            case b":":
                return int(text)
            case b"_":
                return None
            case b"#":
                return text == b"t"
            case b",":
                return float(text)
            case b"$" | b"=":
                if text == b"-1":
                    return None
                data = self._file.read(int(text) + 2)[:-2]
                return data if kind == b"$" else Verbatim(data[:3].decode(), data[4:])
            case b"*" | b"~" | b">":
                if text == b"-1":
                    return NULL_ARRAY
                items = [self._reply() for _ in range(int(text))]
                if kind == b"*":
                    return items
                return _as_set(items) if kind == b"~" else Push(tuple(items))
            case b"%":
                return {self._reply(): self._reply() for _ in range(int(text))}
            case _:
                raise AssertionError(f"not a reply: {line!r}")


def _as_set(items: list[Reply]) -> Reply:
    """A list where an element is a map, which no set of ours can have."""
    return items if any(isinstance(item, dict) for item in items) else frozenset(items)


def as_resp3(reply: Reply) -> Reply:
    """There is one null only."""
    return None if reply is NULL_ARRAY else reply


def as_resp2(reply: Reply) -> Reply:
    """What is left of a reply in the older protocol."""
    match reply:
        case bool():
            return int(reply)
        case float():
            return repr(reply).encode()
        case Verbatim():
            return reply.text
        case dict():
            return [as_resp2(part) for pair in reply.items() for part in pair]
        case list() | tuple() | frozenset():
            return [as_resp2(part) for part in reply]
        case _:
            return reply
