"""What repair makes of damaged logs: every intact record counts, also those behind the damage, and
nothing of another segment does; what may never have been durable is dropped as an open drops it.
"""

from __future__ import annotations

import pytest

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.errors import Error
from tests.test_repair import (
    DIRECTORY,
    LOST,
    Model,
    contents,
    fill,
    flip,
    names,
    open_small,
    repaired,
    rewrite,
)


@pytest.fixture
def files() -> MemoryFileSystem:
    return MemoryFileSystem()


@pytest.fixture
def model(files: MemoryFileSystem) -> Model:
    """A live table; nothing in the logs."""
    with open_small(files) as db:
        pairs = fill(db, b"a")
        db.flush()
    return pairs


def written(files: MemoryFileSystem, count: int = 50) -> MemoryFileSystem:
    """As a killed process leaves it: so many records in the log, each synced."""
    with open_small(files) as db:
        for number in range(count):
            db.put(b"n%02d" % number, b"<%d>" % number * 5, sync=True)
        return files.clone()


def in_log(*numbers: int) -> Model:
    return {b"n%02d" % number: b"<%d>" % number * 5 for number in numbers}


def test_a_damaged_log_gives_what_stands_around_the_damage(
    files: MemoryFileSystem, model: Model
) -> None:
    image = written(files)
    (log,) = names(image, ".log")
    path = f"{DIRECTORY}/{log}"
    damaged = flip(image, path, image.read_file(path, 1 << 30).index(b"<1><1>") + 5)
    with pytest.raises(Error):
        open_small(image)
    report = repaired(image)
    assert report.replayed_operations == 49
    assert report.moved_aside == [log]
    assert path in report.problems[0]
    assert contents(image) == model | in_log(0, *range(2, 50))
    assert image.read_file(f"{LOST}/{log}", 1 << 30) == damaged
    batches_and_marks = report.records_behind_damage
    assert 48 < batches_and_marks < 100
    assert report.skipped_log_bytes == 56  # header, key and value, padded
    assert f"56 damaged bytes of logs skipped, {batches_and_marks} records behind" in str(report)


def test_several_holes_in_a_log_cost_the_records_in_them(
    files: MemoryFileSystem, model: Model
) -> None:
    image = written(files)
    (log,) = names(image, ".log")
    path = f"{DIRECTORY}/{log}"
    for number in (3, 4, 20, 49):
        data = image.read_file(path, 1 << 30)
        flip(image, path, data.index(b"<%d><%d>" % (number, number)))
    report = repaired(image)
    kept = set(range(50)) - {3, 4, 20, 49}
    assert report.replayed_operations == len(kept)
    assert contents(image) == model | in_log(*kept)


def test_deletes_and_newer_values_behind_damage_apply(files: MemoryFileSystem) -> None:
    with open_small(files) as db:
        db.update({b"a": b"table", b"b": b"table", b"c": b"table"})
        db.flush()
        db.put(b"a", b"old", sync=True)
        db.put(b"hit", b"this is damaged", sync=True)
        db.put(b"a", b"new", sync=True)
        db.delete(b"b", sync=True)
        image = files.clone()
    (log,) = names(image, ".log")
    path = f"{DIRECTORY}/{log}"
    flip(image, path, image.read_file(path, 1 << 30).index(b"damaged"))
    repaired(image)
    assert contents(image) == {b"a": b"new", b"c": b"table"}


def test_nothing_behind_a_torn_end_counts(files: MemoryFileSystem, model: Model) -> None:
    """Nobody was promised it, and an open does not bring it back either."""
    with open_small(files) as db:
        db.put(b"first", b"1", sync=True)
        db[b"second"] = b"2" * 100
        db[b"third"] = b"3"
        image = files.clone()
    (log,) = names(image, ".log")
    path = f"{DIRECTORY}/{log}"
    damaged = flip(image, path, image.read_file(path, 1 << 30).index(b"2222"))
    opened = contents(image.clone())
    report = repaired(image)
    assert contents(image) == opened == model | {b"first": b"1"}
    assert (report.problems, report.records_behind_damage) == ([], 0)
    assert image.read_file(f"{LOST}/{log}", 1 << 30) == damaged


def test_nothing_of_another_segment_is_brought_back(files: MemoryFileSystem, model: Model) -> None:
    """Not even where it has the same records at the same places: what a recycled block may hold."""
    image, stale = written(files.clone()), written(files.clone())
    (log,) = names(image, ".log")
    path = f"{DIRECTORY}/{log}"
    data = image.read_file(path, 1 << 30)
    start, end = data.index(b"<10><10>"), data.index(b"<30><30>")
    rewrite(image, path, data[:start] + stale.read_file(path, 1 << 30)[start:end] + data[end:])
    report = repaired(image)
    kept = [*range(11), *range(31, 50)]  # values are the same: of 10 all bytes are its own
    assert report.replayed_operations == len(kept)
    assert contents(image) == model | in_log(*kept)


