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
