"""Patterns as KEYS, SCAN and CONFIG GET take them: ? [a-z] [^a-z] \\x and *, over bytes.

Between two stars every character of the pattern stands for one of the key. The stretches are looked
for from left to right, each as early as it can be, so a match takes at most the product of both
sizes, however many stars there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

__all__ = ["matcher"]


@lru_cache(maxsize=256)
def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    if pattern == b"*":
        return lambda key: True
    stretches = [re.compile(stretch, re.DOTALL) for stretch in _stretches(pattern)]
    if len(stretches) == 1:
        only = stretches[0]
        return lambda key: only.fullmatch(key) is not None
    head, *middle, tail = stretches
    tail_size = _sizes(pattern)[-1]

    def matches(key: bytes) -> bool:
        found = head.match(key)
        if found is None:
            return False
        at, end = found.end(), len(key) - tail_size
        for stretch in middle:
            found = stretch.search(key, at, end) if at <= end else None
            if found is None:
                return False
            at = found.end()
        return at <= end and tail.fullmatch(key, end) is not None

    return matches


def _stretches(pattern: bytes) -> list[bytes]:
    """What stands between stars, as regular expressions of fixed length."""
    return [b"".join(stretch) for stretch in _parsed(pattern)]


def _sizes(pattern: bytes) -> list[int]:
    return [len(stretch) for stretch in _parsed(pattern)]


def _parsed(pattern: bytes) -> list[list[bytes]]:
    stretches: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            stretches.append([])
        elif char == b"?":
            stretches[-1].append(b".")
        elif char == b"[":
            expression, at = _class(pattern, at + 1)
            stretches[-1].append(expression)
        else:
            if char == b"\\" and at + 1 < len(pattern):
                at += 1
            stretches[-1].append(re.escape(pattern[at : at + 1]))
        at += 1
    return stretches


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """(expression, where its last character stands). One that is not closed ends with the
    pattern."""
    is_negated = pattern[at : at + 1] == b"^"
    at += is_negated
    members: set[int] = set()
    while at < len(pattern) and pattern[at] != ord("]"):
        if pattern[at] == ord("\\") and at + 1 < len(pattern):
            at += 1
            members.add(pattern[at])
        elif at + 2 < len(pattern) and pattern[at + 1] == ord("-"):
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 2
        else:
            members.add(pattern[at])
        at += 1
    if not members:
        return (b"." if is_negated else b"(?!)"), at
    chosen = b"".join(b"\\x%02x" % member for member in sorted(members))
    return b"[" + b"^" * is_negated + chosen + b"]", at
