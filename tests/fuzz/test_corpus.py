"""Every input of the corpus is played to its target: the seeds, what the fuzzers found worth
keeping, and for ever what once failed. The C targets run under AddressSanitizer and UBSan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import c_targets, database_target, manifest_target
from tests.fuzz.c_targets import CORPUS, TARGETS
from tests.support import c_program

pytestmark = pytest.mark.usefixtures("quiet_log")


def inputs(target: str) -> list[Path]:
    found = sorted(path for path in (CORPUS / target).iterdir() if path.is_file())
    assert found, "a target needs something to begin with"
    return found


@pytest.mark.slow
def test_inputs_of_the_kernels(tmp_path: Path) -> None:
    if not c_program._supports(c_program.SANITIZED, tmp_path):
        pytest.skip("the C compiler has no sanitizers")
    program = tmp_path / "replay"
    c_targets.build_replay(program)
    for target in TARGETS:
        paths = inputs(target)
        assert c_program.run(program, target, *paths) == f"{len(paths)}\n"


def test_inputs_of_the_manifest() -> None:
    for path in inputs("manifest"):
        manifest_target.run_input(path.read_bytes())


def test_inputs_of_the_database() -> None:
    for path in inputs("database"):
        database_target.run_input(path.read_bytes())


def test_the_database_target_notices_a_lost_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_target.Subject, "sync", lambda self: self.db.put(b"k1", b"?"))
    with pytest.raises(AssertionError):
        for path in inputs("database"):
            database_target.run_input(path.read_bytes())


def test_the_manifest_target_notices_what_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_nothing(data: bytes, path: str) -> None:
        raise ValueError("nothing")

    monkeypatch.setattr("lsmkv.manifest._read_lines", read_nothing)
    with pytest.raises(ValueError, match="nothing"):
        manifest_target.run_input(b"\0")
