"""Proves that versions hold their invariants, answer range queries, and survive random edits.

The scripts in testdata/version show edits, queries and refusals one by one; the rest compares the
queries with brute force and drop_range with what it says to users: those keys are gone, all
others stay.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv.version import (
    LEVEL_COUNT,
    KeyRange,
    TableChanges,
    TableKey,
    TableMeta,
    Version,
    VersionEdit,
    VersionError,
)
from tests.support.datadriven import Case, run_script, scripts
from tests.support.version_notation import (
    format_tables,
    format_version,
    parse_key,
    parse_range,
    parse_table,
)

SCRIPTS = Path(__file__).parent / "testdata" / "version"


class Script:
    """The version a script works on, changed by its commands."""

    def __init__(self) -> None:
        self.version = Version()

    def run(self, case: Case) -> str:
        try:
            return str(getattr(self, case.command)(case))
        except VersionError as error:
            return f"refused: {error}"

    def define(self, case: Case) -> str:
        self.version = Version.of_tables(tuple(map(parse_table, case.input)))
        return format_version(self.version)

    def change(self, case: Case) -> str:
        words = [line.split(maxsplit=1) for line in case.input]
        added = tuple(parse_table(rest) for verb, rest in words if verb == "add")
        removed = tuple(parse_key(rest) for verb, rest in words if verb == "remove")
        self.version = self.version.change(TableChanges(added, removed))
        return format_version(self.version)

    def drop(self, case: Case) -> str:
        changes = self.version.drop_range(parse_range(*case.arguments))
        self.version = self.version.change(changes)
        return format_version(self.version)

    def overlapping(self, case: Case) -> str:
        level, start, stop = case.arguments
        return format_tables(self.version.overlapping(int(level), parse_range(start, stop)))

    def older(self, case: Case) -> str:
        start, stop, *inputs = case.arguments
        keys = frozenset(map(parse_key, inputs))
        bounds = self.version.older_bounds(parse_range(start, stop), keys)
        return " ".join(f"{a.decode()}-{b.decode()}" for a, b in bounds) or "none"

    def runs(self, case: Case) -> str:
        runs = self.version.runs()
        return "\n".join(f"{level} {format_tables(tables)}" for level, tables in runs)

    def counts(self, case: Case) -> str:
        version = self.version
        return "\n".join(
            [
                f"sizes {' '.join(map(str, version.level_sizes))}",
                f"entries {version.entry_count} tombstones {version.tombstone_count}",
                f"files {' '.join(map(str, sorted(version.file_numbers)))}",
            ]
        )


@pytest.mark.parametrize("path", scripts(SCRIPTS), ids=lambda path: path.stem)
def test_script(path: Path, rewrite: bool) -> None:
    run_script(path, Script().run, rewrite)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("0 0:a-b", {}),
        ("7 1:a-b", {}),
        ("0 1:b-a", {}),
        ("0 1:a-b sequence=5-4", {}),
        ("0 1:a-b entries=1 tombstones=2", {}),
        ("0 1:b-d lower=b", {}),
        ("0 1:b-d lower=e", {}),
        ("0 1:b-d upper=b", {}),
        ("0 1:b-d upper=e", {}),
        ("0 1:b-f lower=d upper=d", {}),
        ("0 1:b-f lower=e upper=d", {}),
        ("0 1:a-b", {"id": b"short"}),
        ("0 1:a-b", {"tail_size": 101}),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(line: str, changes: dict[str, Any]) -> None:
    with pytest.raises(VersionError):
        replace(parse_table(line), **changes)


def test_the_empty_key_is_a_key() -> None:
    table = TableMeta(1, bytes(16), 1, 0, b"", b"", 1, 1, 1, 6, 1, 0)
    assert (table.start, table.stop) == (b"", b"\0")
    version = Version.of_tables([table])
    assert version.overlapping(6, KeyRange(b"", b"\0")) == (table,)
    assert version.overlapping(6, KeyRange(b"\0", None)) == ()


def test_an_edit_applies_its_tables_only() -> None:
    table = parse_table("0 1:a-b")
    edit = VersionEdit(9, (table,), (), 2, 19, 0, ())
    version = Version().apply(edit)
    assert version == Version.of_tables([table])
    assert Version().apply(edit) == version  # the first one did not change


def test_untouched_levels_are_shared() -> None:
    version = Version.of_tables([parse_table("6 1:a-b"), parse_table("5 2:a-b")])
    changed = version.change(TableChanges((parse_table("0 3:a-b"),), (TableKey(2),)))
    assert changed.levels[6] is version.levels[6]


def test_a_broken_promise_is_an_assertion() -> None:
    assert issubclass(VersionError, AssertionError)


KEYS = st.binary(max_size=3).map(lambda key: bytes(byte % 3 for byte in key))


@st.composite
def versions(draw: st.DrawFn) -> Version:
    """Any version: tables are added where they fit, ranges are dropped now and then."""
    version = Version()
    for number in range(1, draw(st.integers(1, 12)) + 1):
        smallest, largest = sorted((draw(KEYS), draw(KEYS)))
        level = draw(st.sampled_from((0, 0, 1, 2, 6)))
        table = TableMeta(
            number, bytes(16), 10, 0, smallest, largest, number, number, number, level, 1, 0
        )
        try:
            version = version.change(TableChanges((table,), ()))
        except VersionError:
            continue
        if draw(st.integers(0, 3)) == 0:
            start, stop = sorted((draw(KEYS), draw(KEYS)))
            version = version.change(version.drop_range(KeyRange(start, stop)))
    return version


@given(versions(), KEYS, KEYS | st.none())
def test_overlapping_agrees_with_brute_force(
    version: Version, start: bytes, stop: bytes | None
) -> None:
    keys = KeyRange(start, stop)
    if stop is not None and stop <= start:
        return
    for level in range(LEVEL_COUNT):
        expected = tuple(
            table
            for table in version.levels[level]
            if table.stop > start and (stop is None or table.start < stop)
        )
        assert version.overlapping(level, keys) == expected


def visible(version: Version, key: bytes) -> set[int]:
    return {table.number for table in version if table.start <= key < table.stop}


PROBES = [
    bytes(key) for length in range(4) for key in itertools.product((0, 1, 2, 3), repeat=length)
]


@given(versions(), KEYS, KEYS | st.none())
def test_drop_range_hides_its_keys_and_no_others(
    version: Version, start: bytes, stop: bytes | None
) -> None:
    after = version.change(version.drop_range(KeyRange(start, stop)))
    for key in PROBES:
        dropped = start <= key and (stop is None or key < stop)
        assert visible(after, key) == (set() if dropped else visible(version, key))
    assert after.file_numbers <= version.file_numbers


@given(versions())
def test_a_version_is_the_set_of_its_tables(version: Version) -> None:
    assert Version.of_tables(tuple(version)) == version
    assert {table.key: table for table in version} == version.tables_by_key
    assert [table for _, tables in version.runs() for table in tables] == list(version)


@given(versions(), KEYS)
def test_older_bounds_cover_every_older_version_of_a_key(version: Version, key: bytes) -> None:
    """For each table taken as the only input: any older run that may hold the key is reported."""
    runs = version.runs()
    for index, (_, tables) in enumerate(runs):
        for table in tables:
            keys = KeyRange(table.start, table.stop)
            if not table.start <= key < table.stop:
                continue
            bounds = version.older_bounds(keys, frozenset([table.key]))
            older = any(
                other.start <= key < other.stop for _, run in runs[index + 1 :] for other in run
            )
            assert not older or any(first <= key <= last for first, last in bounds)
