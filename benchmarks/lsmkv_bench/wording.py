"""How numbers, data sets and workloads are worded, the same in every renderer.

Three significant digits, never an exponent. Units stand in headers and titles, not in cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lsmkv_bench.ratios import Spread
from lsmkv_bench.results import Case

DASH = "-"  # not measured
TIMES = "\N{MULTIPLICATION SIGN}"

_FAMILIES = (
    ("YCSB", ("ycsb",)),
    ("Writes", ("fill", "over", "put", "write", "update", "delete", "batch", "load", "merge")),
    ("Scans", ("readseq", "readrev", "seek", "scan", "range", "iter", "prefix", "count")),
    ("Point reads", ("read", "get", "multi", "miss", "contains", "exists")),
)
FAMILIES = ("Writes", "Point reads", "Scans", "Other", "YCSB")  # as shown


def family(workload: str) -> str:
    """By the beginning of its name: one of FAMILIES."""
    for name, beginnings in _FAMILIES:
        if workload.lower().startswith(beginnings):
            return name
    return "Other"


def number(value: float) -> str:
    """Three significant digits; thousands with commas."""
    if value == 0:
        return "0"
    for limit, decimals in ((99.95, 0), (9.995, 1), (0.9995, 2), (0.09995, 3)):
        if abs(value) >= limit:
            return f"{value:,.{decimals}f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.6f}"


def ratio(value: float) -> str:
    """As `number`, but two decimals are enough below 1."""
    return f"{value:.2f}" if value < 1 else number(value)


def ratio_with_spread(found: Spread) -> str:
    if found.rounds == 1:
        return f"{ratio(found.median)}x"
    return f"{ratio(found.median)}x [{ratio(found.low)}..{ratio(found.high)}]"


def optional(found: Spread | None, scale: float = 1.0) -> str:
    return DASH if found is None else number(found.median / scale)


def short_count(value: float) -> str:
    """1M, 2.5M, 500k, 20."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def short_size(value: float) -> str:
    """Of a value: 100 B, 4 KiB."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:g} KiB"
    return f"{value:g} B"


def case_title(case: Case) -> str:
    return f"{case.entries:,} entries, {case.key_kind} keys, {case.value_size:,}-byte values"


def joined(names: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = [*names] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")


def pairs(values: Mapping[str, Any]) -> str:
    """name value, name value."""
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items())


def facts(machine: Mapping[str, str]) -> list[str]:
    """Each with its name: a bare "3.11" says nothing."""
    return [f"{name} {value}" for name, value in machine.items()]


def plain(value: Any) -> str:
    """Of a plan: no brackets or quotes."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: DASH}[value]
    if isinstance(value, Mapping):
        return pairs(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