def test_a_log_keeps_its_records_when_its_header_is_damaged(
    files: MemoryFileSystem, model: Model
) -> None:
    """All but the nonce, which tells them from those of another segment."""
    image = written(files, 5)
    (log,) = names(image, ".log")
    for offset in range(64):
        damaged = image.clone()
        flip(damaged, f"{DIRECTORY}/{log}", offset)
        report = repaired(damaged)
        assert report.moved_aside == [log]
        assert f"{log} at byte 0" in report.problems[0]
        kept = () if 24 <= offset < 32 else range(5)
        assert contents(damaged) == model | in_log(*kept)


def test_a_log_without_a_header_is_kept(files: MemoryFileSystem, model: Model) -> None:
    image = written(files, 5)
    (log,) = names(image, ".log")
    data = image.read_file(f"{DIRECTORY}/{log}", 1 << 30)
    rewrite(image, f"{DIRECTORY}/{log}", bytes(64) + data[64:])
    report = repaired(image)
    assert report.moved_aside == [log]
    assert "no intact header" in report.problems[0]
    assert contents(image) == model


def test_damage_in_a_closed_log_costs_its_record_only(
    files: MemoryFileSystem, model: Model
) -> None:
    """Its length is known, so a bad record is damage even where no later one says so."""
    with open_small(files) as db:
        db[b"first"] = b"1"
        db[b"second"] = b"2" * 100
        db[b"third"] = b"3"
    (log,) = names(files, ".log")
    path = f"{DIRECTORY}/{log}"
    flip(files, path, files.read_file(path, 1 << 30).index(b"2222") + 50)
    report = repaired(files)
    assert report.moved_aside == [log]
    assert "more than this was durable" in report.problems[0]
    assert contents(files) == model | {b"first": b"1", b"third": b"3"}


def in_two_logs(files: MemoryFileSystem, *, sync: bool) -> tuple[MemoryFileSystem, list[str]]:
    """Both live: a flush that never happens."""
    with open_small(files, write_buffer_size=4096) as db:
        db._after_freeze = lambda: None  # type: ignore[method-assign]
        db[b"hit"] = b"here" * 10
        db[b"behind"] = b"1"
        db[b"filler"] = b"y" * 4200
        db.put(b"newest", b"1", sync=sync)
        image = files.clone()
    return image, [f"{DIRECTORY}/{name}" for name in names(image, ".log")]


@pytest.mark.parametrize("sync", [True, False])
def test_a_bad_end_is_damage_when_a_later_log_was_synced(
    files: MemoryFileSystem, *, sync: bool
) -> None:
    image, (older, _) = in_two_logs(files, sync=sync)
    flip(image, older, image.read_file(older, 1 << 30).index(b"herehere"))
    report = repaired(image)
    found = contents(image)
    assert b"hit" not in found
    assert found[b"newest"] == b"1"
    assert (b"behind" in found) == sync
    assert ("more than this was durable" in str(report)) == sync
    assert report.moved_aside == [older.rpartition("/")[2]]


def test_logs_in_each_others_place_are_used_and_told(files: MemoryFileSystem) -> None:
    image, (older, newer) = in_two_logs(files, sync=True)
    expected = contents(image.clone())
    contents_of = [image.read_file(path, 1 << 30) for path in (older, newer)]
    rewrite(image, older, contents_of[1])
    rewrite(image, newer, contents_of[0])
    with pytest.raises(lsmkv.CorruptionError):
        open_small(image.clone())
    report = repaired(image)
    assert contents(image) == expected
    assert [problem.split(": ")[1] for problem in report.problems] == [
        f"it holds log segment {int(path[4:10])}" for path in (newer, older)
    ]


def test_an_old_log_in_the_place_of_a_newer_one_hides_nothing(files: MemoryFileSystem) -> None:
    with open_small(files) as db:
        db.put(b"a", b"old", sync=True)
        (old,) = names(files, ".log")
        old_data = files.read_file(f"{DIRECTORY}/{old}", 1 << 30)
        db.put(b"a", b"new", sync=True)
        db.compact()
        image = files.clone()
    (log,) = names(image, ".log")
    assert log != old
    rewrite(image, f"{DIRECTORY}/{log}", old_data)
    report = repaired(image)
    assert contents(image) == {b"a": b"new"}
    assert report.moved_aside == [log]
    assert f"it holds log segment {int(old[:6])}" in report.problems[0]


def test_a_missing_live_log_is_told(files: MemoryFileSystem, model: Model) -> None:
    with open_small(files) as db:
        db[b"x"] = b"1"
        db.flush()  # the edit names the next log
        image = files.clone()
    (log,) = names(image, ".log")
    image.remove(f"{DIRECTORY}/{log}")
    report = repaired(image)
    assert report.problems == [f"log {int(log[:6])} is missing"]
    assert contents(image) == model | {b"x": b"1"}
