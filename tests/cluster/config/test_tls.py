"""Real handshakes in memory: nodes of one cluster get through to each other, nobody else does."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization

from lsmkv_cluster.config.cluster_file import TlsFiles, new_cluster
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.config.tls import (
    client_context,
    node_of,
    peer_contexts,
    server_context,
    tls_files,
)
from lsmkv_cluster.errors import ConfigError, ProtocolError
from tests.cluster.config.authorities import make_authority

OURS = make_authority(b"o" * 16)
FOREIGN = make_authority(b"f" * 16)


class Connection:
    """Both ends in memory; `run` lets each do what it can until neither gets further."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, host: str | None = None
    ) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(down, up, server_hostname=host)
        self.server = server.wrap_bio(up, down, server_side=True)
        self.run(self.client.do_handshake, self.server.do_handshake)

    def run(self, *steps: Callable[[], object]) -> None:
        waiting = list(steps)
        for _ in range(10):
            for step in list(waiting):
                try:
                    step()
                    waiting.remove(step)
                except ssl.SSLWantReadError:
                    pass
            if not waiting:
                return
        raise AssertionError("neither side gets further")

    def carry(self, data: bytes) -> bytes:
        """From client to server."""
        got = []
        self.client.write(data)
        self.run(lambda: got.append(self.server.read(len(data))))
        return got[0]


def test_two_nodes_of_a_cluster_know_each_other_by_name(tmp_path: Path) -> None:
    one = peer_contexts(OURS.files(tmp_path, "n1"))
    other = peer_contexts(OURS.files(tmp_path, "n2"))
    connection = Connection(one.server, other.client)
    assert connection.client.version() == "TLSv1.3"
    assert node_of(connection.server.getpeercert(), OURS.cluster_id) == "n2"
    assert node_of(connection.client.getpeercert(), OURS.cluster_id) == "n1"
    assert connection.carry(b"frame") == b"frame"


def test_a_node_of_another_cluster_gets_in_neither_way(tmp_path: Path) -> None:
    """Also one that trusts us: it is we who must not trust it."""
    ours = peer_contexts(OURS.files(tmp_path, "n1"))
    (tmp_path / "foreign").mkdir()
    theirs = peer_contexts(FOREIGN.files(tmp_path / "foreign", "n2", ca=OURS.credentials))
    with pytest.raises(ssl.SSLCertVerificationError):
        Connection(ours.server, theirs.client).carry(b"x")
    with pytest.raises(ssl.SSLCertVerificationError):
        Connection(theirs.server, ours.client)


def test_who_shows_no_certificate_does_not_get_in(tmp_path: Path) -> None:
    files = OURS.files(tmp_path, "n1")
    client = client_context(files.ca)
    client.check_hostname = False
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        Connection(peer_contexts(files).server, client).carry(b"x")


def test_nodes_speak_nothing_older(tmp_path: Path) -> None:
    contexts = peer_contexts(OURS.files(tmp_path, "n1"))
    old = peer_contexts(OURS.files(tmp_path, "n2")).client
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Connection(contexts.server, old)


def test_a_client_finds_the_node_at_its_hosts_and_no_others(tmp_path: Path) -> None:
    files = OURS.files(tmp_path, "n1")
    server, client = server_context(files), client_context(files.ca)
    for host in ("db.example", "127.0.0.1", "::1"):
        assert Connection(server, client, host).carry(b"PING") == b"PING"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        Connection(server, client, "other.example")


def test_a_client_trusts_the_authority_of_its_cluster_only(tmp_path: Path) -> None:
    files = OURS.files(tmp_path, "n1")
    (tmp_path / "foreign").mkdir()
    foreign = FOREIGN.files(tmp_path / "foreign", "n1")
    with pytest.raises(ssl.SSLCertVerificationError):
        Connection(server_context(foreign), client_context(files.ca), "db.example")


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subjectAltName": (("DNS", f"urn:lsmkv:{OURS.cluster_id.hex()}:node:n1"),)},
        {"subjectAltName": (("URI", f"urn:lsmkv:{FOREIGN.cluster_id.hex()}:node:n1"),)},
        {"subjectAltName": (("URI", f"urn:lsmkv:{OURS.cluster_id.hex()}:client:n1"),)},
    ],
)
def test_a_certificate_of_somebody_else_is_no_nodes(certificate: dict[str, object] | None) -> None:
    with pytest.raises(ProtocolError, match="unauthentic"):
        node_of(certificate, OURS.cluster_id)


class TestFiles:
    def test_settings_come_before_the_file_of_the_cluster(self) -> None:
        shared = TlsFiles(Path("ca"), Path("{node}.pem"), Path("{node}.key"))
        settings = DaemonSettings(data=Path("d"))
        own = replace(settings, tls_ca=Path("a"), tls_certificate=Path("b"), tls_key=Path("{node}"))
        cluster = new_cluster(tls=shared)
        assert tls_files(settings, new_cluster(), "n1") is None
        assert tls_files(settings, cluster, "n1") == shared.of_node("n1")
        assert tls_files(own, cluster, "n1") == TlsFiles(Path("a"), Path("b"), Path("{node}"))

    def test_a_key_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        files = OURS.files(tmp_path, "n1")
        os.chmod(files.key, 0o640)
        for make in (peer_contexts, server_context):
            with pytest.raises(ConfigError, match="others may read it"):
                make(files)

    def test_an_encrypted_key_is_refused_and_nobody_is_asked(self, tmp_path: Path) -> None:
        files = OURS.files(tmp_path, "n1")
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"password"),
            )
        )
        with pytest.raises(ConfigError):
            server_context(files)

    def test_what_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        files = OURS.files(tmp_path, "n1")
        other = OURS.files(tmp_path, "n2")
        with pytest.raises(ConfigError) as raised:
            server_context(replace(files, key=other.key))
        assert raised.value.where == str(other.key)
        files.ca.write_text("junk")
        with pytest.raises(ConfigError) as raised:
            peer_contexts(files)
        assert raised.value.where == str(files.ca)
        with pytest.raises(FileNotFoundError):
            server_context(replace(files, certificate=tmp_path / "missing"))
