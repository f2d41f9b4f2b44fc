"""A report as text for a terminal: per case its tables, then settings, machine and plan.

At most WIDTH columns. A table that is wider continues below itself, its first columns repeated; a
text that is longer than its column continues in the next line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from lsmkv_bench.ratios import cases_of
from lsmkv_bench.results import Report
from lsmkv_bench.tables import Table, case_tables, setting_tables
from lsmkv_bench.wording import case_title

WIDTH = 110
_GAP = "  "


def render(report: Report) -> str:
    """Ends without a line feed."""
    parts = [f"lsmkv bench, {report.started}"]
    for case in cases_of(report):
        title = case_title(case)
        parts.append(f"{title}\n{'=' * len(title)}")
        parts += [draw(table) for table in case_tables(report, case)]
    parts += [draw(table) for table in setting_tables(report)]
    return "\n\n".join(parts)


def draw(table: Table, width: int = WIDTH) -> str:
    """Title, note, and the columns in as many blocks as the width needs."""
    lines = textwrap.wrap(table.title + (f" ({table.note})" if table.note else ""), width)
    for columns in _blocks(table, width):
        lines += _block(table, columns, width)
    return "\n".join(lines)


def _widths(table: Table) -> list[int]:
    return [max(map(len, cells)) for cells in zip(table.header, *table.rows, strict=True)]


def _blocks(table: Table, width: int) -> list[list[int]]:
    """Numbers of the columns of each block. A text table is one block: its last column wraps."""
    words = list(range(table.text_columns))
    widths = _widths(table)
    start = sum(widths[each] + len(_GAP) for each in words)
    blocks = [list(words)]
    used = start
    for column in range(table.text_columns, len(table.header)):
        if used + widths[column] > width and len(blocks[-1]) > len(words):
            blocks.append(list(words))
            used = start
        blocks[-1].append(column)
        used += widths[column] + len(_GAP)
    return blocks


def _block(table: Table, columns: Sequence[int], width: int) -> list[str]:
    widths = _widths(table)
    lines = []
    for cells in (table.header, *table.rows):
        last = columns[-1]
        before = _GAP.join(
            cells[each].ljust(widths[each])
            if each < table.text_columns
            else cells[each].rjust(widths[each])
            for each in columns[:-1]
        )
        if before:
            before += _GAP
        if last >= table.text_columns:
            lines.append(before + cells[last].rjust(widths[last]))
            continue
        for text in textwrap.wrap(cells[last], max(width - len(before), 20)) or [""]:
            lines.append((before + text).rstrip())
            before = " " * len(before)
    ruler = "-" * max(map(len, lines))
    return ["", lines[0], ruler, *lines[1:]]
