"""The cluster: machines without sockets, clocks, threads or files, on top of the lsmkv engine.

What is no client, server or command is a pure function or a machine that is told the time and its
inputs and says what is to be done. The order of the modules stands in tests/cluster/test_layers.py.

Programs use these names, which are looked up when they are first used:

    Client, AsyncClient    talk to a cluster
    Item, NOTHING_SEEN     what was read, and the context of who has read nothing
    Refused, Unknown       nothing was written; it may have been
    SiblingsError          several values, and nobody to choose
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmkv_cluster.client.async_client import AsyncClient
    from lsmkv_cluster.client.blocking_client import Client
    from lsmkv_cluster.client.items import NOTHING_SEEN, Item, SiblingsError
    from lsmkv_cluster.client.outcomes import Refused, Unknown

__all__ = [
    "AsyncClient",
    "Client",
    "Item",
    "NOTHING_SEEN",
    "Refused",
    "SiblingsError",
    "Unknown",
]

_HOMES = {
    "AsyncClient": "async_client",
    "Client": "blocking_client",
    "Item": "items",
    "NOTHING_SEEN": "items",
    "Refused": "outcomes",
    "SiblingsError": "items",
    "Unknown": "outcomes",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.client.{home}"), name)
