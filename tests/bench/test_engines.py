"""Every adapter that can be used here does what interface.Engine says, on a few hundred entries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmkv_bench.engines import ENGINES, installed, make_engine
from lsmkv_bench.engines.interface import Changes, Engine, drained_seconds

PEERS = [name for name in installed(list(ENGINES)) if not ENGINES[name].command]
KEYS = [b"%04d" % number for number in range(0, 600, 2)]
VALUES = {key: b"value of " + key for key in KEYS}


def test_lsmkv_and_sqlite3_are_always_there() -> None:
    assert {"lsmkv", "sqlite3"} <= set(PEERS)


@pytest.fixture(params=PEERS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = make_engine(request.param)
    made.open(tmp_path / "db")
    yield made
    made.close()


def fill(engine: Engine) -> None:
    with engine.writing() as writing:
        for key in reversed(KEYS):
            writing.put(key, VALUES[key])


def test_reads_find_what_was_written(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    engine.close()
    engine.open(tmp_path / "db")
    with engine.reading() as reading:
        assert all(reading.get(key) == VALUES[key] for key in KEYS)
        assert reading.get(b"0001") is None
        assert list(reading.get_many(KEYS[5:50:3])) == [VALUES[key] for key in KEYS[5:50:3]]
        forwards = list(reading.scan(False))
        assert forwards == list(VALUES.items())
        assert list(reading.scan(True)) == forwards[::-1]


def test_a_seek_gives_the_next_pairs_also_at_the_end_and_after_it(engine: Engine) -> None:
    fill(engine)
    pairs = list(VALUES.items())
    with engine.reading() as reading:
        seek = reading.seeker()
        assert seek(b"0010", 3) == pairs[5:8]
        assert seek(b"0011", 2) == pairs[6:8]
        assert seek(KEYS[-2], 10) == pairs[-2:]
        assert seek(b"zzz", 10) == []
        assert seek(b"", 1) == pairs[:1]


def test_writing_reads_its_own_writes(engine: Engine) -> None:
    with engine.writing() as writing:
        writing.put(b"a", b"1")
        assert writing.get(b"a") == b"1"
        writing.put(b"a", b"2")
        writing.put(b"b", b"3")
        assert writing.scan_from(b"a", 10) == [(b"a", b"2"), (b"b", b"3")]
        assert writing.scan_from(b"a1", 1) == [(b"b", b"3")]
        writing.delete(b"a")
        assert writing.get(b"a") is None
    with engine.reading() as reading:
        assert list(reading.scan(False)) == [(b"b", b"3")]


@pytest.mark.parametrize("is_ordered", [False, True])
def test_batches_and_ordered_writes_arrive(engine: Engine, is_ordered: bool) -> None:
    pairs = list(VALUES.items())
    engine.put_batch(pairs[:100], is_ordered=is_ordered)
    with engine.writing(is_ordered=is_ordered) as writing:
        for key, value in pairs[100:]:
            writing.put(key, value)
    with engine.reading() as reading:
        assert list(reading.scan(False)) == pairs


def test_draining_and_settling_lose_nothing_and_end(engine: Engine) -> None:
    fill(engine)
    assert engine.drain() >= 0
    fill(engine)
    engine.settle()
    assert engine.tree_shape()
    with engine.reading() as reading:
        assert list(reading.scan(False)) == list(VALUES.items())


def test_settings_state_version_and_compression(engine: Engine) -> None:
    settings = engine.settings()
    assert settings["version"]
    assert "compression" in settings


@pytest.mark.parametrize("name", PEERS)
def test_synced_puts_come_from_several_threads(name: str, tmp_path: Path) -> None:
    engine = make_engine(name)
    engine.open(tmp_path / "db", is_durable=True)
    shares = [KEYS[:20], KEYS[20:40]]

    def put_all(share: list[bytes]) -> None:
        for key in share:
            engine.put_sync(key, VALUES[key])

    threads = [threading.Thread(target=put_all, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.reading() as reading:
        assert [reading.get(key) for key in KEYS[:41]] == [*list(VALUES.values())[:40], None]
    engine.close()


# --- draining ------------------------------------------------------------------------------------


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("busy_until", "expected"), [(0.0, 0.0), (3.0, 3.0)])
def test_a_drain_ends_when_work_was_last_seen(busy_until: float, expected: float) -> None:
    time = Time()
    seconds = drained_seconds(
        lambda: time.now - 100 < busy_until, 1.0, clock=time.clock, sleep=time.sleep
    )
    assert seconds == pytest.approx(expected, abs=0.02)
    assert time.now == pytest.approx(100 + expected + 1, abs=0.02)


def test_changes_and_computing_are_work() -> None:
    state, wall, cpu = ["a"], [0.0], [0.0]
    is_busy = Changes(lambda: state[0], clock=lambda: wall[0], cpu_clock=lambda: cpu[0])
    wall[0] += 1
    assert not is_busy()
    wall[0], state[0] = 2, "b"
    assert is_busy()
    wall[0] = 3
    assert not is_busy()
    wall[0], cpu[0] = 4, 0.9
    assert is_busy()
    wall[0], cpu[0] = 5, 1.1
    assert not is_busy()
