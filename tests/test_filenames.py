"""Proves that names and (kind, number) map one to one, and that foreign names are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv import filenames
from lsmkv.filenames import FILE_NUMBER_MAX, FileKind, FileName, parse

NAMES = [
    ("000001.log", FileName(FileKind.LOG, 1)),
    ("999999.sst", FileName(FileKind.TABLE, 999_999)),
    ("1000000.sst", FileName(FileKind.TABLE, 1_000_000)),
    ("MANIFEST-000014", FileName(FileKind.MANIFEST, 14)),
    (f"{FILE_NUMBER_MAX}.log", FileName(FileKind.LOG, FILE_NUMBER_MAX)),
    ("CURRENT", FileName(FileKind.CURRENT)),
    ("CURRENT.tmp", FileName(FileKind.TEMPORARY)),
    ("LOCK", FileName(FileKind.LOCK)),
    ("lost", FileName(FileKind.LOST)),
]


@pytest.mark.parametrize(("name", "meaning"), NAMES)
def test_names_both_ways(name: str, meaning: FileName) -> None:
    assert parse(name) == meaning
    assert str(meaning) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1.log",  # too short
        "0000001.log",  # padded too far
        "000000.log",  # zero is no number
        f"{FILE_NUMBER_MAX + 1}.log",
        "000001.log\n",
        "000001.LOG",
        "000001.sst.bak",
        "-00001.sst",
        "+00001.sst",
        "00 001.sst",
        "\u0661\u0661\u0661\u0661\u0661\u0661.log",  # digits, but not ASCII
        "MANIFEST-1",
        "MANIFEST-000001.tmp",
        "CURRENT.tmp2",
        "current",
        "LOST",
        "x/000001.log",
    ],
)
def test_foreign_names_are_not_ours(name: str) -> None:
    assert parse(name) is None


NAME_LIKE = st.from_regex(r"(MANIFEST-)?[0-9]{5,20}(\.log|\.sst)?", fullmatch=True)


@given(st.text(max_size=12) | NAME_LIKE)
def test_a_name_that_parses_is_the_one_we_would_write(name: str) -> None:
    meaning = parse(name)
    assert meaning is None or str(meaning) == name


@pytest.mark.parametrize("number", [0, -1, FILE_NUMBER_MAX + 1])
def test_impossible_numbers_are_refused(number: int) -> None:
    with pytest.raises(ValueError):
        FileName(FileKind.TABLE, number)


def test_unnumbered_kinds_take_no_number() -> None:
    with pytest.raises(ValueError):
        FileName(FileKind.CURRENT, 3)


def test_paths() -> None:
    assert filenames.log_path("d", 3) == "d/000003.log"
    assert filenames.table_path("/d", 4) == "/d/000004.sst"
    assert filenames.manifest_path("d/", 5) == "d/MANIFEST-000005"
    assert filenames.current_path("d") == "d/CURRENT"
    assert filenames.temporary_path("d") == "d/CURRENT.tmp"
    assert filenames.lock_path("/") == "/LOCK"
    assert filenames.lost_directory("d") == "d/lost"


@pytest.mark.parametrize("directory", ["d", "d/", "/", "a/b c"])
@pytest.mark.parametrize("number", [1, 123_456, 12_345_678])
def test_a_native_job_builds_the_same_table_path(directory: str, number: int) -> None:
    prefix = filenames.table_path_prefix(directory)
    path = f"{prefix}{number:06d}{filenames.TABLE_PATH_SUFFIX}"
    assert path == filenames.table_path(directory, number)
