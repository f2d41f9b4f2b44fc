"""Proves what the manifest promises about damage, crashes and newer formats.

Reading gives the exact state after some edit, or an error: for every length of the file and every
flipped bit. A crash at any operation leaves the state before or after that operation, and never
loses an edit that `append` returned from.
"""

import errno
import json
from dataclasses import replace
from typing import Any

import pytest
from crc32c import crc32c

from lsmkv import manifest, manifest_format
from lsmkv._native.vfs import FileSystem, MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import CorruptionError, Error, StorageError
from lsmkv.manifest import ManifestState, ManifestWriter, read_manifest
from lsmkv.version import LogRef, TableKey, VersionEdit, VersionError
from tests.support.version_notation import parse_table

DIRECTORY = "/db"
DATABASE_ID = bytes(range(16))
EMPTY = ManifestState(DATABASE_ID)

# The format is persistent: these bytes must be readable for ever.
GOLDEN = b"""\
b1e790af {"edit":1,"added":[],"removed":[],"next_file_number":2,"last_sequence":0,"log_number":0,\
"live_logs":[],"format":"lsmkv-manifest","format_version":1,\
"database_id":"000102030405060708090a0b0c0d0e0f"}
4ebe8a14 {"edit":2,"added":[{"number":4,"id":"00000000000000000000000000000004","file_size":100,\
"tail_size":0,"smallest":"61","largest":"6d","first_sequence":40,"last_sequence":49,"epoch":4,\
"level":0,"entry_count":10,"tombstone_count":0,"lower":null,"upper":"63",\
"has_range_deletes":false,"oldest_expiry_ms":null,"format_version":1}],"removed":[],\
"next_file_number":6,"last_sequence":49,"log_number":3,"live_logs":[[3,4096],[5,null]]}
12abd833 {"edit":3,"added":[],"removed":[[4,null]],"next_file_number":6,"last_sequence":50,\
"log_number":5,"live_logs":[[5,null]]}
"""


def edits() -> list[VersionEdit]:
    """Those of GOLDEN after its snapshot."""
    table = parse_table("0 4:a-m upper=c")
    logs = (LogRef(3, 4096), LogRef(5))
    return [
        VersionEdit(2, (table,), (), 6, 49, 3, logs),
        VersionEdit(3, (), (TableKey(4),), 6, 50, 5, logs[1:]),
    ]


def new_filesystem() -> MemoryFileSystem:
    filesystem = MemoryFileSystem()
    filesystem.make_directory(DIRECTORY)
    filesystem.sync_directory("/")
    return filesystem


def put(filesystem: FileSystem, path: str, data: bytes) -> None:
    with filesystem.open(path, "w") as file:
        file.append(data)


def read_bytes(data: bytes) -> ManifestState:
    """The state that a manifest of these bytes has."""
    filesystem = new_filesystem()
    put(filesystem, DIRECTORY + "/CURRENT", b"MANIFEST-000001\n")
    put(filesystem, DIRECTORY + "/MANIFEST-000001", data)
    return read_manifest(filesystem, DIRECTORY)


def outcome_of(data: bytes) -> ManifestState | CorruptionError:
    try:
        return read_bytes(data)
    except CorruptionError as error:
        return error


def line(fields: dict[str, Any] | str) -> bytes:
    """A line with a good checksum, whatever is in it."""
    text = fields if isinstance(fields, str) else json.dumps(fields, separators=(",", ":"))
    return b"%08x %b\n" % (crc32c(text.encode()), text.encode())


def fields_of(number: int) -> dict[str, Any]:
    """The JSON of one line of GOLDEN."""
    return dict(json.loads(GOLDEN.splitlines()[number][9:]))


def essence(state: ManifestState) -> ManifestState:
    """Without where it was read from."""
    return replace(state, manifest_number=0, manifest_size=0, torn_size=0)


def states() -> list[ManifestState]:
    """The states after each line of GOLDEN."""
    state = replace(EMPTY, last_edit=1, next_file_number=2)
    result = [state]
    for edit in edits():
        result.append(result[-1].apply(edit))
    return result


