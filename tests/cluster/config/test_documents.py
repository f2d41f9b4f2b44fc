"""What docs/configuration.md shows works as it says."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.origins import configure
from lsmkv_cluster.operator.command_line import register

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def blocks(language: str) -> list[str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_file_of_settings_is_one():
    [text] = blocks("toml")
    found = configure({"config": "/etc/lsmkv/node.toml"}, {}, lambda path: tomllib.loads(text))
    settings = found.settings()
    assert settings.users_file == Path("/etc/lsmkv/users.toml")
    assert settings.join == (Endpoint("10.0.0.2", 7379), Endpoint("10.0.0.3", 7379))


COMMANDS = re.findall(r"^lsmkv ([^#>\n]*)", "".join(blocks("sh")), re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    register(parser.add_subparsers())
    assert callable(parser.parse_args(shlex.split(line)).run)


def test_there_are_commands():
    assert {line.split()[0] for line in COMMANDS} == {"config", "cluster"}
