"""The fuzz targets in C: how they are built, with libFuzzer or to replay a corpus.

A target is linked with the kernels, no_checksums.c in place of crc32c.c. libFuzzer needs clang; a
replay any compiler with sanitizers.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support import c_program

__all__ = ["CORPUS", "TARGETS", "build_fuzzers", "build_replay", "clang", "make_seeds"]

FOLDER = Path(__file__).resolve().parent
CORPUS = FOLDER / "corpus"
TARGETS = ("log", "batch", "node", "table")
COMPILERS = ("clang", "clang-19", "clang-16", "clang-14")
SANITIZERS = ["-O1", "-g", "-DLSMKV_DEBUG", "-fno-sanitize-recover=undefined"]
LIBRARIES = ["-ldl", "-lpthread"]
# What the targets reach; fewer to compile than all there are.
REACHED = ("allocator", "arena", "block*", "bloom", "cache", "file_pool", "log*", "memtable*")
REACHED += (
    "murmur3",
    "status",
    "table*",
    "vfs_memory*",
    "vfs_posix*",
    "bus_guard",
    "fork",
    "codec_zstd",
)


def _own(name: str) -> Path:
    return FOLDER / "c" / f"{name}.c"


def _kernels() -> list[Path]:
    found = {path for pattern in REACHED for path in c_program.KERNELS.glob(f"{pattern}.c")}
    return [*sorted(found), _own("no_checksums")]


def clang() -> str | None:
    """The first of them that is there."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def build_fuzzers(directory: Path) -> None:
    """One program fuzz_<target> each."""
    compiler = clang()
    assert compiler is not None, "libFuzzer needs clang: apt-get install clang libclang-rt-14-dev"
    objects = directory / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    flags = [flag for flag in c_program.BASE_FLAGS if flag != "-Werror"] + SANITIZERS
    compile_only = ["-fsanitize=fuzzer-no-link,address,undefined", "-c", *map(str, _kernels())]
    subprocess.run([compiler, *flags, *compile_only], check=True, cwd=objects)
    link = ["-fsanitize=fuzzer,address,undefined", *map(str, objects.glob("*.o")), *LIBRARIES]
    for target in TARGETS:
        output = str(directory / f"fuzz_{target}")
        source = str(_own(f"fuzz_{target}"))
        subprocess.run([compiler, *flags, source, *link, "-o", output], check=True)


def build_replay(output: Path) -> None:
    """One program that takes the name of a target, and files."""
    flags = ["-O0", "-DLSMKV_DEBUG", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    c_program.compile_sources(output, [_own("replay"), *_kernels()], [*flags, *LIBRARIES])


def make_seeds(directory: Path) -> None:
    """Inputs to begin with, in a folder for each target."""
    for target in TARGETS:
        (directory / target).mkdir(parents=True, exist_ok=True)
    program = directory / "make_seeds"
    c_program.compile_sources(program, [_own("make_seeds"), *_kernels()], ["-O0", *LIBRARIES])
    subprocess.run([str(program), str(directory)], check=True)
    program.unlink()
