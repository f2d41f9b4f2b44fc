"""What clients ask of real nodes. The prefix of a key says how it is used.

    s:  once written by SET, now and then read: it is there, for good
    e:  a set of elements in one value: read, joined with its siblings, written with the context
    r:  registers, written with the newest context that the session has, or now and then without
    q:  the same in a strict keyspace
    c:  counters
    d:  written, deleted by context or by key, and sometimes written anew

Every value that is written is another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lsmkv_cluster.resp.replies import Reply
from tests.cluster.processes.operations import Operation
from tests.cluster.processes.sessions import Session
from tests.sim.history import Ending

__all__ = ["COUNTERS", "STRICT_PREFIX", "Workload"]

STRICT_PREFIX = b"q:"
REGISTERS = 32
COUNTERS = 8
SETS = 8
ELEMENTS_MAX = 100  # of a set; then another one is begun
BLIND_SHARE = 0.1
PIPELINES = (1, 4, 16)  # commands in one
PADDING = b"." * 64

Step = Callable[["Workload", Session], Awaitable[None]]


class Workload:
    """`step` is one small piece of work of one session."""

    def __init__(self) -> None:
        self._count = 0
        self._written: list[bytes] = []  # keys of s:
        self._added = [0] * SETS

    async def step(self, session: Session) -> None:
        work: Step = session.random.choices(STEPS, WEIGHTS)[0]
        await work(self, session)

    def _next(self) -> int:
        self._count += 1
        return self._count

    # --- s:

    async def _set(self, session: Session) -> None:
        commands = []
        for _ in range(session.random.choice(PIPELINES)):
            n = self._next()
            key, value = b"s:%d" % n, b"v%d%b" % (n, PADDING)
            fields = {"verb": "set", "key": key, "value": value}
            commands.append(([b"SET", key, value], fields))
        for done, _ in await session.do_all(commands):
            session.ended(done)
            if done.is_done:
                self._written.append(done.key)

    async def _get(self, session: Session) -> None:
        if self._written:
            key = session.random.choice(self._written)
            done, reply = await session.do([b"GET", key], verb="get", key=key)
            done.seen = (reply,) if isinstance(reply, bytes) else ()
            session.ended(done)

    # --- e:

    async def _add_element(self, session: Session) -> None:
        place = session.random.randrange(SETS)
        key = b"e:%d:%d" % (place, self._added[place] // ELEMENTS_MAX)
        read = await self._read(session, key)
        if read.is_done:
            self._added[place] += 1
            elements = {element for value in read.seen for element in value.split()}
            value = b" ".join([*sorted(elements), b"u%d" % self._next()])
            await self._put(session, key, value, read.answer_context)

    # --- r:, q:

    async def _register(self, session: Session) -> None:
        await self._read_or_write(session, b"r:%d" % session.random.randrange(REGISTERS))

    async def _strict_register(self, session: Session) -> None:
        await self._read_or_write(session, b"q:%d" % session.random.randrange(REGISTERS))

    async def _read_or_write(self, session: Session, key: bytes) -> None:
        random, known = session.random, session.contexts
        if key not in known or random.random() < 0.4:
            done = await self._read(session, key)
        else:
            context = known[key] if random.random() >= BLIND_SHARE else b""
            done = await self._put(session, key, b"v%d" % self._next(), context)
        if done.is_done:
            known[key] = done.answer_context
        elif done.text.startswith("ERR too many"):
            del known[key]  # it has to read first

    async def _read(self, session: Session, key: bytes) -> Operation:
        done, reply = await session.do(
            [b"KV.GET", key], verb="get", key=key, is_strict=key.startswith(STRICT_PREFIX)
        )
        if isinstance(reply, list):
            context, values, _ = reply
            assert isinstance(context, bytes)
            assert isinstance(values, list)
            done.answer_context = context
            done.seen = tuple(value for value in values if isinstance(value, bytes))
        session.ended(done)
        return done

    async def _put(self, session: Session, key: bytes, value: bytes, context: bytes) -> Operation:
        args = [b"KV.PUT", key, value, *([b"CONTEXT", context] if context else [])]
        done, reply = await session.do(
            args, verb="put", key=key, value=value, context=context,
            is_strict=key.startswith(STRICT_PREFIX),
        )  # fmt: skip
        done.answer_context = _context(reply)
        session.ended(done)
        return done

    # --- c:

    async def _count_up(self, session: Session) -> None:
        key = b"c:%d" % session.random.randrange(COUNTERS)
        delta = b"%d" % session.random.randint(1, 1000)
        done, _ = await session.do([b"INCRBY", key, delta], verb="add", key=key, value=delta)
        session.ended(done)

    # --- d:

    async def _delete(self, session: Session) -> None:
        key = b"d:%d" % self._next()
        written = await self._put(session, key, b"v%d" % self._next(), b"")
        if not written.is_done:
            return
        context = written.answer_context
        if session.random.random() < 0.5:
            gone = await self._delete_by_context(session, key, context)
        else:
            gone = await self._delete_by_key(session, key, context)
        if gone.is_done and session.random.random() < 0.3:
            await self._put(session, key, b"v%d" % self._next(), gone.answer_context)

    async def _delete_by_context(self, session: Session, key: bytes, context: bytes) -> Operation:
        args = [b"KV.DEL", key, b"CONTEXT", context]
        done, reply = await session.do(args, verb="delete", key=key, context=context)
        done.answer_context = _context(reply)
        session.ended(done)
        return done

    async def _delete_by_key(self, session: Session, key: bytes, context: bytes) -> Operation:
        """There was one value, so that is what was deleted, if anything was."""
        done, reply = await session.do([b"DEL", key], verb="delete", key=key, context=context)
        if reply == 0:  # the read before it did not find the value: nothing was written
            done.ending = Ending.REFUSED
        done.answer_context = context if done.is_done else b""
        session.ended(done)
        return done


def _context(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b""


STEPS: list[Step] = [
    Workload._set,
    Workload._get,
    Workload._add_element,
    Workload._register,
    Workload._strict_register,
    Workload._count_up,
    Workload._delete,
]
WEIGHTS = [50, 10, 10, 10, 6, 8, 6]
