"""A small cluster as a model (explorer.py): every order in which things can happen to it.

A state is what its nodes are (local_states.py), what is on its way between them, what became of the
calls so far, and how far documents are. What may happen in a state:

    begin      a client makes a call, of any node; a reader may take any node for the slowest
    arrive     a question on its way comes to its node, and is carried out there; it stays on its
               way and may come again, but for a forwarded call, which nobody doubles
    late       a write begins, here or forwarded, and the store mints for it only after the node
               has adopted its next document
    hear       an answer on its way comes to who has asked
    sync       the store comes to the sync of what was minted there
    lose       all that is on the way for a call is lost, and its client gives up
    decide     the next document is decided: the operator's, then what the conductor makes of what
               he was told
    adopt      a node adopts a document that is decided, any that is newer than its own
    pull       a copy that is not whole takes all that a co-owner has: half an exchange
    hand over  a copy that goes gives all that it has to a new owner: the other half
    crash      a node loses all in memory, and what was not synced or not; and starts (within a
               budget)

Left out: membership and gossip (everybody is worth asking; who does not answer is cut off), time
(nothing expires or is hedged; `lose` ends what waits), Paxos (a document is decided once; told in
other tests), the rounds of anti-entropy (each half of an exchange is one step, under the rules by
which rounds are bound: the document of the asker is adopted by who answers, the place is the same,
the store has done what it was given), anti-entropy between whole copies but at the end of a path,
the replay of hints (a stand-in is asked when a question is lost, but its answer comes too late for
the client; at the end its hint is given to all), stale disks, damage, tombstone collection, and a
crash between the steps of an adoption.

What makes states fewer, and why nothing is missed:
- A question that is lost is one that stays on its way for ever. It need not be taken away until its
  client gives up: no promise asks for an empty network.
- A step's orders are carried out in the step, though a store may come to them later. They touch
  nothing but their own node, and the queue is carried out in order; so what happens elsewhere
  meanwhile could as well have happened before the step or after the orders. At the node itself only
  two things can tell the difference: a crash, for which the question might as well not have come,
  and a document that is adopted in between. For a write that is minted here that is `late`: then
  nothing else happens until it is adopted, for what happens elsewhere commutes with the waiting,
  too. A merge or read that the store comes to after the adoption ends as if it had before: who
  adopts orders the dropping of what is not kept behind it, and what was discarded for the document
  was not kept before.
- What would do nothing is dropped: an answer that nobody waits for, a read of one that has ended,
  a merge of a place that its node has left, or of a record that is durable there when nobody waits
  for the answer. What is durable goes only with the place.
- With `is_eager` the answer that a record was merged is heard at once. A call is acknowledged no
  later for that, and sends no more: what must be found must be found earlier, at fewer copies. This
  is an argument for the promises about acknowledged calls, not for all; some scopes do without.
- What the conductor has ever been told of a phase it knows: reports only tell more as time goes by,
  but for a crash, and an old report is what a slow answer is.
- Who may be met counts as unreachable, so that a copy is whole as soon as the rules allow it at
  all; a node that goes on later has met more.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv.kernel import RecordMerger
from lsmkv_cluster.coordination.replica_messages import MERGE, READ, decode_merge
from lsmkv_cluster.coordination.requests import FORWARD, ClientAnswer, Outcome, Verb
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.reconfiguration.transition_rules import advance
from tests.model import messages
from tests.model.local_states import Local, LocalStates
from tests.model.messages import Answer, Output, Question
from tests.model.promises import Promises
from tests.model.setting import IDS, NAMES, Setting
from tests.model.state import IDLE, PENDING, Called, Event, World

__all__ = ["Model"]

MERGER = RecordMerger()


class Model:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.locals = LocalStates(setting)
        self.promises = Promises(setting, self.locals)
        self._messages: list[Question | Answer] = []
        self._numbers: dict[Question | Answer, int] = {}
        self._held: dict[tuple[int, int], bool] = {}
        self._next: dict[tuple[int, tuple[MemberReport, ...]], bool] = {}

    def start(self) -> World:
        setting = self.setting
        return World(
            self.locals.firsts,
            (),
            (Called(),) * len(setting.calls),
            1,
            ((False, False),) * len(IDS),
            setting.crashes,
        )

    def fault(self, world: World) -> str:
        return world.fault or self.promises.broken(world.nodes, world.calls, world.decided)

    # --- what may happen

    def steps(self, world: World) -> Iterator[tuple[Event, World]]:
        known = self.locals.known
        nodes = [known[number] for number in world.nodes]
        busy = next((node for node in nodes if node.is_busy), None)
        if busy is not None:
            yield from self._adoptions(world, busy)
            yield from self._calls(world, busy, is_late=True)
            yield from self._arrivals(world, busy, is_late=True)
            return
        for node in nodes:
            yield from self._calls(world, node, is_late=False)
            yield from self._arrivals(world, node, is_late=False)
            if node.epoch < world.decided:
                yield from self._calls(world, node, is_late=True)
                yield from self._arrivals(world, node, is_late=True)
                yield from self._adoptions(world, node)
            if node.has_orders:
                event = Event("sync", NAMES[node.index])
                yield event, self._given(world, node.index, messages.Sync())
            yield from self._exchanges(world, nodes, node)
            yield from self._crashes(world, node)
        yield from self._losses(world, nodes)
        yield from self._decisions(world, nodes)

    def _calls(self, world: World, node: Local, *, is_late: bool) -> Iterator[tuple[Event, World]]:
        for op, (call, made) in enumerate(zip(self.setting.calls, world.calls, strict=True)):
            if made.state != IDLE or NAMES[node.index] not in call.at:
                continue
            if is_late and call.verb is Verb.GET:
                continue
            context = b""
            if call.after is not None:
                before = world.calls[call.after]
                if before.state != Outcome.DONE:
                    continue
                context = before.context
            slow: list[MemberId | None] = [None]
            if call.verb is Verb.GET:
                slow = [id for id in self._row(node) if id != IDS[node.index]]
            begun = Called(PENDING)
            if call.verb is Verb.GET:
                begun = Called(PENDING, self.promises.acknowledged(world.calls))
            for slowest in slow:
                after = world._replace(calls=_with(world.calls, op, begun))
                event = messages.Begin(op, context, slowest, is_late)
                detail = call.text + (f", {_name(slowest)} is slow" if slowest else "")
                text = Event("late begin" if is_late else "begin", NAMES[node.index], detail)
                yield text, self._given(after, node.index, event)

    def _row(self, node: Local) -> tuple[MemberId, ...]:
        return self.setting.documents[node.epoch - 1].owners[0]

    def _arrivals(
        self, world: World, node: Local, *, is_late: bool
    ) -> Iterator[tuple[Event, World]]:
        for place, number in enumerate(world.flight):
            message = self._messages[number]
            if message.to != IDS[node.index]:
                continue
            rest = world._replace(flight=world.flight[:place] + world.flight[place + 1 :])
            if isinstance(message, Answer):
                if not is_late:
                    yield (
                        Event("hear", NAMES[node.index], self._shown(message)),
                        self._given(rest, node.index, messages.Hear(message)),
                    )
            elif message.epoch <= node.epoch and (not is_late or message.opcode == FORWARD):
                arrive = messages.Arrive(message, is_late)
                what = "late arrive" if is_late else "arrive"
                event = Event(what, NAMES[node.index], self._shown(message))
                before = rest if message.opcode == FORWARD else world
                yield event, self._given(before, node.index, arrive)

    def _adoptions(self, world: World, node: Local) -> Iterator[tuple[Event, World]]:
        for epoch in range(node.epoch + 1, world.decided + 1):
            event = Event("adopt", NAMES[node.index], f"document {epoch}")
            yield event, self._given(world, node.index, messages.Adopt(epoch))

    def _exchanges(
        self, world: World, nodes: list[Local], node: Local
    ) -> Iterator[tuple[Event, World]]:
        """Both sides have done what they were given."""
        if node.has_orders:
            return
        for peer in nodes:
            id = IDS[peer.index]
            if peer.has_orders or not self._may_meet(node, peer):
                continue
            if id in node.wanting and (peer.is_whole or not node.wants_whole):
                event = Event("pull", NAMES[node.index], f"from {NAMES[peer.index]}")
                yield (
                    event,
                    self._given(world, node.index, messages.Pull(id, peer.data, node.wants_whole)),
                )
            if id in node.giving:
                event = Event("hand over", NAMES[node.index], f"to {NAMES[peer.index]}")
                after = self._given(world, peer.index, messages.Take(node.data))
                yield event, self._given(after, node.index, messages.Given(id))

    def _may_meet(self, node: Local, peer: Local) -> bool:
        """Whether the peer answers what the node asks in the epoch of its document."""
        if not peer.is_kept:
            return False
        if self.setting.broken.exchanges_in_old_epochs:
            return True
        placed = self.setting.documents[peer.epoch - 1].placed[0]
        return placed <= node.epoch <= peer.epoch

    def _crashes(self, world: World, node: Local) -> Iterator[tuple[Event, World]]:
        if not world.crashes:
            return
        me = IDS[node.index]
        gone = tuple(n for n in world.flight if self._messages[n].to != me)
        calls = tuple(
            made._replace(state=Outcome.UNKNOWN) if self._waits_at(world, op, node) else made
            for op, made in enumerate(world.calls)
        )
        after = world._replace(flight=gone, calls=calls, crashes=world.crashes - 1)
        for loses in (True, False):
            detail = "and loses what was not synced" if loses else "and loses nothing written"
            event = Event("crash", NAMES[node.index], detail)
            yield event, self._given(after, node.index, messages.Crash(loses))

    def _waits_at(self, world: World, op: int, node: Local) -> bool:
        return world.calls[op].state == PENDING and op in node.clients

    def _losses(self, world: World, nodes: list[Local]) -> Iterator[tuple[Event, World]]:
        for op, made in enumerate(world.calls):
            if made.state != PENDING:
                continue
            left = tuple(n for n in world.flight if self._messages[n].op != op)
            after = world._replace(flight=left)
            for node in nodes:
                if any(its == op for _, its in node.waits):
                    after = self._given(after, node.index, messages.GiveUp(op))
            if after.calls[op].state == PENDING:
                unknown = made._replace(state=Outcome.UNKNOWN)
                after = after._replace(calls=_with(after.calls, op, unknown))
            yield Event("lose", f"all of call {op}", self.setting.calls[op].text), after

    def _decisions(self, world: World, nodes: list[Local]) -> Iterator[tuple[Event, World]]:
        if world.decided == len(self.setting.documents) or not self._is_due(world, nodes):
            return
        after = world._replace(decided=world.decided + 1, told=((False, False),) * len(IDS))
        yield Event("decide", "", f"document {after.decided}"), self._heard_of(after)

    def _is_due(self, world: World, nodes: list[Local]) -> bool:
        broken = self.setting.broken
        if (True, broken.switches_at_once, broken.settles_at_once)[world.decided - 1]:
            return True
        reports = tuple(
            MemberReport(node.epoch, (0,) if filled else (), (0,) if handed else ())
            for node, (filled, handed) in zip(nodes, world.told, strict=True)
        )
        key = (world.decided, reports)
        known = self._next.get(key)
        if known is None:
            document = self.setting.documents[world.decided - 1]
            named = dict(zip(IDS, reports, strict=True))
            known = self._next[key] = advance(document, named) is not None
        return known

    # --- what comes of it

    def _given(self, world: World, index: int, event: messages.Input) -> World:
        """The state after a node was given something."""
        if world.fault:
            return world
        try:
            number, output = self.locals.step(world.nodes[index], event)
        except Exception as error:
            return world._replace(fault=f"{NAMES[index]} fails: {error!r}")
        after = world._replace(nodes=_with(world.nodes, index, number))
        return self._pruned(self._heard_of(self._came(after, index, output)))

    def _came(self, world: World, index: int, output: Output) -> World:
        for minted in output.minted:
            made = world.calls[minted.op]
            dots = tuple(item.dot for item in minted.items)
            fault = self.promises.minted(world.calls, made, dots)
            made = made._replace(dots=made.dots + dots, gone=made.gone + minted.superseded)
            calls = _with(world.calls, minted.op, made)
            world = world._replace(calls=calls, fault=world.fault or fault)
        for op, answer in output.finished:
            world = self._finished(world, op, answer)
        eager: list[Answer] = []
        for message in output.sent:
            if isinstance(message, Question):
                world = self._sent(world, message)
                continue
            asker = self.locals.known[world.nodes[self.setting.index(message.to)]]
            if message.run != asker.run or message.token not in asker.open:
                continue
            is_merged = message.opcode == MERGE and message.status == OperationStatus.DONE
            if self.setting.is_eager and is_merged and not asker.is_busy:
                eager.append(message)
            else:
                world = self._sent(world, message)
        for message in eager:
            world = self._given(world, self.setting.index(message.to), messages.Hear(message))
        return world

    def _finished(self, world: World, op: int, answer: ClientAnswer) -> World:
        made = world.calls[op]
        if made.state != PENDING:
            return world
        fault = self.promises.answered(self.setting.calls[op], made.dots, answer)
        is_used = any(call.after == op for call in self.setting.calls)
        made = made._replace(state=int(answer.outcome), context=answer.context if is_used else b"")
        calls = _with(world.calls, op, made)
        return world._replace(calls=calls, fault=world.fault or fault)

    def _pruned(self, world: World) -> World:
        """Without what would do nothing if it arrived, now or ever."""
        known = self.locals.known
        nodes = [known[number] for number in world.nodes]
        left = tuple([n for n in world.flight if self._counts(nodes, world.nodes, n)])
        return world if left == world.flight else world._replace(flight=left)

    def _counts(self, nodes: list[Local], numbers: tuple[int, ...], message_number: int) -> bool:
        message = self._messages[message_number]
        to = self.setting.index(message.to)
        if isinstance(message, Answer):
            return message.run == nodes[to].run and message.token in nodes[to].open
        asker = nodes[self.setting.index(message.asker)]
        is_heard = message.run == asker.run and message.token in asker.open
        if message.opcode == READ:
            return is_heard
        if message.opcode == FORWARD:
            return True
        if message.epoch < nodes[to].placed and not self.setting.broken.takes_old_epochs:
            return False
        return is_heard or not self._has(nodes[to], numbers[to], message_number)

    def _has(self, node: Local, number: int, message_number: int) -> bool:
        """Whether the record of a merge is durable at the node."""
        found = self._held.get((number, message_number))
        if found is None:
            question = self._messages[message_number]
            _, record = decode_merge(question.payload)
            found = node.durable is not None and MERGER.merge(node.durable, record) == node.durable
            self._held[number, message_number] = found
        return found

    def _sent(self, world: World, message: Question | Answer) -> World:
        number = self._numbers.get(message)
        if number is None:
            number = self._numbers[message] = len(self._messages)
            self._messages.append(message)
        if number in world.flight:
            return world
        return world._replace(flight=tuple(sorted((*world.flight, number))))

    def _heard_of(self, world: World) -> World:
        """The conductor's knowledge of the phase."""
        told = []
        for number, (filled, handed) in zip(world.nodes, world.told, strict=True):
            local = self.locals.known[number]
            if local.epoch == world.decided:
                filled = filled or 0 in local.report.filled
                handed = handed or 0 in local.report.handed_over
            told.append((filled, handed or self.setting.broken.forgets_copies))
        return world._replace(told=tuple(told))

    def _shown(self, message: Question | Answer) -> str:
        verb = {0x0301: "merge", 0x0302: "read", 0x0401: "forward"}[message.opcode]
        of = f"of call {message.op}"
        if isinstance(message, Answer):
            status = OperationStatus(message.status).name if message.status < 64 else message.status
            return f"{status} of {_name(message.by)} to the {verb} {of}"
        return f"{verb} {of} from {_name(message.asker)}, epoch {message.epoch}"


def _with(items: tuple, place: int, item: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:place], item, *items[place + 1 :])


def _name(id: MemberId) -> str:
    return NAMES[IDS.index(id)]
