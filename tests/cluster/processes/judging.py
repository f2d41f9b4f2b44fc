"""The verdict over a real run: what clients were told, against what owners have on their disks.

The checkers of the simulator judge every operation that has contexts (tests/sim/checks). There the
ledger knows the record of each answer; here it is made up from what is known for certain: a write
that was answered knows what its context says, and shows nothing that it was told to supersede. What
has no context is judged by its value, which nobody else writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.resp.stored_values import everything
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Clock, Entry
from tests.cluster.processes.operations import Operation, is_expected
from tests.sim.checks.evidence import Evidence, Finding, clock_of_context
from tests.sim.checks.loss import acknowledged_writes_are_kept
from tests.sim.checks.sessions import contexts_grow, strict_reads_see_what_ended_before
from tests.sim.history import Call, Ending
from tests.sim.ledger import Collected

__all__ = ["Copies", "findings"]

Copies = Mapping[bytes, Mapping[str, bytes | None]]  # by key and owner

VERBS = {"put": Verb.PUT, "get": Verb.GET, "delete": Verb.DELETE}
LAST_MS = 1 << 45  # nothing here expires


def findings(operations: Sequence[Operation], copies: Copies) -> list[Finding]:
    """Every promise that was broken."""
    written: dict[bytes, list[Operation]] = {}
    for operation in operations:
        if operation.is_write:
            written.setdefault(operation.key, []).append(operation)
    finals = {key: _joined(copies.get(key, {})) for key in {*written, *copies}}
    found = [*_by_context(operations, copies, finals)]
    for key, writes in written.items():
        kind, values = everything_in(finals[key])
        if key.startswith(b"s:"):
            found += _single_writes(writes, values)
        elif key.startswith(b"e:"):
            found += _elements(writes, values)
        elif key.startswith(b"c:"):
            found += _counters(key, writes, kind, values)
    found += _answers(operations, written)
    found += _refused_values(written, finals)
    return found


def everything_in(record: bytes | None) -> tuple[str, list[bytes]]:
    return everything(record, LAST_MS)


def _joined(copies: Mapping[str, bytes | None]) -> bytes | None:
    """All that owners have; encoded, as it nearly always is that of each."""
    distinct = {data for data in copies.values() if data is not None}
    if len(distinct) <= 1:
        return distinct.pop() if distinct else None
    records = [decode(data) for data in sorted(distinct)]
    joined = records[0]
    for record in records[1:]:
        joined = merge(joined, record).record
    return encode(joined)


# --- what has contexts ---------------------------------------------------------------------------


class _RealEvidence(Evidence):
    """Records of answers are made up from contexts."""

    def answer_record(self, call: Call) -> Record | None:
        if not call.request.is_write or call.answer is None:
            return None
        return _promised(call, self.final(call.key))


def _promised(call: Call, final: Record | None) -> Record:
    """What every record shows from the call on: its clock, and of the items that it knew those that
    it did not supersede."""
    assert call.answer is not None
    known, _ = clock_of_context(call.answer.context)
    return _record(known, call.request.context, final)


def _record(known: Clock, given: bytes, final: Record | None) -> Record:
    """In a context the entry of an actor with a value has no time; here each has one."""
    superseded, _ = clock_of_context(given)
    timed = Clock({a: Entry(e.counter, max(1, e.time_s)) for a, e in known.entries.items()})
    items = tuple(
        item
        for item in (final.items if final is not None else ())
        if known.covers(item.dot) and not superseded.covers(item.dot)
    )
    return Record(timed, items)


def _by_context(
    operations: Sequence[Operation], copies: Copies, finals: Mapping[bytes, bytes | None]
) -> Iterator[Finding]:
    judged = [op for op in operations if op.verb in VERBS and op.key[:2] not in (b"s:", b"c:")]
    machines = {name: number for number, name in enumerate(sorted({op.node for op in judged}))}
    calls = [_as_call(op, machines) for op in judged]
    keys = {call.key for call in calls}
    by_key = {key: {0: finals.get(key)} for key in keys}
    evidence = _RealEvidence(calls, _ledger(calls, finals), by_key)
    for checker in (
        acknowledged_writes_are_kept,
        contexts_grow,
        strict_reads_see_what_ended_before,
    ):
        yield from checker(evidence)


def _as_call(operation: Operation, machines: Mapping[str, int]) -> Call:
    values = (operation.value,) if operation.verb == "put" else ()
    request = ClientRequest(VERBS[operation.verb], operation.key, values, context=operation.context)
    began, ended = int(operation.began_s * 1e6), int(operation.ended_s * 1e6)
    mode = Mode.STRICT if operation.is_strict else Mode.SLOPPY
    call = Call(
        operation.id, operation.session, machines[operation.node], mode, request, began, began,
        ended, ended, ended, operation.ending,
    )  # fmt: skip
    if operation.is_done:
        call.answer = ClientAnswer(Outcome.DONE, context=operation.answer_context)
    return call


def _ledger(calls: Iterable[Call], finals: Mapping[bytes, bytes | None]) -> Any:
    """What a deleted record knew may have been collected together with it: so its clock is taken
    for known. What it deleted must not show all the same, and that is looked for."""
    collected = []
    for call in calls:
        if call.request.verb is not Verb.DELETE or call.ending in (
            Ending.REFUSED,
            Ending.NOT_SENT,
        ):
            continue
        data = finals.get(call.key)
        final = decode(data) if data is not None else None
        if call.is_done:
            record = _promised(call, final)
        else:
            record = _record(clock_of_context(call.request.context)[0], b"", final)
        collected.append(Collected(call.ended or 0, call.machine, call.key, record))
    return SimpleNamespace(
        mints=[], holdings=[], lookups=[], collected=collected, record=lambda data: data
    )


# --- what is known by its value ------------------------------------------------------------------


def _single_writes(writes: Iterable[Operation], values: Sequence[bytes]) -> Iterator[Finding]:
    for write in writes:
        if write.is_done and write.value not in values:
            yield Finding("C1 lost write", write.key, str(write))


def _elements(writes: Iterable[Operation], values: Sequence[bytes]) -> Iterator[Finding]:
    """The last element of a value is the one that its writer has added."""
    elements = {element for value in values for element in value.split()}
    for write in writes:
        if write.is_done and write.value.split()[-1] not in elements:
            yield Finding("C1 lost element", write.key, str(write))


def _counters(
    key: bytes, writes: Iterable[Operation], kind: str, values: Sequence[bytes]
) -> Iterator[Finding]:
    counted = Counter[Ending]()
    for write in writes:
        counted[write.ending] += int(write.value)
    total = int(values[0]) if kind == "counter" else 0
    least, most = counted[Ending.DONE], counted[Ending.DONE] + counted[Ending.UNKNOWN]
    text = f"{total}, where {least} to {most} were counted"
    if total < least:
        yield Finding("C1 lost increment", key, text)
    elif total > most:
        yield Finding("U5 counted twice, or though refused", key, text)


def _refused_values(
    written: Mapping[bytes, Iterable[Operation]], finals: Mapping[bytes, bytes | None]
) -> Iterator[Finding]:
    for key, writes in written.items():
        refused = [w for w in writes if w.was_not_carried_out and w.verb in ("set", "put")]
        if refused:
            values = everything_in(finals[key])[1]
            for write in refused:
                if write.value in values:
                    yield Finding("U5 refused but written", key, str(write))


def _answers(
    operations: Iterable[Operation], written: Mapping[bytes, Sequence[Operation]]
) -> Iterator[Finding]:
    """What is read somebody has written, who was not refused; and errors have their reasons."""
    may_exist: dict[bytes, set[bytes]] = {}
    for operation in operations:
        if (
            operation.ending is Ending.REFUSED
            and operation.text
            and not is_expected(operation.text)
        ):
            yield Finding("U5 error without reason", operation.key, str(operation))
        if not operation.seen or operation.key.startswith(b"c:"):
            continue
        key = operation.key
        if key not in may_exist:
            may_exist[key] = {w.value for w in written.get(key, ()) if not w.was_not_carried_out}
        for value in operation.seen:
            if value not in may_exist[key]:
                text = f"{operation} saw {value[-24:]!r}, which was refused or never written"
                yield Finding("U5 refused but read", key, text)
