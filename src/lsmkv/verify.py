"""Reading everything a database holds, to find damage before a reader does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmkv.errors import Error

if TYPE_CHECKING:
    from lsmkv.db import DB

__all__ = ["VerifyReport", "VerifyProblem", "verify_store"]


@dataclass(frozen=True)
class VerifyProblem:
    """One damaged or missing file."""

    path: str
    message: str


@dataclass(frozen=True)
class VerifyReport:
    """What was read, and what is wrong with it. True when nothing is."""

    table_count: int
    entry_count: int
    checked_bytes: int
    problems: tuple[VerifyProblem, ...]

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [
            f"{self.table_count} tables, {self.entry_count:,} entries, "
            f"{self.checked_bytes:,} bytes: "
            + ("no damage found" if self else f"{len(self.problems)} damaged")
        ]
        lines += [f"  {problem.message}" for problem in self.problems]
        return "\n".join(lines)


def verify_store(db: DB) -> VerifyReport:
    """Check every block of every table of the current version. Memtables and the live log need
    none."""
    problems = []
    entry_count = checked_bytes = 0
    with db._lock:
        tables = db._tree.tables()
    for table in tables:
        db._refuse_read()
        summary = table.summary()
        try:
            table.verify()
        except Error as error:
            problems.append(VerifyProblem(table.path, str(error)))
        entry_count += summary.entry_count
        checked_bytes += summary.file_size
    return VerifyReport(len(tables), entry_count, checked_bytes, tuple(problems))
