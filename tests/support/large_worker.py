"""The process of tests/soak/large.py: mixed load on one database until its time is over.

    python -m tests.support.large_worker DIRECTORY SEED SECONDS

Twice a second one line of JSON: operations done, resident memory, open file descriptors.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time

import lsmkv

KEY_COUNT = 20_000
REPORT_S = 0.5


class Load:
    """Two writers, a reader and a scanner beside each other; checkpoints now and then."""

    def __init__(self, directory: str, seed: int, options: dict[str, object]) -> None:
        self._directory = directory
        self._seed = seed
        self._options = options
        self.db = lsmkv.open(directory, **options)
        self.operations = 0
        self._stop = threading.Event()

    def _key(self, rng: random.Random) -> bytes:
        return b"%06d" % rng.randrange(KEY_COUNT)

    def _write(self, rng: random.Random) -> None:
        key = self._key(rng)
        kind = rng.random()
        if kind < 0.25:
            self.db.delete(key)
        elif kind < 0.3:
            with self.db.write_batch() as batch:
                for _ in range(20):
                    batch.put(self._key(rng), rng.randbytes(40))
        else:
            self.db.put(key, rng.randbytes(30) * rng.randrange(1, 20), sync=kind > 0.999)

    def _read(self, rng: random.Random) -> None:
        self.db.get(self._key(rng))

    def _scan(self, rng: random.Random) -> None:
        with self.db.snapshot() as snapshot:
            for _ in snapshot.scan(self._key(rng), limit=200):
                pass

    def _copy(self, rng: random.Random) -> None:
        time.sleep(1)
        copy = self._directory + ".copy"
        shutil.rmtree(copy, ignore_errors=True)
        self.db.checkpoint(copy)
        with lsmkv.open(copy, **self._options) as db:
            assert next(iter(db.keys()), None) is not None
        shutil.rmtree(copy)

    def _repeat(self, call: object, number: int) -> None:
        rng = random.Random(self._seed * 10 + number)
        while not self._stop.is_set():
            call(rng)  # type: ignore[operator]
            self.operations += 1

    def run(self, seconds: float) -> None:
        calls = (self._write, self._write, self._read, self._scan, self._copy)
        threads = [
            threading.Thread(target=self._repeat, args=(call, number))
            for number, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(REPORT_S)
            print(json.dumps(self._report()), flush=True)
        self._stop.set()
        for thread in threads:
            thread.join()
        self.db.close()

    def _report(self) -> dict[str, int]:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        return {
            "operations": self.operations,
            "resident_bytes": pages * os.sysconf("SC_PAGESIZE"),
            "descriptors": len(os.listdir("/proc/self/fd")),
        }


def main(directory: str, seed: str, seconds: str) -> None:
    from tests.soak.large import OPTIONS

    for _ in range(2):  # opened again in the middle
        Load(directory, int(seed), dict(OPTIONS)).run(float(seconds) / 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
