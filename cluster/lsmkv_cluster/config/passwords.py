"""Passwords as scrypt hashes, in one line of text.

    scrypt$14$8$1$<salt>$<hash>       log2 of N, r, p; salt and hash in hexadecimal

What is hashed is the SHA-256 of the password: by itself scrypt takes one with a zero byte behind it
for the same, as HMAC does.

The cost stands in the line, within limits: a line that somebody brought cannot make a login take
gigabytes or seconds, and none can be cheaper than what is usual. A check takes some 50 ms and 16
MiB at the cost that new lines get; the GIL is free meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

__all__ = ["PASSWORD_SIZE_MAX", "PasswordHash", "hash_password", "parse_hash"]

SALT_SIZE = 16  # bytes
HASH_SIZE = 32  # bytes
PASSWORD_SIZE_MAX = 1024  # bytes
LOG_N, R, P = 14, 8, 1  # of new lines
LOG_N_MAX = 17
R_MAX = 16
P_MAX = 4
MEMORY_MAX = 128 << 20  # bytes

_LINE = re.compile(
    rf"scrypt\$([0-9]{{1,2}})\$([0-9]{{1,2}})\$([0-9])"
    rf"\$([0-9a-f]{{{2 * SALT_SIZE}}})\$([0-9a-f]{{{2 * HASH_SIZE}}})"
)


@dataclass(frozen=True, slots=True, repr=False)
class PasswordHash:
    log_n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    def matches(self, password: bytes) -> bool:
        """In a time that does not depend on the password."""
        is_possible = len(password) <= PASSWORD_SIZE_MAX
        made = _scrypt(password if is_possible else b"", self.salt, self.log_n, self.r, self.p)
        return hmac.compare_digest(made, self.hash) and is_possible

    def __str__(self) -> str:
        numbers = f"{self.log_n}${self.r}${self.p}"
        return f"scrypt${numbers}${self.salt.hex()}${self.hash.hex()}"


def _scrypt(password: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        hashlib.sha256(password).digest(),
        salt=salt,
        n=1 << log_n,
        r=r,
        p=p,
        dklen=HASH_SIZE,
        maxmem=MEMORY_MAX + (1 << 20),
    )


def hash_password(password: bytes) -> PasswordHash:
    """ValueError for one that is empty or too long."""
    if not 0 < len(password) <= PASSWORD_SIZE_MAX:
        raise ValueError(f"a password has 1 to {PASSWORD_SIZE_MAX} bytes, not {len(password)}")
    salt = secrets.token_bytes(SALT_SIZE)
    return PasswordHash(LOG_N, R, P, salt, _scrypt(password, salt, LOG_N, R, P))


def parse_hash(line: str) -> PasswordHash:
    """ValueError for anything else; it does not repeat the line."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("no hash of a password; `lsmkv cluster passwd` makes one")
    log_n, r, p = (int(number) for number in match.group(1, 2, 3))
    if not (LOG_N <= log_n <= LOG_N_MAX and R <= r <= R_MAX and P <= p <= P_MAX):
        raise ValueError(f"its cost of {log_n}, {r}, {p} is not within limits")
    if 128 * r << log_n > MEMORY_MAX:
        raise ValueError(f"it takes more than {MEMORY_MAX >> 20} MiB")
    return PasswordHash(log_n, r, p, bytes.fromhex(match[4]), bytes.fromhex(match[5]))
