"""Coordinators under any schedule: clients write and read through all nodes while questions and
answers are lost, delayed and reordered, members seem down, stores fail, and time passes.

What a client is told must be true at that moment and stay true:
- each call ends once, at its deadline at the latest;
- done: as many as the level asks for keep the write, strict ones as owners and on stable storage;
- refused: nobody has it, then or ever;
- strict: a read finds at least what any write or read before it was told, once that had ended;
- elements and increments that were acknowledged are in the join of all copies, whatever contexts
  came with others;
- in the end nothing is left over in any machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.storage.storage_orders import Failure, Space
from lsmkv_cluster.versions import context, crdt, record_format
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Clock
from tests.support.fake_store import merged
from tests.support.quorum_lab import QuorumLab

VALUES, PARTS = KEYS = (b"values", b"parts")
QUORUM = Consistency(Level.QUORUM)
TIMEOUT_MS = 900
STEPS = 1000


@dataclass
class Asked:
    """A call under way. `floor`: what a strict read of this key must know, as of its beginning."""

    request: ClientRequest
    node: str
    deadline_ms: int
    floor: Clock


class History:
    def __init__(self, seed: int, mode: Mode) -> None:
        self.choose = random.Random(seed)
        self.mode = mode
        keyspace = Keyspace(read=QUORUM, write=QUORUM, mode=mode)
        self.lab = QuorumLab("a b c d e", "a b c", [keyspace])
        self.calls: dict[int, Asked] = {}
        self.seen: set[int] = set()
        self.contexts: dict[bytes, list[bytes]] = {key: [] for key in KEYS}
        self.floors: dict[bytes, Clock] = {key: Clock() for key in KEYS}
        self.refused_values: set[tuple[bytes, bytes]] = set()
        self.added: set[bytes] = set()  # acknowledged, as are these:
        self.increments = 0
        self.counts: dict[Outcome, int] = dict.fromkeys(Outcome, 0)

    # --- what happens

    def step(self) -> None:
        action = self.choose.random()
        lab, choose = self.lab, self.choose
        if action < 0.15:
            self.begin()
        elif action < 0.4:
            busy = [name for name in lab.nodes if lab[name].orders]
            if busy:
                lab.run(choose.choice(busy), choose.randrange(1, 3))
        elif action < 0.6:
            waiting = [sent for sent in lab.sent if not sent.is_handled]
            if waiting:
                lab.arrive(choose.choice(waiting))
        elif action < 0.8:
            answered = [sent for sent in lab.sent if sent.answer is not None]
            if answered:
                sent = choose.choice(answered)
                lab.answer(sent, sent.answer.status, sent.answer.payload)
        elif action < 0.82:
            if lab.sent:
                sent = choose.choice(lab.sent)
                lab.drop(sent, never_sent=not sent.is_handled)
        elif action < 0.84:
            lab.down = set(choose.sample("abcde", choose.choice([0, 0, 0, 1, 1, 2])))
        elif action < 0.86:
            store = lab[choose.choice("abcde")].store
            store.write_failure = choose.choice([None] * 4 + [Failure.FULL])
            store.sync_failure = choose.choice([None] * 4 + [Failure.FULL])
            store.unreadable = choose.choice([set()] * 4 + [{choose.choice(KEYS)}])
        else:
            lab.advance(choose.choice([1, 1, 5, 20, 100]))
        self.look()

    def begin(self) -> None:
        choose = self.choose
        key = choose.choice(KEYS)
        value = b"%d" % len(self.calls)
        known = self.contexts[key]
        with_context = choose.choice(known) if known and choose.random() < 0.5 else b""
        if choose.random() < 0.4:
            request = ClientRequest(Verb.GET, key, context=with_context)
        elif key == VALUES:
            request = ClientRequest(Verb.PUT, key, (value,), with_context)
        elif choose.random() < 0.5:
            request = ClientRequest(Verb.ADD_ELEMENTS, key, (value,), with_context)
        else:
            request = ClientRequest(Verb.INCREMENT, key, context=with_context, delta=1)
        node = choose.choice("abcde")
        floor = self.floors[key]
        id = self.lab.call(request, node, TIMEOUT_MS)
        self.calls[id] = Asked(request, node, self.lab.now_ms + TIMEOUT_MS, floor)

    # --- what must hold

    def look(self) -> None:
        for id, asked in self.calls.items():
            if id not in self.seen:
                if id in self.lab.replies:
                    self.seen.add(id)
                    self.check(asked, self.lab.replies[id])
                else:
                    assert self.lab.now_ms < asked.deadline_ms

    def check(self, asked: Asked, answer: ClientAnswer) -> None:
        self.counts[answer.outcome] += 1
        request = asked.request
        if answer.outcome is Outcome.REFUSED:
            self.refused_values.update((request.key, value) for value in request.values)
        if answer.outcome is not Outcome.DONE:
            return
        assert answer.answered >= answer.needed
        if answer.record is None:
            assert not request.is_write
            told = Clock()
        else:
            told = record_format.decode(answer.record).clock
            self.contexts[request.key].append(answer.context)
        if request.is_write:
            self.check_kept(request, answer)
        elif request.context:
            seen = context.decode(request.context, request.key, b"secret")
            assert told.descends(seen.clock)
        if self.mode is Mode.STRICT:
            if not request.is_write:
                assert told.descends(asked.floor)
            self.floors[request.key] = self.floors[request.key].merge(told)
        if request.verb is Verb.ADD_ELEMENTS:
            self.added.update(request.values)
        if request.verb is Verb.INCREMENT:
            self.increments += 1

    def check_kept(self, request: ClientRequest, answer: ClientAnswer) -> None:
        """Whoever keeps it has a record that knows all of this one."""
        assert answer.record is not None
        told = record_format.decode(answer.record).clock
        strict = self.mode is Mode.STRICT
        spaces = (Space.DATA,) if strict else (Space.DATA, Space.HINT)
        keeping = 0
        for node in self.lab.nodes.values():
            for space in spaces:
                store = node.store
                kept = store._durable if strict else store.records
                data = kept.get(store.engine_key(space, request.key))
                if data is not None and record_format.decode(data).clock.descends(told):
                    keeping += 1
        assert keeping >= answer.needed

    # --- the end

    def finish(self) -> None:
        lab = self.lab
        for _ in range(3):
            lab.advance(TIMEOUT_MS)
            for name in lab.nodes:
                lab.run(name)
            self.look()
        lab.sent.clear()
        lab.advance(10_000)
        assert len(self.seen) == len(self.calls)
        for node in lab.nodes.values():
            assert node.is_idle
        for key in KEYS:
            there = {item.value or item.name for item in self.whole(key).items}
            assert not {value for k, value in self.refused_values if k == key} & there
        parts = self.whole(PARTS)
        assert self.added <= crdt.members(parts, 0)
        assert self.increments <= (crdt.count(parts, 0) or 0)

    def whole(self, key: bytes) -> Record:
        """The join of all copies and hints."""
        joined: bytes | None = None
        for node in self.lab.nodes.values():
            for space in (Space.DATA, Space.HINT):
                data = node.store.get(key, space)
                if data is not None:
                    joined = merged(joined, data)
        return record_format.decode(joined) if joined else Record(Clock())


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])
@pytest.mark.parametrize("seed", range(25))
def test_any_schedule(seed, mode):
    history = History(seed, mode)
    for _ in range(STEPS):
        history.step()
    history.finish()
    assert history.counts[Outcome.DONE] >= 5


def test_the_schedules_reach_every_end():
    """Else they prove little."""
    total = dict.fromkeys(Outcome, 0)
    for seed in range(4):
        history = History(seed, Mode.SLOPPY)
        for _ in range(STEPS):
            history.step()
        for outcome in Outcome:
            total[outcome] += history.counts[outcome]
    assert min(total.values()) >= 5
