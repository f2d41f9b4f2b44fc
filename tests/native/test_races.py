"""The kernels between threads: memtables, cache, versions, tables and group commit under
ThreadSanitizer, without Python, and once more under valgrind (c/race_check.c)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import c_program

KERNELS = ("allocator", "arena", "block*", "bloom", "bus_guard", "cache", "codec_zstd")
KERNELS += ("commit_group", "crc32c", "file_pool", "fork", "log_*", "memtable*", "murmur3")
KERNELS += ("run_cursor", "status", "table_*", "version", "vfs_memory*", "vfs_posix*")
FLAGS = ["-O0", "-g", "-DLSMKV_DEBUG", "-fsanitize=thread"]
# Which bytes are uninitialised the sanitizers do not know; what was lost is an error as well.
# Its threads run one at a time, in turn only if told so.
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--fair-sched=try"]


def build(directory: Path, flags: list[str]) -> Path:
    program = directory / "race_check"
    names = {path.stem for name in KERNELS for path in c_program.KERNELS.glob(f"{name}.c")}
    sources = [c_program.KERNELS / f"{name}.c" for name in sorted(names)]
    check = c_program.PROGRAMS / "race_check.c"
    c_program.compile_sources(program, [check, *sources], [*flags, "-ldl", "-lpthread"])
    return program


def check(output: str, wanted: int, flush_count_min: int) -> None:
    operations, flushes = map(int, output.split())
    assert operations == wanted
    assert flushes >= flush_count_min


@pytest.mark.slow
def test_a_writer_a_flusher_readers_and_syncs(tmp_path: Path) -> None:
    if not c_program._supports(FLAGS, tmp_path):
        pytest.skip("the C compiler has no ThreadSanitizer")
    check(c_program.run(build(tmp_path, FLAGS), 20_000), 20_000, flush_count_min=4)


@pytest.mark.slow
def test_the_same_under_valgrind(tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    program = build(tmp_path, ["-O1", "-g"])
    # Not where these tests themselves run with a sanitizer: the two cannot share a process.
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    result = subprocess.run(
        [*VALGRIND, str(program), "20000"], capture_output=True, text=True, timeout=300, env=plain
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert not result.stderr
    check(result.stdout, 20_000, flush_count_min=1)
