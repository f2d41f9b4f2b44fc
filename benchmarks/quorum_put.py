"""The CPU time of a QUORUM put through three nodes in one process: python -m benchmarks.quorum_put

Three nodes with their stores, each owner of everything, pass each other frames, datagrams and
results of the store by hand, so nothing is measured but the product: coordinating, minting, three
merges with their Merkle trees, shipping and answering. With "bytes" each frame is also encoded,
checksummed and decoded, as it is on a real connection. One batch of puts is one step of its
coordinator.
"""

from __future__ import annotations

import argparse
import statistics
import time
from random import Random

from tests.support.trio import Trio

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.driver_ports import ClientCall

KEY_COUNT = 10_000
VALUE = b"v" * 100


def measure(batch_size: int, as_bytes: bool, put_count: int) -> float:
    """CPU microseconds of one put."""
    random = Random(batch_size)
    spent = 0.0
    with Trio(as_bytes=as_bytes) as trio:
        for start in range(0, put_count, batch_size):
            calls = [
                ClientCall(start + i, _put(random.randrange(KEY_COUNT)), trio.now_ms + 2000)
                for i in range(batch_size)
            ]
            before = time.process_time()
            trio.step(trio.ids[0], calls)
            spent += time.process_time() - before
            trio.run(1, pace_ms=1)
        assert all(answer.is_done for answer in trio.answers.values())
        return spent / len(trio.answers) * 1e6


def _put(number: int) -> ClientRequest:
    return ClientRequest(Verb.SET, b"key%08d" % number, (VALUE,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--puts", type=int, default=12_800, help="of each round")
    options = parser.parse_args()
    print("CPU time of one QUORUM put of 11 + 100 bytes through three nodes, us (median)\n")
    print(f"{'batch':>6} {'frames as objects':>18} {'as bytes':>10}")
    for batch_size in (1, 8, 64, 512):
        row = [
            statistics.median(
                measure(batch_size, as_bytes, options.puts) for _ in range(options.rounds)
            )
            for as_bytes in (False, True)
        ]
        print(f"{batch_size:>6} {row[0]:>18.1f} {row[1]:>10.1f}")


if __name__ == "__main__":
    main()
