"""Compiles small C programs against the plain C kernels, with sanitizers if wanted.

Kernels that read bytes from disk are run this way under AddressSanitizer and
UndefinedBehaviorSanitizer, and loops too long for Python run here at full speed. A compiler that
lacks a sanitizer skips the test; a program that does not compile fails it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "src" / "lsmkv" / "_native" / "kernels"
PROGRAMS = ROOT / "tests" / "native" / "c"

BASE_FLAGS = ["-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS}"]
OPTIMISED = ["-O3", "-DNDEBUG"]
SANITIZED = [
    "-O1",
    "-g",
    "-DLSMKV_DEBUG",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def _supports(flags: list[str], directory: Path) -> bool:
    probe = directory / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = [*_compiler(), *flags, str(probe), "-o", str(directory / "probe")]
    try:
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run([str(directory / "probe")], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def build(directory: Path, program: str, kernels: list[str], flags: list[str]) -> Path:
    """Compile tests/native/c/<program>.c with some kernels and return the executable."""
    if not _supports(flags, directory):
        pytest.skip(f"the C compiler cannot build with {' '.join(flags)}")
    output = directory / program
    sources = [PROGRAMS / f"{program}.c", *(KERNELS / f"{name}.c" for name in kernels)]
    compile_sources(output, sources, flags)
    return output


def compile_sources(output: Path, sources: list[Path], flags: list[str]) -> None:
    """One run of the compiler over sources that may include the kernels' headers."""
    command = [*_compiler(), *BASE_FLAGS, *flags, *map(str, sources), "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def run(executable: Path, *arguments: object, stdin: bytes = b"") -> str:
    """Run it and return what it printed; a status other than 0 fails the test."""
    result = execute(executable, *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr.decode("utf-8", "replace")[-4000:]
    return result.stdout.decode()


def execute(
    executable: Path, *arguments: object, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run it, whatever the outcome. Leaks are for the allocator of the kernels to count."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [str(executable), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=300)
