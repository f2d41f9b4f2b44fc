"""Compiles the C loops with the kernels into one library, outside the package, and calls it.

Arguments of the creating functions are integers (64 bits wide), paths, and buffers, which the
benchmark keeps alive as long as it lives.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import sysconfig
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import c_program

from benchmarks.kernels.case import Run, Unavailable
from benchmarks.kernels.inputs import Items

__all__ = ["KERNELS", "Native", "NativeWork", "build"]

HERE = Path(__file__).resolve().parent

# What the loops call and what that needs, from src/lsmkv/_native/kernels.
KERNELS = (
    *("allocator", "arena", "status", "fork", "bus_guard"),
    *("murmur3", "crc32c", "bloom"),
    *("block", "block_builder", "codec_zstd"),
    *("memtable", "memtable_tree", "memtable_cursor", "array_cursor", "merge"),
    *("log_writer", "vfs_posix", "vfs_posix_log"),
    *("resp_request", "resp_inline", "resp_writer"),
)

SHARED = ["-shared", "-fPIC", "-fvisibility=hidden"]
# Debug information changes no instruction; profilers find the lines with it.
LIBRARY_FLAGS = [*c_program.OPTIMISED, *SHARED, "-g", "-Wl,-z,defs", "-lpthread"]
# Cython's own C is not free of warnings.
EXTENSION_FLAGS = [*c_program.OPTIMISED, *SHARED, "-w", f"-I{sysconfig.get_path('include')}"]


class _Items(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_char_p),
        ("ends", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
    )


@dataclass
class NativeWork:
    """A benchmark of the library: a handle, and the inputs that it points into."""

    library: ctypes.CDLL
    handle: int
    inputs: Sequence[object]

    def run(self, operations: int) -> Run:
        checksum = ctypes.c_uint64()
        elapsed_ns = self.library.bench_run(
            ctypes.c_void_p(self.handle), ctypes.c_uint64(operations), ctypes.byref(checksum)
        )
        return Run(elapsed_ns, checksum.value)

    def close(self) -> None:
        self.library.bench_destroy(ctypes.c_void_p(self.handle))
        self.inputs = ()


class Native:
    """The loaded library, and a directory for the files of benchmarks."""

    def __init__(self, library: ctypes.CDLL, directory: Path) -> None:
        self._library = library
        self._empty_methods: Any = None
        self.directory = directory
        library.bench_run.restype = ctypes.c_uint64
        library.bench_destroy.restype = None

    def create(self, name: str, *arguments: object) -> NativeWork:
        """A benchmark made by `bench_<name>`; Unavailable where this machine cannot run it."""
        function = self._library[f"bench_{name}"]
        function.restype = ctypes.c_void_p
        converted = [_convert(argument) for argument in arguments]
        handle = function(*converted)
        if handle is None:
            raise Unavailable(f"{name} is not possible in {self.directory}")
        return NativeWork(self._library, handle, [*arguments, *converted])

    def empty_methods(self) -> Any:
        """An instance of EmptyMethods (empty_methods.pyx), compiled at first use."""
        if self._empty_methods is None:
            module = _compile_extension("empty_methods", self.directory)
            self._empty_methods = module.EmptyMethods()
        return self._empty_methods


def _convert(argument: object) -> object:
    if isinstance(argument, int):
        return ctypes.c_uint64(argument)
    if isinstance(argument, Items):
        address, _ = argument.ends.buffer_info()
        return ctypes.byref(_Items(argument.data, address, len(argument)))
    if isinstance(argument, array):
        return ctypes.c_void_p(argument.buffer_info()[0])
    if isinstance(argument, Path):
        return ctypes.c_char_p(bytes(argument))
    assert isinstance(argument, ctypes.Structure), argument
    return ctypes.byref(argument)


def build(directory: Path) -> Native:
    """Compile and load the library; it and the files of benchmarks lie in `directory`."""
    path = directory / "bench.so"
    loops = sorted((HERE / "c").glob("*.c"))
    kernels = [c_program.KERNELS / f"{name}.c" for name in KERNELS]
    c_program.compile_sources(path, [*loops, *kernels], LIBRARY_FLAGS)
    return Native(ctypes.CDLL(str(path)), directory)


def _compile_extension(name: str, directory: Path) -> Any:
    generated = directory / f"{name}.c"
    subprocess.run(
        [sys.executable, "-m", "cython", str(HERE / f"{name}.pyx"), "-o", str(generated)],
        check=True,
    )
    path = directory / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    c_program.compile_sources(path, [generated], EXTENSION_FLAGS)
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
