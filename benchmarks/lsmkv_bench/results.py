"""What a benchmark produced: frozen records, and the one JSON file they stand in.

A *case* is a data set (entries, kind of keys, size of values); a *run* is one process: one engine,
one case, one round, several workloads one after the other; an *outcome* is one workload of a run.
Rounds are paired: round r of one engine is compared with round r of another, which ran next to it.

The file is one JSON object: {"format": "lsmkv-bench", "version": 1, "started": ISO 8601,
"machine": {name: text}, "plan": {name: value}, "settings": {engine: {name: text}}, "runs": [Run]}.
Readers refuse another format or version, and unknown fields. This module computes nothing and
prints nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

FORMAT = "lsmkv-bench"
VERSION = 1


@dataclass(frozen=True)
class Case:
    """A data set: `key_kind` is "decimal", "binary" or "realistic"."""

    entries: int
    key_kind: str
    value_size: int

    @property
    def name(self) -> str:
        return f"{self.entries}-{self.key_kind}-{self.value_size}"


@dataclass(frozen=True)
class Latency:
    """Of single operations, in microseconds. `counts` are the buckets of histogram.py."""

    p50: float
    p99: float
    p99_9: float
    p99_99: float
    longest: float
    counts: list[list[float]] = field(default_factory=list)  # [upper bound, count], ascending


@dataclass(frozen=True)
class Outcome:
    """One workload. Times are seconds of the whole; None is "not measured"."""

    workload: str
    # Keys written or read: 100 for one multi-get of 100. A seek or scan with its entries is one,
    # a whole pass over the data is as many as there are entries.
    operations: int
    seconds: float
    cpu_seconds: float  # user + system of the process, background threads included
    drain_seconds: float | None = None  # after a write workload: until the tree is stable
    latency: Latency | None = None  # from a pass of its own: timing each call costs time
    disk_bytes: int | None = None  # after the drain
    live_bytes: int | None = None  # keys and values a reader can see: space amplification's divisor
    written_bytes: int | None = None  # by the process to the disk, logs included
    user_bytes: int | None = None  # keys and values handed in: write amplification's divisor
    # Resident: anonymous and shared, no file pages, beyond what there was before any database was.
    memory_peak_bytes: int | None = None
    tree_shape: str | None = None  # e.g. "L0 0, L1 3, L6 12 tables"
    check: str = ""  # equal for every engine that did the same work
    note: str = ""  # what else happened, for people
    # While it ran: [entries so far, bytes], for workloads that take long.
    memory_samples: list[list[float]] = field(default_factory=list)

    @property
    def us_per_operation(self) -> float:
        return self.seconds / self.operations * 1e6

    @property
    def us_with_drain(self) -> float | None:
        if self.drain_seconds is None:
            return None
        return (self.seconds + self.drain_seconds) / self.operations * 1e6


@dataclass(frozen=True)
class Run:
    """One process."""

    engine: str
    case: Case
    round: int  # from 1
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Report:
    """Everything one command measured."""

    started: str
    machine: dict[str, str]
    plan: dict[str, Any]
    settings: dict[str, dict[str, str]]
    runs: list[Run]


Record = TypeVar("Record", Case, Latency, Outcome, Run, Report)


class ResultError(ValueError):
    """A file that is not a result of this suite, or of another version; names the file."""


def _build(kind: type[Record], values: Mapping[str, Any], path: Path) -> Record:
    known = {each.name for each in fields(kind)}
    unknown = set(values) - known
    if unknown:
        raise ResultError(f"{path}: unknown fields in {kind.__name__}: {sorted(unknown)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ResultError(f"{path}: {error}") from error


def _read_outcome(values: dict[str, Any], path: Path) -> Outcome:
    latency = values.get("latency")
    if latency is not None:
        values = {**values, "latency": _build(Latency, latency, path)}
    return _build(Outcome, values, path)


def _read_run(values: dict[str, Any], path: Path) -> Run:
    outcomes = [_read_outcome(each, path) for each in values.get("outcomes", [])]
    case = _build(Case, values.get("case", {}), path)
    return _build(Run, {**values, "case": case, "outcomes": outcomes}, path)


def read_report(path: Path) -> Report:
    """Raises ResultError, or OSError where the file cannot be read."""
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ResultError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ResultError(f"{path}: not a result of lsmkv bench")
    if values.get("version") != VERSION:
        raise ResultError(f"{path}: version {values.get('version')}, this reads {VERSION}")
    runs = [_read_run(each, path) for each in values.get("runs", [])]
    rest = {name: value for name, value in values.items() if name not in ("format", "version")}
    return _build(Report, {**rest, "runs": runs}, path)


def write_report(path: Path, report: Report) -> None:
    """Replaces the file whole, so that a run that is cut off leaves the last complete state."""
    temporary = path.with_name(path.name + ".new")
    values = {"format": FORMAT, "version": VERSION, **asdict(report)}
    temporary.write_text(json.dumps(values, indent=1))
    temporary.replace(path)
