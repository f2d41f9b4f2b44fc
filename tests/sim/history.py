"""What clients did and what they were told: calls, in the order of their beginning."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.placement.keyspaces import Mode

__all__ = ["Call", "Ending", "History"]


class Ending(Enum):
    """How a call ended, as its client sees it."""

    DONE = "done"
    REFUSED = "refused"  # nothing was written, and nothing will be
    UNKNOWN = "unknown"  # says the node, or there was no answer
    NOT_SENT = "not sent"  # the connection was refused: no node has seen it


ENDINGS = {
    Outcome.DONE: Ending.DONE,
    Outcome.REFUSED: Ending.REFUSED,
    Outcome.UNKNOWN: Ending.UNKNOWN,
}


@dataclass(slots=True)
class Call:
    """`began`, `replied` (by the node) and `ended` are numbers of the ledger, to compare with what
    it wrote down."""

    id: int
    session: int
    machine: int
    mode: Mode
    request: ClientRequest
    invoked_us: int
    began: int
    ended_us: int | None = None
    replied: int | None = None
    ended: int | None = None
    ending: Ending | None = None
    answer: ClientAnswer | None = None
    replied_us: int = 0
    clock_error_ms: int = 0  # of the node that replied, then
    is_touched: bool = False  # a fault concerned it

    @property
    def key(self) -> bytes:
        return self.request.key

    @property
    def is_done(self) -> bool:
        return self.ending is Ending.DONE

    @property
    def is_delete(self) -> bool:
        """Acknowledged, and there was something that it deleted, now or before."""
        is_done = self.is_done and self.answer is not None and self.answer.record is not None
        return is_done and self.request.verb is Verb.DELETE

    @property
    def is_strict(self) -> bool:
        return self.mode is Mode.STRICT

    def __str__(self) -> str:
        parts = [f"call {self.id}", f"session {self.session}", f"via n{self.machine}"]
        parts += [self.mode.name, self.request.verb.name, repr(self.key)[1:]]
        if self.request.values:
            parts.append(",".join(repr(value[:24])[1:] for value in self.request.values))
        if self.request.context:
            parts.append("with context")
        ending = self.ending.value if self.ending else "pending"
        reason = f" {self.answer.reason.name}" if self.answer and self.answer.reason else ""
        times = f"{self.invoked_us / 1e6:.3f}"
        if self.ended_us is not None:
            times += f"-{self.ended_us / 1e6:.3f}"
        return f"{' '.join(parts)}: {ending}{reason} ({times} s)"


@dataclass
class History:
    calls: list[Call] = field(default_factory=list)

    def of_key(self, key: bytes) -> list[Call]:
        return [call for call in self.calls if call.key == key]

    def keys(self) -> list[bytes]:
        return sorted({call.key for call in self.calls})
