"""The Merkle tree in figures: nanoseconds of the kernels alone, then as Python sees them.

    python -m benchmarks.merkle [--entries N]

Kernels run in tests/native/c/merkle_bench.c, optimised as they are in the product; the rest goes
through lsmkv.kernel and the anti-entropy exchange, each message through its bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import c_program

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.healing.antientropy_exchange import Exchange, Finished, SendQuestion, answer
from lsmkv_cluster.healing.antientropy_messages import (
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)

KERNELS = ["merkle", "siphash", "allocator", "crc32c", "status"]
HASH_KEY = bytes(range(16))
SPAN_BITS = 44
DIFFERENCES = 10
CHUNK = 10_000


def report(name: str, nanoseconds: float) -> None:
    unit = f"{nanoseconds:12.1f} ns" if nanoseconds < 10_000 else f"{nanoseconds / 1000:12.1f} us"
    print(f"  {name:<44}{unit}")


def run_kernels(entries: int) -> None:
    print(f"kernels alone, {entries} entries")
    with tempfile.TemporaryDirectory() as folder:
        program = c_program.build(Path(folder), "merkle_bench", KERNELS, c_program.OPTIMISED)
        output = c_program.run(program, entries)
    for line in output.splitlines():
        name, nanoseconds = line.rsplit(maxsplit=1)
        report(name, float(nanoseconds))


def timed(work: Callable[[], object]) -> float:
    """CPU nanoseconds."""
    begin = time.process_time_ns()
    work()
    return time.process_time_ns() - begin


def entry(number: int) -> tuple[bytes, bytes]:
    token = number * 0x9E3779B97F4A7C15 % (1 << SPAN_BITS)
    return token.to_bytes(8, "big") + b"key %012d" % number, b"%0100d" % number


def build(entries: int) -> tuple[MerkleTree, float]:
    """A tree, and the nanoseconds it took apart from making the entries."""
    tree = MerkleTree(0, SPAN_BITS, expected_entries=entries)
    spent = 0.0
    for start in range(0, entries, CHUNK):
        chunk = [entry(number) for number in range(start, min(entries, start + CHUNK))]
        spent += timed(lambda chunk=chunk: tree.add_entries(HASH_KEY, chunk))
    return tree, spent


def run_exchange(one: MerkleTree, other: MerkleTree) -> tuple[Finished, int, int]:
    """The outcome, round trips and bytes of one comparison."""
    exchange = Exchange(one, 1)
    effects = exchange.start(0)
    trips = size = 0
    while isinstance(effects[0], SendQuestion):
        question = encode_question(effects[0].question)
        reply = encode_answer(answer(other, decode_question(question)))
        trips, size = trips + 1, size + len(question) + len(reply)
        effects = exchange.receive(0, decode_answer(reply))
    return effects[0], trips, size


def run_python(entries: int) -> None:
    one, spent = build(entries)
    other = MerkleTree.from_checkpoint(one.checkpoint())
    print(f"from Python, depth {one.depth}, checkpoint of {len(one.checkpoint())} bytes")
    report("add_entries, per entry with its hash", spent / entries)
    tokens = [number * 0x9E3779B97F4A7C15 % (1 << SPAN_BITS) for number in range(100_000)]

    def update_all() -> None:
        update = other.update
        for token in tokens:
            update(token, 1, 2)

    report("update, per call", timed(update_all) / len(tokens))
    other = MerkleTree.from_checkpoint(one.checkpoint())
    for number in range(DIFFERENCES):
        other.update(tokens[number * 7919], 0, 12345)
    for name, peer in (("equal trees", one), (f"{DIFFERENCES} entries differ", other)):
        spent = min(timed(lambda peer=peer: run_exchange(one, peer)) for _ in range(5))
        finished, trips, size = run_exchange(one, peer)
        report(f"exchange, {name}, both sides", spent)
        print(f"    {len(finished.ranges)} ranges, {trips} round trips, {size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    arguments = parser.parse_args()
    run_kernels(arguments.entries)
    run_python(arguments.entries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
