"""RESP in plain Python, over the whole input at once: what the native codec must agree with.

Requests are read as resp.h states it, replies as resp_reply.h does; what is written follows
replies.py. Nothing here is quick, and nothing resumes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from math import isinf, isnan
from typing import Any

from lsmkv_cluster.resp.replies import ErrorReply, NullArray, Push, Verbatim

LINE_SIZE_MAX = 64 * 1024
NUMBER_SIZE_MAX = 4096
NUMBER = re.compile(rb"0|-?[1-9][0-9]*")
BIG_NUMBER = re.compile(rb"[-+]?[0-9]+")
DOUBLE = re.compile(rb"[-+]?(inf|nan|([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?)")
BLANKS = b" \t\n\v\f\r"
WORD_ENDS = b" \t\n\r"
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class Ends(Exception):
    """The input ends within what is being read."""


class Fault(Exception):
    """The input is wrong."""


@dataclass(frozen=True)
class Limits:
    argument_count_max: int = 1 << 20
    bulk_size_max: int = 512 << 20
    command_size_max: int = 1 << 30
    is_restricted: bool = False


@dataclass
class Outcome:
    """What was read, and why reading stopped: a fault, or None for the end of the input."""

    items: list[Any] = field(default_factory=list)
    fault: str | None = None


def line_at(data: bytes, position: int, end: bytes, too_long: str) -> bytes:
    found = data.find(end, position, position + LINE_SIZE_MAX + 1)
    if found >= 0:
        return data[position:found]
    raise Fault(too_long) if len(data) - position > LINE_SIZE_MAX else Ends


def decimal(text: bytes) -> int | None:
    if not NUMBER.fullmatch(text):
        return None
    number = int(text) if len(text) < 25 else 2**64
    return number if -(2**63) <= number < 2**63 else None


# --- requests ------------------------------------------------------------------------------------


def split_inline(line: bytes) -> list[bytes]:
    """The words of a line; Fault for unbalanced quotes."""
    words: list[bytes] = []
    at = 0
    while True:
        while line[at : at + 1] and line[at] in BLANKS:
            at += 1
        if at == len(line):
            return words
        word, at = read_word(line, at)
        words.append(word)


def read_word(line: bytes, at: int) -> tuple[bytes, int]:
    plain = re.compile(rb"[^ \t\n\r\"']*").match(line, at)
    assert plain is not None
    quote = line[plain.end() : plain.end() + 1]
    if quote not in (b'"', b"'"):
        return plain.group(), plain.end()
    double = rb'"((?:\\x[0-9a-fA-F]{2}|\\.|[^"\\])*)"'
    single = rb"'((?:\\'|\\(?!')|[^'\\])*)'"
    quoted = re.compile(double if quote == b'"' else single, re.DOTALL).match(line, plain.end())
    if quoted is None or (line[quoted.end() :] and line[quoted.end()] not in BLANKS):
        raise Fault("unbalanced quotes in request")
    if quote == b"'":
        return plain.group() + quoted.group(1).replace(b"\\'", b"'"), quoted.end()
    return plain.group() + unescaped(quoted.group(1)), quoted.end()


def unescaped(text: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        escape = match.group(1)
        if len(escape) == 3:
            return bytes([int(escape[1:], 16)])
        return ESCAPES.get(escape, escape)

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)", one, text, flags=re.DOTALL)


def read_request(data: bytes, position: int, limits: Limits) -> tuple[list[bytes], int]:
    """One command, [] for none at all, and where it ends."""
    if data[position : position + 1] != b"*":
        line = line_at(data, position, b"\n", "too big inline request")
        return split_inline(line.removesuffix(b"\r")), position + len(line) + 1
    begin = position
    line = line_at(data, position, b"\r", "too big mbulk count string")
    if position + len(line) + 2 > len(data):
        raise Ends
    count = decimal(line[1:])
    if count is None or count > limits.argument_count_max:
        raise Fault("invalid multibulk length")
    if limits.is_restricted and count > 10:
        raise Fault("unauthenticated multibulk length")
    position += len(line) + 2
    if position - begin + 6 * count > limits.command_size_max and count > 0:
        raise Fault("too big request")
    arguments = []
    for _ in range(count):
        argument, position = read_argument(data, begin, position, limits)
        arguments.append(argument)
    return arguments, position


def read_argument(data: bytes, begin: int, position: int, limits: Limits) -> tuple[bytes, int]:
    line = line_at(data, position, b"\r", "too big bulk count string")
    if position + len(line) + 2 > len(data):
        raise Ends
    if not line.startswith(b"$"):
        found = data[position : position + 1].replace(b"\r", b" ").replace(b"\n", b" ")
        raise Fault(f"expected '$', got '{found.decode('utf-8', 'surrogateescape')}'")
    size = decimal(line[1:])
    if size is None or not 0 <= size <= limits.bulk_size_max:
        raise Fault("invalid bulk length")
    if limits.is_restricted and size > 16384:
        raise Fault("unauthenticated bulk length")
    position += len(line) + 2
    if position - begin + size + 2 > limits.command_size_max:
        raise Fault("too big request")
    if position + size + 2 > len(data):
        raise Ends
    return data[position : position + size], position + size + 2


def requests(data: bytes, limits: Limits) -> Outcome:
    outcome = Outcome()
    position = 0
    try:
        while position < len(data):
            arguments, position = read_request(data, position, limits)
            if arguments:
                outcome.items.append(arguments)
    except Fault as fault:
        outcome.fault = f"Protocol error: {fault}"
    except Ends:
        pass
    return outcome


# --- what replies look like ----------------------------------------------------------------------


def double_text(value: float) -> bytes:
    """As Redis 7.2: integers as such, else the shortest digits with fpconv's choice of notation."""
    if isnan(value) or isinf(value):
        return repr(value).encode()
    sign = "-" if str(value).startswith("-") else ""
    if abs(value) <= 2**62 and value == int(value):
        return f"{sign}{abs(int(value))}".encode()
    _, all_digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, all_digits)).rstrip("0")
    exponent += len(all_digits) - len(digits)
    point = len(digits) + exponent
    if exponent >= 0 and abs(point - 1) < len(digits) + 7:
        text = digits + "0" * exponent
    elif exponent < 0 and (exponent > -7 or abs(point - 1) < 4):
        text = f"{digits[:point]}.{digits[point:]}" if point > 0 else f"0.{'0' * -point}{digits}"
    else:
        text = digits[0] + ("." if digits[1:] else "") + f"{digits[1:]}e{point - 1:+d}"
    return (sign + text).encode()


