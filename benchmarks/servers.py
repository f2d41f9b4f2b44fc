"""Servers as processes, for comparisons over sockets: on free ports, stopped whatever happens.

Each has a directory of its own below one that is removed at the end. `redis_benchmark` drives any
of those that speak RESP; its figures are requests a second and milliseconds.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

__all__ = [
    "Figures",
    "Server",
    "alone",
    "answers",
    "etcd_trio",
    "free_ports",
    "is_settled",
    "lsmkv_trio",
    "need",
    "redis_benchmark",
    "redis_server",
    "resp",
    "running",
    "serve",
    "until",
]

START_S = 30.0
BENCHMARK_S = 900.0


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    ports: tuple[int, ...]  # of its nodes, for clients


@dataclass(frozen=True, slots=True)
class Figures:
    per_second: float
    p50_ms: float
    p99_ms: float


def need(*programs: str) -> None:
    """SystemExit for what is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")


def free_ports(count: int) -> list[int]:
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in bound]
    for each in bound:
        each.close()
    return ports


def until(is_so: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(what)
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def resp(port: int, *args: str) -> bytes:
    """One command, and what comes back first."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        parts = [f"*{len(args)}\r\n", *(f"${len(arg)}\r\n{arg}\r\n" for arg in args)]
        connection.sendall("".join(parts).encode())
        return connection.recv(1 << 20)


@contextmanager
def running(commands: Sequence[Sequence[str]], log: Path) -> Iterator[None]:
    started: list[subprocess.Popen[bytes]] = []
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LSMKV_")}
    with log.open("ab") as output:
        try:
            for command in commands:
                started.append(
                    subprocess.Popen(command, stdout=output, stderr=output, env=environment)
                )
            yield
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def serve(data: Path, ports: Sequence[int], *others: str) -> list[str]:
    listen = ("--listen", "--cluster-listen", "--peer-listen")
    flags = [word for flag, port in zip(listen, ports, strict=True)
             for word in (flag, f"127.0.0.1:{port}")]  # fmt: skip
    main = "import sys; from lsmkv.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", main, "serve", "--data", str(data), *flags, "--http", "off",
            *others]  # fmt: skip


@contextmanager
def alone(path: Path) -> Iterator[Server]:
    """One lsmkv node, default durability."""
    ports = free_ports(3)
    with running([serve(path / "lsmkv", ports)], path / "lsmkv.log"):
        until(lambda: answers(ports[0]), "lsmkv listens")
        until(lambda: resp(ports[0], "SET", "ready", "1") == b"+OK\r\n", "lsmkv serves")
        yield Server("lsmkv", (ports[0],))


@contextmanager
def redis_server(path: Path) -> Iterator[Server]:
    [port] = free_ports(1)
    (path / "redis").mkdir()
    command = ["redis-server", "--port", str(port), "--appendonly", "yes", "--appendfsync",
               "everysec", "--save", "", "--dir", str(path / "redis")]  # fmt: skip
    with running([command], path / "redis.log"):
        until(lambda: answers(port), "redis-server listens")
        yield Server("redis-server", (port,))


@contextmanager
def lsmkv_trio(path: Path, *, is_strict: bool) -> Iterator[Server]:
    """Three nodes, three copies, QUORUM; strict: synced before the answer, owners only."""
    name = "lsmkv strict" if is_strict else "lsmkv"
    ports = [free_ports(3) for _ in range(3)]
    first = f"127.0.0.1:{ports[0][0]}"
    commands = [serve(path / f"{name} 0", ports[0])]
    with running(commands, path / "trio.log"):
        until(lambda: answers(ports[0][0]), "the first node listens")
        rest = [serve(path / f"{name} {i}", ports[i], "--join", first) for i in (1, 2)]
        with running(rest, path / "trio.log"):
            until(lambda: answers(ports[1][0]) and answers(ports[2][0]), "all listen")
            until(lambda: is_settled(ports[0][0]), "all have their share")
            if is_strict:
                resp(ports[0][0], "KV.KEYSPACE", "SET", "", "R", "QUORUM", "W", "QUORUM", "STRICT")
            yield Server(name, tuple(each[0] for each in ports))


def is_settled(port: int) -> bool:
    status = resp(port, "KV.CLUSTER", "STATUS")
    return status.count(b'"SERVING"') == 3 and b'"moving": 0' in status


@contextmanager
def etcd_trio(path: Path) -> Iterator[Server]:
    client, peer = free_ports(3), free_ports(3)
    cluster = ",".join(f"n{i}=http://127.0.0.1:{port}" for i, port in enumerate(peer))
    commands = [
        ["etcd", "--name", f"n{i}", "--data-dir", str(path / f"etcd {i}"),
         "--listen-client-urls", f"http://127.0.0.1:{client[i]}",
         "--advertise-client-urls", f"http://127.0.0.1:{client[i]}",
         "--listen-peer-urls", f"http://127.0.0.1:{peer[i]}",
         "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer[i]}",
         "--initial-cluster", cluster, "--log-level", "error"]
        for i in range(3)
    ]  # fmt: skip
    with running(commands, path / "etcd.log"):
        until(lambda: all(answers(port) for port in client), "etcd listens")
        yield Server("etcd", tuple(client))


def redis_benchmark(
    ports: Sequence[int], test: str, requests: int, clients: int, *flags: str
) -> Figures:
    """The clients are spread over the ports; percentiles are those of the slowest."""
    share = [clients // len(ports) + (i < clients % len(ports)) for i in range(len(ports))]
    processes = [
        subprocess.Popen(
            ["redis-benchmark", "-p", str(port), "-t", test, "-c", str(count), "-n",
             str(requests // len(ports)), "-d", "100", "--csv", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for port, count in zip(ports, share, strict=True)
    ]  # fmt: skip
    found = []
    for process in processes:
        try:
            output, _ = process.communicate(timeout=BENCHMARK_S)
        finally:
            process.kill()
        found.append(_figures(output))
    return Figures(
        sum(each.per_second for each in found),
        max(each.p50_ms for each in found),
        max(each.p99_ms for each in found),
    )


def _figures(output: str) -> Figures:
    rows = list(csv.reader(StringIO(output)))
    header = next((row for row in rows if row[:2] == ["test", "rps"]), None)
    if header is None or rows.index(header) + 1 >= len(rows):
        raise RuntimeError(f"redis-benchmark has failed: {output[-500:]}")
    row = dict(zip(header, rows[rows.index(header) + 1], strict=False))
    return Figures(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))
