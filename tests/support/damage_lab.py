"""Small whole databases, every way to damage one of their files, and what must come of it.

    SPECIMENS   databases in different states, with the history of their commits
    Damage      a file and what it holds instead, or None for a file that is gone
    judge       opens, reads, verifies and repairs the damaged database

What must hold: whatever is not an error is right. Right is the state after the last commit, or,
where the unsynced end of the newest log was hit, the state after an earlier one; which one exactly
is decided by reference_log.py. It is never older than the last sync, unless the newest log ends
early: cut short, zeroed or overwritten up to its end, so that nothing intact stands behind the
damage. A crash before that sync leaves the same.

An error names the damaged file and the place in it that is bad, as damage_errors.py has it. A
damaged table is found by verify, with its path. Repair brings back exactly what repair_oracle.py
finds intact in the files, and keeps the damaged file in lost/.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import lsmkv
from lsmkv import filenames, kernel
from lsmkv._native.segment import BATCH
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from lsmkv.repair import RepairReport
from tests.support.crash_lab import DIRECTORY, Laboratory, State, describe
from tests.support.damage_errors import check_error
from tests.support.reference_log import Decoded, decode, intact_records
from tests.support.repair_oracle import Oracle

__all__ = ["SPECIMENS", "Damage", "Outcome", "Specimen", "judge", "specimen"]

SIZE_MAX = 1 << 24
MANIFEST_KINDS = (FileKind.MANIFEST, FileKind.CURRENT)
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
    """`content` None: the file is gone. `other`: the file that has changed places with it."""

    path: str
    content: bytes | None
    other: str | None = None


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

    @property
    def newest_log(self) -> str:
        return max(path for path in self.files if kind_of(path) is FileKind.LOG)

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle(DIRECTORY, self.files, files_of(self.files))

    def log_position(self, content: bytes) -> int:
        """The commit whose state shows when the newest log holds this and it is not refused."""
        whole, decoded = decode(self.files[self.newest_log]), decode(content)
        assert decoded.error is None, "it must be refused"
        return len(self.states) - 1 - (_commits(whole) - _commits(decoded))


def _commits(decoded: Decoded) -> int:
    return sum(record.type == BATCH for record in decoded.records)


def log_number(path: str) -> int:
    name = filenames.parse(path.rsplit("/", 1)[1])
    assert name is not None
    return name.number


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


def _segments(lab: Laboratory) -> None:
    """Three logs are live: two memtables wait to be flushed. The newest one is synced."""
    _tables(lab)
    lab.hold_flushes()
    _log(lab)
    lab.db._freeze(only_if_full=False)
    lab.put(b"d02", b"second log")
    lab.delete(b"d03")
    lab.db._freeze(only_if_full=False)
    lab.put(b"d02", b"third log", sync=True)
    lab.put(b"g", b"unsynced")


_MAKERS: dict[str, tuple[Callable[[Laboratory], None], dict[str, Any]]] = {
    "crashed": (_crashed, {"compression": None}),
    "closed": (_closed, {"compression": "zstd"}),
    "flushed": (_flushed, {"compression": None}),
    "dropped": (_dropped, {"compression": "zstd", "bloom_bits_per_key": 0}),
    "mapped": (_crashed, {"compression": None, "log_mode": "mapped"}),
    "segments": (_segments, {"compression": "zstd"}),
}
ZERO_TAIL_SIZE = 128  # bytes allocated ahead that a mapped log of a killed process ends with
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
    made = Specimen(name, files, lab.history.states, lab.history.synced, options)
    if options.get("log_mode") == "mapped":
        files[made.newest_log] += bytes(ZERO_TAIL_SIZE)
    return made


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
    if damage.other is not None:
        content[damage.other] = subject.files[damage.path]
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
        _check_error(subject, damage, error)
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
            _check_error(subject, damage, error)
            unreadable.add(key)
            continue
        if value is not None:
            found[key] = value
    try:
        scanned = dict(db.scan())
        assert scanned == found, "a scan shows something else than gets"
        assert kernel.digest_range(db).entry_count == len(found)
    except lsmkv.CorruptionError as error:
        _check_error(subject, damage, error)
        assert kind_of(damage.path) is FileKind.TABLE
    return found, unreadable


def _check_error(subject: Specimen, damage: Damage, error: lsmkv.Error) -> None:
    path, content = damage.path, damage.content
    if damage.other is not None and getattr(error, "path", None) == damage.other:
        path, content = damage.other, subject.files[path]
    check_error(subject.files, path, content, error)


def _judge_state(subject: Specimen, damage: Damage, found: State) -> Outcome:
    if found == subject.last:
        return Outcome.HARMLESS
    assert damage.path == subject.newest_log, "a silent wrong answer"
    assert damage.content is not None
    position = subject.log_position(damage.content)
    assert found == subject.states[position], "not what the log still holds"
    length = subject.oracle.durable_length(log_number(damage.path), subject.files)
    assert not length, "the length of the log was known"
    assert position >= subject.synced or ends_early(damage.content), "a synced commit is gone"
    return Outcome.TORN


def ends_early(content: bytes) -> bool:
    """Whether no intact record stands behind the first bad one."""
    decoded = decode(content)
    return decoded.segment is None or not intact_records(
        content, decoded.segment.nonce, decoded.offset
    )


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
    is_manifest = readable is None and kind_of(damage.path) in MANIFEST_KINDS
    if not is_manifest and not subject.oracle.proves_lost_edits(content):
        assert report.manifest_intact, str(report)
    elif report.manifest_intact:  # it lacks edits, but no log proves it
        assert is_manifest, str(report)
        assert report.used_everything, str(report)
    expected = subject.oracle.expected(content, has_manifest=report.manifest_intact)
    assert found == expected, f"repair: {describe(found, expected)}: {report}"
    if damage.content and _belongs_aside(subject, damage, content, report):
        lost = filenames.lost_directory(DIRECTORY)
        kept = files.list_directory(lost) if files.exists(lost) else []
        copies = [files.read_file(f"{lost}/{name}", SIZE_MAX) for name in kept]
        assert damage.content in copies, f"it is gone: {report}"


def _belongs_aside(
    subject: Specimen, damage: Damage, content: dict[str, bytes], report: RepairReport
) -> bool:
    """Whether the file is not in the result unharmed. (CURRENT is written anew.)"""
    assert damage.content is not None
    kind = kind_of(damage.path)
    if kind is FileKind.TABLE:
        return damage.other is None
    if kind is FileKind.MANIFEST:
        return not report.manifest_intact
    if kind is not FileKind.LOG or not any(damage.content):
        return False
    decoded = decode(damage.content)
    number = log_number(damage.path)
    return (
        decoded.error is not None
        or decoded.end == "torn"
        or decoded.segment is None
        or decoded.segment.number != number
        or decoded.offset < subject.oracle.durable_length(number, content)
    )
