"""Waiting for conditions, with a deadline: a test that waits for what never comes says for what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["DEADLINE_S", "poll", "until", "wait_until"]

DEADLINE_S = 60.0
LOOK_S = 0.02  # between two looks

T = TypeVar("T")


def wait_until(look: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """What `look` returns, once that is true. TimeoutError."""
    end_s = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {deadline_s} s")
        time.sleep(LOOK_S)
    return found


async def until(look: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The same, while others go on."""

    async def looked() -> T:
        return look()

    return await poll(looked, what, deadline_s, LOOK_S)


async def poll(
    look: Callable[[], Awaitable[T]],
    what: str,
    deadline_s: float = DEADLINE_S,
    interval_s: float = 0.2,
) -> T:
    """For conditions that others are asked about. What cannot be asked is not yet so."""
    loop = asyncio.get_running_loop()
    end_s, why = loop.time() + deadline_s, ""
    while True:
        try:
            if found := await look():
                return found
            why = ""
        except (OSError, TimeoutError) as error:
            why = f" ({type(error).__name__}: {error})"
        if loop.time() > end_s:
            raise TimeoutError(f"{what}: not within {deadline_s} s{why}")
        await asyncio.sleep(interval_s)
