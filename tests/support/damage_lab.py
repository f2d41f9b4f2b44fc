"""Small whole databases, every way to damage one of their files, and what must come of it.

    SPECIMENS   databases in different states, with the history of their commits
    Damage      a file and what it holds instead, or None for a file that is gone
    judge       opens, reads, verifies and repairs the damaged database

What must hold: whatever is not an error is right. Right is the state after the last commit, or,
where the unsynced end of a log was hit, the state after an earlier one that is not older than what
the log's records claim to be durable; which one exactly is decided by reference_log.py. A damaged
table is found by verify, with its path. Repair keeps every key that could still be read, and the
damaged file in lost/.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import lsmkv
from lsmkv import filenames, kernel
from lsmkv._native.segment import BATCH
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from tests.support.crash_lab import DIRECTORY, Laboratory, State
from tests.support.reference_log import Decoded, decode

__all__ = ["SPECIMENS", "Damage", "Outcome", "Specimen", "judge", "specimen"]

SIZE_MAX = 1 << 24
SMALL: dict[str, Any] = {
    "background": "inline",
    "block_size": 256,
    "write_buffer_size": 1 << 20,
    "level0_trigger": 8,
    "bloom_bits_per_key": 10,
}


class Outcome(enum.Enum):
    """What became of a damaged database."""

    HARMLESS = "harmless"  # everything is right
    TORN = "taken for a torn end"  # an older state, which may be
    REFUSED = "refused to open"
    REPORTED = "reported by reads and verify"


@dataclass(frozen=True)
class Damage:
    """`content` None: the file is gone."""

    path: str
    content: bytes | None


@dataclass(frozen=True)
class Specimen:
    """A database that nobody has open. `states` by commit, of which `synced` are durable."""

    name: str
    files: dict[str, bytes]  # paths
    states: list[State]
    synced: int
    options: dict[str, Any]

    @property
    def last(self) -> State:
        return self.states[-1]

    @property
    def keys(self) -> set[bytes]:
        return {key for state in self.states for key in state}

    @property
    def targets(self) -> list[str]:
        """All files whose content counts."""
        return [path for path in sorted(self.files) if kind_of(path) is not FileKind.LOCK]

    def log_state(self, path: str, content: bytes) -> State | None:
        """The state when the newest log holds this; None when it must be refused."""
        decoded = decode(content)
        if decoded.error is not None:
            return None
        whole = decode(self.files[path])
        lost = _commits(whole) - _commits(decoded)
        return self.states[len(self.states) - 1 - lost]


def _commits(decoded: Decoded) -> int:
    return sum(record.type == BATCH for record in decoded.records)


def kind_of(path: str) -> FileKind | None:
    name = filenames.parse(path.rsplit("/", 1)[1])
    return None if name is None else name.kind


# --- specimens -----------------------------------------------------------------------------------


def _fill(lab: Laboratory, prefix: bytes, count: int) -> None:
    lab.batch({prefix + b"%02d" % number: b"<%d>" % number * 4 for number in range(count)})


def _tables(lab: Laboratory) -> None:
    """One below, two above, with deletes and older versions."""
    lab.open()
    _fill(lab, b"a", 24)
    lab.compact()
    lab.batch({b"a03": None, b"a05": b"newer", b"b00": b"x" * 40})
    lab.flush()
    _fill(lab, b"c", 16)
    lab.delete(b"a07")
    lab.flush()


def _log(lab: Laboratory) -> None:
    lab.put(b"a01", b"in the log", sync=True)
    lab.put(b"d01", b"unsynced, claimed later")
    lab.put(b"d02", b"", sync=True)
    lab.delete(b"a02")
    lab.batch({b"d03": b"1", b"d01": None})


def _crashed(lab: Laboratory) -> None:
    """Tables, and a log with synced and unsynced records."""
    _tables(lab)
    _log(lab)


def _closed(lab: Laboratory) -> None:
    """The same, closed: the length of the log is known."""
    _crashed(lab)
    lab.close()


def _flushed(lab: Laboratory) -> None:
    """Everything in tables, the newest log is empty."""
    _tables(lab)


def _dropped(lab: Laboratory) -> None:
    """A range was dropped out of a table, and more was written."""
    _tables(lab)
    lab.drop_range(b"a10", b"a15")
    lab.put(b"e", b"after it", sync=True)
    lab.put(b"f", b"the end", sync=True)


_MAKERS: dict[str, tuple[Callable[[Laboratory], None], dict[str, Any]]] = {
    "crashed": (_crashed, {"compression": None}),
    "closed": (_closed, {"compression": "zstd"}),
    "flushed": (_flushed, {"compression": None}),
    "dropped": (_dropped, {"compression": "zstd", "bloom_bits_per_key": 0}),
}
SPECIMENS = tuple(_MAKERS)


@cache
def specimen(name: str) -> Specimen:
    make, chosen = _MAKERS[name]
    options = SMALL | chosen
    with Laboratory(options=options) as lab:
        make(lab)
        disk = lab.disk.clone()  # as a killed process leaves it
    names = disk.list_directory(DIRECTORY)
    files = {
        f"{DIRECTORY}/{text}": disk.read_file(f"{DIRECTORY}/{text}", SIZE_MAX) for text in names
    }
    return Specimen(name, files, lab.history.states, lab.history.synced, options)


def files_of(content: dict[str, bytes]) -> MemoryFileSystem:
    files = MemoryFileSystem()
    files.make_directory(DIRECTORY)
    for path, data in content.items():
        with files.open(path, "x") as file:
            file.append(data)
    return files


# --- the verdict ---------------------------------------------------------------------------------


def judge(subject: Specimen, damage: Damage, *, repairs: bool) -> Outcome:
    """AssertionError when something is not as it must be."""
    content = dict(subject.files)
    if damage.content is None:
        del content[damage.path]
    else:
        content[damage.path] = damage.content
    outcome, readable = _use(subject, damage, files_of(content))
    if repairs and damage.path in subject.files:
        _repair(subject, damage, content, readable)
    return outcome


def _use(
    subject: Specimen, damage: Damage, files: MemoryFileSystem
) -> tuple[Outcome, State | None]:
    """Open and read it: what became of it, and what could be read."""
    try:
        db = lsmkv.open(DIRECTORY, filesystem=files, **subject.options)
    except lsmkv.Error as error:
        _check_error(damage, error)
        return Outcome.REFUSED, None
    with db:
        readable, unreadable = _read(db, subject, damage)
        report = db.verify()
        if kind_of(damage.path) is FileKind.TABLE and damage.path in subject.files:
            assert not report, "verify did not notice a damaged table"
            assert [problem.path for problem in report.problems] == [damage.path]
            right = {k: v for k, v in subject.last.items() if k not in unreadable}
            assert readable == right, "a silent wrong answer"
            return Outcome.REPORTED, readable
        assert not unreadable
        assert report, str(report)
    return _judge_state(subject, damage, readable), readable


def _read(db: lsmkv.DB, subject: Specimen, damage: Damage) -> tuple[State, set[bytes]]:
    """What can be read, and the keys that cannot."""
    found: State = {}
    unreadable = set()
    for key in subject.keys:
        try:
            value = db.get(key)
        except lsmkv.CorruptionError as error:
            _check_error(damage, error)
            unreadable.add(key)
            continue
        if value is not None:
            found[key] = value
    try:
        scanned = dict(db.scan())
        assert scanned == found, "a scan shows something else than gets"
        assert kernel.digest_range(db).entry_count == len(found)
    except lsmkv.CorruptionError as error:
        _check_error(damage, error)
        assert kind_of(damage.path) is FileKind.TABLE
    return found, unreadable


def _judge_state(subject: Specimen, damage: Damage, found: State) -> Outcome:
    if found == subject.last:
        return Outcome.HARMLESS
    assert kind_of(damage.path) is FileKind.LOG, "a silent wrong answer"
    assert subject.name != "closed", "the length of the log was known"
    assert damage.content is not None
    assert found == subject.log_state(damage.path, damage.content), "not what the log still holds"
    return Outcome.TORN


def _check_error(damage: Damage, error: lsmkv.Error) -> None:
    """It names a file of the database, and where in it if that is the damaged one."""
    text = str(error)
    assert DIRECTORY in text, f"no file is named: {text}"
    if isinstance(error, lsmkv.CorruptionError):
        assert error.path is not None
        if error.path == damage.path and damage.content is not None:
            offset = error.offset
            assert offset is None or 0 <= offset <= len(damage.content), text


# --- repair --------------------------------------------------------------------------------------


def _repair(
    subject: Specimen, damage: Damage, content: dict[str, bytes], readable: State | None
) -> None:
    files = files_of(content)
    report = lsmkv.repair(DIRECTORY, filesystem=files)
    with lsmkv.open(DIRECTORY, filesystem=files, create=False, **subject.options) as db:
        assert db.verify()
        found = dict(db.scan())
        db.put(b"life goes on", b"1", sync=True)
    known = {key: {state.get(key) for state in subject.states} for key in subject.keys}
    for key, value in found.items():
        assert value in known[key], f"repair invented {key!r}"
    for key, value in _must_survive(subject, damage, readable).items():
        assert found.get(key) == value, f"repair lost {key!r}: {report}"
    if damage.content and kind_of(damage.path) in {FileKind.TABLE, FileKind.LOG}:
        lost = filenames.lost_directory(DIRECTORY)
        kept = files.list_directory(lost) if files.exists(lost) else []
        copies = [files.read_file(f"{lost}/{name}", SIZE_MAX) for name in kept]
        is_clean = kind_of(damage.path) is FileKind.LOG and readable is not None
        is_zeros = not damage.content.strip(b"\0")
        is_clean = is_clean and (is_zeros or decode(damage.content).end != "torn")
        is_whole = found == subject.last
        assert is_whole or is_clean or damage.content in copies, f"it is gone: {report}"


def _must_survive(subject: Specimen, damage: Damage, readable: State | None) -> State:
    if readable is not None:
        return readable
    is_known_elsewhere = kind_of(damage.path) in {FileKind.MANIFEST, FileKind.CURRENT}
    return subject.last if is_known_elsewhere else {}
