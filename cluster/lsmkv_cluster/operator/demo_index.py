"""The index of the standard library as a cluster holds it: a key for each name.

    name        how often it stands there, and the first lines with it, as path:line  text

Without an order of keys there are no prefixes to look for, so all places of a name are one value.
The names of classes come first, and those that are used most before others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lsmkv.cli.library_index import file_entries, split_key

__all__ = ["index_of"]

PLACES_SHOWN = 5


@dataclass(slots=True)
class _Name:
    count: int = 0
    places: list[str] = field(default_factory=list)
    is_class: bool = False


def index_of(root: Path, files: Iterable[Path]) -> dict[bytes, bytes]:
    """Value by name, in the order in which they are worth having."""
    names: dict[bytes, _Name] = {}
    for path in files:
        relative = path.relative_to(root).as_posix()
        for key, line in file_entries(relative, path.read_bytes()):
            name, separator, _ = key.partition(b"\0")
            if not separator:
                continue  # the text of the file itself
            found = names.setdefault(name, _Name())
            found.count += 1
            if len(found.places) < PLACES_SHOWN:
                text = line.decode("utf-8", "replace").strip()
                found.places.append(f"{split_key(key)[1]}  {text}")
            if line.startswith(b"class ") and line[6 : 7 + len(name)] in (name + b"(", name + b":"):
                found.is_class = True
    ordered = sorted(
        names.items(), key=lambda item: (not item[1].is_class, -item[1].count, item[0])
    )
    return {name: _value(found) for name, found in ordered}


def _value(name: _Name) -> bytes:
    return "\n".join([f"{name.count:,} places", *name.places]).encode()
