"""A node is secured with everything that its settings name, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from lsmkv_cluster.config.cluster_file import TlsFiles, new_cluster
from lsmkv_cluster.config.cluster_keys import derive_keys
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.security import Security, secure
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.users import CLUSTER_USER, user_line
from lsmkv_cluster.errors import ConfigError, ExposureError
from tests.cluster.config.authorities import make_authority

LOCAL = DaemonSettings(data=Path("d"))
CLUSTER = new_cluster()
AUTHORITY = make_authority(CLUSTER.cluster_id)


@pytest.fixture
def opened(tmp_path: Path) -> DaemonSettings:
    """Listens everywhere, with all that this takes."""
    files: TlsFiles = AUTHORITY.files(tmp_path, "n1")
    users = tmp_path / "users.toml"
    write_file(users, user_line("ada", Role.WRITE, b"x").encode())
    return replace(
        LOCAL,
        listen=Endpoint("0.0.0.0", 1),
        cluster_listen=Endpoint("0.0.0.0", 2),
        peer_listen=Endpoint("0.0.0.0", 3),
        http=Endpoint("0.0.0.0", 4),
        users_file=users,
        tls_ca=files.ca,
        tls_certificate=files.certificate,
        tls_key=files.key,
    )


def test_on_loopback_nothing_is_needed():
    assert secure(LOCAL, None, "n1") == Security()
    assert secure(LOCAL, CLUSTER, "n1") == Security()


def test_elsewhere_there_are_certificates_and_users(opened: DaemonSettings) -> None:
    found = secure(opened, CLUSTER, "n1")
    assert found.peers is not None
    assert found.clients is not None
    assert found.other_nodes is not None
    assert found.users is not None
    assert found.users.check("ada", b"x") is Role.WRITE
    password = derive_keys(CLUSTER.secret, CLUSTER.cluster_id).password
    assert found.users.check(CLUSTER_USER, password) is Role.ADMIN


def test_a_cluster_that_is_not_known_yet_lets_nobody_in_by_its_key(opened: DaemonSettings) -> None:
    found = secure(opened, None, "n1")
    assert found.users is not None
    assert found.users.check(CLUSTER_USER, b"") is None


def test_certificates_of_the_clusters_file_are_those_of_this_node(
    opened: DaemonSettings, tmp_path: Path
) -> None:
    shared = TlsFiles(tmp_path / "ca.pem", tmp_path / "{node}.pem", tmp_path / "{node}.key")
    settings = replace(opened, tls_ca=None, tls_certificate=None, tls_key=None)
    cluster = replace(CLUSTER, tls=shared)
    assert secure(settings, cluster, "n1").peers is not None
    with pytest.raises(FileNotFoundError):
        secure(settings, cluster, "n2")


def test_what_is_missing_or_wrong_ends_it(opened: DaemonSettings, tmp_path: Path) -> None:
    with pytest.raises(ExposureError):
        secure(replace(opened, users_file=None), CLUSTER, "n1")
    with pytest.raises(ExposureError):
        secure(replace(opened, tls_ca=None, tls_certificate=None, tls_key=None), CLUSTER, "n1")
    with pytest.raises(ExposureError):
        secure(replace(opened, tls_clients=False), CLUSTER, "n1")
    (tmp_path / "users.toml").write_text("junk")
    with pytest.raises(ConfigError):
        secure(opened, CLUSTER, "n1")


def test_clients_of_loopback_may_go_without_tls(opened: DaemonSettings) -> None:
    local = replace(
        opened,
        listen=LOCAL.listen,
        cluster_listen=LOCAL.cluster_listen,
        http=LOCAL.http,
        tls_clients=False,
    )
    found = secure(local, CLUSTER, "n1")
    assert found.peers is not None
    assert found.clients is None
