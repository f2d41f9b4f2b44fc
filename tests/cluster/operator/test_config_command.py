"""`lsmkv config` prints what a daemon started the same way would be set to."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import pytest

from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.operator.command_line import register


@pytest.fixture
def run(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("os.environ", {"LSMKV_RACK": "r9"})
    monkeypatch.chdir(tmp_path)

    def run_command(*argv: str) -> str:
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        arguments = parser.parse_args(["config", *argv])
        assert arguments.run(arguments) == 0
        return capsysbinary.readouterr().out.decode()

    return run_command


def test_it_prints_a_file_that_sets_the_same(run, tmp_path: Path) -> None:
    first = run("--data", "/d", "--join", "a:1")
    assert tomllib.loads(first)["rack"] == "r9"
    (tmp_path / "c.toml").write_text(first)
    assert run("--config", "c.toml") == first


def test_it_shows_origins_as_lines_and_as_json(run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("rack = 'r1'\ndc = 'east'\n")
    lines = run("--show-origin", "--config", "c.toml").splitlines()
    found = {line.split()[0]: line.split(maxsplit=1)[1].split(maxsplit=1) for line in lines}
    assert found["rack"] == ["r9", "environment LSMKV_RACK, not file c.toml: rack"]
    assert found["dc"] == ["east", "file c.toml: dc"]
    entries = {entry["name"]: entry for entry in json.loads(run("--json", "--config", "c.toml"))}
    assert (entries["rack"]["source"], entries["rack"]["where"]) == ("environment", "LSMKV_RACK")


def test_what_is_wrong_is_an_error_of_ours(run, tmp_path: Path) -> None:
    """`lsmkv` turns those into a line and a status."""
    (tmp_path / "c.toml").write_text("rak = 'r1'\n")
    with pytest.raises(ConfigError, match=r"^c\.toml: rak: unknown setting, did you mean rack\?"):
        run("--config", "c.toml")
    with pytest.raises(FileNotFoundError):
        run("--config", "missing.toml")
