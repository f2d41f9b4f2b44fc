"""The three ways in which a call of the client ends, two of them exceptions.

    a value    it was done
    Refused    nothing was written and nothing will be; of a read: there is no answer
    Unknown    it may have been written, by some or by all, now or later

Whoever meets Unknown reads, or writes again in a way that may happen twice. The client never writes
again by itself what may have been written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lsmkv import Error

__all__ = ["Refused", "Unknown", "failure_of", "kind_of", "of_many"]

UNKNOWN = "UNKNOWN"  # the kind of error by which nodes tell it
UNREACHABLE = "UNREACHABLE"  # a kind of our own: nobody could be asked

_COUNTS = re.compile(r"(\d+) of (\d+) (?:replicas|keys)")


class _Failure(Error):
    """`kind` is the first word of the error as nodes tell it ("NOREPLICAS", "BUSY", "ERR" ...), or
    UNREACHABLE. `answered` of `needed` took part, where that is known. `failures` are those of
    single keys, after a call with many."""

    def __init__(
        self, message: str, kind: str = "", failures: Mapping[bytes, Exception] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind or kind_of(message)
        counts = _COUNTS.search(message)
        self.answered = int(counts[1]) if counts else None
        self.needed = int(counts[2]) if counts else None
        self.failures = dict(failures or {})


class Refused(_Failure):
    """Nothing was written and nothing will be. Of a read: it could not be answered."""


class Unknown(_Failure):
    """It may have been written: by some or by all, now or later."""


def kind_of(text: str) -> str:
    return text.partition(" ")[0]


def failure_of(text: str) -> Refused | Unknown:
    """What the error of a node means."""
    return Unknown(text) if kind_of(text) == UNKNOWN else Refused(text)


def of_many(failures: Mapping[bytes, Exception], done: int) -> Refused | Unknown:
    """Of many writes, of which those failed: refused only if nothing at all was written.

    REQUIRES: there are failures
    """
    count = len(failures) + done
    first = next(iter(failures.values()))
    text = f"{done} of {count} keys were written; {len(failures)} were not: {first}"
    if done or any(isinstance(failure, Unknown) for failure in failures.values()):
        return Unknown(f"{UNKNOWN} {text}", failures=failures)
    kind = first.kind if isinstance(first, Refused) else "ERR"
    return Refused(f"nothing was written: {first}", kind, failures)
