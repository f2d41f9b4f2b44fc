"""Numbers as Redis reads and writes them: integers of 64 bits, and decimals in long doubles.

INCRBYFLOAT adds with 64 bits of mantissa (x87) and answers with 17 digits behind the point at most.
Both are done here in exact fractions, rounded where the hardware would.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["INTEGER_MAX", "INTEGER_MIN", "add_floats", "is_infinity", "parse_float"]
__all__ += ["parse_integer", "show_float"]

INTEGER_MIN = -(1 << 63)
INTEGER_MAX = (1 << 63) - 1
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_FLOAT = re.compile(rb"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")
_INFINITY = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE)
_FLOAT_SIZE_MAX = 5 << 10  # bytes
_MANTISSA_BITS = 64
_LARGEST_EXPONENT = 16384  # of two, of what is too large
_SMALLEST_EXPONENT = -16382  # of two; below, the mantissa gets shorter
_DECIMAL_EXPONENT_MAX = 5000  # of ten: beyond, it cannot be represented
_DIGITS = 17


def parse_integer(text: bytes) -> int | None:
    """Only what Redis would write itself: no blanks, plus signs or leading zeros."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if INTEGER_MIN <= number <= INTEGER_MAX else None


def parse_float(text: bytes) -> Fraction | None:
    """None for what is no finite decimal number."""
    match = _FLOAT.fullmatch(text) if len(text) < _FLOAT_SIZE_MAX else None
    if match is None:
        return None
    sign, whole, part, power = match.groups()
    digits = (whole or b"") + (part or b"")
    if not digits:
        return None
    exponent = int(power[:20]) if power else 0
    if abs(exponent) > _DECIMAL_EXPONENT_MAX + _FLOAT_SIZE_MAX:
        return Fraction(0) if not int(digits) else None
    mantissa = int(digits)
    exponent -= len(part or b"")
    number = Fraction(
        mantissa * 10**exponent if exponent >= 0 else Fraction(mantissa, 10**-exponent)
    )
    rounded = _rounded(-number if sign == b"-" else number)
    return None if rounded is None or (mantissa and not rounded) else rounded


def is_infinity(text: bytes) -> bool:
    """What can be read, and not counted with."""
    return _INFINITY.fullmatch(text) is not None


def add_floats(first: Fraction, second: Fraction) -> Fraction | None:
    """None where the sum is too large."""
    return _rounded(first + second)


def show_float(number: Fraction) -> bytes:
    scaled = round(number * 10**_DIGITS)
    text = str(abs(scaled)).rjust(_DIGITS + 1, "0")
    shown = f"{text[:-_DIGITS]}.{text[-_DIGITS:]}".rstrip("0").rstrip(".")
    return (f"-{shown}" if scaled < 0 else shown).encode()


def _rounded(number: Fraction) -> Fraction | None:
    """The nearest long double, the even one of two; None where there is none."""
    if not number:
        return number
    numerator, denominator = abs(number.numerator), number.denominator
    exponent = numerator.bit_length() - denominator.bit_length()
    if Fraction(numerator, denominator) < Fraction(2) ** exponent:
        exponent -= 1
    shift = _MANTISSA_BITS - 1 - max(exponent, _SMALLEST_EXPONENT)
    unit = Fraction(1, 1 << shift) if shift >= 0 else Fraction(1 << -shift)
    rounded = round(number / unit) * unit
    return None if abs(rounded) >= Fraction(2) ** _LARGEST_EXPONENT else rounded
