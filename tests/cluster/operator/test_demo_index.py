"""The index of a small tree of sources, as a cluster holds it."""

from __future__ import annotations

from pathlib import Path

from lsmkv_cluster.operator.demo_index import index_of


def test_classes_come_first_and_then_what_is_used_most(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text('class Spam:\n    eggs = eggs\n    eggs = ham\n"""\nclass of its own\n"""\n')
    index = index_of(tmp_path, [path])
    assert list(index)[:3] == [b"Spam", b"class", b"eggs"]
    assert index[b"eggs"] == b"2 places\nm.py:2  eggs = eggs\nm.py:3  eggs = ham"
    assert index[b"Spam"] == b"1 places\nm.py:1  class Spam:"


def test_only_the_first_places_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("spam\n" * 1000)
    lines = index_of(tmp_path, [path])[b"spam"].decode().splitlines()
    assert lines[0] == "1,000 places"
    assert len(lines) == 6
