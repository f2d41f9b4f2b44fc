"""One number for the sources that are named."""

from pathlib import Path

from tests.support.sources import sources_digest


def test_the_digest_follows_sources_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    source = tmp_path / "src" / "deep" / "a.py"
    source.write_text("x = 1\n")
    before = sources_digest(["src"], tmp_path)
    (tmp_path / "src" / "a.pyc").write_text("noise")
    assert sources_digest(["src"], tmp_path) == before
    source.write_text("x = 2\n")
    after = sources_digest(["src"], tmp_path)
    assert after != before
    source.rename(source.with_name("b.py"))
    assert sources_digest(["src"], tmp_path) != after


def test_files_count_once_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "setup.py").write_text("x = 2\n")
    both = sources_digest(["setup.py", "src"], tmp_path)
    assert both != sources_digest(["src"], tmp_path)
    assert both == sources_digest(["src", "setup.py", "src"], tmp_path)
    assert both == sources_digest(["setup.py", "src", "README.md"], tmp_path)
