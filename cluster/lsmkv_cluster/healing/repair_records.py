"""The records of one range, from "differs" to "is the same": what to do next for each of them.

Pure: it says which records to pull, merge, read back and push, and is told how that went. FOLLOWS
is the whole way of a record; a key that both have goes all of it, one that only the peer has is
there after the merge, one that only this node has begins with being read.

At most so many records and bytes are on their way, and a round begins at most so many in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from lsmkv_cluster.healing.antientropy_exchange import ExchangeLimits
from lsmkv_cluster.healing.antientropy_repair_messages import LIST_COUNT_MAX
from lsmkv_cluster.storage.storage_orders import Entry, Failure

__all__ = ["FOLLOWS", "Came", "RecordRepair", "RepairSettings", "Step", "Work"]


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """How much one round does."""

    exchange: ExchangeLimits = field(default_factory=ExchangeLimits)
    count_max: int = 1024  # records
    size_max_bytes: int = 16 << 20  # of records
    range_open_max: int = 16  # ranges whose keys are listed at a time
    page_count_max: int = 256  # keys in one list
    open_count_max: int = 32  # records on their way
    open_max_bytes: int = 1 << 20  # of them; a single one may be larger
    answer_timeout_ms: int = 5000

    def __post_init__(self) -> None:
        if not 2 <= self.count_max <= LIST_COUNT_MAX:
            raise ValueError(f"count_max must be in 2..{LIST_COUNT_MAX}")
        positive = (
            self.size_max_bytes,
            self.range_open_max,
            self.page_count_max,
            self.open_count_max,
            self.open_max_bytes,
            self.answer_timeout_ms,
        )
        if min(positive) < 1:
            raise ValueError("limits must be positive")


class Step(Enum):
    """What a record waits for."""

    PULL = "the peer's record"
    MERGE = "its merge here"
    READ = "what is here now"
    PUSH = "its merge there"
    DONE = "nothing"
    FAILED = "another round"


class Came(Enum):
    """How a step has ended."""

    RECORD = "a record"
    SAME = "the record that the peer has"
    NOTHING = "no record: it was dropped meanwhile"
    ALONE = "merged, and nothing was here before"
    JOINED = "merged into what was here"
    TAKEN = "the peer has merged it"
    REFUSED = "refused, or not answered"


FOLLOWS: Mapping[tuple[Step, Came], Step] = {
    (Step.PULL, Came.RECORD): Step.MERGE,
    (Step.PULL, Came.NOTHING): Step.DONE,
    (Step.PULL, Came.REFUSED): Step.FAILED,
    (Step.MERGE, Came.ALONE): Step.DONE,
    (Step.MERGE, Came.JOINED): Step.READ,
    (Step.MERGE, Came.REFUSED): Step.FAILED,
    (Step.READ, Came.RECORD): Step.PUSH,
    (Step.READ, Came.SAME): Step.DONE,
    (Step.READ, Came.NOTHING): Step.DONE,
    (Step.READ, Came.REFUSED): Step.FAILED,
    (Step.PUSH, Came.TAKEN): Step.DONE,
    (Step.PUSH, Came.REFUSED): Step.FAILED,
}


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done now, each for several keys."""

    pulls: tuple[bytes, ...] = ()
    merges: tuple[tuple[bytes, bytes], ...] = ()
    reads: tuple[bytes, ...] = ()
    pushes: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class _Record:
    key: bytes
    size: int
    step: Step  # where it begins, then where it is
    is_here: bool
    data: bytes | None = None  # the peer's until it has been compared, then ours


