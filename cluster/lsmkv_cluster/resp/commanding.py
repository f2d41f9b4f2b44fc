"""What a command is: its row in the table, and what it is given when it runs.

    Command   name, arguments, keys, who may use it, what it means; and the function that runs it
    Turn      one run of a command: whose, when, and what it may ask
    Shared    what the commands of one process have in common

A command's function takes a Turn and the arguments, its own name first. It returns a reply, or is a
generator of queries: it yields one and is sent its answer, or a list and is sent a list. Nothing in
it does IO or looks at a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.ports import Random
from lsmkv_cluster.resp.host import Host
from lsmkv_cluster.resp.queries import Query
from lsmkv_cluster.resp.replies import ErrorReply, Reply
from lsmkv_cluster.resp.session import Levels, Session

__all__ = [
    "Command",
    "CommandError",
    "Keys",
    "NO_KEYS",
    "ONE_KEY",
    "Run",
    "Shared",
    "Statistics",
    "Steps",
    "Turn",
    "find_by_name",
    "find_command",
    "wrong_count",
]

SHOWN_SIZE_MAX = 128  # bytes of an unknown command in its error
_T = TypeVar("_T")

Steps = Generator[Query | Sequence[Query], Any, _T]
Run = Steps[Reply]


class CommandError(Exception):
    """Ends a command with an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.reply = ErrorReply(text)


class Keys(NamedTuple):
    """Where the keys stand among the arguments, as COMMAND says it: `last` may count from the end;
    0 0 0 is no keys."""

    first: int
    last: int
    step: int


NO_KEYS = Keys(0, 0, 0)
ONE_KEY = Keys(1, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """`name` is that of errors: "client|setname" of a subcommand. `arity` counts the name, and of a
    subcommand both; negative: at least so many. `alone` and `cluster` say what it
    promises in a node that is alone and in a cluster, for the documents. A `barrier` begins when
    all before it in its connection have been answered, and what comes after it waits."""

    name: str
    arity: int
    run: Callable[[Turn, list[bytes]], Reply | Run]
    role: Role
    group: str
    summary: str
    alone: str = "as in Redis"
    cluster: str = ""  # empty: as alone
    keys: Keys = NO_KEYS
    flags: tuple[str, ...] = ()
    is_barrier: bool = False
    is_for_strangers: bool = False  # before AUTH
    is_never_queued: bool = False  # by MULTI
    find_keys: Callable[[list[bytes]], list[bytes]] | None = None
    subcommands: Mapping[str, Command] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        return "write" in self.flags

    def fits(self, count: int) -> bool:
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    def keys_in(self, args: list[bytes]) -> list[bytes]:
        if self.find_keys is not None:
            return self.find_keys(args)
        first, last, step = self.keys
        if not first:
            return []
        end = last + 1 if last >= 0 else len(args) + last + 1
        return args[first:end:step]


def find_by_name(commands: Mapping[str, Command], name: str) -> Command:
    """KeyError when there is none."""
    outer, _, inner = name.partition("|")
    return commands[outer].subcommands[inner] if inner else commands[outer]


def find_command(commands: Mapping[str, Command], args: list[bytes]) -> Command | ErrorReply:
    """The command that is meant, if it is one and has as many arguments as it may."""
    found = commands.get(args[0].decode("latin-1").lower())
    if found is None:
        return ErrorReply(_unknown(args))
    if found.subcommands and len(args) > 1:
        inner = found.subcommands.get(args[1].decode("latin-1").lower())
        if inner is None:
            shown = args[1].decode("latin-1")[:SHOWN_SIZE_MAX]
            return ErrorReply(
                f"ERR unknown subcommand '{_shown(shown)}'. Try {found.name.upper()} HELP."
            )
        found = inner
    if not found.fits(len(args)):
        return ErrorReply(wrong_count(found.name))
    return found


def wrong_count(name: str) -> str:
    """Of the arguments of a command, in Redis's words."""
    return f"ERR wrong number of arguments for '{name}' command"


def _unknown(args: list[bytes]) -> str:
    text = ""
    for arg in args[1:]:
        if len(text) >= SHOWN_SIZE_MAX:
            break
        text += f"'{arg.decode('latin-1')[: SHOWN_SIZE_MAX - len(text)]}' "
    name = args[0].decode("latin-1")[:SHOWN_SIZE_MAX]
    return f"ERR unknown command '{_shown(name)}', with args beginning with: {_shown(text)}"


def _shown(text: str) -> str:
    """An error is one line."""
    return text.replace("\r", " ").replace("\n", " ")


@dataclass(slots=True)
class Statistics:
    """Since the process began."""

    commands: int = 0
    by_command: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)  # by their kind
    connections: int = 0
    hits: int = 0
    misses: int = 0
    proxied: int = 0  # commands of cluster clients for keys of others
    redirected: int = 0

    def clear(self) -> None:
        self.commands = self.connections = self.hits = self.misses = 0
        self.proxied = self.redirected = 0
        self.by_command.clear()
        self.errors.clear()


@dataclass(slots=True)
class Shared:
    commands: Mapping[str, Command]
    host: Host
    rng: Random
    sessions: dict[int, Session] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)
    to_close: list[Session] = field(default_factory=list)
    cache: dict[str, tuple[object, Reply]] = field(default_factory=dict)  # what -> (of when, reply)

    def close(self, session: Session) -> None:
        """Behind the replies that are due; nothing more is carried out for it."""
        session.is_closing = True
        self.to_close.append(session)


@dataclass(slots=True, eq=False)
class Turn:
    """`wall_ms` is the time of the last thing that happened; `levels` are those that held for the
    connection when the command came."""

    session: Session
    shared: Shared
    wall_ms: int
    is_alone: bool
    levels: Levels

    @property
    def host(self) -> Host:
        return self.shared.host

    def is_exact(self, key: bytes) -> bool:
        """Whether what depends on the present value of a key may be served."""
        return self.is_alone or self.host.topology.keyspace_of(key).best_effort

    def note_lookup(self, found: bool) -> None:
        if found:
            self.shared.statistics.hits += 1
        else:
            self.shared.statistics.misses += 1

    def request(
        self,
        verb: Verb,
        key: bytes,
        values: tuple[bytes, ...] = (),
        *,
        context: bytes = b"",
        delta: int = 0,
        expiry_ms: int = 0,
        wants_context: bool = False,
    ) -> ClientRequest:
        read, write, mode = self.levels
        return ClientRequest(
            verb, key, values, context, delta, expiry_ms, read, write, mode, wants_context
        )
