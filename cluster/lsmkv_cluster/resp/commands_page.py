"""The table of commands as a page for people (docs/commands.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lsmkv_cluster.resp.commanding import Command
from lsmkv_cluster.resp.server_identity import REDIS_VERSION

__all__ = ["commands_page"]

GROUPS = {
    "string": "Strings",
    "set": "Sets",
    "hash": "Hashes",
    "generic": "Keys",
    "transactions": "Transactions",
    "connection": "Connections",
    "server": "The server",
    "cluster": "Cluster clients",
    "scripting": "Scripts",
    "kv": "Beyond Redis",
}

HEAD = f"""# Commands

Made from the table of commands; with `--rewrite` tests/cluster/resp/test_commands_page.py makes it
anew. Names, arguments and error texts are those of Redis {REDIS_VERSION}; tests compare them.

**Alone** is a node that is the only member: commands are atomic, one after the other for each key.
**Cluster** is everything else. No command there is linearizable. A value is read and written at the
levels of its keyspace (`KV.KEYSPACE`), of the connection (`KV.CONSISTENCY`) or of the request
(`KV.GET`, `KV.PUT`). In the column of clusters

- **read** is what enough copies have; of values written at the same time the newest;
- **overwrite** takes the place of all that its coordinator knows;
- **read and write** is a read, and a write that knows what was read. What others write meanwhile is
  taken into account, three times at most; then both stay, for the keyspace to resolve;
- **counter** merges: no increment is lost. A key that expires is counted by read and write;
- **merge** changes parts and leaves the others as they are, also those that somebody changes at the
  same time: an add wins over a remove that has not seen it, and of two values of a field the newer
  is read. A remove takes away what its coordinator knows;
- **best effort** is refused, unless the keyspace is `BESTEFFORT`; then it is read and write, and
  two clients may both succeed;
- **in order** is one after the other, and one answer: neither atomic nor isolated.

What was not done is told by the error. `NOREPLICAS` (too few can be reached; nothing was written)
and `UNKNOWN` (it may have been written) say how many answered of how many. After `LOADING` (it is
not ready), `BUSY` (it has too much to do) and `MISCONF` (its disk) nothing was written.

**Role** is what a user needs, where there are users. A key has at most 64 KiB, a value 8 MiB. There
is one database, 0. What expires is not read from then on, by the clock of the node that reads.

SCAN cursors are places in the order of keys, below 2^53: any node goes on with the cursor of any
other, and what stays while a scan runs is seen once. On the cluster port a node lists the slots of
which it is the master, as cluster clients go through all nodes.

A set or a hash is one record of up to 15 MiB, and a command takes 4096 elements, fields and values
at most. They do not expire, and are neither copied nor renamed: the error says so.

Not there: lists, sorted sets, other commands of sets and hashes, streams, bitmaps, publish and
subscribe, replication, modules, other scripts than those of redis-py's `Lock`.
"""

TAIL = """
```
KV.GET key [R level]                                     -> [context, [value ...], type]
KV.PUT key value [CONTEXT context|OVERWRITE] [W level] [STRICT|SLOPPY]        -> context
KV.DEL key [CONTEXT context] [W level] [STRICT|SLOPPY]                        -> context
KV.EXPLAIN key
KV.CONSISTENCY [DEFAULT] [READ level] [WRITE level] [STRICT|SLOPPY]
KV.KEYSPACE SET prefix [R level] [W level] [STRICT|SLOPPY]
                [RESOLVE siblings|lww|counter|set|map] [BESTEFFORT|EXACT]
KV.KEYSPACE LIST | DROP prefix
KV.CLUSTER STATUS | HINTS | MOVES | KEYSPACES | EXPLAIN key | RING [key|slot]
KV.CLUSTER REPAIR [partition|PROGRESS]
KV.CLUSTER PLAN change | CHANGE change [FORCE] | JOIN member [STAGED]
```

A level is ONE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM or a number. A PUT without context has seen
nothing: it stays beside what is there. `type` is string, counter, set, map (field, value, ...) or
none. Changes and members of KV.CLUSTER are JSON: cluster/lsmkv_cluster/resp/change_json.py.
"""


def commands_page(commands: Mapping[str, Command]) -> str:
    rows = [row for command in commands.values() for row in _rows(command)]
    parts = [HEAD]
    for group, title in GROUPS.items():
        lines = [_line(row) for row in rows if row.group == group]
        parts.append("\n".join([f"\n## {title}\n", *_HEADING, *lines, ""]))
    return "".join([*parts, TAIL])


_HEADING = ("| Command | What | Role | Alone | Cluster |", "| --- | --- | --- | --- | --- |")


def _rows(command: Command) -> Iterable[Command]:
    """A container's subcommands instead of itself, unless it does something without one."""
    inner = [row for row in command.subcommands.values() if not row.name.endswith("|help")]
    return [command, *inner] if not inner or command.arity == -1 else inner


def _line(row: Command) -> str:
    name = row.name.upper().replace("|", " ")
    cluster = row.cluster or "the same"
    return f"| `{name}` | {row.summary} | {row.role.name.lower()} | {row.alone} | {cluster} |"
