"""The kernels between threads: memtables, cache, versions, tables and group commit under
ThreadSanitizer, without Python (c/race_check.c)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import c_program

KERNELS = ("allocator", "arena", "block*", "bloom", "bus_guard", "cache", "codec_zstd")
KERNELS += ("commit_group", "crc32c", "file_pool", "fork", "log_*", "memtable*", "murmur3")
KERNELS += ("run_cursor", "status", "table_*", "version", "vfs_memory*", "vfs_posix*")
FLAGS = ["-O0", "-g", "-DLSMKV_DEBUG", "-fsanitize=thread"]


@pytest.mark.slow
def test_a_writer_a_flusher_readers_and_syncs(tmp_path: Path) -> None:
    if not c_program._supports(FLAGS, tmp_path):
        pytest.skip("the C compiler has no ThreadSanitizer")
    program = tmp_path / "race_check"
    names = {path.stem for name in KERNELS for path in c_program.KERNELS.glob(f"{name}.c")}
    sources = [c_program.KERNELS / f"{name}.c" for name in sorted(names)]
    check = c_program.PROGRAMS / "race_check.c"
    c_program.compile_sources(program, [check, *sources], [*FLAGS, "-ldl", "-lpthread"])
    operations, flushes = map(int, c_program.run(program, 20_000).split())
    assert operations == 20_000
    assert flushes > 3
