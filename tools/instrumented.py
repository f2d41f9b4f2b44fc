"""Builds the extension modules once more, instrumented, in .instrumented, and runs tests on them.

    python -m tools.instrumented sanitize [TESTS]   AddressSanitizer and UndefinedBehaviorSanitizer
    python -m tools.instrumented coverage [TESTS]   gcov for the kernels, coverage.py for Python

The status is that of the tests; coverage also prints the share of branches that were taken, by
file, of what KERNELS and MODULES name. Those of an assertion do not count: no test can fail one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from itertools import zip_longest
from pathlib import Path

from tests.support.sources import sources_digest

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".instrumented"
COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "src", "cluster", "benchmarks")
# What needs real sizes of memory, the installed package, child interpreters without the runtime,
# or the checkers.
NOT_SANITIZED = (
    "tests/native/test_memory.py",
    "tests/test_packaging.py",
    "tests/test_readme.py",
    "tests/test_checkers.py",
    "tests/cluster",
    "tests/sim",
    "tests/model",
    "tests/bench",
    "tests/benchmarks",
)
COVERING = (
    "tests/native",
    "tests/test_manifest.py",
    "tests/test_recovery.py",
    "tests/test_repair.py",
    "tests/test_repair_logs.py",
    "tests/test_verify.py",
    "tests/test_verify_live.py",
    "tests/test_verify_everywhere.py",
    "tests/test_memory_failures.py",
    "tests/test_kill.py",
    "tests/test_processes.py",
    "tests/test_lifetimes.py",
    "tests/test_opening.py",
    "tests/test_power_loss.py",
    "tests/test_damage.py",
    "tests/test_damage_everywhere.py",
    "tests/test_power_images.py",
    "tests/test_system_errors.py",
    "tests/test_codecs.py",
    "tests/test_db.py",
    "tests/test_bad_input.py",
    "tests/test_kernel.py",
    "tests/test_threads.py",
    "tests/test_columns.py",
    "tests/test_version.py",
)
KERNELS = {  # headers with the branches of all kernels that include them
    "log": (
        "log.h",
        "log_writer.c",
        "log_reader.c",
        "log_replay.c",
        "commit_group.c",
    ),
    # Much of these runs only in processes that die of a signal, and their counters with them.
    "mapped log": ("vfs_posix_log.c", "bus_guard.c"),
    "codecs": (
        "coding.h",
        "block_format.h",
        "block.h",
        "block.c",
        "block_builder.c",
        "block_fold.c",
        "table_format.h",
        "table_format.c",
        "table_open.c",
        "table_check.c",
        "table_index.c",
        "crc32c.c",
        "codec_zstd.c",
    ),
    "tables": (
        "table_index_builder.c",
        "table_builder.c",
        "table_tail_writer.c",
        "table_reader.c",
        "bloom.h",
        "bloom.c",
    ),
}
MODULES = (
    "recovery",
    "opening",
    "manifest",
    "manifest_format",
    "edits",
    "repair",
    "salvage",
    "salvage_log",
    "verify",
    "verify_live",
    "codecs",
    "lost",
    "version",
)
ASSERTION = "LSM_ASSERT"


def build(tree: Path, switches: dict[str, str]) -> None:
    """A copy of the sources with the modules, made anew if it is not of these sources."""
    mark, digest = tree / "built", sources_digest(COPIED)
    if mark.exists() and mark.read_text() == digest:
        return
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    subprocess.run(["cp", "-r", *COPIED, str(tree)], check=True, cwd=ROOT)
    command = [sys.executable, "setup.py", "-q", "build_clib", "build_ext", "--inplace", "--force"]
    subprocess.run(command, check=True, cwd=tree, env=os.environ | switches)
    mark.write_text(digest)


def run_tests(tree: Path, runner: list[str], tests: list[str], environment: dict[str, str]) -> int:
    path = os.pathsep.join([str(tree / "src"), str(tree / "cluster"), str(tree / "benchmarks")])
    command = [sys.executable, *runner, "-p", "no:cacheprovider", "--timeout", "3000", *tests]
    variables = os.environ | environment | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=ROOT, env=variables).returncode


def sanitize(tests: list[str]) -> int:
    tree = WORK / "sanitize"
    build(tree, {"LSMKV_SANITIZE": "address,undefined"})
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    runtime = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    chosen = tests or ["tests", *(f"--ignore={path}" for path in NOT_SANITIZED)]
    # Into files: pytest has the standard streams, and what ends it takes them along.
    reports = tree / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    into = f"log_path={reports / 'report'}"
    options = "detect_leaks=0:handle_segv=0:handle_sigbus=0:allocator_may_return_null=1"
    environment = {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": f"{options}:{into}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{into}",
        "PYTHONMALLOC": "malloc",
    }
    status = run_tests(tree, ["-m", "pytest"], chosen, environment)
    for path in sorted(reports.iterdir()):
        print(path.read_text(errors="replace"))
    return status


def coverage(tests: list[str]) -> int:
    tree = WORK / "coverage"
    build(tree, {"LSMKV_COVERAGE": "1"})
    data = {"COVERAGE_FILE": str(tree / "coverage")}
    runner = ["-m", "coverage", "run", "--branch", f"--source={tree / 'src'}", "-m", "pytest"]
    status = run_tests(tree, runner, tests or list(COVERING), data)
    report_kernels(tree)
    included = ",".join(f"*/lsmkv/{name}.py" for name in MODULES)
    report = [sys.executable, "-m", "coverage", "report", f"--include={included}"]
    subprocess.run(report, cwd=tree, env=os.environ | data)
    return status


def report_kernels(tree: Path) -> None:
    taken = branches(tree, sorted((tree / "build").rglob("kernels/*.gcda")))
    for group, names in KERNELS.items():
        of_group: list[bool] = []
        for name in names:
            of_file = [branch for line in taken.get(name, {}).values() for branch in line]
            print(f"{name}: {shown(of_file)}")
            of_group += of_file
        print(f"{group}: {shown(of_group)}")


def shown(taken: list[bool]) -> str:
    if not taken:
        return "no branches"
    return f"{sum(taken)} of {len(taken)} branches, {100 * sum(taken) / len(taken):.1f} %"


def branches(tree: Path, objects: list[Path]) -> dict[str, dict[int, list[bool]]]:
    """By file and line, by gcov: whether each branch was taken at least once in any object. A line
    has as many as the object with the most."""
    found: dict[str, dict[int, list[bool]]] = {}
    for data in objects:
        command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", str(data)]
        text = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout
        for file in json.loads(text)["files"]:
            path = tree / file["file"]
            if path.parent.name != "kernels":
                continue
            source = path.read_text(encoding="utf-8").splitlines()
            of_file = found.setdefault(path.name, {})
            for line in file["lines"]:
                number = line["line_number"]
                if ASSERTION not in source[number - 1]:
                    here = [branch["count"] > 0 for branch in line["branches"]]
                    both = zip_longest(of_file.get(number, []), here, fillvalue=False)
                    of_file[number] = [before or now for before, now in both]
    return found


def main(arguments: list[str]) -> int:
    kinds = {"sanitize": sanitize, "coverage": coverage}
    if not arguments or arguments[0] not in kinds:
        print(__doc__, file=sys.stderr)
        return 2
    return kinds[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
