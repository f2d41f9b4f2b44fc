"""Databases that an earlier build has written are read by this one: whole directories, byte for
byte as they were, in testdata/golden, with what is in them as JSON beside each.

They are never written anew. A format that changes gets a new directory, and these must still be
read, or refused as what they are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import lsmkv

GOLDEN = Path(__file__).resolve().parent / "testdata" / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def contents(name: str) -> dict[bytes, bytes]:
    text = (GOLDEN / f"{name}.json").read_text(encoding="ascii")
    return {bytes.fromhex(key): bytes.fromhex(value) for key, value in json.loads(text).items()}


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_every_state_is_there() -> None:
    assert {"closed", "crashed", "dropped", "flushed"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_without_being_touched(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "db"
    shutil.copytree(GOLDEN / name, directory)
    with lsmkv.open(directory, read_only=True) as db:
        assert dict(db.scan()) == contents(name)
        assert db.verify()
    assert files(directory) == files(GOLDEN / name)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_opened_written_and_opened_again(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "db"
    shutil.copytree(GOLDEN / name, directory)
    with lsmkv.open(directory) as db:
        assert dict(db.scan(reverse=True)) == contents(name)
        db[b"new"] = b"1"
        db.compact()
    with lsmkv.open(directory, create=False) as db:
        assert dict(db.scan()) == contents(name) | {b"new": b"1"}
        assert db.verify()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_repaired(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "db"
    shutil.copytree(GOLDEN / name, directory)
    assert lsmkv.repair(directory).manifest_intact
    with lsmkv.open(directory, create=False) as db:
        assert dict(db.scan()) == contents(name)
