"""Clients that log in at a daemon with a certificate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lsmkv_cluster import AsyncClient, Refused
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.users import user_line
from tests.cluster.client.daemons import ANY, Daemons
from tests.cluster.config.authorities import make_authority


def test_with_tls_and_a_login(tmp_path: Path) -> None:
    async def run() -> None:
        files = make_authority(b"c" * 16).files(tmp_path, "a")
        users = tmp_path / "users.toml"
        lines = (user_line(name, Role[name.upper()], b"secret") for name in ("read", "write"))
        users.write_text("\n".join(lines))
        users.chmod(0o600)
        base = DaemonSettings(
            data=tmp_path, listen=ANY, cluster_listen=ANY, peer_listen=ANY, http=None,
            users_file=users, tls_ca=files.ca, tls_certificate=files.certificate, tls_key=files.key,
        )  # fmt: skip
        async with Daemons(tmp_path, base) as daemons:
            await daemons.start("a")
            there, ca = daemons.address("a"), files.ca
            async with AsyncClient(there, tls=ca, user="write", password="secret") as client:
                await client.put(b"k", b"v")
            async with AsyncClient(there, tls=ca, user="read", password=b"secret") as client:
                assert (await client.get(b"k")).value == b"v"
                with pytest.raises(Refused, match="NOPERM"):
                    await client.put(b"k", b"w")
            async with AsyncClient(there, tls=ca, user="read", password="wrong") as client:
                with pytest.raises(Refused, match="WRONGPASS"):
                    await client.get(b"k")
            async with AsyncClient(there, tls=ca) as client:
                with pytest.raises(Refused, match="NOAUTH"):
                    await client.get(b"k")
            async with AsyncClient(there, timeout_s=0.5) as client:
                with pytest.raises(Refused, match="cannot be reached"):
                    await client.get(b"k")

    asyncio.run(run())
