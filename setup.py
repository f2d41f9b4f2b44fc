"""The extension list and the switches for tests; all other metadata stands in pyproject.toml.

Every `.pyx` under `src/lsmkv/_native` is one extension module; the plain C kernels are compiled
once into a static library that each of them links. `LSMKV_DEBUG=1` turns on C assertions and
Cython's bounds checks; `LSMKV_SANITIZE=address,undefined` and `LSMKV_COVERAGE=1` (gcov, of the
kernels) do so too.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib

NATIVE = Path("src/lsmkv/_native")
KERNELS = NATIVE / "kernels"
SANITIZE = os.environ.get("LSMKV_SANITIZE", "")  # for example address,undefined
COVERAGE = os.environ.get("LSMKV_COVERAGE") == "1"
DEBUG = os.environ.get("LSMKV_DEBUG") == "1" or bool(SANITIZE) or COVERAGE
JOBS = os.cpu_count() or 1
BUILDING = not {"sdist", "egg_info", "dist_info"} & set(sys.argv)

C_FLAGS = ["-std=gnu11", "-fvisibility=hidden", "-fno-strict-aliasing", "-Wall", "-Wextra"]
C_FLAGS += ["-O1", "-g", "-UNDEBUG", "-DLSMKV_DEBUG"] if DEBUG else ["-O3", "-g0", "-DNDEBUG"]
LINK_FLAGS = []
if SANITIZE:
    C_FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    C_FLAGS += ["-fno-sanitize-recover=undefined"] if "undefined" in SANITIZE else []
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]
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


class BuildKernels(build_clib):
    """Compiles the kernels side by side: the standard command takes one after the other."""

    def build_libraries(self, libraries):
        compile_some = self.compiler.compile

        def compile_parallel(sources, **options):
            with ThreadPoolExecutor(JOBS) as pool:
                compiled = pool.map(lambda source: compile_some([source], **options), sources)
                return [name for names in compiled for name in names]

        self.compiler.compile = compile_parallel
        super().build_libraries(libraries)


COVERAGE_FLAGS = ["--coverage"] if COVERAGE else []  # of the kernels; beside their objects
headers = sorted(str(path) for path in KERNELS.glob("*.h"))
sources = sorted(str(path) for path in KERNELS.glob("*.c"))
kernels = (
    "lsmkv_kernels",
    {
        "sources": sources,
        "include_dirs": [str(KERNELS)],
        "cflags": [*C_FLAGS, *COVERAGE_FLAGS],
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
        extra_link_args=[*LINK_FLAGS, *COVERAGE_FLAGS],
        depends=[*headers, *sources],  # a kernel that changed is linked into every module again
    )
    for path in sorted(NATIVE.glob("*.pyx"))
]


def translated(modules):
    """The modules as C, in build/cython; as they are where nothing is going to be compiled."""
    if not BUILDING:
        return modules
    return cythonize(
        modules,
        nthreads=JOBS,
        compiler_directives=DIRECTIVES,
        include_path=["src"],
        build_dir="build/cython",
    )


if __name__ == "__main__":  # Cython's workers may import this file again
    setup(
        libraries=[kernels],
        ext_modules=translated(extensions),
        cmdclass={"build_clib": BuildKernels},
        options={"build_ext": {"parallel": JOBS}},
    )
