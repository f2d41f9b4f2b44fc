"""What tools ask of a server: INFO, CONFIG, COMMAND, SHUTDOWN."""

from __future__ import annotations

from lsmkv_cluster.resp.catalogue import COMMANDS
from lsmkv_cluster.resp.replies import ErrorReply, Reply, Verbatim
from tests.support.resp_lab import WALL_MS, RespLab, make_cluster


def fields(reply: Reply) -> dict[str, str]:
    assert isinstance(reply, Verbatim)
    pairs = [line.split(":", 1) for line in reply.text.decode().split("\r\n") if ":" in line]
    return dict(pairs)  # type: ignore[arg-type]


def test_info_has_what_tools_look_for_and_what_the_process_knows():
    lab = RespLab(make_cluster(3))
    client = lab.client()
    client.do("SET", "a", "1")
    client.do("GET", "a")
    client.do("GET", "b")
    client.do("GET")
    lab.host.keys = 12
    info = fields(client.do("INFO"))
    assert info["redis_version"].startswith("7.")
    assert (info["process_id"], info["used_memory"], info["connected_clients"]) == ("42", "9", "1")
    assert (info["keyspace_hits"], info["keyspace_misses"]) == ("1", "1")
    assert info["db0"] == "keys=12,expires=0,avg_ttl=0"
    assert info["errorstat_ERR"] == "count=1"
    assert (info["lsmkv_member"], info["lsmkv_members"]) == ("n1", "3")
    assert "cmdstat_get" not in info
    assert fields(client.do("INFO", "commandstats"))["cmdstat_get"] == "calls=2"
    assert list(fields(client.do("INFO", "cluster"))) == ["cluster_enabled"]
    assert set(fields(client.do("INFO", "everything"))) > set(info)
    client.do("CONFIG", "RESETSTAT")
    assert fields(client.do("INFO", "stats"))["keyspace_hits"] == "0"


def test_config_answers_by_patterns_and_cannot_be_changed():
    lab = RespLab()
    client = lab.client()
    assert client.do("CONFIG", "GET", "SAVE", "append*") == {
        b"appendfsync": b"everysec",
        b"appendonly": b"yes",
        b"save": b"",
    }
    assert client.do("CONFIG", "GET", "lsmkv-*") == {b"lsmkv-durability": b"everysec"}
    on_cluster = lab.client(on_cluster_port=True)
    assert on_cluster.do("CONFIG", "GET", "cluster-enabled") == {b"cluster-enabled": b"yes"}
    assert isinstance(client.do("CONFIG", "SET", "maxmemory", "1"), ErrorReply)


def test_what_commands_are_known_is_told_by_name():
    client = RespLab().client()
    assert client.do("COMMAND", "COUNT") == len(COMMANDS)
    rows = client.do("COMMAND")
    assert isinstance(rows, list)
    assert len(rows) == len(COMMANDS)
    by_name = {row[0]: row for row in rows}
    assert by_name[b"mset"][1:6] == [-3, frozenset({"write", "denyoom"}), 1, -1, 2]
    assert by_name[b"config"][9][0][0] == b"config|get"
    assert client.do("COMMAND", "INFO", "mset", "nosuch") == [by_name[b"mset"], None]
    docs = client.do("COMMAND", "DOCS")
    assert isinstance(docs, dict)
    assert docs[b"get"][b"summary"] == b"Get the value of a key"
    assert b"cluster|slots" in docs[b"cluster"][b"subcommands"]
    assert client.do("COMMAND", "LIST", "FILTERBY", "PATTERN", "mget*") == [b"mget"]
    assert b"set" in client.do("COMMAND", "LIST", "FILTERBY", "ACLCAT", "write")
    assert client.do("COMMAND", "LIST", "FILTERBY", "MODULE", "json") == []
    assert client.do("COMMAND", "GETKEYS", "EVAL", "x", "2", "a", "b", "c") == [b"a", b"b"]


def test_every_container_has_help():
    client = RespLab().client()
    for name, row in COMMANDS.items():
        if row.subcommands:
            lines = client.do(name, "HELP")
            assert isinstance(lines, list)
            assert len(lines) == 1 + 2 * len(row.subcommands)


def test_shutdown_is_a_wish():
    lab = RespLab()
    client = lab.client()
    assert isinstance(client.do("SHUTDOWN", "LATER"), ErrorReply)
    assert not lab.host.is_shut_down
    client.do("SHUTDOWN", "NOSAVE")
    assert lab.host.is_shut_down
    assert client.is_closed


def test_the_time_is_that_of_the_step():
    lab = RespLab()
    lab.advance(1234)
    seconds, micros = divmod((WALL_MS + 1234) * 1000, 1_000_000)
    assert lab.client().do("TIME") == [b"%d" % seconds, b"%d" % micros]
