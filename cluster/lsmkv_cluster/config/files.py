"""The one place of config/ that reads and writes files.

What holds: a file is there as a whole or not at all, whenever the power goes; a secret is readable
by its owner alone from its first byte on, and is refused where others could have read it.
"""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from lsmkv_cluster.errors import ConfigError

__all__ = ["check_secret_file", "parse_toml", "read_toml", "write_file"]

FILE_SIZE_MAX = 1 << 20  # bytes
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_toml(path: Path, *, is_secret: bool = False) -> dict[str, Any]:
    """ConfigError for what is no TOML or, of a secret, open to others; OSError as it comes."""
    with path.open("rb") as file:
        if is_secret:
            _check_mode(path, os.fstat(file.fileno()))
        data = file.read(FILE_SIZE_MAX + 1)
    if len(data) > FILE_SIZE_MAX:
        raise ConfigError(f"more than {FILE_SIZE_MAX} bytes", str(path))
    try:
        return parse_toml(data.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"not TOML: {error}", str(path)) from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """ConfigError for what is none."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}", where) from error


def check_secret_file(path: Path) -> None:
    """ConfigError where others may read it; for files that somebody else reads."""
    _check_mode(path, path.stat())


def _check_mode(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        raise ConfigError(f"others may read it (mode {mode:o}): chmod 600 {path}", str(path))


def write_file(path: Path, data: bytes, *, mode: int = 0o600, replaces: bool = False) -> None:
    """Durable when this returns. FileExistsError where there is one and it is not replaced."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if replaces:
            os.replace(name, path)
        else:
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
