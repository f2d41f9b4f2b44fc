"""Passwords match their own hash only; the cost of a line is within limits on both sides."""

from __future__ import annotations

import hashlib

import pytest

from lsmkv_cluster.config.passwords import (
    PASSWORD_SIZE_MAX,
    PasswordHash,
    hash_password,
    parse_hash,
)

SALT, HASH = "00" * 16, "11" * 32
DIGEST = hashlib.sha256(b"x").digest()


def test_a_password_matches_its_own_line_only():
    line = str(hash_password(b"correct horse"))
    hashed = parse_hash(line)
    assert str(hashed) == line
    assert hashed.matches(b"correct horse")
    assert not hashed.matches(b"correct horse ")
    assert not hashed.matches(b"correct horse\0")
    assert not hashed.matches(b"")


def test_the_hash_is_scrypt_with_the_cost_that_the_line_states():
    hashed = parse_hash(str(hash_password(b"x")))
    expected = hashlib.scrypt(DIGEST, salt=hashed.salt, n=1 << 14, r=8, p=1, dklen=32)
    assert hashed.hash == expected
    costly = hashlib.scrypt(DIGEST, salt=b"s" * 16, n=1 << 15, r=8, p=2, dklen=32, maxmem=1 << 26)
    assert parse_hash(f"scrypt$15$8$2${(b's' * 16).hex()}${costly.hex()}").matches(b"x")


def test_a_long_password_is_not_its_digest():
    """Which HMAC, and so scrypt, takes for the same."""
    long = b"x" * 65
    assert hash_password(long).matches(long)
    assert not hash_password(long).matches(hashlib.sha256(long).digest())


def test_two_lines_of_one_password_share_nothing():
    one, other = hash_password(b"x"), hash_password(b"x")
    assert one.salt != other.salt
    assert one.hash != other.hash
    assert one.hash.hex() not in repr(one)


def test_what_is_no_password_has_no_line():
    for password in (b"", b"x" * (PASSWORD_SIZE_MAX + 1)):
        with pytest.raises(ValueError):
            hash_password(password)
    long = hash_password(b"x" * PASSWORD_SIZE_MAX)
    assert long.matches(b"x" * PASSWORD_SIZE_MAX)
    assert not long.matches(b"x" * (PASSWORD_SIZE_MAX + 1))


def test_a_password_that_is_too_long_matches_nothing_not_even_the_empty_one():
    """It is not what the check is made of, whose line nobody should have."""
    empty = hashlib.scrypt(hashlib.sha256().digest(), salt=b"s" * 16, n=1 << 14, r=8, p=1, dklen=32)
    assert not PasswordHash(14, 8, 1, b"s" * 16, empty).matches(b"x" * (PASSWORD_SIZE_MAX + 1))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "plain password",
        f"scrypt$13$8$1${SALT}${HASH}",
        f"scrypt$18$8$1${SALT}${HASH}",
        f"scrypt$14$7$1${SALT}${HASH}",
        f"scrypt$14$17$1${SALT}${HASH}",
        f"scrypt$14$8$0${SALT}${HASH}",
        f"scrypt$14$8$5${SALT}${HASH}",
        f"scrypt$17$16$1${SALT}${HASH}",
        f"scrypt$99$99$9${SALT}${HASH}",
        f"scrypt$14$8$1${SALT}00${HASH}",
        f"scrypt$14$8$1${SALT}${HASH}\n",
        f"argon2$14$8$1${SALT}${HASH}",
    ],
)
def test_other_lines_are_refused_before_anything_is_computed(line: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_hash(line)
    assert not line or line not in str(raised.value)


def test_the_largest_cost_that_is_taken_can_be_paid():
    """The limit on memory and the one given to scrypt agree: this raises when they do not."""
    assert not parse_hash(f"scrypt$17$8$1${SALT}${HASH}").matches(b"x")
