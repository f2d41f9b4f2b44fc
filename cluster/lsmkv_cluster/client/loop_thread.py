"""An event loop in a thread of its own, for programs that do not use asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from lsmkv import ClosedError

__all__ = ["LoopThread"]

LEFT_S = 1.0  # that calls under way have to end by themselves when it is to stop

_T = TypeVar("_T")


class LoopThread:
    """Runs from the beginning until `stop`; the thread does not keep a program from ending."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._is_stopped = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, _T]) -> _T:
        """From any thread but its own: waits for the end. Whoever is interrupted while waiting
        cancels the call. ClosedError after `stop`."""
        with self._lock:
            if self._is_stopped:
                call.close()
                raise ClosedError("the client was closed")
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Whatever still runs is cancelled. Again is nothing."""
        with self._lock:
            if self._is_stopped:
                return
            self._is_stopped = True
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=LEFT_S)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
