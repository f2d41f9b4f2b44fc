"""Ready-made checkers find nothing: ruff, mypy, cython-lint, and stubtest for native modules."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWLIST = Path(__file__).with_name("stubtest_allowlist.txt")


def check(module: str, *arguments: str) -> None:
    """Run a checker at the root of the project; what it prints is the failure."""
    if importlib.util.find_spec(module.split(".")[0]) is None:
        pytest.skip(f"{module} is not installed: it comes with the 'test' extra")
    # cython-lint starts pycodestyle by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "src", "PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing():
    check("ruff", "check", "--quiet", "--output-format=concise", ".")


def test_the_formatter_would_change_nothing():
    check("ruff", "format", "--check", "--quiet", ".")


def test_mypy_finds_nothing():
    check("mypy")


def test_cython_lint_finds_nothing():
    check("cython_lint.cython_lint", "src/lsmkv/_native")


def test_stubs_match_the_native_modules():
    check(
        "mypy.stubtest",
        "lsmkv._native",
        "--concise",
        "--ignore-disjoint-bases",
        "--mypy-config-file=pyproject.toml",
        "--allowlist",
        str(ALLOWLIST),
    )
