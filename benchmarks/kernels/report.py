"""The table at the end: each kernel beside its floors. Decides nothing, measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.kernels.case import Case

__all__ = ["Row", "make_rows", "render"]

HEADINGS = ("kernel", "ns per operation", "floor", "ns", "ratio")


@dataclass(frozen=True)
class Row:
    """One kernel beside one floor; floor_ns is None where the floor was not measured."""

    name: str
    operation_ns: float
    floor: str = ""
    floor_ns: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.operation_ns / self.floor_ns if self.floor_ns else None


def make_rows(cases: Iterable[Case], measured_ns: Mapping[str, float]) -> list[Row]:
    """A row for each floor of each kernel that was measured, in the order of the cases."""
    return [
        Row(case.name, measured_ns[case.name], floor, measured_ns.get(floor))
        for case in cases
        if case.name in measured_ns and case.kernel != "floor"
        for floor in case.floors or ("",)
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def render(rows: Iterable[Row]) -> str:
    """Columns of text under their headings: names to the left, numbers to the right."""
    lines = [
        HEADINGS,
        *(
            (
                row.name,
                _number(row.operation_ns),
                row.floor or "-",
                _number(row.floor_ns),
                _number(row.ratio),
            )
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = ("<", ">", "<", ">", ">")
    return "\n".join(
        "  ".join(
            f"{text:{side}{width}}" for text, side, width in zip(line, align, widths, strict=True)
        ).rstrip()
        for line in lines
    )
