"""What clients of real nodes did and were told: operations, as objects and as lines of JSON.

The endings are those of the simulator (tests/sim/history.py). A reply tells which one it was; where
none came, the operation may have been carried out, unless it never left.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tests.sim.history import Ending

__all__ = ["Operation", "Recorder", "ending_of", "is_expected", "read_history"]

# Errors after which nothing was written; DESIGN of the texts: resp/verdicts.py.
REFUSALS = ("NOREPLICAS", "LOADING", "BUSY", "MISCONF", "CLUSTERDOWN", "ERR too many concurrent")
BYTES = ("key", "value", "context", "answer_context")


@dataclass(slots=True)
class Operation:
    """`verb`: set, put, get, delete or add. `value` is what it writes, as a delta in digits; `seen`
    are the values that a read returned. Times are seconds of one monotonic clock. A delete by key
    alone has the context of what it was seen to delete."""

    id: int
    session: int
    node: str
    verb: str
    key: bytes
    value: bytes = b""
    context: bytes = b""
    is_strict: bool = False
    began_s: float = 0.0
    ended_s: float = 0.0
    ending: Ending = Ending.UNKNOWN
    answer_context: bytes = b""
    seen: tuple[bytes, ...] = ()
    text: str = ""  # the error that it was told

    @property
    def is_write(self) -> bool:
        return self.verb != "get"

    @property
    def is_done(self) -> bool:
        return self.ending is Ending.DONE

    @property
    def was_not_carried_out(self) -> bool:
        return self.ending in (Ending.REFUSED, Ending.NOT_SENT)

    def __str__(self) -> str:
        said = f" {self.text}" if self.text else ""
        return (
            f"operation {self.id} of session {self.session} at {self.node}: {self.verb} "
            f"{self.key!r} {self.value[-24:]!r}: {self.ending.value}{said} "
            f"({self.began_s:.3f}-{self.ended_s:.3f} s)"
        )


def ending_of(error: str) -> Ending:
    """Of an operation that was answered with this error."""
    return Ending.UNKNOWN if error.startswith("UNKNOWN") else Ending.REFUSED


def is_expected(error: str) -> bool:
    """Whether faults are a reason for it."""
    return error.startswith((*REFUSALS, "UNKNOWN"))


class Recorder:
    """Keeps operations, and writes each down once it has ended."""

    def __init__(self, path: Path | None = None) -> None:
        self.operations: list[Operation] = []
        self._file: TextIO | None = path.open("w", encoding="utf-8") if path is not None else None
        self._count = 0

    def next_id(self) -> int:
        self._count += 1
        return self._count

    def ended(self, operation: Operation) -> None:
        self.operations.append(operation)
        if self._file is not None:
            self._file.write(json.dumps(_as_json(operation)) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def read_history(lines: Iterable[str]) -> Iterator[Operation]:
    for line in lines:
        fields = json.loads(line)
        for name in BYTES:
            fields[name] = bytes.fromhex(fields[name])
        fields["seen"] = tuple(bytes.fromhex(each) for each in fields["seen"])
        fields["ending"] = Ending(fields["ending"])
        yield Operation(**fields)


def _as_json(operation: Operation) -> dict[str, Any]:
    fields = {field.name: getattr(operation, field.name) for field in dataclasses.fields(operation)}
    for name in BYTES:
        fields[name] = fields[name].hex()
    fields["seen"] = [each.hex() for each in operation.seen]
    fields["ending"] = operation.ending.value
    return fields
