"""The extension list and one debug switch; all other metadata stands in pyproject.toml.

Every `.pyx` under `src/lsmkv/_native` is one extension module; the plain C kernels are compiled once into a
static library that each of them links. `LSMKV_DEBUG=1` turns on C assertions and Cython's bounds checks.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = Path("src/lsmkv/_native")
KERNELS = NATIVE / "kernels"
DEBUG = os.environ.get("LSMKV_DEBUG") == "1"

C_FLAGS = ["-std=gnu11", "-fvisibility=hidden", "-fno-strict-aliasing", "-Wall", "-Wextra"]
C_FLAGS += ["-O1", "-g", "-UNDEBUG", "-DLSMKV_DEBUG"] if DEBUG else ["-O3", "-DNDEBUG"]
CYTHON_C_FLAGS = [*C_FLAGS, "-Wno-unused-parameter", "-Wno-cast-function-type"]

DIRECTIVES = {
    "language_level": 3,
    "embedsignature": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "legacy_implicit_noexcept": False,
}

headers = sorted(str(path) for path in KERNELS.glob("*.h"))
kernels = (
    "lsmkv_kernels",
    {
        "sources": sorted(str(path) for path in KERNELS.glob("*.c")),
        "include_dirs": [str(KERNELS)],
        "cflags": C_FLAGS,
        "obj_deps": {"": headers},
    },
)
extensions = [
    Extension(
        f"lsmkv._native.{path.stem}",
        [str(path)],
        include_dirs=[str(KERNELS)],
        libraries=["pthread", "dl"],
        extra_compile_args=CYTHON_C_FLAGS,
        depends=headers,
    )
    for path in sorted(NATIVE.glob("*.pyx"))
]

setup(
    libraries=[kernels],
    ext_modules=cythonize(
        extensions, compiler_directives=DIRECTIVES, include_path=["src"], build_dir="build/cython"
    ),
)