def ends() -> list[int]:
    """Where each line of GOLDEN ends."""
    return [index + 1 for index, byte in enumerate(GOLDEN) if byte == ord("\n")]


# --- writing and reading -------------------------------------------------------------------------


def test_the_written_bytes_are_the_golden_ones() -> None:
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    for edit in edits():
        writer.append(edit)
    writer.close()
    assert filesystem.read_file(DIRECTORY + "/MANIFEST-000001", 10_000) == GOLDEN
    assert filesystem.read_file(DIRECTORY + "/CURRENT", 100) == b"MANIFEST-000001\n"
    assert not filesystem.exists(DIRECTORY + "/CURRENT.tmp")


def test_golden_bytes_read_as_their_states() -> None:
    for end, state in zip(ends(), states(), strict=True):
        read = read_bytes(GOLDEN[:end])
        assert essence(read) == state
        assert (read.manifest_number, read.manifest_size, read.torn_size) == (1, end, 0)


def test_each_open_begins_a_new_manifest_with_the_whole_state(tmp_path: Any) -> None:
    filesystem, directory = PosixFileSystem(), str(tmp_path)
    state = EMPTY
    tables = [parse_table(f"6 {100 + n}:k{n}0-k{n}9") for n in range(3)]
    for number, table in enumerate(tables, 1):
        with_number = replace(state, next_file_number=max(state.next_file_number, number))
        writer = ManifestWriter.create(filesystem, directory, number, with_number)
        assert writer.state.last_edit == state.last_edit + 1
        edit = VersionEdit(writer.state.last_edit + 1, (table,), (), 200, 2000, 0, ())
        state = writer.append(edit)
        writer.close()
        writer.close()
        assert read_manifest(filesystem, directory) == state
    assert tuple(state.version) == tuple(tables)


def test_a_manifest_is_never_overwritten() -> None:
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    with pytest.raises(StorageError) as caught:
        ManifestWriter.create(filesystem, DIRECTORY, 1, writer.state)
    assert caught.value.errno == errno.EEXIST
    writer.close()
    assert read_manifest(filesystem, DIRECTORY) == writer.state


def test_an_edit_that_does_not_follow_is_our_bug_and_writes_nothing() -> None:
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    good = edits()[0]
    wrong = [
        replace(good, number=3),
        replace(good, next_file_number=1),
        replace(good, next_file_number=4),
        replace(good, last_sequence=48),
        replace(good, removed=(TableKey(9),)),
        replace(good, live_logs=(LogRef(5), LogRef(3))),
        replace(good, live_logs=(LogRef(2),)),
        replace(good, live_logs=(LogRef(6),)),
    ]
    for edit in wrong:
        with pytest.raises(VersionError):
            writer.append(edit)
    assert not writer.broken
    writer.append(good)
    with pytest.raises(VersionError):
        writer.append(replace(edits()[1], log_number=2))
    writer.close()
    assert read_manifest(filesystem, DIRECTORY) == writer.state


def test_a_large_manifest_asks_to_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ROTATE_SIZE_MIN", 500)
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    number = writer.state.last_edit
    while not writer.is_large:
        number += 1
        writer.append(VersionEdit(number, (), (), 2, 0, 0, ()))
    assert 4 * ends()[0] < writer.size < 6 * ends()[0]
    writer.close()


# --- damage --------------------------------------------------------------------------------------


LAST_LINE = GOLDEN[ends()[1] :]
HOLE = -ends()[1] % 64  # in the last line, at a multiple of 64 bytes in the file


def test_every_truncation_is_a_prefix_or_corruption() -> None:
    line_ends = ends()
    for size in range(len(GOLDEN)):
        whole = [number for number, end in enumerate(line_ends) if end <= size]
        if not whole:
            with pytest.raises(CorruptionError):
                read_bytes(GOLDEN[:size])
            continue
        read = read_bytes(GOLDEN[:size])
        assert essence(read) == states()[whole[-1]]
        assert read.manifest_size + read.torn_size == size


