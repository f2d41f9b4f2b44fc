"""What a client asks of a node, and how it ends: in plain values, and as bytes between nodes.

A request names a verb and a key; levels and mode default to those of the key's keyspace. It ends in
one of three ways, and only these:

    DONE       as many answered as the level asks for
    REFUSED    nothing was written anywhere, and nothing will be
    UNKNOWN    it may have been written, by some or by all

A request that breaks a limit (`is_within_limits`) is refused where it comes in: it could neither be
forwarded nor stored. Key, context and values together fit one frame.

Payload of FORWARD (opcode 0x0401), in terms of coding.py; the answer follows the same rules:

    request                                     answer
    u8      verb, +128: answer without context  u8      outcome
    u8      mode, 0 = the keyspace's            u8      reason
    u8 u8   read level and count, 0 = the       u8      how many answered
            keyspace's                          u8      how many had to
    u8 u8   write level and count               sized   context
    u64     expiry in ms since 1970, 0 = never  sized   record, empty = there is none
    u64     delta, two's complement
    sized   key
    sized   context
    varint  count of values, then each sized

Verbs, outcomes and reasons have the numbers of Verb, Outcome and Reason. Example: PUT of "v" to
"k" at write level QUORUM, else as the keyspace says; and the answer that 1 of 2 have it, unknown:

    02 00  00 00  02 00           verb, mode; read, write level
    00000000 00000000             expiry
    00000000 00000000             delta
    01 6b  00  01 01 76           key, no context, one value

    03 01  01 02  00  00          unknown, not enough; 1 of 2; no context, no record
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.errors import Malformed, TopologyError
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.versions.context import CONTEXT_SIZE_MAX
from lsmkv_cluster.versions.record_format import RECORD_SIZE_MAX

__all__ = [
    "FORWARD",
    "VALUES_MAX",
    "ClientAnswer",
    "ClientRequest",
    "Outcome",
    "Reason",
    "Verb",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
    "is_within_limits",
]

FORWARD = opcode(Machine.COORDINATOR, 1)

VALUE_SIZE_MAX = 8 << 20  # bytes
VALUES_MAX = 4096
REQUEST_SIZE_MAX = 15 << 20  # bytes of key, context and values; a frame takes a little more
NO_CONTEXT = 128  # in the byte of the verb
_U64 = 1 << 64


class Verb(IntEnum):
    """Persistent. PUT and DELETE with a context supersede what the client has seen; SET, and DELETE
    without one, all that the coordinator holds."""

    GET = 1
    PUT = 2
    SET = 3
    DELETE = 4
    INCREMENT = 5
    ADD_ELEMENTS = 6
    REMOVE_ELEMENTS = 7
    PUT_FIELDS = 8  # values: field, value, field, value
    REMOVE_FIELDS = 9


class Outcome(IntEnum):
    """Persistent."""

    DONE = 1
    REFUSED = 2
    UNKNOWN = 3


class Reason(IntEnum):
    """Why not DONE. Persistent."""

    NONE = 0
    NOT_ENOUGH_REPLICAS = 1  # reachable, or answering in time
    DEADLINE = 2
    NOT_READY = 3  # the node may not mint yet, or the partition is being filled
    OVERLOADED = 4
    TOO_MANY_SIBLINGS = 5
    BAD_CONTEXT = 6
    BAD_REQUEST = 7  # levels that strict mode does not allow, values that do not fit
    NOT_AN_OWNER = 8
    STALE = 9  # what the client has seen already could not be read
    STORE_FAILED = 10
    WRONG_TYPE = 11  # an increment of what is no integer
    NOT_A_MEMBER = 12  # the node has been removed from the cluster


_VERBS = {int(verb): verb for verb in Verb}


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """`context` is what the client got with its last read of this key. A GET with one is answered
    with nothing older."""

    verb: Verb
    key: bytes
    values: tuple[bytes, ...] = ()
    context: bytes = b""
    delta: int = 0
    expiry_ms: int = 0
    read: Consistency | None = None
    write: Consistency | None = None
    mode: Mode | None = None
    wants_context: bool = True  # in the answer: it costs the coordinator some time

    @property
    def is_write(self) -> bool:
        return self.verb is not Verb.GET


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """`record` is the stored form (record_format.py) of what was read or written, None for nothing;
    `answered` of `needed` nodes took part."""

    outcome: Outcome
    reason: Reason = Reason.NONE
    answered: int = 0
    needed: int = 0
    context: bytes = b""
    record: bytes | None = None

    @property
    def is_done(self) -> bool:
        return self.outcome is Outcome.DONE


def is_within_limits(request: ClientRequest) -> bool:
    """Whether a request can be encoded, and fits a frame."""
    sizes = [len(value) for value in request.values]
    key_size, context_size = len(request.key), len(request.context)
    return (
        key_size <= KEY_SIZE_MAX
        and context_size <= CONTEXT_SIZE_MAX
        and len(sizes) <= VALUES_MAX
        and max(sizes, default=0) <= VALUE_SIZE_MAX
        and key_size + context_size + sum(sizes) <= REQUEST_SIZE_MAX
        and -(_U64 >> 1) <= request.delta < _U64 >> 1
        and 0 <= request.expiry_ms < _U64
    )


def encode_request(request: ClientRequest) -> bytes:
    """ValueError for what is not within the limits."""
    if not is_within_limits(request):
        raise ValueError(f"a {request.verb.name} over its limits")
    unwanted = 0 if request.wants_context else NO_CONTEXT
    writer = Writer().u8(request.verb | unwanted).u8(request.mode or 0)
    for consistency in (request.read, request.write):
        writer.u8(consistency.level if consistency else 0)
        writer.u8(consistency.count if consistency else 0)
    writer.u64(request.expiry_ms).u64(request.delta % _U64)
    writer.sized(request.key, KEY_SIZE_MAX).sized(request.context, CONTEXT_SIZE_MAX)
    writer.varint(len(request.values))
    for value in request.values:
        writer.sized(value, VALUE_SIZE_MAX)
    return writer.finish()


def decode_request(payload: bytes) -> ClientRequest:
    """Malformed for what no encoder writes."""
    reader = Reader(payload)
    first, mode = reader.u8(), reader.u8()
    verb, wants_context = _VERBS.get(first & ~NO_CONTEXT), not first & NO_CONTEXT
    if verb is None:
        raise Malformed(f"unknown verb {first}")
    if mode > max(Mode):
        raise Malformed(f"unknown mode {mode}")
    read, write = _consistency(reader), _consistency(reader)
    expiry_ms, delta = reader.u64(), reader.u64()
    key, context = reader.sized(KEY_SIZE_MAX), reader.sized(CONTEXT_SIZE_MAX)
    values = tuple([reader.sized(VALUE_SIZE_MAX) for _ in range(reader.varint(VALUES_MAX))])
    reader.end()
    signed = delta - _U64 if delta >= _U64 >> 1 else delta
    request = ClientRequest(
        verb, key, values, context, signed, expiry_ms, read, write, Mode(mode) if mode else None,
        wants_context,
    )  # fmt: skip
    if not is_within_limits(request):
        raise Malformed(f"a request of {len(payload)} bytes")
    return request


def _consistency(reader: Reader) -> Consistency | None:
    level, count = reader.u8(), reader.u8()
    if level == 0 and count == 0:
        return None
    try:
        return Consistency(Level(level), count)
    except (ValueError, TopologyError) as error:
        raise Malformed(f"level {level} with count {count}") from error


def encode_answer(answer: ClientAnswer) -> bytes:
    writer = Writer().u8(answer.outcome).u8(answer.reason)
    writer.u8(min(answer.answered, 255)).u8(min(answer.needed, 255))
    writer.sized(answer.context, CONTEXT_SIZE_MAX)
    return writer.sized(answer.record or b"", RECORD_SIZE_MAX).finish()


def decode_answer(payload: bytes) -> ClientAnswer:
    """Malformed for what no encoder writes."""
    reader = Reader(payload)
    outcome, reason = reader.one_of(Outcome), reader.one_of(Reason)
    answered, needed = reader.u8(), reader.u8()
    context, record = reader.sized(CONTEXT_SIZE_MAX), reader.sized(RECORD_SIZE_MAX)
    reader.end()
    return ClientAnswer(outcome, reason, answered, needed, context, record or None)
