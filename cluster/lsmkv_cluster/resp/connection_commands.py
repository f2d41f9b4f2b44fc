"""HELLO, AUTH, PING, SELECT, QUIT and the like: about the connection itself."""

from __future__ import annotations

from lsmkv_cluster.resp.commanding import CommandError, Run, Steps, Turn, wrong_count
from lsmkv_cluster.resp.names import checked_name
from lsmkv_cluster.resp.options import NOT_AN_INTEGER, SYNTAX_ERROR, word
from lsmkv_cluster.resp.queries import LoggedIn, Login
from lsmkv_cluster.resp.redis_numbers import parse_integer
from lsmkv_cluster.resp.replies import OK, Reply
from lsmkv_cluster.resp.server_identity import REDIS_VERSION, mode_of

__all__ = ["auth", "echo", "hello", "ping", "quit_", "reset", "select"]

PROTOCOLS = (2, 3)
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."


def hello(turn: Turn, args: list[bytes]) -> Run:
    session = turn.session
    protocol = session.protocol
    if len(args) > 1:
        number = parse_integer(args[1])
        if number is None:
            raise CommandError("ERR Protocol version is not an integer or out of range")
        if number not in PROTOCOLS:
            raise CommandError("NOPROTO unsupported protocol version")
        protocol = number
    name, rest = None, iter(args[2:])
    for option in rest:
        if word(option) == "auth":
            user, password = next(rest, None), next(rest, None)
            if user is None or password is None:
                raise CommandError(_bad_option(option))
            yield from _log_in(turn, user, password)
        elif word(option) == "setname" and (given := next(rest, None)) is not None:
            name = checked_name(given, "Client names")
        else:
            raise CommandError(_bad_option(option))
    if turn.host.has_users and session.role is None:
        raise CommandError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
            "select the RESP protocol version at the same time"
        )
    if name is not None:
        session.name = name
    session.protocol = protocol
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": protocol,
        b"id": session.id,
        b"mode": mode_of(session).encode(),
        b"role": b"master",
        b"modules": [],
    }


def _bad_option(option: bytes) -> str:
    return f"ERR Syntax error in HELLO option '{option.decode('latin-1')}'"


def auth(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 3:
        raise CommandError(SYNTAX_ERROR)
    if len(args) == 2 and not turn.host.has_users:
        raise CommandError(
            "ERR AUTH <password> called without any password configured for the default user. Are "
            "you sure your configuration is correct?"
        )
    user = args[1] if len(args) == 3 else b"default"
    yield from _log_in(turn, user, args[-1])
    return OK


def _log_in(turn: Turn, user: bytes, password: bytes) -> Steps[None]:
    name = user.decode("utf-8", "replace")
    if not turn.host.has_users:
        if name != "default":  # who needs no password has any
            raise CommandError(WRONG_PASSWORD)
        return
    answer: LoggedIn = yield Login(name, password)
    if answer.role is None:
        raise CommandError(WRONG_PASSWORD)
    turn.session.user = name
    turn.session.role = answer.role


def ping(turn: Turn, args: list[bytes]) -> Reply:
    if len(args) > 2:
        raise CommandError(wrong_count("ping"))
    return args[1] if len(args) == 2 else "PONG"


def echo(turn: Turn, args: list[bytes]) -> Reply:
    return args[1]


def select(turn: Turn, args: list[bytes]) -> Reply:
    number = parse_integer(args[1])
    if number is None or not -(1 << 31) <= number < 1 << 31:
        raise CommandError(NOT_AN_INTEGER)
    if number and turn.session.is_cluster_port:
        raise CommandError("ERR SELECT is not allowed in cluster mode")
    if number:
        raise CommandError("ERR DB index is out of range")
    return OK


def quit_(turn: Turn, args: list[bytes]) -> Reply:
    turn.shared.close(turn.session)
    return OK


def reset(turn: Turn, args: list[bytes]) -> Reply:
    turn.session.reset()
    return "RESET"