class RecordRepair:
    """One for a round. Counters go up, `is_stopped` stays."""

    __slots__ = (
        "_open",
        "_open_bytes",
        "_ready",
        "_settings",
        "_started_bytes",
        "_started_count",
        "_todo",
        "is_cut_off",
        "is_stopped",
        "kept_back",
        "pull_failures",
        "pulled",
        "push_failures",
        "pushed",
    )

    def __init__(self, settings: RepairSettings) -> None:
        self._settings = settings
        self._todo: deque[_Record] = deque()
        self._open: dict[bytes, _Record] = {}
        self._ready: list[_Record] = []  # those whose step can begin
        self._open_bytes = 0
        self._started_bytes = 0
        self._started_count = 0
        self.is_cut_off = False  # something was left because of a bound
        self.is_stopped = False
        self.pulled = 0  # merged here
        self.pushed = 0  # merged there
        self.pull_failures = 0
        self.push_failures = 0
        self.kept_back = 0  # records that are here, and did not get there

    @property
    def is_idle(self) -> bool:
        return not self._todo and not self._open

    @property
    def allowed_count(self) -> int:
        """How many keys of each side may be listed next; 0 when the round has done enough."""
        if self._started_bytes >= self._settings.size_max_bytes:
            return 0
        return max(0, self._settings.count_max - self._started_count) // 2

    def add(self, own: Iterable[Entry], peer: Iterable[Entry]) -> None:
        """The entries of the same tokens here and there."""
        here = {entry.key: entry for entry in own}
        for entry in peer:
            mine = here.pop(entry.key, None)
            if mine is None or mine.digest != entry.digest:
                record = _Record(entry.key, entry.size, Step.PULL, mine is not None)
                self._todo.append(record)
        for entry in here.values():
            self._todo.append(_Record(entry.key, entry.size, Step.READ, True))

    def stop(self) -> None:
        """Begin nothing more; what is on its way may end."""
        self.is_stopped = True
        self._todo.clear()

    def came(self, key: bytes, how: Came, data: bytes | None = None) -> None:
        """How the present step of a key has ended."""
        record = self._open[key]
        if record.step is Step.READ and how is Came.RECORD and data == record.data:
            how = Came.SAME
        before, record.step = record.step, FOLLOWS[record.step, how]
        record.data = data
        if record.step is Step.FAILED:
            if before in (Step.PULL, Step.MERGE):
                self.pull_failures += 1
            else:
                self.push_failures += 1
        is_over_early = record.step is Step.FAILED or (before is Step.PULL and how is Came.NOTHING)
        self.kept_back += record.is_here and is_over_early
        self.pulled += how in (Came.ALONE, Came.JOINED)
        self.pushed += how is Came.TAKEN
        if record.step in (Step.DONE, Step.FAILED):
            del self._open[key]
            self._open_bytes -= record.size
        else:
            self._ready.append(record)

    def merged(self, key: bytes, outcome: bool | Failure) -> None:
        record = self._open[key]
        if isinstance(outcome, Failure):
            self.came(key, Came.REFUSED)
        else:
            how = Came.JOINED if record.is_here else Came.ALONE
            self.came(key, how, record.data)

    def next_work(self) -> Work:
        """What can begin now."""
        self._start()
        ready, self._ready = self._ready, []
        by_step: dict[Step, list[_Record]] = {}
        for record in ready:
            by_step.setdefault(record.step, []).append(record)

        def keys(step: Step) -> tuple[bytes, ...]:
            return tuple([record.key for record in by_step.get(step, ())])

        def records(step: Step) -> tuple[tuple[bytes, bytes], ...]:
            return tuple([(record.key, record.data or b"") for record in by_step.get(step, ())])

        return Work(keys(Step.PULL), records(Step.MERGE), keys(Step.READ), records(Step.PUSH))

    def _start(self) -> None:
        settings = self._settings
        while self._todo and len(self._open) < settings.open_count_max:
            record = self._todo[0]
            if self._started_bytes >= settings.size_max_bytes:
                self.is_cut_off = True
                self._todo.clear()
                return
            if self._open and self._open_bytes + record.size > settings.open_max_bytes:
                return
            self._todo.popleft()
            self._open[record.key] = record
            self._open_bytes += record.size
            self._started_bytes += record.size
            self._started_count += 1
            self._ready.append(record)
