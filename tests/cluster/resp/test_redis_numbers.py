"""Numbers are read and written as Redis does; what differs from floats of Python is told apart."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lsmkv_cluster.resp.redis_numbers import (
    INTEGER_MAX,
    INTEGER_MIN,
    add_floats,
    is_infinity,
    parse_float,
    parse_integer,
    show_float,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"9223372036854775807", INTEGER_MAX),
        (b"-9223372036854775808", INTEGER_MIN),
        (b"9223372036854775808", None),
        (b"99999999999999999999", None),
        (b"-0", None),
        (b"+1", None),
        (b"01", None),
        (b" 1", None),
        (b"1\n", None),
        (b"", None),
        (b"\xd9\xa1", None),
    ],
)
def test_integers(text: bytes, number: int | None):
    assert parse_integer(text) == number


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (b"0.1", b"0.2", b"0.3"),
        (b"3.0", b"1.1", b"4.1"),
        (b"1e3", b"-1000", b"0"),
        (b"-5", b"4.9999999", b"-0.0000001"),
        (b"1e18", b"0.5", b"1000000000000000000.5"),
        (b"1e19", b"0.5", b"10000000000000000000"),
        (b"1e20", b"0.5", b"100000000000000000000"),
        (b"5.", b".5", b"5.5"),
    ],
)
def test_sums_have_the_digits_of_a_long_double(first: bytes, second: bytes, shown: bytes):
    one, two = parse_float(first), parse_float(second)
    assert one is not None
    assert two is not None
    total = add_floats(one, two)
    assert total is not None
    assert show_float(total) == shown


@pytest.mark.parametrize(
    "text", [b"", b".", b"e5", b"1e", b"--1", b"nan", b"inf", b"1e5000", b"1e-5000", b"0x10", b"1 "]
)
def test_what_is_no_finite_number(text: bytes):
    assert parse_float(text) is None


def test_infinity_is_told_apart_and_sums_can_be_too_large():
    assert is_infinity(b"-INF")
    assert is_infinity(b"+infinity")
    assert not is_infinity(b"info")
    largest = parse_float(b"1.18973149535723176502e+4932")
    assert largest is not None
    assert add_floats(largest, largest) is None


def test_an_absurd_exponent_costs_nothing():
    assert parse_float(b"1e99999999999999999999") is None
    assert parse_float(b"0e99999999999999999999") == Fraction(0)
