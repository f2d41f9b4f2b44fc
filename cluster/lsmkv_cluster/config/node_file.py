"""Who a node is: DATA/node.toml, written once, before the node first speaks to anybody.

    format = 1
    id = "00112233445566778899aabbccddeeff"
    name = "node-0011"

The id is random and never used again: a node that comes back without this file is another member.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from lsmkv_cluster.config.files import read_toml, write_file
from lsmkv_cluster.config.toml_fields import TomlFields, toml_line
from lsmkv_cluster.errors import ConfigError, TopologyError
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE, MemberId, check_name

__all__ = ["NODE_FILE", "NodeFile", "create_node_file", "load_node_file"]

FORMAT = 1
NODE_FILE = "node.toml"


@dataclass(frozen=True, slots=True)
class NodeFile:
    id: MemberId
    name: str


def load_node_file(data: Path) -> NodeFile | None:
    """Of the node with this data directory, None if there was none yet. ConfigError, OSError."""
    path = data / NODE_FILE
    try:
        document = read_toml(path)
    except FileNotFoundError:
        return None
    fields = TomlFields(str(path), document)
    if (found := fields.integer("format", 1, 1 << 31)) != FORMAT:
        raise fields.error("format", f"{found} is not known here, only {FORMAT}")
    node = NodeFile(fields.hex("id", MEMBER_ID_SIZE), fields.text("name"))
    fields.end()
    _check_name(node.name, str(path))
    return node


def create_node_file(data: Path, name: str = "") -> NodeFile:
    """A node that never was; empty name: one made of its id. FileExistsError where there is one
    already."""
    id = secrets.token_bytes(MEMBER_ID_SIZE)
    node = NodeFile(id, name or f"node-{id[:4].hex()}")
    _check_name(node.name, "")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [
        toml_line("format", FORMAT),
        toml_line("id", node.id.hex()),
        toml_line("name", node.name),
    ]
    write_file(data / NODE_FILE, "".join(lines).encode())
    return node


def _check_name(name: str, where: str) -> None:
    try:
        check_name("name", name)
    except TopologyError as error:
        raise ConfigError(str(error), where, "name") from error
