"""What the table of commands says of each is true of how it behaves, as far as that can be seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsmkv_cluster.resp.catalogue import COMMANDS
from lsmkv_cluster.resp.commanding import Command
from lsmkv_cluster.resp.commands_page import GROUPS
from lsmkv_cluster.resp.replies import ErrorReply
from lsmkv_cluster.resp.session import Role
from tests.support.redis_server import REDIS_SERVER, RedisConnection, redis_server
from tests.support.resp_lab import RespLab


def rows() -> Iterator[Command]:
    for command in COMMANDS.values():
        yield command
        yield from command.subcommands.values()


def test_names_are_lower_case_and_of_a_known_group():
    for row in rows():
        assert row.name == row.name.lower()
        assert row.group in GROUPS, row.name
        assert row.summary, row.name


def test_who_writes_may_write_and_what_writes_says_what_it_means_in_a_cluster():
    for row in rows():
        assert not row.writes or row.role is Role.WRITE, row.name
        assert not row.writes or row.cluster, row.name
        assert (
            not (row.keys.first and not row.writes)
            or "readonly" in row.flags
            or (row.name == "watch")
        ), row.name


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.name)
def test_too_few_arguments_are_refused_before_anything_else(row: Command):
    needed = abs(row.arity)
    given = row.name.split("|") + ["x"] * (needed - 1 - row.name.count("|"))
    short = given[: needed - 1]
    if len(short) < 1 or (row.subcommands and len(short) > 1) or len(short) < row.name.count("|"):
        return
    if row.name.count("|") and len(short) < 2:
        return
    reply = RespLab().client().do(*short)
    assert reply == ErrorReply(f"ERR wrong number of arguments for '{row.name}' command")


@pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")
def test_arity_and_keys_are_those_of_redis():
    with redis_server() as path, RedisConnection(path) as connection:
        for name, row in COMMANDS.items():
            if name.startswith("kv."):
                continue
            found = connection.do([b"COMMAND", b"INFO", name.encode()])
            assert isinstance(found, list)
            theirs = found[0]
            assert isinstance(theirs, list), name
            assert theirs[1] == row.arity, name
            assert tuple(theirs[3:6]) == tuple(row.keys), name
            assert ("write" in theirs[2]) == row.writes or name.startswith("eval"), name
