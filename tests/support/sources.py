"""The state of sources as one number: what was built, measured or judged is of these, no others."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

__all__ = ["sources_digest"]

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".pyx", ".pxd", ".c", ".h", ".toml"}


def sources_digest(names: Iterable[str], root: Path = ROOT) -> str:
    """Of files, and of all sources in folders, by their paths in `root`."""
    state = blake2b(digest_size=16)
    found = (path for name in names for path in [root / name, *(root / name).rglob("*")])
    for path in sorted({path for path in found if path.suffix in SUFFIXES and path.is_file()}):
        content = path.read_bytes()
        state.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return state.hexdigest()
