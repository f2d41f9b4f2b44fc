"""The background threads call the engine's steps when they should, and end when they should.

The engine is a fake that only counts; every wait has a deadline and none is for a fixed time.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from lsmkv import background as background_module
from lsmkv.background import Background, Step, told_again
from lsmkv.errors import CorruptionError, Error, StorageError

DEADLINE_S = 20.0
NEVER_S = 3600.0


class FakeEngine:
    """Answers each step from a script, Step.IDLE at its end."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.scripts: dict[str, list[Step]] = {"flush": [], "compaction": []}
        self.steps = {"flush": 0, "compaction": 0}
        self.ticks = 0
        self.hold: threading.Event | None = None

    def _background_step(self, kind: str) -> Step:
        hold = self.hold
        with self.changed:
            self.steps[kind] += 1
            script = self.scripts[kind]
            answer = script.pop(0) if script else Step.IDLE
            self.changed.notify_all()
        if hold is not None:
            hold.wait(DEADLINE_S)
        return answer

    def _tick(self) -> None:
        with self.changed:
            self.ticks += 1
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def threads(engine: FakeEngine) -> Iterator[Background]:
    background = Background(engine, NEVER_S)
    yield background
    background.stop()
    assert not any(thread.is_alive() for thread in background._threads)


def test_nothing_happens_unasked(engine: FakeEngine, threads: Background) -> None:
    assert engine.steps == {"flush": 0, "compaction": 0}
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 1)
    threads.wake_compaction()
    engine.wait_for(lambda: engine.steps["compaction"] == 1)
    assert engine.steps["flush"] == 1
    assert engine.ticks == 0


def test_it_goes_on_while_there_is_work(engine: FakeEngine, threads: Background) -> None:
    engine.scripts["compaction"] = [Step.WORKED] * 5
    threads.wake_compaction()
    engine.wait_for(lambda: engine.steps["compaction"] == 6)


def test_a_wake_during_a_step_is_not_lost(engine: FakeEngine, threads: Background) -> None:
    engine.hold = threading.Event()
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 1)
    threads.wake_flush()
    engine.hold.set()
    engine.wait_for(lambda: engine.steps["flush"] == 2)


def test_a_flush_does_not_wait_for_a_compaction(engine: FakeEngine, threads: Background) -> None:
    engine.hold = threading.Event()
    threads.wake_compaction()
    engine.wait_for(lambda: engine.steps["compaction"] == 1)
    engine.hold, held = None, engine.hold
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 1)
    held.set()


def test_a_failed_step_is_tried_again(
    engine: FakeEngine, threads: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "RETRY_INTERVAL_S", 0.001)
    engine.scripts["flush"] = [Step.FAILED, Step.FAILED, Step.WORKED]
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 4)


def test_who_asks_after_a_failure_does_not_wait(
    engine: FakeEngine, threads: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "RETRY_INTERVAL_S", NEVER_S)
    engine.scripts["flush"] = [Step.FAILED]
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 1)
    threads.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 2)


def test_a_failure_does_not_spin(
    engine: FakeEngine, threads: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "RETRY_INTERVAL_S", NEVER_S)
    engine.scripts["flush"] = [Step.FAILED] * 1000
    for turn in range(1, 6):
        threads.wake_flush()
        engine.wait_for(lambda turn=turn: engine.steps["flush"] >= turn)
    assert engine.steps["flush"] <= 6  # one wake may be seen twice, never more


def test_ticks_come_by_themselves(engine: FakeEngine) -> None:
    background = Background(engine, 0.001)
    engine.wait_for(lambda: engine.ticks >= 3)
    background.stop()
    ticks = engine.ticks
    assert not any(thread.is_alive() for thread in background._threads)
    assert engine.ticks == ticks


def test_stop_waits_for_the_step_under_way(engine: FakeEngine) -> None:
    background = Background(engine, NEVER_S)
    engine.hold = threading.Event()
    engine.scripts["flush"] = [Step.WORKED] * 1000
    background.wake_flush()
    engine.wait_for(lambda: engine.steps["flush"] == 1)
    stopping = threading.Thread(target=background.stop)
    stopping.start()
    assert stopping.is_alive()
    engine.hold.set()
    stopping.join(DEADLINE_S)
    assert not stopping.is_alive()
    assert engine.steps["flush"] <= 2
    background.stop()


def test_stop_from_one_of_the_threads(engine: FakeEngine) -> None:
    stopped = threading.Event()
    seen: list[bool] = []

    class Stopping(FakeEngine):
        def _background_step(self, kind: str) -> Step:
            seen.append(background.is_current_thread())
            background.stop()
            stopped.set()
            return Step.WORKED

    stopping = Stopping()
    background = Background(stopping, NEVER_S)
    assert not background.is_current_thread()
    background.wake_flush()
    assert stopped.wait(DEADLINE_S)
    for thread in background._threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert seen == [True]


def test_the_threads_keep_no_engine_alive() -> None:
    def make() -> tuple[Background, weakref.ref[FakeEngine]]:
        engine = FakeEngine()
        background = Background(engine, 0.001)
        engine.wait_for(lambda: engine.ticks >= 1)
        background.wake_flush()
        engine.wait_for(lambda: engine.steps["flush"] == 1)
        return background, weakref.ref(engine)

    background, reference = make()
    ticker = background._threads[-1]
    ticker.join(DEADLINE_S)
    assert not ticker.is_alive()
    gc.collect()
    assert reference() is None
    background.wake_flush()
    background.wake_compaction()
    for thread in background._threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_all_are_daemons(threads: Background) -> None:
    assert all(thread.daemon for thread in threads._threads)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (StorageError(28, "No space left", "/db/1.sst"), StorageError, "background work fails"),
        (CorruptionError("damaged", "/db/1.sst", 7), Error, "/db/1.sst at byte 7: damaged"),
        (MemoryError("none"), Error, "none"),
    ],
)
def test_errors_are_told_again(error: Exception, kind: type[Error], text: str) -> None:
    again = told_again(error)
    assert type(again) is kind
    assert text in str(again)
    if isinstance(error, StorageError):
        assert isinstance(again, StorageError)
        assert (again.errno, again.filename) == (28, "/db/1.sst")
