"""docs/commands.md is what the table of commands says."""

from __future__ import annotations

from pathlib import Path

from lsmkv_cluster.resp.catalogue import COMMANDS
from lsmkv_cluster.resp.commands_page import commands_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "commands.md"


def test_the_page_is_up_to_date(rewrite: bool):
    page = commands_page(COMMANDS)
    if rewrite:
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "run with --rewrite"


def test_every_command_stands_on_it_once():
    lines = commands_page(COMMANDS).splitlines()
    for command in COMMANDS.values():
        inner = [row for row in command.subcommands.values() if not row.name.endswith("|help")]
        for row in inner or [command]:
            name = row.name.upper().replace("|", " ")
            assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1, name
