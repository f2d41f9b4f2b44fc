"""Certificates for tests, made once: two clusters, each with an authority of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lsmkv_cluster.config.certificates import Credentials, issue_node, new_authority
from lsmkv_cluster.config.cluster_file import TlsFiles
from lsmkv_cluster.config.files import write_file

NOW = datetime.now(UTC)  # TLS looks at the clock, whatever we do
HOSTS = ("db.example", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Authority:
    cluster_id: bytes
    credentials: Credentials

    def node(self, name: str) -> Credentials:
        return issue_node(self.credentials, self.cluster_id, name, HOSTS, NOW)

    def files(self, directory: Path, name: str, ca: Credentials | None = None) -> TlsFiles:
        """Of a new node; `ca`: the authority that it trusts, this one otherwise."""
        made = self.node(name)
        files = TlsFiles(directory / "ca.pem", directory / f"{name}.pem", directory / f"{name}.key")
        trusted = ca if ca is not None else self.credentials
        write_file(files.ca, trusted.certificate, mode=0o644, replaces=True)
        write_file(files.certificate, made.certificate, mode=0o644)
        write_file(files.key, made.key)
        return files


def make_authority(cluster_id: bytes) -> Authority:
    return Authority(cluster_id, new_authority(cluster_id, NOW))
