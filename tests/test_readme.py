"""The README tells the truth: its code runs, its tables state what the code states."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv.cli.main import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_two_commands_come_first_and_exist():
    commands = re.findall(r"^make (\w+)", code_blocks(README, "sh")[0], re.MULTILINE)
    assert README.index("```sh") < 20
    assert commands == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{command}:", makefile, re.MULTILINE) for command in commands)


def test_every_python_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    blocks = code_blocks(README, "python")
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert printed.startswith("None b'1912'\nb'alan' b'1912'\n")
    assert "did you mean 'block_cache_size'?" in printed


def test_the_table_of_calls_names_what_exists():
    table = README[README.index("| call | what it does |") :].split("\n\n")[0]
    calls = re.findall(r"`(\w+)\(", table)
    assert {"put", "get_many", "snapshot", "checkpoint"} <= set(calls)
    builtin = {"iter", "len"}
    missing = [name for name in calls if name not in builtin and not hasattr(lsmkv.DB, name)]
    assert missing == []


def test_the_table_of_options_is_complete_and_states_the_defaults():
    table = README[README.index("| option | default |") :].split("\n\n")[0]
    units = {"KiB": 1024, "MiB": 1024**2}
    stated: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        names, defaults = (cell.strip() for cell in line.split("|")[1:3])
        found = zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
        stated.update(found)
    assert set(stated) == {field.name for field in dataclasses.fields(lsmkv.Options)}
    for name, text in stated.items():
        number, _, unit = text.strip("`").partition(" ")
        value: Any = getattr(lsmkv.Options(), name)
        assert (int(number) * units[unit] if unit else number.strip('"')) in (
            value,
            str(value),
        ) or (float(number) == value), name


def test_the_error_tree_is_the_one_there_is():
    named = set(re.findall(r"^[├└]── (\w+)", README, re.MULTILINE))
    assert named == {
        error.__name__
        for error in lsmkv.Error.__subclasses__()
        if error.__module__ == "lsmkv.errors"
    }


def test_the_tour_names_every_command():
    tour = next(block for block in code_blocks(README, "sh") if "lsmkv put" in block)
    used = set(re.findall(r"^lsmkv ([\w-]+)", tour, re.MULTILINE))
    listed = re.search(r"\{([\w,-]+)\}", build_parser().format_usage())
    commands = set(listed[1].split(",")) if listed else _commands_of_help()
    assert used == commands - {"del"}


def _commands_of_help() -> set[str]:
    return set(
        re.findall(r"^    ([a-z][\w-]+)(?:\s|$)", build_parser().format_help(), re.MULTILINE)
    )


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("document", ["SECURITY.md", "ARCHITECTURE.md"])
def test_the_tests_that_a_document_names_exist(document: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:tests/)?((?:\w+/)*test_[\w*]+\.py)`", text))
    assert len(named) > 10
    folders = [ROOT / "tests", ROOT / "tests/cluster"]
    missing = [name for name in named if not any(any(folder.glob(name)) for folder in folders)]
    assert missing == []
