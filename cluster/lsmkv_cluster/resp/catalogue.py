"""The table of all commands: by name, in the order in which people look for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lsmkv_cluster.resp.cluster_table import CLUSTER
from lsmkv_cluster.resp.commanding import Command
from lsmkv_cluster.resp.keys_table import KEYS
from lsmkv_cluster.resp.parts_table import PARTS_ROWS
from lsmkv_cluster.resp.server_table import SERVER
from lsmkv_cluster.resp.strings_table import STRINGS

__all__ = ["COMMANDS"]

COMMANDS: Final[Mapping[str, Command]] = {
    row.name: row for row in (*STRINGS, *PARTS_ROWS, *KEYS, *SERVER, *CLUSTER)
}
