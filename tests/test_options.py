"""Proves that Options accepts exactly its stated ranges and says what is wrong otherwise."""

import dataclasses
from typing import Any

import pytest

from lsmkv.errors import Error, OptionsError
from lsmkv.options import GIB, KIB, MIB, TIB, Options

INTEGER_RANGES = {
    "write_buffer_size": (4 * KIB, 4 * GIB),
    "table_size": (4 * KIB, GIB),
    "level_size_ratio": (2, 100),
    "level0_trigger": (1, 64),
    "block_cache_size": (0, TIB),
    "row_cache_size": (0, TIB),
    "block_size": (256, MIB),
    "max_open_files": (16, 1 << 20),
    "compression_level": (-7, 19),
    "sync_interval_ms": (10, 60_000),
}


def test_defaults() -> None:
    options = Options()
    assert options.write_buffer_size == 64 * MIB
    assert options.block_cache_size == 128 * MIB
    assert options.compression == "zstd"
    assert Options.from_keywords() == options


def test_there_are_few_options_and_each_is_tested() -> None:
    names = {field.name for field in dataclasses.fields(Options)}
    assert len(names) <= 16
    assert names == {
        *INTEGER_RANGES,
        "bloom_bits_per_key",
        "compression",
        "log_mode",
        "background",
    }


@pytest.mark.parametrize(("name", "limits"), INTEGER_RANGES.items())
def test_integer_ranges_are_inclusive(name: str, limits: tuple[int, int]) -> None:
    for value in limits:
        assert getattr(Options.from_keywords(**{name: value}), name) == value
    for value in (limits[0] - 1, limits[1] + 1):
        with pytest.raises(OptionsError, match=f"{name} must be an integer from {limits[0]}"):
            Options.from_keywords(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in INTEGER_RANGES for value in (True, 64.0, "64", None)],
        ("bloom_bits_per_key", True),
        ("bloom_bits_per_key", float("nan")),
        ("bloom_bits_per_key", float("inf")),
        ("bloom_bits_per_key", 32.5),
        ("bloom_bits_per_key", "10"),
        ("compression", "lz4"),
        ("compression", False),
        ("log_mode", None),
        ("log_mode", ["auto"]),
        ("background", "thread"),
    ],
)
def test_wrong_types_and_values_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=f"^{name} must be"):
        Options.from_keywords(**{name: value})


def test_numbers_and_choices() -> None:
    assert Options(bloom_bits_per_key=0).bloom_bits_per_key == 0
    assert Options(bloom_bits_per_key=32).bloom_bits_per_key == 32
    assert Options(compression=None).compression is None
    assert Options(log_mode="written", background="inline").background == "inline"


def test_an_unknown_name_lists_the_valid_ones_and_the_closest() -> None:
    with pytest.raises(OptionsError) as caught:
        Options.from_keywords(write_bufer_size=1)
    message = str(caught.value)
    assert "did you mean 'write_buffer_size'?" in message
    for field in dataclasses.fields(Options):
        assert field.name in message
    with pytest.raises(OptionsError, match=r"unknown option 'zzz'\. Valid"):
        Options.from_keywords(zzz=1)


def test_the_error_is_a_value_error_of_ours() -> None:
    assert issubclass(OptionsError, Error)
    assert issubclass(OptionsError, ValueError)


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().block_size = 1  # type: ignore[misc]
    with pytest.raises(OptionsError):
        dataclasses.replace(Options(), block_size=1)
