"""A report as one PNG: ratios, times, latency, growth and sizes of values, one below the other.

The charts are those of the page; matplotlib (extra "bench") only puts their marks onto pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from lsmkv_bench.charts import ratio_chart, time_chart
from lsmkv_bench.curves import growth_chart, latency_chart, value_size_chart
from lsmkv_bench.ratios import SUBJECT, cases_of, main_case, rows_of, series_of_cases
from lsmkv_bench.results import Report
from lsmkv_bench.scene import OUTLINES, Box, Curve, Dot, Label, Line, Mark, Scene
from lsmkv_bench.wording import case_title

TONES = {
    "page": "#ffffff", "ink": "#17202b", "muted": "#667180", "axis": "#aab3bf",
    "grid": "#e4e8ed", "band": "#f6f8fa", "series0": "#0b62c4", "series1": "#b85c00",
    "series2": "#0a7f63", "series3": "#a8357f", "series4": "#5d6670", "series5": "#7a6200",
}  # fmt: skip
_INCH = 100  # pixels of a scene in an inch
_POINTS = 72 / _INCH * 0.93  # of a pixel of text; DejaVu is wider than what browsers have
_MARGIN, _HEADING = 40, 64


def scenes_of(report: Report) -> list[tuple[str, Scene]]:
    """What there is to show, each with its heading."""
    rows = rows_of(report)
    case = main_case(rows)
    if case is None:
        return []
    main = [row for row in rows if row.case == case]
    cases = cases_of(report)
    found = [
        (f"Time of the peer / time of {SUBJECT}: {case_title(case)}", ratio_chart(report, main)),
        ("Time per operation, µs (hollow: with the drain)", time_chart(report, main)),
        ("Latency of single operations, µs", latency_chart(report, case)),
        *(
            ("Time per operation by number of entries, µs", growth_chart(report, group))
            for group in series_of_cases(cases, "entries")
        ),
        *(
            ("Time per operation by size of values, µs", value_size_chart(report, group))
            for group in series_of_cases(cases, "value_size")
        ),
    ]
    return [(heading, scene) for heading, scene in found if scene is not None]


def write_png(report: Report, path: Path, dots_per_inch: int = 150) -> None:
    figure = compose(scenes_of(report))
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=dots_per_inch)


def compose(scenes: Sequence[tuple[str, Scene]]) -> Figure:
    """One below the other, in their own size."""
    width = 2 * _MARGIN + max((scene.width for _, scene in scenes), default=200)
    height = 2 * _MARGIN + sum(scene.height + _HEADING for _, scene in scenes)
    figure = Figure(figsize=(width / _INCH, height / _INCH), facecolor=TONES["page"])
    top: float = _MARGIN
    for heading, scene in scenes:
        figure.text(
            _MARGIN / width, 1 - (top + 14) / height, heading,
            fontsize=17 * _POINTS, fontweight="bold", color=TONES["ink"], va="center",
        )  # fmt: skip
        top += _HEADING - 20
        axes = figure.add_axes((
            _MARGIN / width, 1 - (top + scene.height) / height,
            scene.width / width, scene.height / height,
        ))  # fmt: skip
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        axes.set_axis_off()
        for order, mark in enumerate(scene.marks):
            _draw(axes, mark, order)
        top += scene.height + 20
    return figure


def _draw(axes: Axes, mark: Mark, order: int) -> None:
    """Later marks lie above earlier ones, as in the page."""
    color = TONES[mark.tone]
    match mark:
        case Line():
            axes.plot(
                (mark.x1, mark.x2), (mark.y1, mark.y2), color=color, zorder=order,
                linewidth=mark.width * 72 / _INCH, linestyle=":" if mark.dashed else "-",
                clip_on=False,
            )  # fmt: skip
        case Curve():
            axes.plot(
                *zip(*mark.points, strict=True), color=color, zorder=order,
                linewidth=mark.width * 72 / _INCH, solid_joinstyle="round",
            )  # fmt: skip
        case Box():
            axes.add_patch(Rectangle(
                (mark.x, mark.y), mark.width, mark.height, facecolor=color, zorder=order,
            ))  # fmt: skip
        case Dot():
            _draw_dot(axes, mark, color, order)
        case Label():
            axes.text(
                mark.x, mark.y, mark.text, color=color, fontsize=mark.size * _POINTS,
                zorder=order, va="center_baseline", clip_on=False,
                ha={"start": "left", "middle": "center", "end": "right"}[mark.anchor],
                fontweight="bold" if mark.bold else "normal",
            )  # fmt: skip


def _draw_dot(axes: Axes, dot: Dot, color: str, order: int) -> None:
    face, edge = (TONES["page"], color) if dot.hollow else (color, TONES["page"])
    width = (1.4 if dot.hollow else 0.8) * 72 / _INCH
    if dot.shape == "circle":
        axes.plot(
            [dot.x], [dot.y], marker="o", markersize=2 * dot.radius * 72 / _INCH,
            markerfacecolor=face, markeredgecolor=edge, markeredgewidth=width, zorder=order,
        )  # fmt: skip
        return
    corners = [(dot.x + x * dot.radius, dot.y + y * dot.radius) for x, y in OUTLINES[dot.shape]]
    axes.add_patch(Polygon(corners, facecolor=face, edgecolor=edge, linewidth=width, zorder=order))
