"""Files are written whole or not at all; a secret that others may read is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsmkv_cluster.config import files
from lsmkv_cluster.config.files import FILE_SIZE_MAX, read_toml, write_file
from lsmkv_cluster.errors import ConfigError


def test_what_is_written_is_read_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    old = os.umask(0)
    try:
        write_file(path, b"a = 1\n")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_toml(path, is_secret=True) == {"a": 1}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o660, 0o666, 0o602])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.toml"
    write_file(path, b"a = 1\n", mode=mode)
    assert read_toml(path) == {"a": 1}
    with pytest.raises(ConfigError, match=f"mode {mode:o}.*chmod 600") as raised:
        read_toml(path, is_secret=True)
    assert raised.value.where == str(path)


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    write_file(path, b"a = 1\n")
    with pytest.raises(FileExistsError):
        write_file(path, b"a = 2\n")
    assert read_toml(path) == {"a": 1}
    write_file(path, b"a = 2\n", replaces=True)
    assert read_toml(path) == {"a": 2}
    assert os.listdir(tmp_path) == ["a.toml"]


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.toml"
    write_file(path, b"a = 1\n")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"a = 2\n", replaces=True)
    assert read_toml(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.toml"]


@pytest.mark.parametrize(
    "data", [b"a = ", b"\xff", b"a = 1\na = 2", b"#" * (FILE_SIZE_MAX + 1), b"a = " + b"[" * 99999]
)
def test_what_is_no_toml_is_named_with_its_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.toml"
    write_file(path, data)
    with pytest.raises(ConfigError) as raised:
        read_toml(path)
    assert raised.value.where == str(path)
