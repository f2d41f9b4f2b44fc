"""Numbers about a database: right, complete, and legible."""

from __future__ import annotations

import json
from typing import Any

import pytest

import lsmkv
from lsmkv.statistics import (
    EngineCounters,
    draw_levels,
    format_size,
    format_statistics,
    level_statistics,
)
from lsmkv.version import Version

SMALL: dict[str, Any] = {"write_buffer_size": 4096, "table_size": 4096, "block_size": 256,
                         "background": "inline", "level0_trigger": 64}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"),
        (1 << 30, "1.0 GiB"), (3 << 40, "3.0 TiB"), (5000 << 40, "5000.0 TiB"),
    ],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert format_size(size) == text


def test_levels_of_an_empty_version() -> None:
    levels = level_statistics(Version())
    assert [level["level"] for level in levels] == list(range(len(levels)))
    assert all(value == 0 for level in levels for name, value in level.items() if name != "level")
    assert draw_levels(levels) == "(no tables yet)"


def test_bars_are_in_proportion() -> None:
    levels = [
        {"level": 0, "table_count": 1, "size_bytes": 1},
        {"level": 1, "table_count": 0, "size_bytes": 0},
        {"level": 2, "table_count": 12, "size_bytes": 5000},
        {"level": 3, "table_count": 3, "size_bytes": 10_000},
    ]
    lines = draw_levels(levels, width=20).splitlines()
    assert [line.count("#") for line in lines] == [1, 10, 20]
    assert [line[:2] for line in lines] == ["L0", "L2", "L3"]
    assert "12 tables" in lines[1]
    assert len({len(line) for line in lines}) == 1


def test_a_page_has_a_line_for_every_number() -> None:
    stats = {"levels": level_statistics(Version()), "a": 1_234_567, "b": 1.5, "c": None, "d": True,
             "name": "text"}  # fmt: skip
    page = format_statistics(stats)
    lines = page.splitlines()
    assert lines[0].split() == ["level", "tables", "size", "entries", "tombstones"]
    assert [line.split() for line in lines[-5:]] == [
        ["a", "1,234,567"], ["b", "1.500"], ["c", "None"], ["d", "True"], ["name", "text"],
    ]  # fmt: skip


def test_counters_count_what_is_done() -> None:
    with lsmkv.open(":memory:", **SMALL) as db:
        assert vars(EngineCounters()).items() <= db.stats().items()
        for number in range(10):
            db.put(b"%d" % number, b"x" * 10)
        db.delete(b"0")
        db.put_many({b"a": b"1", b"b": b"2"})
        for _ in range(3):
            db.get(b"5")
        stats = db.stats()
        assert (stats["put_count"], stats["delete_count"]) == (10, 1)
        assert (stats["batch_count"], stats["get_count"]) == (1, 3)
        assert stats["bytes_written"] == 10 * 11 + 1 + 4
        assert stats["last_sequence"] == 13
        assert stats["memtable_entries"] == 12
        assert stats["flushes"] == 0
        db.flush()
        stats = db.stats()
        assert stats["flushes"] == 1
        assert stats["memtable_entries"] == 0
        assert stats["levels"][0]["entry_count"] in (11, 12)
        assert stats["levels"][0]["size_bytes"] == stats["flushed_bytes"] > 0
        db.put(b"5", b"3")
        db.compact()
        stats = db.stats()
        assert stats["compactions"] >= 1
        assert stats["compacted_bytes_read"] > 0
        assert sum(level["entry_count"] for level in stats["levels"]) == 11
        assert sum(level["tombstone_count"] for level in stats["levels"]) == 0


def test_a_compaction_that_is_due_is_told_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with lsmkv.open(":memory:", **(SMALL | {"level0_trigger": 2})) as db:
        assert db.stats()["compaction_pending"] is False
        with monkeypatch.context() as patch:
            patch.setattr(db, "_compact_step", lambda: False)
            for number in range(4):
                db.put(b"%d" % number, b"x" * 100)
                db.flush()
            assert db.stats()["compaction_pending"] is True
        db.compact()
        assert db.stats()["compaction_pending"] is False


def test_reads_of_blocks_are_counted() -> None:
    with lsmkv.open(":memory:", **(SMALL | {"write_buffer_size": 1 << 20})) as db:
        db.put_many({b"%04d" % number: b"%d" % number * 9 for number in range(500)})
        db.flush()
        assert db.get(b"0100") is not None
        first = db.stats()
        assert first["block_reads"] == 1
        assert first["bytes_read"] > 0
        assert first["cache_misses"] == 1
        assert db.get(b"0100") is not None
        again = db.stats()
        assert again["block_reads"] == 1
        assert again["cache_hits"] == first["cache_hits"] + 1
        for number in range(100):
            db.get(b"0100 and %d" % number)
        assert db.stats()["bloom_skips"] >= 90


def test_pins_are_shown() -> None:
    with lsmkv.open(":memory:") as db:
        db.put(b"a", b"1")
        snapshots = [db.snapshot(), db.snapshot()]
        assert db.stats()["pinned_sequences"] == 1
        db.put(b"a", b"2")
        scan = db.scan()
        assert db.stats()["pinned_sequences"] == 2
        for snapshot in snapshots:
            snapshot.close()
        scan.close()
        assert db.stats()["pinned_sequences"] == 0


def test_they_are_plain_data() -> None:
    with lsmkv.open(":memory:") as db:
        stats = db.stats()
        assert json.loads(json.dumps(stats)) == stats
        text = db.stats_text()
        for name in stats:
            assert name in text or name == "levels"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_says_how_it_is_open(tmp_path: Any, read_only: bool) -> None:
    with lsmkv.open(tmp_path / "db") as db:
        db.put(b"a", b"1")
    with lsmkv.open(tmp_path / "db", read_only=read_only, log_mode="written") as db:
        stats = db.stats()
        assert stats["path"] == str(tmp_path / "db")
        assert stats["log_mode"] == (None if read_only else "written")
        assert bool(stats["read_only_reason"]) == read_only
        assert stats["background_error"] is None
        assert db.approximate_len() == 1
