"""The source distribution is complete: a wheel built from it installs and works elsewhere.

One chain, because each step needs the one before: sdist, unpack, wheel, a fresh environment with
the dependencies from the package index, a database used from another directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

USE = """
import lsmkv, pathlib
with lsmkv.open("somewhere.db") as db:
    db.put(b"key", b"value", sync=True)
with lsmkv.open("somewhere.db") as db:
    assert db.get(b"key") == b"value"
print(pathlib.Path(lsmkv.__file__).parent)
"""


def run(command: Sequence[str | Path], directory: Path) -> str:
    """The output of a command that must succeed, run without this process's import path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def index() -> None:
    """Skips when the build requirements cannot be had."""
    options = ["--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--retries=0"]
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--timeout=20", "setuptools"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if asked.returncode != 0:
        pytest.skip("the package index cannot be reached")


@pytest.fixture(scope="module")
def source(index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    run([sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT], folder)
    [archive] = folder.glob("lsmkv-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--outdir", source.parent, source], source)
    [found] = source.parent.glob("lsmkv-*.whl")
    return found


def test_the_source_distribution_has_all_sources_and_nothing_generated(source: Path) -> None:
    def listing(root: Path) -> set[str]:
        return {
            str(path.relative_to(root))
            for folder in ("src", "benchmarks/lsmkv_bench", "cluster")
            for path in (root / folder).rglob("*")
            if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".so", ".typed", ".css")
        }

    wanted = {name for name in listing(ROOT) if not name.endswith(".so")}
    assert listing(source) == wanted
    for name in ("LICENSE", "README.md", "FORMATS.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        assert (source / name).exists(), name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_built_from_it_has_every_module_and_no_c(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    modules = {Path(name).name.split(".")[0] for name in names if name.endswith(".so")}
    assert modules == {path.stem for path in (ROOT / "src/lsmkv/_native").glob("*.pyx")}
    assert "lsmkv/py.typed" in names
    for package in (ROOT / "benchmarks/lsmkv_bench", ROOT / "cluster/lsmkv_cluster"):
        assert {name for name in names if name.startswith(f"{package.name}/")} == {
            str(path.relative_to(package.parent))
            for path in package.rglob("*")
            if path.suffix in (".py", ".css", ".typed")
        }
    assert [name for name in names if name.endswith((".c", ".pyx"))] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_works_in_a_fresh_environment_and_another_directory(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    binaries = environment / "bin"
    run([binaries / "python", "-m", "pip", "install", "--quiet", wheel], tmp_path)
    used = run([binaries / "python", "-c", USE], tmp_path).strip()
    assert Path(used).is_relative_to(environment)
    version = run([binaries / "lsmkv", "--version"], tmp_path)
    assert wheel.name.split("-")[1] in version
    assert run([binaries / "lsmkv", "get", "somewhere.db", "key"], tmp_path) == "value"
    run([binaries / "python", "-m", "pip", "check"], tmp_path)


def test_the_demo_of_the_cluster_has_what_the_cluster_needs() -> None:
    """In a fresh environment there is only what targets install, and not what tests bring."""
    plan = run(["make", "--dry-run", "--always-make", "demo"], ROOT)
    before, shown, _ = plan.partition("lsmkv demo cluster")
    assert shown
    assert "[cluster]" in before
