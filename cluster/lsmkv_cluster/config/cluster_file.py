"""The file of a cluster: what every node has to know, and nobody else may.

    format = 1
    cluster_id = "00112233445566778899aabbccddeeff"
    secret = "..."                  64 hexadecimal digits
    partitions = 1024               a power of two
    key_seed = "0123456789abcdef"
    replicas = 3                    of each data centre, or a table: [replicas] with dc1 = 3

    [tls]                           relative to the directory of the file
    ca = "tls/ca.pem"
    certificate = "tls/{node}.pem"  {node} is the name of the node that reads it
    key = "tls/{node}.key"

`partitions`, `key_seed` and `replicas` count when the first node founds the cluster; after that the
topology document says what is true. Whoever has the secret is a member: the file is readable by its
owner alone, and there is no secret by default.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lsmkv_cluster.config.files import parse_toml, read_toml, write_file
from lsmkv_cluster.config.toml_fields import TomlFields, toml_line, toml_text
from lsmkv_cluster.errors import ConfigError, TopologyError
from lsmkv_cluster.placement.members import CLUSTER_ID_SIZE
from lsmkv_cluster.placement.slots import PARTITION_COUNT_DEFAULT, SLOT_COUNT
from lsmkv_cluster.placement.topology import REPLICAS_MAX, DataCentre

__all__ = [
    "REPLICAS_DEFAULT",
    "SECRET_SIZE",
    "ClusterFile",
    "TlsFiles",
    "check_secret",
    "decode_cluster_file",
    "encode_cluster_file",
    "load_cluster_file",
    "new_cluster",
    "save_cluster_file",
]

FORMAT = 1
SECRET_SIZE = 32  # bytes
SECRET_DISTINCT_MIN = 16  # values of its bytes; random ones have about 30
KEY_SEED_SIZE = 8  # bytes
REPLICAS_DEFAULT = 3
NODE_PLACE = "{node}"

HEAD = """\
# A cluster of lsmkv. Every node needs this file, or one made by joining; whoever has the secret
# is a member of the cluster. Keep it as you would a password.
"""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one node, of all nodes where the names have {node} in them."""

    ca: Path
    certificate: Path
    key: Path

    def of_node(self, name: str) -> TlsFiles:
        def named(path: Path) -> Path:
            return path.with_name(path.name.replace(NODE_PLACE, name))

        return TlsFiles(self.ca, named(self.certificate), named(self.key))

    def below(self, directory: Path) -> TlsFiles:
        return TlsFiles(directory / self.ca, directory / self.certificate, directory / self.key)


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """The secret does not show in its repr."""

    cluster_id: bytes
    secret: bytes
    partition_count: int
    key_seed: int
    replicas_each: int = REPLICAS_DEFAULT  # where data centres are not listed
    replicas: tuple[tuple[str, int], ...] = ()  # by data centre, ascending
    tls: TlsFiles | None = None

    def __repr__(self) -> str:
        return f"ClusterFile({self.cluster_id.hex()})"

    def replicas_with(self, dc: str) -> tuple[tuple[str, int], ...]:
        """By data centre, of a cluster that a node in `dc` founds."""
        return self.replicas or ((dc, self.replicas_each),)


def new_cluster(
    *,
    partition_count: int = PARTITION_COUNT_DEFAULT,
    replicas_each: int = REPLICAS_DEFAULT,
    replicas: tuple[tuple[str, int], ...] = (),
    tls: TlsFiles | None = None,
) -> ClusterFile:
    """With an id, a secret and a seed of its own. ConfigError for numbers that cannot be."""
    made = ClusterFile(
        cluster_id=secrets.token_bytes(CLUSTER_ID_SIZE),
        secret=_random_secret(),
        partition_count=partition_count,
        key_seed=secrets.randbits(8 * KEY_SEED_SIZE),
        replicas_each=replicas_each,
        replicas=tuple(sorted(replicas)),
        tls=tls,
    )
    _check(made, "")
    return made


def _random_secret() -> bytes:
    while True:
        secret = secrets.token_bytes(SECRET_SIZE)
        if len(set(secret)) >= SECRET_DISTINCT_MIN:
            return secret


