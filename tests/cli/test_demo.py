"""The demo on a small tree of sources: what goes in, what is answered, what it never touches."""

from __future__ import annotations

from pathlib import Path

import pytest

import lsmkv
from lsmkv.cli import demo
from lsmkv.cli.library_index import MARKER_KEY, file_entries, source_files, split_key
from lsmkv.cli.main import main


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "alpha.py": "def spam(eggs):\n    return eggs + eggs\n",
        "package/beta.py": "caf\u00e9 = 'x'  # spam\n\n",
        "package/notes.txt": "spam",
        "test/gamma.py": "spam",
        "package/tests/delta.py": "spam",
        "site-packages/epsilon.py": "spam",
    }
    for name, text in files.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "lib"


def test_sources_are_python_files_that_are_no_tests(root: Path) -> None:
    names = [path.relative_to(root).as_posix() for path in source_files(root)]
    assert names == ["alpha.py", "package/beta.py"]


def test_entries_of_a_file() -> None:
    text = b"def spam(eggs):\n    return eggs + eggs2\n"
    entries = dict(file_entries("dir/a.py", text))
    assert entries == {
        b"dir/a.py": text,
        b"def\0dir/a.py\x00000001": b"def spam(eggs):",
        b"spam\0dir/a.py\x00000001": b"def spam(eggs):",
        b"eggs\0dir/a.py\x00000001": b"def spam(eggs):",
        b"return\0dir/a.py\x00000002": b"    return eggs + eggs2",
        b"eggs\0dir/a.py\x00000002": b"    return eggs + eggs2",
        b"eggs2\0dir/a.py\x00000002": b"    return eggs + eggs2",
    }


def test_names_beyond_ascii_and_bytes_that_are_no_text() -> None:
    names = {key.split(b"\0")[0] for key, _ in file_entries("b.py", "caf\u00e9 = 1\n".encode())}
    assert names == {b"b.py", "caf\u00e9".encode()}
    latin = dict(file_entries("c.py", b"x = '\xe9'\n"))
    assert latin[b"x\0c.py\x00000001"] == b"x = '\xe9'"


def test_split_key() -> None:
    assert split_key(b"spam\0dir/a.py\x00000012") == ("spam", "dir/a.py:12")
    assert split_key(b"dir/a.py") == ("", "dir/a.py")


def run_demo(root: Path, path: Path, *arguments: str) -> int:
    return main(["demo", "engine", "--source", str(root), "--path", str(path), *arguments])


def test_demo_answers_and_leaves_a_database(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo"
    assert run_demo(root, path, "--query", "spam", "--query", "eg", "--limit", "1") == 0
    page = capsys.readouterr().out
    assert "indexing 2 files" in page
    assert "spam*: 2 entries" in page
    assert "spam  alpha.py:1  def spam(eggs):" in page
    assert "eg*: 2 entries" in page
    assert "... and 1 more" in page
    assert "L6  ####" in page
    assert main(["scan", str(path), "--prefix", "spam"]) == 0
    assert capsys.readouterr().out == (
        r"spam\x00alpha.py\x00000001" + "\tdef spam(eggs):\n"
        r"spam\x00package/beta.py\x00000001" + "\tcaf\u00e9 = 'x'  # spam\n"
    )


def test_demo_replaces_an_earlier_demo_only(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo"
    assert run_demo(root, path) == 0
    (root / "alpha.py").unlink()
    assert run_demo(root, path) == 0
    with lsmkv.open(path) as db:
        assert MARKER_KEY in db
        assert b"alpha.py" not in db
    precious = tmp_path / "precious"
    with lsmkv.open(precious) as db:
        db.put(b"k", b"v")
    capsys.readouterr()
    assert run_demo(root, precious) == 1
    assert "is no database of this demo" in capsys.readouterr().err
    with lsmkv.open(precious) as db:
        assert db[b"k"] == b"v"
    assert run_demo(root, root) == 1
    assert (root / "package/beta.py").exists()


def test_without_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(tmp_path / "none", tmp_path / "demo") == 1
    assert "no Python sources" in capsys.readouterr().err


def test_the_prompt(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["spam", "", ":levels", ":stats", ":what", ":quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    with lsmkv.open(tmp_path / "db") as db:
        db.put_many(file_entries("a.py", b"spam = 1\n"))
        demo._prompt(db, 20, demo.Output())
        page = capsys.readouterr().out
        assert "spam*: 1 entries" in page
        assert "last_sequence" in page
        assert ":quit     leave" in page
        assert next(lines, None) is None
        monkeypatch.setattr("builtins.input", _end_of_input)
        demo._prompt(db, 20, demo.Output())


def _end_of_input(prompt: str) -> str:
    raise EOFError
