"""What must hold in every state of a model, and at the end of every path.

    at every step    no dot is used twice; a call mints at most one; what is refused minted nothing
    in every state   an acknowledged strict write is known to some owner of every set that would
                     answer a strict reader, of whichever document; so a deleted value is not seen
    of every read    what was acknowledged when it began is in what it found
    at the end       when all is decided and adopted, no call is under way and all copies have been
                     compared: every owner is whole, all are equal and know what was acknowledged,
                     deleted values are gone, and nobody else keeps anything

A call of sloppy mode promises nothing to readers; at the end it counts like any other, unless
something crashed.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsmkv_cluster.coordination.quorum import need
from lsmkv_cluster.coordination.requests import ClientAnswer, Outcome, Verb
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.versions.record_format import decode
from lsmkv_cluster.versions.vclock import Dot
from tests.model import messages
from tests.model.local_states import Local, LocalStates
from tests.model.setting import IDS, NAMES, Call, Setting
from tests.model.state import Called

__all__ = ["Promises"]


class Promises:
    def __init__(self, setting: Setting, states: LocalStates) -> None:
        self._setting = setting
        self._states = states
        self._is_strict = setting.mode is Mode.STRICT
        self._readers = []
        for document in setting.documents:
            row = document.owners[0]
            [group] = need(document.keyspaces[0].read, {"east": row}, "east")
            self._readers.append(([IDS.index(id) for id in row], group.count))
        self._ends: dict[tuple[object, ...], str] = {}
        self._knows: dict[tuple[int, Dot], bool] = {}

    def acknowledged(self, calls: Sequence[Called]) -> tuple[Dot, ...]:
        return tuple(
            dot
            for call, made in zip(self._setting.calls, calls, strict=True)
            if made.state == Outcome.DONE and call.verb is not Verb.GET
            for dot in made.dots
        )

    # --- steps

    def minted(self, calls: Sequence[Called], made: Called, dots: Sequence[Dot]) -> str:
        if len(made.dots) + len(dots) > 1:
            return "one call has minted two dots"
        writes = zip(self._setting.calls, calls, strict=True)
        used = {dot for call, other in writes if call.verb is not Verb.GET for dot in other.dots}
        return "a dot is used twice" if used.intersection(dots) else ""

    def answered(self, call: Call, dots: Sequence[Dot], answer: ClientAnswer) -> str:
        if call.verb is not Verb.GET:
            refused = answer.outcome is Outcome.REFUSED and dots
            return "what was refused has been written" if refused else ""
        if answer.outcome is not Outcome.DONE or not self._is_strict:
            return ""
        record = None if answer.record is None else decode(answer.record)
        if all(record is not None and record.clock.covers(dot) for dot in dots):
            return ""
        return "a read has not found what was acknowledged before it began"

    # --- states

    def broken(self, nodes: Sequence[int], calls: Sequence[Called], decided: int) -> str:
        dots = self.acknowledged(calls)
        if self._is_strict and dots:
            told = self._unread(nodes, calls, dots, decided)
            if told:
                return told
        return self._end(nodes, calls, dots, decided)

    def _unread(
        self, nodes: Sequence[int], calls: Sequence[Called], dots: Sequence[Dot], decided: int
    ) -> str:
        known = self._states.known
        locals = [known[number] for number in nodes]
        for epoch in {local.epoch for local in locals}:
            row, count = self._readers[epoch - 1]
            answering = [i for i in row if locals[i].answers[epoch]]
            if len(answering) < count:
                continue
            for dot in dots:
                lacking = [i for i in answering if not self._knows_dot(nodes[i], dot)]
                if len(lacking) >= count:
                    return self._told(calls, locals, dot, lacking, epoch)
        return ""

    def _told(
        self,
        calls: Sequence[Called],
        locals: Sequence[Local],
        dot: Dot,
        lacking: Sequence[int],
        epoch: int,
    ) -> str:
        [op] = [op for op, made in enumerate(calls) if dot in made.dots]
        call = self._setting.calls[op]
        who = " ".join(NAMES[i] for i in lacking)
        text = f"call {op}, {call.text}, is acknowledged, and not found by {who} in epoch {epoch}"
        shown = {
            item.dot
            for i in lacking
            if (record := locals[i].record) is not None
            for item in record.items
        }
        if call.verb is Verb.DELETE and shown.intersection(calls[op].gone):
            text += ": they show what it has deleted"
        return text

    def _knows_dot(self, number: int, dot: Dot) -> bool:
        found = self._knows.get((number, dot))
        if found is None:
            found = self._knows[number, dot] = self._states.known[number].knows(dot)
        return found

    # --- ends

    def _end(
        self, nodes: Sequence[int], calls: Sequence[Called], dots: Sequence[Dot], decided: int
    ) -> str:
        known = self._states.known
        if decided < len(self._setting.documents) or any(made.state <= 0 for made in calls):
            return ""
        locals = [known[number] for number in nodes]
        if any(local.epoch < decided or local.has_orders for local in locals):
            return ""
        if not self._is_strict and any(local.run for local in locals):
            dots = ()
        gone = tuple(
            dot
            for call, made in zip(self._setting.calls, calls, strict=True)
            if call.verb is Verb.DELETE and made.state == Outcome.DONE and dots
            for dot in made.gone
        )
        key = (tuple(nodes), tuple(dots), gone)
        if key not in self._ends:
            self._ends[key] = self._settled(list(nodes), dots, gone)
        return self._ends[key]

    def _settled(self, nodes: list[int], dots: Sequence[Dot], gone: Sequence[Dot]) -> str:
        """After every owner has been compared with every other, twice."""
        known = self._states.known
        owners = self._readers[-1][0]
        hints = [known[number].hint for number in nodes]
        for index in owners:
            for hint in hints:
                if hint is not None:
                    nodes[index], _ = self._states.step(nodes[index], messages.Take(hint))
        for one, other in [(one, other) for _ in range(2) for one in owners for other in owners]:
            if one != other:
                pull = messages.Pull(IDS[other], known[nodes[other]].data, False)
                nodes[one], _ = self._states.step(nodes[one], pull)
        copies = [known[nodes[index]] for index in owners]
        if len({copy.data for copy in copies}) > 1:
            return "owners that were compared are not equal"
        if not all(copy.is_whole for copy in copies):
            return "an owner that has met all others is not whole"
        if not all(copies[0].knows(dot) for dot in dots):
            return "an acknowledged write is lost"
        shown = {item.dot for item in copies[0].record.items} if copies[0].record else set()
        if shown.intersection(gone):
            return "a deleted value is back"
        others = [known[nodes[i]] for i in range(len(IDS)) if i not in owners]
        if any(other.data is not None for other in others):
            return "somebody keeps a copy who is no owner"
        return ""
