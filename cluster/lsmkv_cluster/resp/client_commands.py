"""CLIENT: what connections there are, and what they call themselves."""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.resp.commanding import CommandError, Turn
from lsmkv_cluster.resp.names import checked_name
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.redis_numbers import parse_integer
from lsmkv_cluster.resp.replies import OK, Reply, Verbatim
from lsmkv_cluster.resp.session import Session

__all__ = [
    "getname",
    "id_",
    "info",
    "kill",
    "list_",
    "maint_notifications",
    "no_evict",
    "setinfo",
    "setname",
]


def id_(turn: Turn, args: list[bytes]) -> Reply:
    return turn.session.id


def getname(turn: Turn, args: list[bytes]) -> Reply:
    return turn.session.name or None


def setname(turn: Turn, args: list[bytes]) -> Reply:
    turn.session.name = checked_name(args[2], "Client names")
    return OK


def setinfo(turn: Turn, args: list[bytes]) -> Reply:
    option = word(args[2])
    if option not in ("lib-name", "lib-ver"):
        raise CommandError(f"ERR Unrecognized option '{args[2].decode('latin-1')}'")
    value = checked_name(args[3], option)
    if option == "lib-name":
        turn.session.library = value
    else:
        turn.session.library_version = value
    return OK


def no_evict(turn: Turn, args: list[bytes]) -> Reply:
    """Nobody is evicted."""
    if word(args[2]) not in ("on", "off"):
        raise CommandError(SYNTAX_ERROR)
    return OK


def maint_notifications(turn: Turn, args: list[bytes]) -> Reply:
    """redis-py asks for them, and is content with an error."""
    raise CommandError("ERR there are no maintenance notifications")


def info(turn: Turn, args: list[bytes]) -> Reply:
    return Verbatim("txt", (_line(turn, turn.session) + "\n").encode("latin-1"))


def list_(turn: Turn, args: list[bytes]) -> Reply:
    sessions = [turn.shared.sessions[id] for id in sorted(turn.shared.sessions)]
    if len(args) > 2:
        chosen = _chosen(args[2:])
        sessions = [session for session in sessions if chosen(session)]
    lines = "".join(_line(turn, session) + "\n" for session in sessions)
    return Verbatim("txt", lines.encode("latin-1"))


def _chosen(args: list[bytes]) -> Callable[[Session], bool]:
    what = word(args[0])
    if what == "id" and len(args) > 1:
        ids = [parse_integer(arg) for arg in args[1:]]
        if None in ids:
            raise CommandError("ERR Invalid client ID")
        return lambda session: session.id in ids
    if what == "type" and len(args) == 2:
        type = word(args[1])
        if type not in ("normal", "master", "replica", "slave", "pubsub"):
            raise CommandError(f"ERR Unknown client type '{args[1].decode('latin-1')}'")
        return lambda session: type == "normal"
    raise CommandError(SYNTAX_ERROR)


def _line(turn: Turn, session: Session) -> str:
    now_ms, transaction = turn.wall_ms, session.transaction
    facts = {
        "id": session.id,
        "addr": session.address,
        "laddr": session.local_address,
        "fd": session.id,
        "name": session.name.decode("latin-1"),
        "age": max(0, now_ms - session.created_ms) // 1000,
        "idle": max(0, now_ms - session.last_ms) // 1000,
        "flags": "x" if transaction is not None else "N",
        "db": 0,
        "sub": 0,
        "psub": 0,
        "ssub": 0,
        "multi": len(transaction.commands) if transaction is not None else -1,
        "cmd": session.last_command or "NULL",
        "user": session.user,
        "redir": -1,
        "resp": session.protocol,
        "lib-name": session.library.decode("latin-1"),
        "lib-ver": session.library_version.decode("latin-1"),
    }
    return " ".join(f"{name}={value}" for name, value in facts.items())


def kill(turn: Turn, args: list[bytes]) -> Reply:
    """By address as in old times, or by any filters together."""
    if len(args) == 3:
        address = args[2].decode("latin-1")
        found = _others(turn, [lambda session: session.address == address], skips_me=False)
        if not found:
            raise CommandError("ERR No such client")
        turn.shared.close(found[0])
        return OK
    if len(args) % 2:
        raise CommandError(SYNTAX_ERROR)
    filters: list[Callable[[Session], bool]] = []
    skips_me = True
    for name, value in zip(args[2::2], args[3::2], strict=True):
        if word(name) == "skipme":
            if word(value) not in ("yes", "no"):
                raise CommandError(SYNTAX_ERROR)
            skips_me = word(value) == "yes"
        else:
            filters.append(_filter(word(name), value))
    found = _others(turn, filters, skips_me)
    for session in found:
        turn.shared.close(session)
    return len(found)


def _filter(name: str, value: bytes) -> Callable[[Session], bool]:
    text = value.decode("latin-1")
    match name:
        case "id":
            number = parse_integer(value)
            if number is None or number < 1:
                raise CommandError("ERR client-id should be greater than 0")
            return lambda session: session.id == number
        case "addr":
            return lambda session: session.address == text
        case "laddr":
            return lambda session: session.local_address == text
        case "user":
            return lambda session: session.user == text
        case "type":
            return _chosen([b"type", value])
        case _:
            raise CommandError(SYNTAX_ERROR)


def _others(turn: Turn, filters: list[Callable[[Session], bool]], skips_me: bool) -> list[Session]:
    return [
        session
        for session in turn.shared.sessions.values()
        if not session.is_closing
        and not (skips_me and session is turn.session)
        and all(each(session) for each in filters)
    ]
