"""The file of a cluster: made at random, written whole, refused when anything in it is wrong."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from lsmkv_cluster.config.cluster_file import (
    ClusterFile,
    TlsFiles,
    check_secret,
    encode_cluster_file,
    load_cluster_file,
    new_cluster,
    save_cluster_file,
)
from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.errors import ConfigError

RELATIVE = TlsFiles(Path("tls/ca.pem"), Path("tls/{node}.pem"), Path("tls/{node}-key.pem"))
CLUSTER = ClusterFile(
    cluster_id=bytes(range(16)),
    secret=bytes(range(32)),
    partition_count=64,
    key_seed=0xFFFFFFFFFFFFFFFE,  # more than a TOML integer holds
)
LISTED = dataclasses.replace(CLUSTER, replicas=(("dc.1", 3), ("dc2", 0)))


@pytest.mark.parametrize("cluster", [CLUSTER, LISTED, new_cluster(), new_cluster(replicas_each=5)])
def test_what_is_saved_is_loaded(tmp_path: Path, cluster: ClusterFile) -> None:
    path = tmp_path / "cluster.toml"
    save_cluster_file(path, cluster)
    assert load_cluster_file(path) == cluster
    assert path.stat().st_mode & 0o777 == 0o600


def test_paths_are_relative_to_the_file_and_a_node_takes_its_own(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    save_cluster_file(path, dataclasses.replace(CLUSTER, tls=RELATIVE))
    tls = load_cluster_file(path).tls
    assert tls is not None
    assert tls.of_node("n1") == TlsFiles(
        tmp_path / "tls/ca.pem", tmp_path / "tls/n1.pem", tmp_path / "tls/n1-key.pem"
    )


def test_two_new_clusters_share_nothing():
    one, other = new_cluster(), new_cluster()
    assert one.cluster_id != other.cluster_id
    assert one.secret != other.secret
    assert one.key_seed != other.key_seed


def test_without_a_list_the_founders_data_centre_gets_the_copies():
    assert CLUSTER.replicas_with("east") == (("east", 3),)
    assert LISTED.replicas_with("east") == LISTED.replicas


def test_the_secret_does_not_show(tmp_path: Path) -> None:
    assert CLUSTER.secret.hex() not in repr(CLUSTER)
    assert repr(CLUSTER.secret) not in repr(CLUSTER)


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    save_cluster_file(path, CLUSTER)
    with pytest.raises(FileExistsError):
        save_cluster_file(path, new_cluster())
    assert load_cluster_file(path) == CLUSTER


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    save_cluster_file(path, CLUSTER)
    os.chmod(path, 0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        load_cluster_file(path)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("format = 1", "format = 2", "format"),
        ("format = 1\n", "", "format"),
        ("cluster_id", "cluster", "cluster_id"),
        (CLUSTER.secret.hex(), "00" * 32, "secret"),
        (CLUSTER.secret.hex(), "00", "secret"),
        ("partitions = 64", "partitions = 65", "partitions"),
        ("partitions = 64", "partitions = 0", "partitions"),
        ("partitions = 64", "partitions = 32768", "partitions"),
        ("replicas = 3", "replicas = 16", "replicas"),
        ("replicas = 3", "[replicas]\ndc1 = 16", "replicas.dc1"),
        ("replicas = 3", "[replicas]\n'd c' = 3", "replicas"),
        ("replicas = 3", "[replicas]\ndc1 = 0", "replicas"),
        ("replicas = 3", "[replicas]", "replicas"),
        ("replicas = 3", "[tls]\nca = 'x'", "tls.certificate"),
        ("replicas = 3", "replica = 3", "replica"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "cluster.toml"
    text = encode_cluster_file(CLUSTER)
    assert old in text
    write_file(path, text.replace(old, new).encode())
    with pytest.raises(ConfigError) as raised:
        load_cluster_file(path)
    assert (raised.value.where, raised.value.key) == (str(path), key)


def test_a_secret_that_nobody_drew_is_refused():
    for secret in (b"", b"x" * 32, b"password" * 4, bytes(range(31))):
        with pytest.raises(ConfigError, match="random"):
            check_secret(secret)


def test_numbers_that_cannot_be_make_no_cluster():
    for keywords in (
        {"partition_count": 100},
        {"replicas_each": 0},
        {"replicas": (("dc1", 3), ("dc1", 2))},
        {"replicas": (("bad name", 3),)},
    ):
        with pytest.raises(ConfigError):
            new_cluster(**keywords)  # type: ignore[arg-type]
