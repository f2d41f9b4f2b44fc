"""What operators type, against whole daemons: what they see, and what it changes."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsmkv import Error
from lsmkv.cli.arguments import UsageError
from lsmkv_cluster.client.calling import CallError
from lsmkv_cluster.operator.change_commands import change_of
from lsmkv_cluster.operator.command_line import register
from tests.cluster.client.daemons import Daemons

Type = Callable[..., str]


@pytest.fixture
def typed(capsysbinary: pytest.CaptureFixture[bytes]) -> Type:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())

    def run(*argv: str) -> str:
        arguments = parser.parse_args(["cluster", *argv])
        assert arguments.run(arguments) == 0
        return capsysbinary.readouterr().out.decode()

    return run


def test_changes_as_words() -> None:
    assert change_of([]) == change_of(["commit"]) == {"change": "commit"}
    assert change_of(["leave", "n1"]) == {"change": "leave", "member": "n1"}
    assert change_of(["remove", "n1"]) == {"change": "remove", "member": "n1"}
    assert change_of(["weight", "n1", "50"]) == {"change": "reweigh", "member": "n1", "weight": 50}
    wanted = {"change": "replicas", "replicas": {"east": 2, "west": 1}}
    assert change_of(["replicas", "east=2,west=1"]) == wanted


@pytest.mark.parametrize(
    "words", [["leave"], ["weight", "n1", "x"], ["replicas", "east"], ["replicas", "=1"], ["go"]]
)
def test_words_that_are_no_change(words: list[str]) -> None:
    with pytest.raises(UsageError, match="is no change: leave NODE"):
        change_of(words)


def test_a_cluster_is_looked_at_and_changed(tmp_path: Path, typed: Type) -> None:
    """A node of two is staged, gets its share, another weight, and leaves."""

    def asked(at: str) -> None:
        def json_of(*argv: str) -> Any:
            return json.loads(typed(*argv, "--at", at, "--json"))

        assert {member["name"] for member in json_of("status")["members"]} == {"a", "b"}
        assert json_of("status")["members"][0]["stored_bytes"] > 0
        assert typed("status", "--at", at).splitlines()[2].startswith("up  ")
        assert "staged" in typed("status", "--at", at)
        assert "owners a; settled" in typed("ring", "k", "--at", at)
        assert len(json_of("ring")["partitions"]) == 1024
        assert typed("ring", "--at", at).startswith("epoch ")
        assert "QUORUM" in typed("keyspaces", "--at", at)
        assert set(json_of("hints")) == {"a", "b"}
        assert typed("hints", "--at", at).startswith("name")

        plan = json_of("plan")
        assert plan["copies"] == plan["partitions_moving"] == 1024
        assert "1024 copies to make, about" in typed("plan", "--at", at)
        assert json_of("status")["epoch"] == 2, "a plan changes nothing"
        page = typed("commit", "--wait", "--at", at)
        assert "1024 copies to make, about" in page
        assert "committed in epoch 3" in page
        assert json_of("status")["moving"] == 0
        assert "owners" in typed("ring", "k", "--at", at)
        assert len(json_of("ring", "k")["owners"]) == 2

        told = json_of("weight", "b", "50")
        assert [each["outcome"] for each in told] == ["COMMITTED"]
        assert {m["name"]: m["weight"] for m in json_of("status")["members"]}["b"] == 50
        with pytest.raises(CallError, match="there is no member nobody"):
            typed("leave", "nobody", "--at", at)
        with pytest.raises(Error, match="nobody is staged"):
            typed("replace", "b", "--at", at)
        with pytest.raises(Error, match="nothing was changed"):
            typed("force", "remove", "b", "--at", at)
        assert typed("join", "--at", at).startswith(f"lsmkv serve --data DIR --join {at}")

    def left(at: str) -> None:
        page = typed("leave", "b", "--wait", "--at", at)
        assert "b" in page
        status = json.loads(typed("status", "--at", at, "--json"))
        assert status["moving"] == 0
        assert {m["name"]: m["partitions"] for m in status["members"]}["a"] == 1024

    async def run() -> None:
        async with Daemons(tmp_path) as daemons:
            await daemons.start("a")
            await daemons.start("b", staged=True)
            await asyncio.to_thread(asked, daemons.address("a"))
            await asyncio.to_thread(left, daemons.address("a"))

    asyncio.run(run())


def test_nobody_there(typed: Type) -> None:
    with pytest.raises(OSError):
        typed("status", "--at", "127.0.0.1:1")
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        typed("status", "--at", "nowhere")
