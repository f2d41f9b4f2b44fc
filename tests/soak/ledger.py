"""What the soak has done, added up over time: lines of JSON that are only ever appended.

Each line says which cases of a part ran on which sources, for how long, and what they counted. A
later run of the same sources goes on behind the highest case; a case that failed is on record with
its story.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Entry", "Ledger"]


@dataclass(frozen=True)
class Entry:
    """Cases `first` to `last` of a part, one after the other."""

    part: str
    sources: str
    first: int
    last: int
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    failure: str | None = None


class Ledger:
    """`path` None: nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.entries: list[Entry] = []
        if path is not None and path.exists():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]  # a last line that was cut off is not counted
            self.entries = [Entry(**json.loads(line)) for line in whole.splitlines()]
            if whole != text:
                path.write_text(whole, encoding="utf-8")

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(entry)) + "\n")

    def next_case(self, part: str, sources: str) -> int:
        return max((entry.last + 1 for entry in self._of(part, sources)), default=0)

    def totals(self, part: str, sources: str | None = None) -> Counter[str]:
        """Counts of a part, `cases` and `seconds` among them; of all sources if None."""
        totals: Counter[str] = Counter()
        for entry in self._of(part, sources):
            totals["cases"] += entry.last - entry.first + 1
            totals["seconds"] += round(entry.seconds)
            totals["failures"] += entry.failure is not None
            totals.update(entry.counts)
        return totals

    def failures(self, parts: Collection[str], sources: str) -> list[Entry]:
        """Those of these parts on these sources. They stay until the sources change."""
        return [
            entry
            for entry in self.entries
            if entry.failure is not None and entry.sources == sources and entry.part in parts
        ]

    def parts(self) -> list[str]:
        return list(dict.fromkeys(entry.part for entry in self.entries))

    def _of(self, part: str, sources: str | None) -> Iterable[Entry]:
        return (
            entry
            for entry in self.entries
            if entry.part == part and sources in (None, entry.sources)
        )