def bulk(data: bytes, kind: str = "$") -> bytes:
    return b"%s%d\r\n%s\r\n" % (kind.encode(), len(data), data)


def line(kind: str, text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return kind.encode() + encoded.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"


def number(kind: str, text: bytes, protocol: int) -> bytes:
    return kind.encode() + text + b"\r\n" if protocol == 3 else bulk(text)


def encode(value: Any, protocol: int) -> bytes:
    match value:
        case bytes():
            return bulk(value)
        case str():
            return line("+", value)
        case ErrorReply():
            return line("-", value.text)
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case NullArray():
            return b"_\r\n" if protocol == 3 else b"*-1\r\n"
        case bool():
            return (b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else b":%d\r\n" % value
        case int() if -(2**63) <= value < 2**63:
            return b":%d\r\n" % value
        case int():
            return number("(", b"%d" % value, protocol)
        case float():
            return number(",", double_text(value), protocol)
        case Verbatim() if protocol == 3:
            return bulk(value.form.encode() + b":" + value.text, "=")
        case Verbatim():
            return bulk(value.text)
    return encode_aggregate(value, protocol)


def encode_aggregate(value: Any, protocol: int) -> bytes:
    match value:
        case dict():
            kind, items = "%", [item for pair in value.items() for item in pair]
        case frozenset():
            kind, items = "~", list(value)
        case Push():
            kind, items = ">", list(value.items)
        case _:
            kind, items = "*", list(value)
    count = len(value) if kind == "%" and protocol == 3 else len(items)
    header = f"{kind if protocol == 3 else '*'}{count}\r\n".encode()
    return header + b"".join(encode(item, protocol) for item in items)


# --- replies, as a client reads them -------------------------------------------------------------


@dataclass(frozen=True)
class ReplyLimits:
    bulk_size_max: int = 1 << 20
    depth_max: int = 8
    element_count_max: int = 1000


NOTHING = object()  # attributes: what they belong to follows


@dataclass
class ReplyReader:
    data: bytes
    limits: ReplyLimits
    position: int = 0
    elements: int = 0

    def line(self) -> bytes:
        text = line_at(self.data, self.position, b"\r", "line")
        end = self.position + len(text)
        if end + 1 == len(self.data):
            raise Ends
        if self.data[end + 1 : end + 2] != b"\n":
            raise Fault("line")
        self.position = end + 2
        return text[1:]

    def reply(self) -> Any:
        """A whole reply, without the attributes in front of it."""
        self.elements = 0
        value = NOTHING
        while value is NOTHING:
            if self.position == len(self.data):
                raise Ends
            value = self.element(0)
        return value

    def element(self, depth: int) -> Any:
        if self.position >= len(self.data):
            raise Ends
        kind = chr(self.data[self.position])
        text = self.line()
        match kind:
            case "+":
                return text.decode("utf-8", "surrogateescape")
            case "-":
                return ErrorReply(text.decode("utf-8", "surrogateescape"))
            case "_" if not text:
                return None
            case "#" if text in (b"t", b"f"):
                return text == b"t"
            case ":":
                unsigned = text[1:] if text[:1] == b"+" and text[1:2] != b"-" else text
                if (integer := decimal(unsigned)) is not None:
                    return integer
            case "(" if BIG_NUMBER.fullmatch(text) and len(text) <= NUMBER_SIZE_MAX:
                return int(text)
            case "," if DOUBLE.fullmatch(text) and len(text) <= NUMBER_SIZE_MAX:
                return float(text)
            case "$" | "!" | "=" | "*" | "~" | ">" | "%" | "|":
                return self.sized(kind, text, depth)
        raise Fault("value")

    def sized(self, kind: str, text: bytes, depth: int) -> Any:
        size = decimal(text)
        if size == -1 and kind in "$*":
            return None
        if size is None or size < 0:
            raise Fault("size")
        if kind in "$!=":
            return self.string(kind, size)
        if kind == ">" and depth:
            raise Fault("push")
        if depth >= self.limits.depth_max:
            raise Fault("depth")
        self.elements += size * 2 if kind in "%|" else size
        if self.elements > self.limits.element_count_max:
            raise Fault("elements")
        items = []
        for _ in range(size * 2 if kind in "%|" else size):
            value = NOTHING
            while value is NOTHING:
                value = self.element(depth + 1)
            items.append(value)
        return made_of(kind, items)

    def string(self, kind: str, size: int) -> Any:
        if size > self.limits.bulk_size_max:
            raise Fault("bulk")
        end = self.position + size
        if end + 2 > len(self.data):
            raise Ends
        content = self.data[self.position : end]
        if self.data[end : end + 2] != b"\r\n":
            raise Fault("end of bulk")
        self.position = end + 2
        if kind == "$":
            return content
        if kind == "!":
            return ErrorReply(content.decode("utf-8", "surrogateescape"))
        if content[3:4] != b":":
            raise Fault("form")
        return Verbatim(content[:3].decode("utf-8", "surrogateescape"), content[4:])


def made_of(kind: str, items: list[Any]) -> Any:
    if kind == "|":
        return NOTHING
    if kind == "*":
        return items
    if kind == ">":
        return Push(tuple(items))
    elements = list(zip(items[::2], items[1::2], strict=True)) if kind == "%" else items
    try:
        found = dict(elements) if kind == "%" else frozenset(elements)
    except TypeError:
        return elements
    return found if len(found) == len(elements) else elements


def replies(data: bytes, limits: ReplyLimits) -> Outcome:
    """`fault` says only that there is one."""
    reader = ReplyReader(data, limits)
    outcome = Outcome()
    try:
        while True:
            outcome.items.append(reader.reply())
    except Fault as fault:
        outcome.fault = str(fault)
    except Ends:
        pass
    return outcome