@pytest.mark.parametrize(
    "tail",
    [
        b"\n",
        b"12345678 {}\n",
        LAST_LINE[:-1] + b"\x02",
        LAST_LINE[:HOLE] + b"\0" + LAST_LINE[HOLE + 1 :],
        LAST_LINE[: HOLE + 1] + b"\0" * 64 + LAST_LINE[HOLE + 65 :],
    ],
)
def test_a_line_that_was_written_whole_is_not_torn(tail: bytes) -> None:
    with pytest.raises(CorruptionError):
        read_bytes(GOLDEN[: ends()[1]] + tail)


def test_every_flipped_bit_is_corruption() -> None:
    for position in range(len(GOLDEN)):
        for bit in range(8):
            damaged = bytearray(GOLDEN)
            damaged[position] ^= 1 << bit
            outcome = outcome_of(bytes(damaged))
            assert isinstance(outcome, CorruptionError), f"byte {position}, bit {bit}"
            assert outcome.path == DIRECTORY + "/MANIFEST-000001"
            assert outcome.offset is not None
            assert outcome.offset <= position


def test_a_destroyed_line_feed_does_not_drop_two_edits() -> None:
    damaged = bytearray(GOLDEN)
    damaged[ends()[1] - 1] ^= 0xFF
    with pytest.raises(CorruptionError):
        read_bytes(bytes(damaged))


@pytest.mark.parametrize(
    "tail",
    [
        b"\0" * 300,
        b"\0",
        b"x",
        LAST_LINE[:-1],
        LAST_LINE[:40],
        LAST_LINE[:40] + b"\0" * (len(LAST_LINE) - 40),
        b"\0" * HOLE + LAST_LINE[HOLE:],
        LAST_LINE[:HOLE] + b"\0" * 64 + LAST_LINE[HOLE + 64 :],
    ],
)
def test_a_torn_tail_is_dropped(tail: bytes) -> None:
    read = read_bytes(GOLDEN[: ends()[1]] + tail)
    assert essence(read) == states()[1]
    assert read.torn_size == len(tail)


def test_damage_followed_by_anything_is_corruption() -> None:
    first, second, third = GOLDEN.splitlines(keepends=True)
    for data in (
        first + b"x\n" + third,
        first + second[1:] + third,
        first + b"\0" * 40 + b"\n" + b"\0",
        first + second + second + third,  # repeated
        first + third,  # lost
        second + third,  # no snapshot
        b"",
        b"\0" * 4096,
    ):
        with pytest.raises(CorruptionError):
            read_bytes(data)


def test_a_cut_at_a_line_shows_in_last_edit() -> None:
    """What recovery compares with the edit number in the headers of the logs."""
    assert [read_bytes(GOLDEN[:end]).last_edit for end in ends()] == [1, 2, 3]


# --- lines that we cannot have written, or not yet -----------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_unknown_fields_are_refused_unless_optional(number: int) -> None:
    lines = GOLDEN.splitlines(keepends=True)[: number + 1]
    lines[number] = line(fields_of(number) | {"opt_hint": {"anything": [1.5]}})
    assert essence(read_bytes(b"".join(lines))) == states()[number]
    lines[number] = line(fields_of(number) | {"hint": 1})
    with pytest.raises(Error, match="newer lsmkv: unknown field 'hint'") as caught:
        read_bytes(b"".join(lines))
    assert not isinstance(caught.value, CorruptionError)


@pytest.mark.parametrize(
    ("name", "value"), [("color", "red"), ("has_range_deletes", True), ("format_version", 2)]
)
def test_a_table_of_a_newer_version_is_refused(name: str, value: object) -> None:
    fields = fields_of(1)
    fields["added"][0][name] = value
    with pytest.raises(Error, match="newer lsmkv") as caught:
        read_bytes(GOLDEN[: ends()[0]] + line(fields))
    assert not isinstance(caught.value, CorruptionError)
    optional = fields_of(1)
    optional["added"][0]["opt_color"] = value
    assert essence(read_bytes(GOLDEN[: ends()[0]] + line(optional))) == states()[1]


