"""Three nodes beside a 3-node etcd on one machine: python -m benchmarks.beside_etcd

Clients put 100 bytes to random keys. lsmkv is driven by redis-benchmark; etcd through its JSON
gateway by 64 threads of this process, and by its own `etcdctl check perf`, whose largest load has
1,000 clients: lsmkv is measured with as many as each. They are not the same: etcd is linearizable
and syncs; lsmkv at QUORUM is neither, with strict keyspaces it syncs.
Each is measured while the others do not run; rounds alternate.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.servers import (
    Figures,
    Server,
    etcd_trio,
    lsmkv_trio,
    need,
    redis_benchmark,
)

CLIENTS = 64
CHECK_PERF_CLIENTS = 1000  # of its load "xl"
GATEWAY, CHECK_PERF = f"etcd gateway, {CLIENTS} clients", "etcd check perf, 1000 clients"
KEY_COUNT = 100_000
VALUE = base64.b64encode(b"v" * 100).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of etcd")
    parser.add_argument("--requests", type=int, default=60_000, help="to lsmkv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--path", help="where the data goes, on the disk to be measured")
    arguments = parser.parse_args()
    need("etcd", "etcdctl", "redis-benchmark")
    found: dict[str, list[Figures]] = {}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=arguments.path) as name:
            for server, figures in _round(Path(name), arguments.requests, arguments.seconds):
                found.setdefault(server, []).append(figures)
                rate = f"{figures.per_second:,.0f}/s"
                print(f"round {number + 1}: {server:<29} {rate:>10}", flush=True)
    gateway, check_perf = _median(found[GATEWAY]), _median(found[CHECK_PERF])
    for server, rounds in found.items():
        p50, p99 = (
            statistics.median(getattr(f, of) for f in rounds) for of in ("p50_ms", "p99_ms")
        )
        rate = _median(rounds)
        print(
            f"{server:<29} {rate:8,.0f}/s  p50 {p50:6.2f}  p99 {p99:6.2f} ms"
            f"   {rate / gateway:5.2f} of the gateway  {rate / check_perf:5.2f} of check perf"
        )


def _median(rounds: list[Figures]) -> float:
    return statistics.median(figures.per_second for figures in rounds)


def _round(path: Path, requests: int, seconds: float) -> list[tuple[str, Figures]]:
    found = []
    for is_strict in (False, True):
        with lsmkv_trio(path, is_strict=is_strict) as trio:
            for clients in (CLIENTS, CHECK_PERF_CLIENTS):
                asked = ("set", requests, clients, "-r", str(KEY_COUNT))
                found.append(
                    (f"{trio.name}, {clients} clients", redis_benchmark(trio.ports, *asked))
                )
    with etcd_trio(path) as etcd:
        found.append((GATEWAY, _gateway(etcd, seconds)))
        found.append((CHECK_PERF, _check_perf(etcd)))
    return found


def _gateway(etcd: Server, seconds: float) -> Figures:
    """Threads wait most of the time: they cost a fifth of a core at 4,000 puts a second."""
    latencies_ms: list[float] = []
    end_s = time.monotonic() + seconds
    clients = [
        threading.Thread(target=_put_until, args=(etcd.ports[i % 3], end_s, latencies_ms.append))
        for i in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if not latencies_ms:
        raise RuntimeError("etcd has answered nothing")
    latencies_ms.sort()
    p50, p99 = (latencies_ms[int(len(latencies_ms) * share)] for share in (0.5, 0.99))
    return Figures(len(latencies_ms) / seconds, p50, p99)


def _put_until(port: int, end_s: float, took_ms: Callable[[float], None]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while (began_s := time.monotonic()) < end_s:
        key = base64.b64encode(b"key:%012d" % random.randrange(KEY_COUNT)).decode()
        connection.request("POST", "/v3/kv/put", f'{{"key":"{key}","value":"{VALUE}"}}')
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"etcd says {response.status}")
        took_ms(1000 * (time.monotonic() - began_s))
    connection.close()


def _check_perf(etcd: Server) -> Figures:
    """What it reaches when it wants more than it can: its largest load. It has no percentiles."""
    endpoints = ",".join(f"http://127.0.0.1:{port}" for port in etcd.ports)
    done = subprocess.run(
        ["etcdctl", "--endpoints", endpoints, "check", "perf", "--load", "xl"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    rates = re.findall(r"(\d+) writes/s", done.stdout + done.stderr)
    if not rates:
        raise RuntimeError(f"etcdctl check perf: {(done.stdout + done.stderr)[-300:]}")
    return Figures(float(rates[0]), float("nan"), float("nan"))


if __name__ == "__main__":
    main()
