"""Every file access of a database goes through the vfs: the system calls of a process, as strace
sees them, are those of the operations that the fault wrapper counted, no more and no fewer.

So faults injected at the vfs reach everything there is.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lsmkv._native.vfs import PosixFileSystem
from tests.support.traced_process import BEGIN, END

ROOT = Path(__file__).resolve().parents[1]
STRACE = ["strace", "-f", "-y", "-e", "trace=%file,%desc"]
CALL = re.compile(r"^\d+ +(\w+)\((.*)", re.MULTILINE)

Operations = Counter[str]


@pytest.fixture(scope="module")
def strace() -> None:
    """It must be there and be allowed to trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([*STRACE, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr[:100]}")


def trace(directory: Path, log_mode: str) -> tuple[Operations, Counter[str], str]:
    """Operations of the vfs, calls that concern files below `directory`, and the text of those."""
    output = directory / "trace"
    database = directory / "files"
    database.mkdir()
    command = [*STRACE, "-o", str(output), sys.executable, "-m", "tests.support.traced_process"]
    result = subprocess.run(
        [*command, str(database), log_mode], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert result.returncode == 0, result.stderr
    text = output.read_text(errors="replace")
    text = text[text.index(BEGIN) : text.index(END)]
    calls = [match for match in CALL.finditer(text) if str(database) in match[2]]
    shown = "\n".join(match[0][:200] for match in calls)
    return Counter(json.loads(result.stdout)), Counter(match[1] for match in calls), shown


# What each system call is made for. A read ends with a second call at the end of a file.
EXACTLY: dict[str, Callable[[Operations], int]] = {
    "openat": lambda n: n["open"] + n["lock"] + n["sync_directory"] + n["list"],
    "fsync": lambda n: n["sync_directory"],
    "fdatasync": lambda n: n["sync"] + n["log_sync"],
    "unlink": lambda n: n["remove"],
    "rename": lambda n: n["rename"],
    "link": lambda n: n["link"],
    "mkdir": lambda n: n["make_directory"],
    "rmdir": lambda n: n["remove_directory"],
    "flock": lambda n: 2 * n["lock"],
    "sync_file_range": lambda n: n["start_writeback"],
    "close": lambda n: n["close"] + n["sync_directory"] + n["list"],
}
AT_LEAST_ONCE_EACH: dict[str, Callable[[Operations], int]] = {
    "pread64": lambda n: n["read"],
    "preadv2": lambda n: n["read_cached"],
    "getdents64": lambda n: n["list"],
    "newfstatat": lambda n: n["stat"],
}


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("log_mode", ["written", "mapped"])
def test_no_file_access_passes_the_vfs_by(log_mode: str, tmp_path: Path) -> None:
    is_mapped = log_mode == "mapped"
    if is_mapped and not PosixFileSystem().can_map_log(str(tmp_path)):
        pytest.skip("no mapped log on this file system")
    operations, calls, shown = trace(tmp_path, log_mode)
    assert operations.total() > 1500
    assert operations["remove_directory"] == 2, "lost/ and the database"
    for name, expected in EXACTLY.items():
        assert calls[name] == expected(operations), f"{name}\n{shown}"
    for name, least in AT_LEAST_ONCE_EACH.items():
        assert calls[name] >= least(operations), f"{name}\n{shown}"
    written = operations["append"] + (0 if is_mapped else operations["log_commit"])
    assert calls["pwrite64"] == written, shown
    mapping = {"mmap", "fallocate"} if is_mapped else set()
    known = EXACTLY.keys() | AT_LEAST_ONCE_EACH.keys() | {"pwrite64", "ftruncate"} | mapping
    assert calls.keys() <= known | {"statfs"}, calls.keys() - known
    for line in shown.splitlines():
        if "mmap(" in line:
            assert ".log>" in line, f"nothing but the log is mapped: {line}"
