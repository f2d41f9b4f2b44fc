"""Tools and libraries that know nothing of lsmkv work unchanged, against one node and against five.

redis-cli and redis-benchmark are those of Debian, redis-py has its default settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis

from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.tools import metrics, needs_redis_tools, redis_benchmark, redis_cli

pytestmark = pytest.mark.slow
TESTS = "ping,set,get,incr,mset"
KEYS = 200


@pytest.fixture(params=["one", "five"])
def node(request: pytest.FixtureRequest) -> NodeProcess:
    """Of each cluster the one that was started last."""
    cluster: LocalCluster = request.getfixturevalue(request.param)
    return [*cluster.nodes.values()][-1]


@pytest.fixture
def client(node: NodeProcess) -> Iterator[redis.Redis]:
    at = node.at.resp
    with redis.Redis(host=at.host, port=at.port) as client:
        yield client


@needs_redis_tools
def test_redis_cli_reads_what_it_wrote(node: NodeProcess):
    at = node.at.resp
    assert redis_cli(at, "PING") == "PONG"
    assert redis_cli(at, "SET", "cli:greeting", "hello") == "OK"
    assert redis_cli(at, "GET", "cli:greeting") == "hello"
    assert redis_cli(at, "INCR", "cli:count") == "1"
    assert redis_cli(at, "MSET", "cli:1", "a", "cli:2", "b") == "OK"
    assert redis_cli(at, "MGET", "cli:1", "cli:2", "cli:3") == "a\nb"
    assert redis_cli(at, "EXISTS", "cli:1", "cli:3") == "1"
    assert redis_cli(at, "DEL", "cli:1", "cli:2") == "2"
    assert "redis_version:" in redis_cli(at, "INFO", "server")


@needs_redis_tools
def test_redis_cli_sees_the_same_in_both_protocols(node: NodeProcess):
    at = node.at.resp
    redis_cli(at, "SET", "cli:both", "v")
    assert redis_cli(at, "-3", "GET", "cli:both") == redis_cli(at, "-2", "GET", "cli:both") == "v"
    assert "ERR wrong number of arguments" in redis_cli(at, "GET")


@needs_redis_tools
def test_all_keys_are_found_by_a_scan(node: NodeProcess, client: redis.Redis):
    for i in range(50):
        client.set(f"scan:{i}", i)
    assert {*client.scan_iter("scan:1?")} == {b"scan:%d" % i for i in range(10, 20)}
    assert len(redis_cli(node.at.resp, "--scan", "--pattern", "scan:*").split()) == 50


@needs_redis_tools
def test_redis_benchmark_runs_to_its_end(node: NodeProcess):
    found = redis_benchmark(node.at.resp, "-t", TESTS, "-n", "500", "-c", "10", "-r", "100")
    assert len(found) == 6, found  # PING inline, and as an array
    assert all(rate > 0 for rate in found.values()), found


@needs_redis_tools
def test_redis_benchmark_sends_pipelines(node: NodeProcess):
    found = redis_benchmark(
        node.at.resp, "-t", "set,get", "-n", "2000", "-c", "5", "-P", "32", "-d", "100"
    )
    assert [*found] == ["SET", "GET"]


def test_redis_py_with_its_default_settings(client: redis.Redis):
    assert client.ping()
    assert client.set("py:k", b"\x00\xff")
    assert client.get("py:k") == b"\x00\xff"
    assert client.get("py:none") is None
    assert client.mset({f"py:{i}": str(i) for i in range(20)})
    assert client.mget([f"py:{i}" for i in range(20)]) == [b"%d" % i for i in range(20)]
    assert [client.incr("py:n"), client.incrby("py:n", 41)] == [1, 42]
    assert client.append("py:text", "ab") == 2
    assert client.expire("py:text", 100)
    assert 0 < client.ttl("py:text") <= 100
    assert client.type("py:text") == b"string"
    assert client.delete("py:k", "py:none") == 1
    assert client.info()["redis_version"]


def test_redis_py_uses_sets_and_hashes(client: redis.Redis):
    assert client.sadd("py:set", "a", "b", "c") == 3
    assert client.srem("py:set", "b") == 1
    assert client.smembers("py:set") == {b"a", b"c"}
    assert client.scard("py:set") == 2
    assert client.hset("py:hash", mapping={"f": "1", "g": "2"}) == 2
    assert client.hdel("py:hash", "f") == 1
    assert client.hgetall("py:hash") == {b"g": b"2"}
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.get("py:set")
    assert client.set("py:set", "v")
    assert client.get("py:set") == b"v"
    assert client.delete("py:set", "py:hash") == 2
    assert client.smembers("py:set") == set()


def test_redis_py_sends_pipelines_and_transactions(client: redis.Redis):
    with client.pipeline(transaction=False) as pipe:
        for i in range(50):
            pipe.set(f"py:pipe:{i}", i).get(f"py:pipe:{i}")
        assert pipe.execute()[1::2] == [b"%d" % i for i in range(50)]
    with client.pipeline() as pipe:
        assert pipe.set("py:t", "1").incr("py:t").execute() == [True, 2]


def test_redis_py_in_the_older_protocol(node: NodeProcess):
    at = node.at.resp
    with redis.Redis(host=at.host, port=at.port, protocol=2, decode_responses=True) as client:
        assert client.set("py:old", "v")
        assert client.get("py:old") == "v"


def test_errors_are_those_of_redis(client: redis.Redis):
    client.set("py:text2", "text")
    with pytest.raises(redis.ResponseError, match="not an integer or out of range"):
        client.incr("py:text2")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NONSENSE")


def misplaced(cluster: LocalCluster) -> tuple[float, float]:
    """Commands on cluster ports that others had to carry out, and those that were sent there."""
    pages = [metrics(node) for node in cluster.nodes.values()]
    moved = "lsmkv_errors_total kind=MOVED"
    return (
        sum(page["lsmkv_commands_proxied_total"] for page in pages),
        sum(page.get(moved, 0) for page in pages),
    )


def test_a_cluster_client_finds_every_key_at_its_owner(five: LocalCluster):
    """With its default settings no command is passed on, and none is sent elsewhere."""
    at = next(iter(five.nodes.values())).at.cluster
    before = misplaced(five)
    with redis.RedisCluster(host=at.host, port=at.port) as client:
        assert len(client.get_primaries()) >= 3
        for i in range(KEYS):
            assert client.set(f"rc:{i}", i)
        assert [client.get(f"rc:{i}") for i in range(KEYS)] == [b"%d" % i for i in range(KEYS)]
        assert client.incr("rc:n") == 1
        assert client.mget_nonatomic([f"rc:{i}" for i in range(10)]) == [
            b"%d" % i for i in range(10)
        ]
        assert {*client.scan_iter("rc:1??")} == {b"rc:%d" % i for i in range(100, KEYS)}
        assert client.delete("rc:1", "rc:2", "rc:n") == 3
    assert misplaced(five) == before


def test_a_client_that_knows_no_slots_is_served_by_any_node(five: LocalCluster):
    """What one node was told all others tell, too."""
    nodes = [*five.nodes.values()]
    for i, node in enumerate(nodes):
        with redis.Redis(host=node.at.resp.host, port=node.at.resp.port) as client:
            client.set(f"any:{i}", i)
    for node in nodes:
        with redis.Redis(host=node.at.resp.host, port=node.at.resp.port) as client:
            assert client.mget([f"any:{i}" for i in range(5)]) == [b"%d" % i for i in range(5)]


def test_what_a_node_does_not_own_is_counted(five: LocalCluster):
    """A key is asked for at all nodes, as cluster clients ask: some do not own it. Two at once, of
    different slots, nobody is sent away with."""
    proxied, moved = misplaced(five)
    for node in five.nodes.values():
        with redis.Redis(host=node.at.cluster.host, port=node.at.cluster.port) as client:
            with contextlib.suppress(redis.exceptions.MovedError):
                client.get("counted")
            assert client.mget("counted", "also") == [None, None]
    assert misplaced(five)[0] >= proxied + 2
    assert misplaced(five)[1] == moved + 2
