"""What a node tells of its engine is called as the engine calls it."""

from __future__ import annotations

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv_cluster.serving.node_metrics import ENGINE_COUNTERS


def test_every_counter_of_the_engine_is_one_of_its_statistics() -> None:
    with lsmkv.open("/db", filesystem=MemoryFileSystem()) as db:
        assert set(db.stats()) >= ENGINE_COUNTERS
