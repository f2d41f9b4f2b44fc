"""The PNG has every chart there is, in the colours of the page. Collected only with matplotlib."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from lsmkv_bench import page, plots
from lsmkv_bench.results import Report
from tests.bench.synthetic import large_report, report_of


def test_a_large_report_has_all_charts() -> None:
    headings = [heading for heading, _ in plots.scenes_of(large_report())]
    assert len(headings) == 5
    assert len(plots.scenes_of(report_of({"lsmkv": {"get": [1]}}))) == 1
    assert plots.scenes_of(Report("now", {}, {}, {}, [])) == []


def test_every_mark_and_heading_is_drawn() -> None:
    report = report_of({"lsmkv": {"fill": [1]}, "plyvel": {"fill": [2]}}, drains={"lsmkv": 1})
    scenes = plots.scenes_of(report)
    figure = plots.compose(scenes)
    assert [text.get_text() for text in figure.texts] == [heading for heading, _ in scenes]
    for axes, (_, scene) in zip(figure.axes, scenes, strict=True):
        assert len([*axes.lines, *axes.patches, *axes.texts]) == len(scene.marks)


def test_the_file_is_a_png_of_the_asked_size(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    report = report_of({"lsmkv": {"get": [1]}, "plyvel": {"get": [2]}})
    plots.write_png(report, path, dots_per_inch=50)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    expected = plots.compose(plots.scenes_of(report)).get_size_inches() * 50
    assert (width, height) == (int(expected[0]), int(expected[1]))


def test_colours_are_the_light_ones_of_the_page() -> None:
    light = page.STYLE.read_text().split("@media")[0]
    colours = dict(re.findall(r"--(\w+): (#\w+);", light))
    assert {name: colours[name] for name in plots.TONES} == plots.TONES