def check_secret(secret: bytes, where: str = "") -> None:
    """ConfigError for what nobody drew at random."""
    if len(secret) != SECRET_SIZE or len(set(secret)) < SECRET_DISTINCT_MIN:
        raise ConfigError(
            f"it takes {SECRET_SIZE} random bytes; `lsmkv cluster init` makes them", where, "secret"
        )


def _check(cluster: ClusterFile, where: str) -> None:
    check_secret(cluster.secret, where)
    count = cluster.partition_count
    if not 1 <= count <= SLOT_COUNT or count & (count - 1):
        raise ConfigError(f"a power of two up to {SLOT_COUNT}, not {count}", where, "partitions")
    names = [name for name, _ in cluster.replicas]
    if len(set(names)) != len(names):
        raise ConfigError("a data centre is named twice", where, "replicas")
    try:
        for name, replicas in cluster.replicas_with("dc1"):
            DataCentre(name, replicas)
    except TopologyError as error:
        raise ConfigError(str(error), where, "replicas") from error
    if sum(replicas for _, replicas in cluster.replicas_with("dc1")) == 0:
        raise ConfigError("there would be no copies at all", where, "replicas")


# --- as a file


def load_cluster_file(path: Path) -> ClusterFile:
    """Paths in it are absolute then, or as relative as `path`. ConfigError, or OSError."""
    cluster = _cluster(read_toml(path, is_secret=True), str(path))
    tls = cluster.tls.below(path.parent) if cluster.tls is not None else None
    return replace(cluster, tls=tls)


def decode_cluster_file(text: str, where: str) -> ClusterFile:
    """Of what `encode_cluster_file` wrote somewhere else. ConfigError."""
    return _cluster(parse_toml(text, where), where)


def _cluster(document: dict[str, Any], where: str) -> ClusterFile:
    fields = TomlFields(where, document)
    if (found := fields.integer("format", 1, 1 << 31)) != FORMAT:
        raise fields.error("format", f"{found} is not known here, only {FORMAT}")
    each = REPLICAS_DEFAULT
    replicas: tuple[tuple[str, int], ...] = ()
    if isinstance(document.get("replicas"), dict):
        replicas = _replicas(fields.table("replicas"))
    else:
        each = fields.integer("replicas", 1, REPLICAS_MAX, REPLICAS_DEFAULT)
    tls = _tls(fields.table("tls")) if "tls" in document else None
    cluster = ClusterFile(
        cluster_id=fields.hex("cluster_id", CLUSTER_ID_SIZE),
        secret=fields.hex("secret", SECRET_SIZE),
        partition_count=fields.integer("partitions", 1, SLOT_COUNT),
        key_seed=int.from_bytes(fields.hex("key_seed", KEY_SEED_SIZE), "big"),
        replicas_each=each,
        replicas=replicas,
        tls=tls,
    )
    fields.end()
    _check(cluster, where)
    return cluster


def _replicas(fields: TomlFields) -> tuple[tuple[str, int], ...]:
    names = sorted(fields.names())
    if not names:
        raise fields.error("", "it names no data centre")
    return tuple((name, fields.integer(name, 0, REPLICAS_MAX)) for name in names)


def _tls(fields: TomlFields) -> TlsFiles:
    files = TlsFiles(*(Path(fields.text(name)) for name in ("ca", "certificate", "key")))
    fields.end()
    return files


def encode_cluster_file(cluster: ClusterFile) -> str:
    lines = [
        HEAD,
        toml_line("format", FORMAT),
        toml_line("cluster_id", cluster.cluster_id.hex()),
        toml_line("secret", cluster.secret.hex()),
        toml_line("partitions", cluster.partition_count),
        toml_line("key_seed", cluster.key_seed.to_bytes(KEY_SEED_SIZE, "big").hex()),
    ]
    if cluster.replicas:
        lines.append("\n[replicas]\n")
        lines += [toml_line(toml_text(name), count) for name, count in cluster.replicas]
    else:
        lines.append(toml_line("replicas", cluster.replicas_each))
    if (tls := cluster.tls) is not None:
        lines.append("\n[tls]\n")
        for name, path in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key)):
            lines.append(toml_line(name, str(path)))
    return "".join(lines)


def save_cluster_file(path: Path, cluster: ClusterFile) -> None:
    """FileExistsError where there is one: a secret that is lost takes the cluster with it."""
    write_file(path, encode_cluster_file(cluster).encode())
