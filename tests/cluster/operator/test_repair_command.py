"""`lsmkv cluster repair` against whole daemons: copies are equal once it ends, and it says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsmkv import Error
from lsmkv_cluster.client.calling import CallError
from lsmkv_cluster.config.cluster_file import new_cluster, save_cluster_file
from lsmkv_cluster.operator import repair_command
from lsmkv_cluster.operator.cluster_pages import repair_page
from lsmkv_cluster.serving.daemon import Daemon
from lsmkv_cluster.storage.storage_orders import Merge, Merged, Read, Space, Values
from tests.cluster.client.daemons import Daemons
from tests.cluster.operator.test_change_commands import Type, typed
from tests.support.fake_store import some_record

__all__ = ["typed"]

KEYS = [b"key %d" % number for number in range(20)]


async def give(daemons: Daemons, daemon: Daemon) -> None:
    """Records that no other copy has."""
    running = daemon.running
    await daemons.until(lambda: running.runner.is_idle)
    order = Merge(Space.DATA, tuple((key, some_record(9)) for key in KEYS))
    assert isinstance(running.local.store.carry_out(order), Merged)


async def count(daemons: Daemons, daemon: Daemon) -> int:
    await daemons.until(lambda: daemon.running.runner.is_idle)
    found = daemon.running.local.store.carry_out(Read(Space.DATA, tuple(KEYS)))
    assert isinstance(found, Values)
    return sum(value is not None for value in found.values)


def test_copies_are_equal_once_it_ends(tmp_path: Path, typed: Type) -> None:
    """The period of the daemons is ten minutes."""

    async def run() -> None:
        (tmp_path / "a").mkdir()
        save_cluster_file(tmp_path / "a" / "cluster.toml", new_cluster(partition_count=64))
        async with Daemons(tmp_path) as daemons:
            a, b = await daemons.start("a"), await daemons.start("b")
            await daemons.settled()
            await give(daemons, b)
            assert await count(daemons, a) == 0

            def repair(*more: str) -> str:
                return typed("repair", "--at", daemons.address("a"), *more)

            done = json.loads(await asyncio.to_thread(repair, "--json"))
            assert (done["partitions"], done["done"], done["missing"]) == (64, 64, {})
            assert (done["pulled"], done["pushed"]) == (20, 0)
            assert await count(daemons, a) == 20
            page = await asyncio.to_thread(repair)
            assert page.startswith("64 of 64 partitions compared in 64 rounds: 0 records")
            assert (await asyncio.to_thread(repair, "7")).startswith("1 of 1 partitions")
            with pytest.raises(CallError, match="no copy of that partition"):
                await asyncio.to_thread(repair, "64")
            await daemons.stop("b")
            with pytest.raises(Error, match="not compared with b"):
                await asyncio.to_thread(repair)

    asyncio.run(run())


def test_how_far_it_is(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar moves with what the node says, until it is over."""
    states = [progress_of(0, 0), progress_of(1, 5), progress_of(4, 9)]
    shown: list[tuple[int, int]] = []
    with answering(monkeypatch, states) as asked:
        monkeypatch.setattr(
            repair_command.Progress, "update", lambda bar, done, count: shown.append((done, count))
        )
        page = typed("repair", "--at", "127.0.0.1:1")
    assert shown == [(0, 0), (1, 6)]
    assert asked == [("REPAIR",), ("REPAIR", "PROGRESS"), ("REPAIR", "PROGRESS")]
    assert page == "4 of 4 partitions compared in 9 rounds: 9 records came here, 1 went to others\n"


def test_a_node_that_starts_anew_knows_nothing_of_it(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {**progress_of(0, 0), "partitions": 0}
    with (
        answering(monkeypatch, [progress_of(0, 0), nothing]),
        pytest.raises(Error, match="has started anew"),
    ):
        typed("repair", "--at", "127.0.0.1:1")


def test_whom_it_was_not_compared_with() -> None:
    page = repair_page({**progress_of(4, 1), "missing": {"b": 3}})
    assert page[1] == "not with b: 3 partitions, as it cannot be reached, or takes no part"


def progress_of(done: int, pulled: int) -> dict[str, object]:
    pushed = int(pulled > 0)
    numbers = {"partitions": 4, "done": done, "rounds": 9, "pulled": pulled, "pushed": pushed}
    return {**numbers, "missing": {}}


@contextmanager
def answering(
    monkeypatch: pytest.MonkeyPatch, states: list[dict[str, object]]
) -> Iterator[list[tuple[str, ...]]]:
    """A node that says this, one after the other; nobody waits."""
    asked: list[tuple[str, ...]] = []
    left = iter(states)

    def ask(nodes: object, *args: str) -> dict[str, object]:
        asked.append(args)
        return next(left)

    wait: Callable[[float], None] = lambda seconds: None  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(repair_command.Nodes, "ask", ask)
        patched.setattr(repair_command.time, "sleep", wait)
        yield asked
