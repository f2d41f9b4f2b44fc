"""Whole nodes in one process: founded, joined, restarted, kept to themselves, ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import Any

import pytest

from lsmkv_cluster.client.calling import CallError, Login, call
from lsmkv_cluster.config.cluster_file import TlsFiles, new_cluster, save_cluster_file
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.tls import client_context
from lsmkv_cluster.config.users import user_line
from lsmkv_cluster.errors import ExposureError
from lsmkv_cluster.serving import joining
from lsmkv_cluster.serving.daemon import Daemon
from lsmkv_cluster.serving.joining import JoinError
from tests.cluster.config.authorities import make_authority
from tests.cluster.serving.nodes import until

ANY = Endpoint("127.0.0.1", 0)
ANSWER_S = 20.0


def settings_of(path: Path, name: str, **others: Any) -> DaemonSettings:
    return DaemonSettings(
        data=path / name, node_id=name, listen=ANY, cluster_listen=ANY, peer_listen=ANY,
        http=None, **others,
    )  # fmt: skip


@asynccontextmanager
async def node(settings: DaemonSettings) -> AsyncIterator[Daemon]:
    daemon = Daemon(settings)
    await daemon.start()
    running = asyncio.ensure_future(daemon.run())
    try:
        assert await daemon.until_serving(ANSWER_S)
        yield daemon
    finally:
        daemon.request_stop()
        await running


def plain(daemon: Daemon) -> Endpoint:
    return daemon.endpoints["resp"]


async def ask(
    daemon: Daemon,
    *args: bytes,
    tls: SSLContext | None = None,
    login: Login | None = None,
) -> object:
    return await call(plain(daemon), args, timeout_s=ANSWER_S, tls=tls, login=login)


def members(daemon: Daemon) -> list[str]:
    return sorted(member.name for member in daemon.running.node.topology.members)


def test_a_node_founds_a_cluster_and_comes_back_to_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with node(settings_of(tmp_path, "a")) as a:
            assert await ask(a, b"SET", b"k", b"v") == "OK"
            first, where = a.running.node.topology.cluster_id, plain(a)
        async with node(settings_of(tmp_path, "a")) as a:
            assert a.running.node.topology.cluster_id == first
            assert await ask(a, b"GET", b"k") == b"v"
            await until(lambda: a.running.node.topology.epoch == 2, "it says where it is now")
            [member] = a.running.node.topology.members
            assert str(where) not in {address.location for address in member.addresses}
            assert str(plain(a)) in {address.location for address in member.addresses}

    asyncio.run(run())


def test_nodes_join_and_find_each_other_at_other_addresses(tmp_path: Path) -> None:
    async def run() -> None:
        async with node(settings_of(tmp_path, "a")) as a:
            await ask(a, b"SET", b"k", b"v")
            joins = settings_of(tmp_path, "b", join=(plain(a),))
            async with node(joins) as b:
                assert members(a) == members(b) == ["a", "b"]
                await until(lambda: not b.running.node.topology.transitions, "no moves are left")
                assert await ask(b, b"GET", b"k") == b"v"
            async with node(joins) as b:
                epoch = b.running.node.topology.epoch
                await until(lambda: a.running.node.topology.epoch > epoch - 1, "a is told where")
                assert await ask(b, b"SET", b"k", b"w") == "OK"
                assert await ask(a, b"GET", b"k") == b"w"

    asyncio.run(run())


def test_who_cannot_join_says_why_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "PAUSE_S", 0.0)

    async def run() -> None:
        async with node(settings_of(tmp_path, "a")) as a:
            save_cluster_file(tmp_path / "other.toml", new_cluster())
            stranger = settings_of(
                tmp_path, "b", join=(plain(a),), cluster_file=tmp_path / "other.toml"
            )
            with pytest.raises(JoinError, match="that is cluster"):
                await Daemon(stranger).start()
            nobody = settings_of(tmp_path, "c", join=(Endpoint("127.0.0.1", 1),))
            with pytest.raises(JoinError, match=r"127\.0\.0\.1:1"):
                await Daemon(nobody).start()
            twin = settings_of(tmp_path, "d", join=(plain(a),))
            with pytest.raises(JoinError, match="two members a"):
                await Daemon(replace(twin, node_id="a")).start()
            assert members(a) == ["a", "b"], "b was taken in, and did not come"

    asyncio.run(run())


def test_other_addresses_need_what_keeps_others_out(tmp_path: Path) -> None:
    async def run() -> None:
        open_to_all = replace(settings_of(tmp_path, "a"), listen=Endpoint("0.0.0.0", 0))
        with pytest.raises(ExposureError, match="TLS"):
            await Daemon(open_to_all).start()

    asyncio.run(run())


def secure_settings(path: Path) -> tuple[dict[str, Any], TlsFiles]:
    """Of a cluster with TLS and users; the file of the cluster says where certificates are."""
    cluster = new_cluster(replicas_each=2)
    authority = make_authority(cluster.cluster_id)
    (path / "tls").mkdir()
    files = [authority.files(path / "tls", name) for name in ("a", "b")]
    named = TlsFiles(Path("tls/ca.pem"), Path("tls/{node}.pem"), Path("tls/{node}.key"))
    save_cluster_file(path / "cluster.toml", replace(cluster, tls=named))
    lines = [user_line("ada", Role.ADMIN, b"secret"), user_line("rob", Role.READ, b"other")]
    write_file(path / "users.toml", "\n".join(lines).encode())
    return {
        "cluster_file": path / "cluster.toml",
        "users_file": path / "users.toml",
    }, files[0]


def test_with_tls_and_users_nodes_and_clients_show_who_they_are(tmp_path: Path) -> None:
    others, files = secure_settings(tmp_path)
    tls, ada, rob = client_context(files.ca), Login("ada", b"secret"), Login("rob", b"other")

    async def run() -> None:
        async with node(settings_of(tmp_path, "a", **others)) as a:
            assert any("--tls --cacert" in line for line in a.greeting())
            joins = settings_of(tmp_path, "b", join=(plain(a),), **others)
            async with node(joins) as b:
                assert members(b) == ["a", "b"]
                await until(lambda: not b.running.node.topology.transitions, "no moves are left")
                assert await ask(a, b"SET", b"k", b"v", tls=tls, login=ada) == "OK"
                assert await ask(b, b"GET", b"k", tls=tls, login=rob) == b"v"
                assert b.running.links.open_count > 0, "nodes agreed on TLS with each other"
            with pytest.raises(CallError, match="NOAUTH"):
                await ask(a, b"GET", b"k", tls=tls)
            with pytest.raises(CallError, match="NOPERM"):
                await ask(a, b"SET", b"k", b"w", tls=tls, login=rob)
            with pytest.raises(CallError, match="WRONGPASS"):
                await ask(a, b"GET", b"k", tls=tls, login=Login("ada", b"other"))
            with pytest.raises((CallError, ConnectionError)):
                await ask(a, b"PING")
            elsewhere = make_authority(bytes(16)).files(tmp_path, "x")
            with pytest.raises(SSLError):
                await ask(a, b"PING", tls=client_context(elsewhere.ca))

    asyncio.run(run())
