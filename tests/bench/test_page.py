"""The page is one well-formed file that needs nothing else, and its numbers are the report's."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lsmkv_bench.page import render, write
from lsmkv_bench.ratios import main_case, rows_of, standing
from lsmkv_bench.results import Report
from lsmkv_bench.wording import TIMES, case_title, number, ratio, ratio_with_spread
from tests.bench.synthetic import large_report, report_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def text() -> str:
    return render(large_report())


@pytest.fixture(scope="module")
def page(text: str) -> ElementTree.Element:
    """It is XML too, so that an open tag or a bare ampersand anywhere is found."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))


def words(element: ElementTree.Element | None) -> str:
    assert element is not None
    return " ".join(element.itertext())


def section(page: ElementTree.Element, anchor: str) -> str:
    return words(page.find(f".//section[@id='{anchor}']"))


def test_it_needs_no_network_and_no_script(text: str) -> None:
    assert "<script" not in text
    assert not re.search(r"\b(src|xlink:href)=|url\(|@import|<link", text)
    addresses = set(re.findall(r"https?://[^\"' )]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_links_lead_to_sections(page: ElementTree.Element) -> None:
    links = [str(link.get("href")) for link in page.iter("a")]
    anchors = [f"#{each.get('id')}" for each in page.iter("section")]
    assert links == anchors
    assert len(anchors) == 8


def test_every_class_of_a_mark_has_a_style(page: ElementTree.Element, text: str) -> None:
    style = words(page.find(".//style"))
    used = {name for element in page.iter() if element.tag.startswith(SVG)
            for name in (element.get("class") or "").split()}  # fmt: skip
    assert used
    assert {
        name for name in used if f".{name} " not in style and f".{name}{{" not in style
    } == set()


def test_dark_has_every_colour_of_light(page: ElementTree.Element) -> None:
    style = words(page.find(".//style"))
    light, dark = (dict(re.findall(r"(--\w+): (#\w+);", part)) for part in
                   style.split("@media (prefers-color-scheme: dark)"))  # fmt: skip
    assert light.keys() == dark.keys()
    assert all(light[name] != dark[name] for name in light)


def test_the_headline_has_the_ratios(page: ElementTree.Element) -> None:
    report = large_report()
    rows = [row for row in rows_of(report) if row.case == main_case(rows_of(report))]
    shown = section(page, "ratios").split()
    tiles = words(page.find(".//div[@class='tiles']"))
    for row in rows:
        assert row.workload in shown
        for found in row.ratios.values():
            assert f"{ratio(found.median)}{TIMES}" in shown
    for peer in ("plyvel", "rocksdict", "lmdb", "sqlite3"):
        found = standing(rows, peer)
        assert found is not None
        assert f"{ratio(found.mean)} {TIMES}" in tiles
        assert f"faster in {found.ahead} of {found.workloads} workloads" in tiles


def test_the_tables_have_every_number_of_every_case(page: ElementTree.Element) -> None:
    folds = {words(each.find("summary")): words(each) for each in page.iter("details")}
    for row in rows_of(large_report()):
        fold = folds[case_title(row.case)]
        for found in row.times.values():
            assert number(found.median) in fold
        for found in (*row.ratios.values(), *row.ratios_with_drain.values()):
            assert ratio_with_spread(found) in fold


def test_charts_have_a_name_for_those_who_cannot_see(page: ElementTree.Element) -> None:
    charts = [each for each in page.iter(f"{SVG}svg") if each.get("role") == "img"]
    assert len(charts) >= 9
    assert all(each.get("aria-label") for each in charts)


def test_settings_machine_and_command_are_said(page: ElementTree.Element) -> None:
    report = large_report()
    method = section(page, "method")
    for value in (*report.machine.values(), report.plan["command"],
                  *report.settings["rocksdict"].values()):  # fmt: skip
        assert value in method


def test_names_cannot_break_out_of_their_place() -> None:
    evil = '<b>&"x'
    report = report_of({"lsmkv": {evil: [1]}, evil: {evil: [2]}})
    page = ElementTree.fromstring(render(report).removeprefix("<!DOCTYPE html>"))
    assert page.find(".//b") is None
    assert evil in words(page.find(".//title"))


@pytest.mark.parametrize(
    "report", [Report("now", {}, {}, {}, []), report_of({"lsmkv": {"get": [1]}}),
               report_of({"plyvel": {"get": [1]}})]
)  # fmt: skip
def test_small_reports_are_pages_too(report: Report) -> None:
    page = ElementTree.fromstring(render(report).removeprefix("<!DOCTYPE html>"))
    assert "latency" not in {each.get("id") for each in page.iter("section")}


def test_writing_replaces_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    write(large_report(), path)
    assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]
