"""What a command answers, as values of Python; the writer of the protocol knows them all.

    bytes        bulk string          None                 null
    str          simple string        NULL_ARRAY           null, an array in RESP2
    int          integer              list, tuple          array
    bool         boolean, 1 or 0      dict                 map, flat array in RESP2
    float        double, bulk         frozenset            set, array in RESP2
    ErrorReply   error                Push                 push, array in RESP2
    Verbatim     verbatim string, bulk string in RESP2

Where a type differs in RESP2 that is said behind the comma. What these values mean is up to the
commands; nothing here looks at bytes. What is no builtin type tells the writer what it is, by its
method `write_to`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lsmkv.kernel import ReplyWriter

__all__ = ["NULL_ARRAY", "OK", "ErrorReply", "NullArray", "Push", "Reply", "Verbatim"]

OK: Final = "OK"


class NullArray(Enum):
    """What is left of a transaction that was not carried out."""

    VALUE = 0

    def write_to(self, writer: ReplyWriter) -> None:
        writer.null_array()


NULL_ARRAY: Final = NullArray.VALUE


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """`text` begins with the kind of the error in capitals: "ERR", "WRONGTYPE", "NOREPLICAS"."""

    text: str

    def write_to(self, writer: ReplyWriter) -> None:
        writer.error(self.text)


@dataclass(frozen=True, slots=True)
class Push:
    """Sent without having been asked for."""

    items: tuple[Reply, ...]

    def write_to(self, writer: ReplyWriter) -> None:
        writer.push_header(len(self.items))
        for item in self.items:
            writer.value(item)


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text for people; `form` has three letters, "txt" or "mkd"."""

    form: str
    text: bytes

    def write_to(self, writer: ReplyWriter) -> None:
        writer.verbatim(self.form, self.text)


Reply = (
    bytes
    | str
    | int
    | bool
    | float
    | ErrorReply
    | Push
    | Verbatim
    | NullArray
    | None
    | list["Reply"]
    | tuple["Reply", ...]
    | dict["Reply", "Reply"]
    | frozenset["Reply"]
)
