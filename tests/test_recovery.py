"""What an open makes of the files it finds, case by case: each scenario is made by hand and has one
right answer.

The exhaustive search for crash states is test_power_loss.py, the real kill test_crash.py.
"""

from __future__ import annotations

from typing import Any

import pytest

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem

DIRECTORY = "/db"


def open_inline(filesystem: Any, **options: Any) -> lsmkv.DB:
    """The database under test: one thread, small, every step explicit."""
    settings = {"background": "inline", "write_buffer_size": 1 << 20, "block_cache_size": 0}
    return lsmkv.open(DIRECTORY, filesystem=filesystem, **(settings | options))


@pytest.mark.timeout(10)
def test_a_sync_with_nothing_written_since_the_open_returns() -> None:
    files = MemoryFileSystem()
    with open_inline(files) as db:
        db.put(b"a", b"1")
    with open_inline(files) as db:
        last_sequence = db.stats()["last_sequence"]
        assert last_sequence > 0
        assert db.stats()["durable_sequence"] == last_sequence
        db.sync()


def test_after_a_clean_close_missing_log_bytes_are_damage() -> None:
    """engine-review 2: the claims inside a log cannot cover its last group; the manifest does."""
    files = MemoryFileSystem()
    with open_inline(files) as db:
        for number in range(5):
            db.put(b"key %d" % number, b"value")
    [log] = [name for name in files.list_directory(DIRECTORY) if name.endswith(".log")]
    path = f"{DIRECTORY}/{log}"
    intact = files.read_file(path, 1 << 20)
    for size, data in [
        (len(intact) - 1, intact[:-1]),
        (64, intact[:64]),
        (0, b""),
        (len(intact), intact[:150] + bytes([intact[150] ^ 1]) + intact[151:]),
    ]:
        with files.open(path, "w") as file:
            file.append(data)
        assert files.file_size(path) == size
        with pytest.raises(lsmkv.CorruptionError) as caught:
            open_inline(files)
        assert caught.value.path == path
    with files.open(path, "w") as file:
        file.append(intact)
    with open_inline(files) as db:
        assert len(db) == 5
