"""What clients ask for: seeded requests with values that never come twice.

A key's name says how it is used: `c:counter:`, `c:set:` and `c:map:` by the verbs of their types,
all others by PUT, SET, DELETE and GET. A session remembers the newest context it got for each key,
gives it back with most writes, and some sessions with every read. Some writes expire.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from tests.sim.options import Options

__all__ = ["Planned", "Session", "Workload"]

ELEMENTS = 6
FIELDS = 3
SWITCH_SHARE = 0.15
LIFE_MS = (50, 10_000)  # of what expires; most of it is short
MAY_EXPIRE = (Verb.PUT, Verb.SET, Verb.ADD_ELEMENTS, Verb.PUT_FIELDS)
LEVELS = (
    Consistency(Level.ONE),
    Consistency(Level.QUORUM),
    Consistency(Level.ALL),
    Consistency(Level.LOCAL_QUORUM),
    Consistency(Level.EACH_QUORUM),
    Consistency(Level.COUNT, 2),
)


@dataclass
class Session:
    number: int
    home: int  # the machine it talks to
    gives_context: bool  # with reads
    contexts: dict[bytes, bytes] = field(default_factory=dict)
    values: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    request: ClientRequest
    machine: int


class Workload:
    def __init__(self, options: Options, random: Random) -> None:
        self._options = options
        self._random = random
        self._count = 0
        self._written: set[bytes] = set()  # and not deleted since, if all calls are carried out
        self._machines = list(range(options.nodes))
        self.sessions = [
            Session(number, random.randrange(options.nodes), random.random() < 0.5)
            for number in range(options.sessions)
        ]

    def next(self, session: Session, now_ms: int) -> Planned:
        random = self._random
        if random.random() < SWITCH_SHARE:
            self.failed(session)
        key = self._options.keys[random.randrange(len(self._options.keys))]
        self._count += 1
        if random.random() < self._options.write_share:
            request = self._expiring(self._write(session, key), now_ms)
        else:
            context = session.contexts.get(key, b"") if session.gives_context else b""
            request = ClientRequest(Verb.GET, key, context=context, read=self._level())
        return Planned(request, session.home)

    def use(self, machine: int) -> None:
        self._machines.append(machine)

    def avoid(self, machine: int) -> None:
        """No session talks to it from now on."""
        self._machines.remove(machine)
        for session in self.sessions:
            if session.home == machine:
                self.failed(session)

    def failed(self, session: Session) -> None:
        """Its machine could not be reached: it takes another one."""
        session.home = self._random.choice(self._machines)

    def _level(self) -> Consistency | None:
        if self._random.random() >= self._options.override_share:
            return None
        return LEVELS[self._random.randrange(len(LEVELS))]

    def _value(self) -> bytes:
        text = b"v%d." % self._count
        return text + b"x" * max(0, self._options.value_size - len(text))

    def _write(self, session: Session, key: bytes) -> ClientRequest:
        if key.startswith(b"c:counter:"):
            return self._increment(key)
        if key.startswith(b"c:set:"):
            return self._set_write(key)
        if key.startswith(b"c:map:"):
            return self._map_write(key)
        random, level = self._random, self._level()
        context = session.contexts.get(key, b"")
        if random.random() < self._options.blind_share:
            context = b""
        choice = random.random()
        if self._is_to_be_deleted(key, choice):
            return ClientRequest(Verb.DELETE, key, context=context, write=level)
        if choice < 0.35:
            return ClientRequest(Verb.SET, key, (self._value(),), write=level)
        return ClientRequest(Verb.PUT, key, (self._value(),), context=context, write=level)

    def _is_to_be_deleted(self, key: bytes, choice: float) -> bool:
        if not self._options.deletes_all:
            return choice < 0.15
        was_written = key in self._written
        self._written ^= {key}
        return was_written

    def _expiring(self, request: ClientRequest, now_ms: int) -> ClientRequest:
        """By the client's clock, which is right."""
        if request.verb not in MAY_EXPIRE or not self._options.expiry_share:
            return request
        random, (low, high) = self._random, LIFE_MS
        if random.random() >= self._options.expiry_share:
            return request
        life_ms = low + int(random.random() ** 2 * (high - low))
        return replace(request, expiry_ms=now_ms + life_ms)

    def _increment(self, key: bytes) -> ClientRequest:
        """Deltas are positive and differ, so that a mint tells whose it is."""
        delta = self._count * 1000 + self._random.randrange(1000)
        return ClientRequest(Verb.INCREMENT, key, delta=delta, write=self._level())

    def _set_write(self, key: bytes) -> ClientRequest:
        random = self._random
        if random.random() < 0.25:
            names = (b"e%d" % random.randrange(ELEMENTS),)
            return ClientRequest(Verb.REMOVE_ELEMENTS, key, names, write=self._level())
        added = (b"e%d" % random.randrange(ELEMENTS), b"u%d" % self._count)
        return ClientRequest(Verb.ADD_ELEMENTS, key, added, write=self._level())

    def _map_write(self, key: bytes) -> ClientRequest:
        random = self._random
        name = b"f%d" % random.randrange(FIELDS)
        if random.random() < 0.25:
            return ClientRequest(Verb.REMOVE_FIELDS, key, (name,), write=self._level())
        return ClientRequest(Verb.PUT_FIELDS, key, (name, self._value()), write=self._level())
