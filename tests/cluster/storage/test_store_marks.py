"""Marks are read as they were written; damaged ones are refused, unknown ones left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv import CorruptionError, Error
from lsmkv_cluster.storage.engine_key import Space, named_key
from lsmkv_cluster.storage.storage_orders import Lack
from lsmkv_cluster.storage.store_marks import (
    CLOSED_KEY,
    IDENTITY_KEY,
    Marks,
    encode_closed,
    encode_identity,
    encode_incomplete,
    incomplete_key,
    note_key,
    read_marks,
)
from lsmkv_cluster.versions.actor import Identity

u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)


@given(st.builds(Identity, u32, u32, u64, u32, u32))
def test_an_identity_comes_back(identity: Identity) -> None:
    assert read_marks([(IDENTITY_KEY, encode_identity(identity))]) == Marks(identity)


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=9)), u64)
def test_notes_and_the_end_come_back(notes: dict[bytes, bytes], sequence: int) -> None:
    pairs = [(note_key(name), value) for name, value in notes.items()]
    pairs.append((CLOSED_KEY, encode_closed(sequence)))
    assert read_marks(pairs) == Marks(notes=notes, closed_at=sequence)


def test_incomplete_slots_come_back_whatever_the_partitions_are_now() -> None:
    marked = [
        (range(16), Lack.LOST),
        (range(48, 64), Lack.UNSYNCED),
        (range(16368, 16384), Lack.LOST),
    ]
    pairs = [(incomplete_key(slots), encode_incomplete(slots, lack)) for slots, lack in marked]
    assert read_marks(pairs).incomplete == marked


@pytest.mark.parametrize("value", ["000001", "020003", "020000", "020001"])
def test_a_mark_of_no_slots_or_no_known_lack_is_damage(value: str) -> None:
    with pytest.raises(CorruptionError):
        read_marks([(incomplete_key(range(16383, 16384)), bytes.fromhex(value))])


def test_a_note_is_no_mark() -> None:
    names = [b"identity", b"closed", b"incomplete", b"", b"note/"]
    pairs = [(note_key(name), b"?") for name in names]
    assert read_marks(pairs) == Marks(notes=dict.fromkeys(names, b"?"))


def test_names_of_later_versions_are_left_alone() -> None:
    assert read_marks([(named_key(Space.META, 0, b"later"), b"?")]) == Marks()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (IDENTITY_KEY, encode_identity(Identity(1, 2))[:-1]),
        (IDENTITY_KEY, encode_identity(Identity(1, 2)) + b"\0"),
        (CLOSED_KEY, bytes(7)),
        (incomplete_key(range(16)), b""),
    ],
)
def test_a_size_that_does_not_fit_is_damage(key: bytes, value: bytes) -> None:
    with pytest.raises(CorruptionError, match="bytes instead of"):
        read_marks([(key, value)])


@pytest.mark.parametrize("data", [b"", b"\2" + encode_identity(Identity(1, 2))[1:]])
def test_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(Error, match="version"):
        read_marks([(IDENTITY_KEY, data)])
