"""One workload, recorded; what a loss of power at each of its operations may leave; and the check
of each such image.

    Recording   the operations of a run, and how far the promises reached after each
    moments     the disk during and after every operation, with the promises of that moment
    check_image opens an image: the state must be one of the commit order, not older than promised

The file system under test is built from the recorded operations (recorded_disk.py) and the ways of
power_images.py. A quarter of the images lose power once or twice more while they are recovered.
What such an interrupted recovery leaves is an image of its own, and must hold the same.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lsmkv
from lsmkv._native.trace import TraceEntry
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.support.crash_lab import (
    COPY,
    History,
    Laboratory,
    State,
    check_files,
    open_small,
    read_state,
)
from tests.support.power_images import FAMILIES
from tests.support.recorded_disk import Choice, RecordedDisk, filesystem_of

__all__ = ["Mark", "Moment", "Recording", "check_image", "moments", "record"]

SYNCS = {"sync", "log_sync", "sync_directory"}

Tree = dict[str, bytes | None]  # path to content; None: a directory


@dataclass(frozen=True)
class Mark:
    """What was promised once `operation_count` operations were done."""

    operation_count: int
    state_count: int
    acknowledged: int
    synced: int
    copy_state: State | None


class MarkedHistory(History):
    """A history that notes after which operation it changed."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__()
        self.clock = clock
        self.marks = [Mark(0, 1, 0, 0, None)]

    def mark(self, copy_state: State | None = None) -> None:
        self.marks.append(
            Mark(self.clock(), len(self.states), self.acknowledged, self.synced, copy_state)
        )

    def attempt(self, changes: Any) -> None:
        super().attempt(changes)
        self.mark(self.marks[-1].copy_state)

    def acknowledge(self, *, durable: bool) -> None:
        super().acknowledge(durable=durable)
        self.mark(self.marks[-1].copy_state)

    def rewind(self, position: int) -> None:
        super().rewind(position)
        self.mark(self.marks[-1].copy_state)


@dataclass(frozen=True)
class Recording:
    trace: list[TraceEntry]
    states: list[State]
    marks: list[Mark]
    options: dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """The disk at some point of a recording. `mark` is what was promised by then."""

    number: int
    entry: TraceEntry
    disk: RecordedDisk
    mark: Mark


def record(workload: Callable[[Laboratory], None], options: dict[str, Any]) -> Recording:
    history = MarkedHistory(lambda: 0)
    with Laboratory(options=options, history=history) as lab:
        history.clock = lambda: lab.files.operation_count
        lab.files.record_trace(True, contents=True)
        workload(lab)
        trace = lab.files.trace()
    if lab.copy_state is not None:
        _mark_copy(history, trace, lab.copy_state)
    return Recording(trace, history.states, history.marks, options)


def _mark_copy(history: MarkedHistory, trace: list[TraceEntry], copy_state: State) -> None:
    """From the last operation on the copy on, it must be whole."""
    done = max(
        number
        for number, entry in enumerate(trace, 1)
        if COPY in (entry.path, entry.target) or entry.path.startswith(COPY + "/")
    )
    returned = min(mark.operation_count for mark in history.marks if mark.operation_count >= done)
    history.marks = [
        Mark(m.operation_count, m.state_count, m.acknowledged, m.synced, copy_state)
        if m.operation_count > returned
        else m
        for m in history.marks
    ]


def moments(recording: Recording) -> Iterator[Moment]:
    """Two for each operation: while it is under way, and when it has returned.

    What is under way may be on the disk, in whole or in part, and nothing has been promised yet.
    """
    disk = RecordedDisk()
    marks = iter([*recording.marks, Mark(sys.maxsize, 0, 0, 0, None)])
    mark, following = next(marks), next(marks)
    for number, entry in enumerate(recording.trace, 1):
        if entry.operation not in SYNCS:
            disk.apply(entry)
        yield Moment(number, entry, disk, mark)
        if entry.operation in SYNCS:
            disk.apply(entry)
        while following.operation_count <= number:
            mark, following = following, next(marks)
        yield Moment(number, entry, disk, mark)


def check_image(
    recording: Recording, moment: Moment, family: str, rng: random.Random, *, recoveries: int
) -> int:
    """How many images were judged: one, and one for each loss of power during a recovery."""
    mark = moment.mark
    tree = moment.disk.tree(FAMILIES[family](moment.disk, rng))
    found = _judge(tree, recording, mark, family, rng)
    count = 1
    for _ in range(recoveries):
        if rng.random() < 0.25:
            tree = lose_power_while_opening(tree, recording.options, rng)
            again = _judge(tree, recording, mark, family, rng)
            assert again == found, "a recovery that was interrupted has changed something"
            count += 1
    return count


def _judge(tree: Tree, recording: Recording, mark: Mark, family: str, rng: random.Random) -> State:
    """Open an image: what it holds. All of it is durable by now, so another loss of power takes
    away none of what was promised."""
    promised = mark.acknowledged if family == "killed" else mark.synced
    image = filesystem_of(tree)
    with open_small(image, **recording.options) as db:
        found = read_state(db)
        _check_position(recording, mark, found, promised)
        assert db.verify()
        check_files(db, may_lose=family != "killed")
        durable = image.crash() if rng.random() < 0.25 else None
    if durable is not None:
        with open_small(durable, **recording.options) as db:
            assert read_state(db) == found, "what was recovered must be durable"
            db.put(b"life goes on", b"1", sync=True)
    _check_copy(image, recording, mark.copy_state)
    return found


def _check_position(recording: Recording, mark: Mark, found: State, promised: int) -> None:
    history = History()
    history.states = recording.states[: mark.state_count + 1]
    history.position(found, promised)


def lose_power_while_opening(tree: Tree, options: dict[str, Any], rng: random.Random) -> Tree:
    """Open it, and stop at a random operation of that, in a random way."""
    files = FaultFileSystem(filesystem_of(tree))
    files.count_reads(False)
    files.record_trace(True, contents=True)
    open_small(files, **options).close()
    trace = files.trace()
    disk = RecordedDisk(tree)
    for entry in trace[: rng.randrange(len(trace))]:
        disk.apply(entry)
    choice: Choice = FAMILIES[rng.choice(list(FAMILIES))](disk, rng)
    return disk.tree(choice)


def _check_copy(image: MemoryFileSystem, recording: Recording, expected: State | None) -> None:
    """A checkpoint that returned is whole; another does not open, or holds a state that was."""
    try:
        with open_small(image, COPY, create=False) as copy:
            found = read_state(copy)
    except lsmkv.Error:
        assert expected is None, "a checkpoint that returned is lost"
        return
    assert found == expected if expected is not None else found in recording.states
