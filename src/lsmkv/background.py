"""The background threads of a database: flush, compaction and the sync ticker.

They know the engine only through a weak reference, so that a database nobody uses any more can be
collected and closed. They are daemon threads, stopped by close() (also at interpreter exit): a
non-daemon thread would hang the exit. All work happens in steps of the engine; this file only
decides when to call the next one.
"""

from __future__ import annotations

import enum
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from lsmkv.errors import Error, StorageError

__all__ = ["Background", "Step", "told_again"]

RETRY_INTERVAL_S = 1.0  # after a failed step


class Step(enum.Enum):
    """What a step did: go on at once, wait to be woken, or try again later."""

    WORKED = "worked"
    IDLE = "idle"
    FAILED = "failed"


class Worked(Protocol):
    """What the threads need of an engine."""

    def _background_step(self, kind: str) -> Step: ...
    def _tick(self) -> None: ...


class Background:
    """Three threads for one engine."""

    def __init__(self, engine: Worked, tick_interval_s: float) -> None:
        self._stop = threading.Event()
        self._wakes = {"flush": threading.Event(), "compaction": threading.Event()}
        reference = weakref.ref(engine)
        self._threads = [
            _start(_work, reference, wake, self._stop, kind) for kind, wake in self._wakes.items()
        ]
        self._threads.append(_start(_tick, reference, self._stop, tick_interval_s))

    def wake_flush(self) -> None:
        self._wakes["flush"].set()

    def wake_compaction(self) -> None:
        self._wakes["compaction"].set()

    def is_current_thread(self) -> bool:
        """Whether the caller is one of the threads."""
        return threading.current_thread() in self._threads

    def stop(self) -> None:
        """Ask the threads to end and wait until they have. A step under way is finished or
        cancelled."""
        self._stop.set()
        for wake in self._wakes.values():
            wake.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()


def _start(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name="lsmkv", daemon=True)
    thread.start()
    return thread


def _work(
    reference: weakref.ref[Worked], wake: threading.Event, stop: threading.Event, kind: str
) -> None:
    while not stop.is_set():
        wake.wait()
        wake.clear()
        while not stop.is_set():
            engine = reference()
            if engine is None:
                return
            step = engine._background_step(kind)
            del engine
            if step is Step.IDLE:
                break
            if step is Step.FAILED:
                wake.wait(RETRY_INTERVAL_S)  # or at once, for one who asks for it
                wake.clear()


def _tick(reference: weakref.ref[Worked], stop: threading.Event, interval_s: float) -> None:
    while not stop.wait(interval_s):
        engine = reference()
        if engine is None:
            return
        engine._tick()
        del engine


def told_again(error: Exception) -> Exception:
    """The error of a background thread, raised in a writer's."""
    if isinstance(error, StorageError):
        return StorageError(error.errno, f"background work fails: {error.strerror}", error.filename)
    return Error(f"background work fails: {error}")
