"""The command as a process of its own: what pipes carry, and what if their reader leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lsmkv

ENTRIES = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "db"
    with lsmkv.open(directory) as db:
        db.put_many((b"%06d" % i, b"v" * 50) for i in range(ENTRIES))
    return directory


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lsmkv.cli.main", *map(str, arguments)]


def test_pipes_carry_exact_bytes_and_a_database_goes_through_one(
    path: Path, tmp_path: Path
) -> None:
    value = bytes(range(256))
    subprocess.run(command("put", path, "bytes", "-"), input=value, check=True)
    result = subprocess.run(command("get", path, "bytes"), capture_output=True, check=True)
    assert result.stdout == value
    assert result.stderr == b""
    with subprocess.Popen(command("dump-db", path), stdout=subprocess.PIPE) as dump:
        subprocess.run(command("load", tmp_path / "copy"), stdin=dump.stdout, check=True)
    assert dump.returncode == 0
    with lsmkv.open(path) as one, lsmkv.open(tmp_path / "copy") as other:
        assert list(one.items()) == list(other.items())


def test_a_reader_that_leaves_ends_the_command_quietly(path: Path) -> None:
    with subprocess.Popen(
        command("scan", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as scan:
        assert scan.stdout is not None
        assert scan.stderr is not None
        assert scan.stdout.readline().startswith(b"000000\t")
        scan.stdout.close()
        messages = scan.stderr.read()
    assert messages == b""
    assert scan.returncode == 141
