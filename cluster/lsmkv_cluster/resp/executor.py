"""Runs the commands of all connections of a process. Sans IO: knows nothing but what it is told.

    submit, answered, closed -> [ executor ] -> take_asks, take_replies

What holds:
- the replies of a connection come in the order of its commands;
- commands of a connection overlap, unless one of them writes a key that the other names, or is a
  barrier: so each sees what those before it did;
- in a node that is alone that goes for all connections together: whoever writes a key has it alone
  from the first look to the last write, and so commands are atomic, whatever they take;
- what has begun is finished, though its client may be gone;
- one answer is owed for each query, and nothing is asked twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable, Mapping, Sequence
from types import GeneratorType
from typing import Any, NamedTuple, cast

from lsmkv_cluster.ports import Now, Random
from lsmkv_cluster.resp.catalogue import COMMANDS
from lsmkv_cluster.resp.commanding import Command, CommandError, Shared, Statistics, Turn
from lsmkv_cluster.resp.entrance import Entrance, Queue
from lsmkv_cluster.resp.host import Host
from lsmkv_cluster.resp.key_locks import Claim, KeyLocks
from lsmkv_cluster.resp.queries import Answer, Asking, Failed, Query
from lsmkv_cluster.resp.replies import ErrorReply, Reply
from lsmkv_cluster.resp.session import Queued, Session

__all__ = ["Executor", "Ready"]


class Ready(NamedTuple):
    """Replies for a connection, to be written in this version of the protocol. `closes`: then it
    ends, and what it sends is not read any more."""

    session: Session
    protocol: int
    replies: list[Reply]
    closes: bool = False


class _Slot:
    """The place of one reply."""

    __slots__ = ("is_done", "reply")

    def __init__(self) -> None:
        self.is_done = False
        self.reply: Reply = None


class _Line:
    """One connection: what waits to begin, and the replies that are owed."""

    __slots__ = ("backlog", "is_blocked", "is_gone", "running", "session", "slots")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.backlog: deque[list[bytes]] = deque()
        self.slots: deque[_Slot] = deque()
        self.running = 0
        self.is_blocked = False  # by a barrier that runs
        self.is_gone = False


class _Task:
    """One command under way."""

    __slots__ = ("answers", "args", "claim", "command", "line", "missing", "run", "slot", "turn")

    def __init__(
        self, line: _Line, slot: _Slot, command: Command, args: list[bytes], turn: Turn
    ) -> None:
        self.line = line
        self.slot = slot
        self.command = command
        self.args = args
        self.turn = turn
        self.claim: Claim | None = None
        self.run: Generator[Query | Sequence[Query], Any, Reply] | None = None
        self.answers: list[Answer | None] | None = None  # of a list of queries
        self.missing = 0


class Executor:
    def __init__(self, host: Host, rng: Random, commands: Mapping[str, Command] = COMMANDS) -> None:
        self._host = host
        self._shared = Shared(commands, host, rng)
        self._entrance = Entrance(self._shared)
        self._lines: dict[int, _Line] = {}
        self._locks = KeyLocks()
        self._open: dict[int, tuple[_Task, int]] = {}
        self._begun: deque[tuple[_Task, object]] = deque()  # what is to be carried on, with what
        self._next_token = 0
        self._asks: list[Asking] = []
        self._ready: list[Ready] = []
        self._wall_ms = 0

    @property
    def statistics(self) -> Statistics:
        return self._shared.statistics

    @property
    def sessions(self) -> Mapping[int, Session]:
        return self._shared.sessions

    def pending(self, session: Session) -> int:
        """How many commands of a connection are owed a reply: who reads it may want to wait."""
        line = self._lines.get(session.id)
        return len(line.slots) + len(line.backlog) if line else 0

    @property
    def held_keys(self) -> KeyLocks:
        """Keys that commands under way have, in a node that is alone."""
        return self._locks

    def is_free(self, session: Session, key: bytes) -> bool:
        """Whether a plain GET or SET may be carried out around the executor, in a node that is
        alone: nobody holds the key, and nothing of the connection is outstanding."""
        return key not in self._locks and session.transaction is None and not self.pending(session)

    # --- what comes in

    def opened(self, session: Session) -> None:
        """A connection that may not have sent anything yet."""
        if session.id not in self._lines:
            self._lines[session.id] = _Line(session)
            self._shared.sessions[session.id] = session
            self._shared.statistics.connections += 1

    def submit(self, session: Session, args: list[bytes], now: Now) -> None:
        """One command; `args` is not empty."""
        self._wall_ms = now.wall_ms
        line = self._lines.get(session.id)
        if line is None:
            self.opened(session)
            line = self._lines[session.id]
        if not session.is_closing:
            line.backlog.append(args)
            self._pump(line)
            self._work()

    def answered(self, token: int, answer: Answer, now: Now) -> None:
        self._wall_ms = now.wall_ms
        task, index = self._open.pop(token)
        if task.answers is None:
            self._begun.append((task, answer))
        else:
            task.answers[index] = answer
            task.missing -= 1
            if task.missing:
                return
            answers, task.answers = task.answers, None
            self._begun.append((task, answers))
        self._work()

    def closed(self, session: Session) -> None:
        """The client is gone. What has not begun never will."""
        session.is_closing = True
        line = self._lines.pop(session.id, None)
        self._shared.sessions.pop(session.id, None)
        if line is not None:
            line.is_gone = True
            line.backlog.clear()
            line.slots.clear()

    # --- what goes out

    def take_asks(self) -> list[Asking]:
        asks, self._asks = self._asks, []
        return asks

    @property
    def has_replies(self) -> bool:
        return bool(self._ready)

    def take_replies(self) -> list[Ready]:
        ready, self._ready = self._ready, []
        return ready

    # --- how a command goes

    def _pump(self, line: _Line) -> None:
        """Begin what may begin."""
        while line.backlog and not line.is_blocked and not line.session.is_closing:
            args = line.backlog[0]
            found = self._entrance.find(line.session, args)
            is_barrier = isinstance(found, Command) and found.is_barrier
            if is_barrier and line.running:
                return
            line.backlog.popleft()
            self._begin(line, args, found, is_barrier)

    def _begin(
        self, line: _Line, args: list[bytes], found: Command | Queue | ErrorReply, blocks: bool
    ) -> None:
        session = line.session
        session.last_ms = self._wall_ms
        slot = _Slot()
        line.slots.append(slot)
        if isinstance(found, ErrorReply):
            self._entrance.refused(session, found)
            self._fill(line, slot, found)
            return
        if isinstance(found, Queue):
            assert session.transaction is not None
            session.transaction.commands.append(Queued(found.command.name, args))
            self._fill(line, slot, "QUEUED")
            return
        hold = self._entrance.begins(session, found, args)
        is_alone = self._host.is_alone
        turn = Turn(session, self._shared, self._wall_ms, is_alone, session.levels)
        task = _Task(line, slot, found, args, turn)
        line.running += 1
        line.is_blocked = blocks
        if hold.keys:
            keys: list[Hashable] = [*hold.keys]
            if not is_alone:
                keys = [(session.id, key) for key in keys]
            task.claim = Claim(task, keys, hold.is_exclusive)
            if not self._locks.take(task.claim):
                return
        self._begun.append((task, None))

    def _work(self) -> None:
        """Carry on until everything waits for an answer."""
        while self._begun:
            task, value = self._begun.popleft()
            task.turn.wall_ms = self._wall_ms
            try:
                if task.run is None:
                    result = task.command.run(task.turn, task.args)
                    if not isinstance(result, GeneratorType):  # cheaper than its abstract class
                        self._finish(task, cast("Reply", result))
                        continue
                    task.run = result
                    query = next(result)
                elif (failed := _failure(value)) is not None:
                    query = task.run.throw(CommandError(failed.text))
                else:
                    query = task.run.send(value)
            except StopIteration as stop:
                self._finish(task, stop.value)
            except CommandError as error:
                self._finish(task, error.reply)
            else:
                self._ask(task, query)
        while self._shared.to_close:
            self._close(self._shared.to_close.pop())

    def _ask(self, task: _Task, query: Query | Sequence[Query]) -> None:
        timeout_ms, client = self._host.timeout_ms, task.turn.session.id
        queries = query if isinstance(query, (list, tuple)) else None
        if queries is not None:
            task.answers = [None] * len(queries)
            task.missing = len(queries)
            assert queries
        for index, each in enumerate(queries if queries is not None else [query]):
            self._next_token += 1
            self._open[self._next_token] = (task, index)
            self._asks.append(Asking(self._next_token, each, timeout_ms, client))

    def _finish(self, task: _Task, reply: Reply) -> None:
        line = task.line
        line.running -= 1
        line.is_blocked = False
        if task.claim is not None:
            for claim in self._locks.release(task.claim):
                owner = claim.owner
                assert isinstance(owner, _Task)
                self._begun.append((owner, None))
        if not line.is_gone:
            self._fill(line, task.slot, reply)
            if line.backlog:
                self._pump(line)

    def _fill(self, line: _Line, slot: _Slot, reply: Reply) -> None:
        if isinstance(reply, ErrorReply):
            self.statistics.errors[reply.text.partition(" ")[0]] += 1
        slot.is_done = True
        slot.reply = reply
        slots, session = line.slots, line.session
        if slots[0] is not slot:
            return
        last = self._ready[-1] if self._ready else None
        if last is None or last.session is not session or last.protocol != session.protocol:
            last = Ready(session, session.protocol, [])
            self._ready.append(last)
        while slots and slots[0].is_done:
            last.replies.append(slots.popleft().reply)

    def _close(self, session: Session) -> None:
        """After the replies that are there; nothing follows."""
        session.is_closing = True
        line = self._lines.get(session.id)
        if line is not None and not line.is_gone:
            line.is_gone = True
            line.backlog.clear()
            line.slots.clear()
            self._ready.append(Ready(session, session.protocol, [], closes=True))


def _failure(value: object) -> Failed | None:
    """Of one answer, or the first of several."""
    if isinstance(value, Failed):
        return value
    if isinstance(value, list):
        return next((answer for answer in value if isinstance(answer, Failed)), None)
    return None
