"""What a join costs: MB/s that move, and what clients feel: python -m benchmarks.moving

One node is filled, two more join it, and every partition gets three copies: what moves is twice
what there is. Meanwhile one client reads and writes at a steady pace; its percentiles are printed
for a while before the join, and during it.
"""

from __future__ import annotations

import argparse
import random
import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.servers import (
    answers,
    free_ports,
    is_settled,
    need,
    redis_benchmark,
    resp,
    running,
    serve,
    until,
)

PACE_S = 0.005  # between two requests of the steady client
CALM_S = 5.0
MOVE_S = 600.0


class SteadyClient(threading.Thread):
    """SET and GET of random keys, in turns."""

    def __init__(self, port: int, key_count: int, value_size: int) -> None:
        super().__init__(daemon=True)
        self._connection = socket.create_connection(("127.0.0.1", port), 30)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._key_count = key_count
        self._value = b"v" * value_size
        self.took_ms: list[float] = []
        self.refused = 0
        self.has_ended = threading.Event()

    def run(self) -> None:
        is_write = False
        while not self.has_ended.wait(PACE_S):
            key = b"key:%012d" % random.randrange(self._key_count)
            args = (b"SET", key, self._value) if is_write else (b"GET", key)
            is_write = not is_write
            parts = [b"*%d\r\n" % len(args), *(b"$%d\r\n%b\r\n" % (len(a), a) for a in args)]
            began_s = time.monotonic()
            self._connection.sendall(b"".join(parts))
            reply = self._connection.recv(1 << 16)
            self.took_ms.append(1000 * (time.monotonic() - began_s))
            self.refused += reply.startswith(b"-")

    def take(self) -> tuple[list[float], int]:
        taken, self.took_ms = sorted(self.took_ms), []
        refused, self.refused = self.refused, 0
        return taken, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=500_000)
    parser.add_argument("--value-size", type=int, default=1000, help="bytes")
    parser.add_argument("--path", help="where the data goes, on the disk to be measured")
    arguments = parser.parse_args()
    need("redis-benchmark")
    with tempfile.TemporaryDirectory(dir=arguments.path) as name, ExitStack() as stack:
        path = Path(name)
        ports = [free_ports(3) for _ in range(3)]
        plain = ports[0][0]
        stack.enter_context(running([serve(path / "0", ports[0])], path / "log"))
        until(lambda: answers(plain), "the first node listens")
        until(lambda: resp(plain, "SET", "ready", "1") == b"+OK\r\n", "it serves")
        asked = ("set", arguments.entries, 50, "-r", str(arguments.entries), "-P", "16",
                 "-d", str(arguments.value_size))  # fmt: skip
        redis_benchmark((plain,), *asked)
        there = int(resp(plain, "DBSIZE").strip(b":\r\n"))
        client = SteadyClient(plain, arguments.entries, arguments.value_size)
        client.start()
        time.sleep(CALM_S)
        show("before", *client.take())
        began_s = time.monotonic()
        joining = [serve(path / str(i), ports[i], "--join", f"127.0.0.1:{plain}") for i in (1, 2)]
        stack.enter_context(running(joining, path / "log"))
        until(lambda: is_settled(plain), "everything has moved", MOVE_S)
        took_s = time.monotonic() - began_s
        show("while it moves", *client.take())
        client.has_ended.set()
        moved = 2 * there * (len(b"key:%012d" % 0) + arguments.value_size)
        print(
            f"{2 * there:,} copies of {there:,} entries, {moved / 1e6:,.0f} MB, in {took_s:.1f} s: "
            f"{moved / 1e6 / took_s:.1f} MB/s, {2 * there / took_s:,.0f} records/s"
        )


def show(when: str, took_ms: list[float], refused: int) -> None:
    p50, p99 = (took_ms[int(len(took_ms) * share)] for share in (0.5, 0.99))
    share = 1 - refused / len(took_ms)
    print(
        f"{when:<15} {len(took_ms):6} requests, {share:.2%} succeeded, p50 {p50:.2f} ms, "
        f"p99 {p99:.2f} ms, longest {took_ms[-1]:.0f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()
