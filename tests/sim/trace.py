"""What happened in a run: a list of small tuples, hashed as a whole and written out when asked.

An event is (time in microseconds, where, what, details...), of plain integers, strings and bytes
alone, so that equal runs have equal traces in every process. `where` is the name of a machine or
of a session, or "" for the world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

from tests.sim.loop import Loop

__all__ = ["Event", "Trace", "format_event"]

Event = tuple[object, ...]
CHUNK = 1000  # events


class Trace:
    def __init__(self, loop: Loop, echo: Callable[[str], None] | None = None) -> None:
        self.events: list[Event] = []
        self._loop = loop
        self._echo = echo

    def add(self, where: str, what: str, *details: object) -> None:
        event = (self._loop.now_us, where, what, *details)
        self.events.append(event)
        if self._echo is not None:
            self._echo(format_event(event))

    def digest(self) -> str:
        """Of all events so far."""
        state = blake2b(digest_size=16)
        for start in range(0, len(self.events), CHUNK):
            state.update(repr(self.events[start : start + CHUNK]).encode())
        return state.hexdigest()

    def around(self, needles: Iterable[bytes], count_max: int) -> list[str]:
        """The last events that mention one of the needles, and those that concern everybody."""
        wanted = tuple(needles)
        found = [event for event in self.events if _concerns(event, wanted)]
        return [format_event(event) for event in found[-count_max:]]


def _concerns(event: Event, needles: tuple[bytes, ...]) -> bool:
    if event[2] in ("fault", "boot", "end", "phase", "alarm", "store failed"):
        return True
    return any(
        isinstance(detail, bytes) and needle in detail for detail in event[3:] for needle in needles
    )


def format_event(event: Event) -> str:
    time_us, where, what, *details = event
    assert isinstance(time_us, int)
    text = " ".join(_shown(detail) for detail in details)
    return f"{time_us / 1e6:11.6f} {where:<6} {what} {text}".rstrip()


def _shown(detail: object) -> str:
    if isinstance(detail, bytes):
        return detail.decode("ascii") if detail.isascii() and detail.isalnum() else repr(detail)[1:]
    return str(detail)
