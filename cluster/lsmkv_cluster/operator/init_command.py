"""`lsmkv cluster init | certificate | passwd`: what is made before the first node starts."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lsmkv.cli.arguments import Commands, UsageError, add_command, add_json
from lsmkv.cli.output import Output, note
from lsmkv_cluster.config.cluster_file import (
    REPLICAS_DEFAULT,
    ClusterFile,
    load_cluster_file,
    new_cluster,
    save_cluster_file,
)
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.settings import CLUSTER_FILE
from lsmkv_cluster.config.users import user_line
from lsmkv_cluster.operator.asking_nodes import read_password
from lsmkv_cluster.operator.certificate_files import (
    RELATIVE,
    NodeHosts,
    add_node,
    make_authority,
    parse_node_hosts,
)
from lsmkv_cluster.placement.slots import PARTITION_COUNT_DEFAULT

__all__ = ["register"]


def register(group: Commands) -> None:
    """Adds them to the commands of `lsmkv cluster`."""
    init = add_command(
        group,
        "init",
        run_init,
        "make the file that a new cluster starts from",
        "It holds the id and the secret of the cluster; give it to every node.",
        database=False,
    )
    init.add_argument(
        "--replicas",
        metavar="N|DC=N,...",
        default=str(REPLICAS_DEFAULT),
        help=f"copies in each data centre (default: {REPLICAS_DEFAULT})",
    )
    init.add_argument(
        "--partitions",
        metavar="P",
        type=int,
        default=PARTITION_COUNT_DEFAULT,
        help=f"a power of two, for good (default: {PARTITION_COUNT_DEFAULT})",
    )
    init.add_argument("--tls", action="store_true", help="make an authority and certificates, too")
    init.add_argument(
        "--node",
        metavar="NAME[=HOST,...]",
        action="append",
        default=[],
        help="with --tls: a node, and where clients find it; may be repeated",
    )
    init.add_argument("--out", metavar="FILE", default=CLUSTER_FILE, help="default: %(default)s")
    add_json(init)

    certificate = add_command(
        group,
        "certificate",
        run_certificate,
        "make the certificate of one more node",
        "Where the key of the authority lies, which no node needs.",
        database=False,
    )
    certificate.add_argument("node", metavar="NAME[=HOST,...]", help="and where clients find it")
    certificate.add_argument(
        "--cluster-file", metavar="FILE", default=CLUSTER_FILE, help="default: %(default)s"
    )

    passwd = add_command(
        group,
        "passwd",
        run_passwd,
        "print a line for the file of users",
        "Asks for the password, or reads it from standard input.",
        database=False,
    )
    passwd.add_argument("name", metavar="NAME", help="AUTH with a password alone means default")
    roles = [role.name.lower() for role in Role]
    passwd.add_argument("--role", choices=roles, default=roles[0], help="default: %(default)s")


def run_init(arguments: argparse.Namespace) -> int:
    path = Path(arguments.out)
    nodes = [parse_node_hosts(text) for text in arguments.node]
    if nodes and not arguments.tls:
        raise UsageError("--node goes with --tls")
    cluster = _new_cluster(arguments)
    if path.exists():
        raise FileExistsError(17, "there is a cluster already", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if arguments.tls:
        cluster = _with_certificates(path, cluster, nodes)
    save_cluster_file(path, cluster)
    _tell(arguments, path, cluster, nodes)
    return 0


def _new_cluster(arguments: argparse.Namespace) -> ClusterFile:
    each, replicas = parse_replicas(arguments.replicas)
    return new_cluster(partition_count=arguments.partitions, replicas_each=each, replicas=replicas)


def parse_replicas(text: str) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Copies where data centres are not listed, and the list; UsageError for anything else."""
    try:
        if "=" not in text:
            return int(text), ()
        pairs = [item.partition("=") for item in text.split(",")]
        return REPLICAS_DEFAULT, tuple((dc, int(count)) for dc, _, count in pairs)
    except ValueError:
        raise UsageError(f"--replicas {text}: a number, or DC=N,DC=N") from None


def _with_certificates(path: Path, cluster: ClusterFile, nodes: list[NodeHosts]) -> ClusterFile:
    now = datetime.now(UTC)
    make_authority(path.parent, cluster, now)
    placed = replace(cluster, tls=RELATIVE.below(path.parent))
    for node in nodes:
        add_node(placed, node, now)
    return replace(cluster, tls=RELATIVE)


def _tell(
    arguments: argparse.Namespace, path: Path, cluster: ClusterFile, nodes: list[NodeHosts]
) -> None:
    output = Output()
    if arguments.json:
        output.json(
            {
                "file": str(path),
                "cluster_id": cluster.cluster_id.hex(),
                "partitions": cluster.partition_count,
                "replicas": dict(cluster.replicas) or cluster.replicas_each,
                "tls": cluster.tls is not None,
                "nodes": [node.name for node in nodes],
            }
        )
        return
    output.line(f"cluster {cluster.cluster_id.hex()}: {path}")
    name = nodes[0].name if nodes else "n1"
    output.line(f"lsmkv serve --data {name} --node-id {name} --cluster-file {path}")
    if cluster.tls is not None:
        note(f"{path.parent / 'tls' / 'ca.key'} makes nodes of this cluster: keep it elsewhere")


def run_certificate(arguments: argparse.Namespace) -> int:
    node = parse_node_hosts(arguments.node)
    cluster = load_cluster_file(Path(arguments.cluster_file))
    files = add_node(cluster, node, datetime.now(UTC))
    output = Output()
    output.line(str(files.certificate))
    output.line(str(files.key))
    return 0


def run_passwd(arguments: argparse.Namespace) -> int:
    line = user_line(arguments.name, Role[arguments.role.upper()], _password())
    Output().line(line)
    return 0


def _password() -> bytes:
    password = read_password("password: ")
    if sys.stdin.isatty() and read_password("again: ") != password:
        raise UsageError("the two differ")
    return password
