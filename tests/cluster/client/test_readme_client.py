"""The example of the README does what it says, against a real node."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.cluster.client.daemons import Daemons

README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"^```py\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

    async def run() -> None:
        async with Daemons(tmp_path) as daemons:
            await daemons.start("a")
            here = code.replace("127.0.0.1:7379", daemons.address("a"))
            assert here != code
            await asyncio.to_thread(exec, compile(here, "README.md", "exec"), {})

    asyncio.run(run())
    assert capsys.readouterr().out == "b'apple,pear,plum'\n"
