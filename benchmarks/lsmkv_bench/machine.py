"""What was measured on, as far as it explains figures: texts that are equal from run to run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from lsmkv_bench import meters


def describe(folder: Path) -> dict[str, str]:
    """`folder`: where the databases will be."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(meters.core_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "file system": file_system(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def file_system(folder: Path) -> str:
    """The type of the mount that holds `folder`: the longest mount point that is above it."""
    resolved = folder.resolve()
    found = (0, "unknown")
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return found[1]
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        if resolved.is_relative_to(point):
            found = max(found, (len(point), kind))
    return found[1]


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / (1 << 30):.0f} GiB"


def _field(path: str, name: str) -> str:
    try:
        for line in Path(path).read_text().splitlines():
            label, _, value = line.partition(":")
            if label.strip() == name:
                return value.strip()
    except OSError:
        pass
    return ""
