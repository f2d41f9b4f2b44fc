"""What becomes of a command before it begins: is it known, allowed, queued, or sent elsewhere?

The order of the checks and their texts are those of Redis. A command may be looked at twice before
it begins, so `find` changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.resp.commanding import Command, Shared, find_by_name, find_command
from lsmkv_cluster.resp.redirection import is_foreign, moved_to
from lsmkv_cluster.resp.replies import ErrorReply
from lsmkv_cluster.resp.session import Session

__all__ = ["Entrance", "Hold", "Queue"]


class Queue(NamedTuple):
    """To be carried out by EXEC."""

    command: Command


class Hold(NamedTuple):
    """What a command needs while it runs."""

    keys: list[bytes]
    is_exclusive: bool


class Entrance:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def find(self, session: Session, args: list[bytes]) -> Command | Queue | ErrorReply:
        found = find_command(self._shared.commands, args)
        if isinstance(found, ErrorReply):
            return found
        host = self._shared.host
        if host.has_users:
            if session.role is None and not found.is_for_strangers:
                return ErrorReply("NOAUTH Authentication required.")
            if session.role is not None and session.role < found.role:
                return ErrorReply(
                    f"NOPERM this user has no permissions to run the '{found.name}' command"
                )
        if session.is_cluster_port and not host.is_alone:
            elsewhere = moved_to(host, session, found.keys_in(args))
            if elsewhere is not None:
                return elsewhere
        if session.transaction is not None and not found.is_never_queued:
            return Queue(found)
        return found

    def refused(self, session: Session, error: ErrorReply) -> None:
        if session.transaction is not None:
            session.transaction.is_broken = True
        if error.text.startswith("MOVED "):
            self._shared.statistics.redirected += 1
        session.is_asking = False

    def begins(self, session: Session, command: Command, args: list[bytes]) -> Hold:
        """Of a transaction, the keys of all its commands."""
        statistics = self._shared.statistics
        statistics.commands += 1
        statistics.by_command[command.name] += 1
        session.last_command = command.name
        session.is_asking = False
        keys, is_exclusive = command.keys_in(args), command.writes
        if command.name == "exec" and session.transaction is not None:
            keys, is_exclusive = list(session.watched), True
            for name, queued in session.transaction.commands:
                keys += find_by_name(self._shared.commands, name).keys_in(queued)
        if session.is_cluster_port and is_foreign(self._shared.host, keys):
            statistics.proxied += 1
        return Hold(keys, is_exclusive)