def test_another_format_version_is_refused() -> None:
    with pytest.raises(Error, match="does not know") as caught:
        read_bytes(line(fields_of(0) | {"format_version": 2}))
    assert not isinstance(caught.value, CorruptionError)


WRONG_VALUES = (None, True, -1, 1.0, "1", "6g", "616", [], [1], [[1]], {}, 1 << 63)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_field_is_required_and_checked(number: int) -> None:
    """Missing, or of a wrong type or range: an error of ours, whatever the field."""
    before = b"".join(GOLDEN.splitlines(keepends=True)[:number])

    def refused(fields: dict[str, Any]) -> None:
        with pytest.raises(Error):
            read_bytes(before + line(fields))

    fields = fields_of(number)
    for name in fields:
        refused({key: value for key, value in fields.items() if key != name})
        for value in WRONG_VALUES:
            if value == [] or (name == "format" and value == "lsmkv-manifest"):
                continue
            refused(fields | {name: value})
    for name, old in (fields["added"] or [{}])[0].items():
        for value in (*WRONG_VALUES, "missing"):
            table = dict(fields["added"][0]) | {name: value}
            if value == "missing":
                del table[name]
            if value is None and name in ("lower", "upper", "oldest_expiry_ms"):
                continue
            if (name, value) in (("lower", "61"), ("has_range_deletes", old)):
                continue
            refused(fields | {"added": [table]})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, '{"edit":' + "9" * 5000 + "}", "{}", "\xff"],
)
def test_a_good_checksum_over_nonsense_is_corruption(text: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        read_bytes(GOLDEN[: ends()[0]] + line(text))
    assert caught.value.offset == ends()[0]


def test_edits_that_break_the_version_are_corruption() -> None:
    for changes in ({"removed": [[9, None]]}, {"edit": 4}, {"last_sequence": 3}, {"log_number": 1}):
        with pytest.raises(CorruptionError, match="impossible manifest line"):
            read_bytes(GOLDEN[: ends()[1]] + line(fields_of(2) | changes))


def test_a_snapshot_among_the_edits_is_corruption() -> None:
    snapshot = fields_of(0) | {"edit": 2}
    with pytest.raises(CorruptionError, match="a snapshot among the edits"):
        read_bytes(GOLDEN[: ends()[0]] + line(snapshot))


def test_an_identity_of_another_size_is_corruption() -> None:
    with pytest.raises(CorruptionError, match="database_id has the wrong size"):
        read_bytes(line(fields_of(0) | {"database_id": "00" * 15}))


@pytest.mark.parametrize("wrong", [{"level": 7}, {"smallest": "7a"}, {"upper": "ff"}])
def test_a_table_that_contradicts_itself_is_corruption(wrong: dict[str, Any]) -> None:
    fields = fields_of(1)
    fields["added"][0] |= wrong
    with pytest.raises(CorruptionError, match="impossible manifest line: table 4"):
        read_bytes(GOLDEN[: ends()[0]] + line(fields))


@pytest.mark.parametrize(
    "text",
    [b"", b"MANIFEST-000001", b"MANIFEST-1\n", b"000001.sst\n", b"\0" * 16, b"\xff\n", b"x" * 65],
)
def test_a_damaged_current_is_corruption(text: bytes) -> None:
    filesystem = new_filesystem()
    put(filesystem, DIRECTORY + "/CURRENT", text)
    put(filesystem, DIRECTORY + "/MANIFEST-000001", GOLDEN)
    with pytest.raises(CorruptionError) as caught:
        read_manifest(filesystem, DIRECTORY)
    assert caught.value.path == DIRECTORY + "/CURRENT"


def test_current_may_not_name_a_missing_manifest() -> None:
    filesystem = new_filesystem()
    put(filesystem, DIRECTORY + "/CURRENT", b"MANIFEST-000009\n")
    with pytest.raises(CorruptionError, match="MANIFEST-000009"):
        read_manifest(filesystem, DIRECTORY)


def test_sizes_are_checked_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MANIFEST_SIZE_MAX", len(GOLDEN))
    read_bytes(GOLDEN)
    with pytest.raises(CorruptionError, match="at most"):
        read_bytes(GOLDEN + b"x")


def test_a_full_manifest_refuses_the_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    monkeypatch.setattr(manifest, "MANIFEST_SIZE_MAX", ends()[1] - 1)
    with pytest.raises(Error, match="would grow"):
        writer.append(edits()[0])
    assert not writer.broken
    writer.close()
    assert read_manifest(filesystem, DIRECTORY) == writer.state


def test_a_line_beyond_the_limit_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = new_filesystem()
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    monkeypatch.setattr(manifest_format, "LINE_SIZE_MAX", 100)
    with pytest.raises(Error, match="the limit is 100"):
        writer.append(edits()[0])
    assert not writer.broken
    writer.close()
    monkeypatch.undo()
    assert read_manifest(filesystem, DIRECTORY) == writer.state


# --- failures and crashes ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_after_a_failed_append_only_a_new_manifest_helps(operation: str) -> None:
    filesystem = FaultFileSystem(new_filesystem())
    writer = ManifestWriter.create(filesystem, DIRECTORY, 1, EMPTY)
    filesystem.fail(1, errno.EIO, operations=[operation])
    with pytest.raises(StorageError):
        writer.append(edits()[0])
    assert writer.broken
    assert writer.state.last_edit == 1
    with pytest.raises(Error, match="broken"):
        writer.append(edits()[0])
    writer.close()
    second = ManifestWriter.create(filesystem, DIRECTORY, 2, writer.state)
    second.append(replace(edits()[0], number=second.state.last_edit + 1))
    second.close()
    assert read_manifest(filesystem, DIRECTORY) == second.state


def images(filesystem: MemoryFileSystem) -> list[MemoryFileSystem]:
    """What a loss of power could leave: nothing, everything, mixtures of the unsynced."""
    mixtures = [filesystem.crash(seed=seed, survival=0.5, piece_size=64) for seed in range(8)]
    return [filesystem.crash(), filesystem.crash(survival=1.0), filesystem.clone(), *mixtures]


@pytest.mark.parametrize("moment", ["before", "inside", "after"])
def test_a_crash_at_any_operation_loses_no_edit_that_was_returned(moment: Any) -> None:
    """Two manifests and four edits, cut off at every operation in turn; then power is lost."""
    point = 0
    while True:
        point += 1
        base = new_filesystem()
        filesystem = FaultFileSystem(base)
        filesystem.halt(point, moment)
        durable, attempted = run_until_halted(filesystem)
        for image in images(base):
            if not image.exists(DIRECTORY + "/CURRENT"):
                assert durable is None
                continue
            read = essence(read_manifest(image, DIRECTORY))
            assert read in [essence(state) for state in (durable, attempted) if state]
        if not filesystem.halted:
            assert point > 20
            return


def run_until_halted(
    filesystem: FaultFileSystem,
) -> tuple[ManifestState | None, ManifestState | None]:
    """(last state that was returned, the one that was being written)."""
    durable: ManifestState | None = None
    attempted: ManifestState | None = None
    state = EMPTY
    try:
        for number in (1, 2):
            snapshot = state.snapshot()
            attempted = replace(
                state,
                last_edit=snapshot.number,
                next_file_number=max(state.next_file_number, number + 1),
            )
            writer = ManifestWriter.create(filesystem, DIRECTORY, number, state)
            durable = state = writer.state
            try:
                for edit in edits() if number == 1 else empty_edits(state):
                    attempted = state.apply(edit)
                    durable = state = writer.append(edit)
            finally:
                writer.close()
    except StorageError:
        assert filesystem.halted
    return durable, attempted


def empty_edits(state: ManifestState) -> list[VersionEdit]:
    first = replace(state.snapshot(), added=())
    return [first, replace(first, number=first.number + 1)]
