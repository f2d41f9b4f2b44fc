"""Inputs for the parsers of RESP: pieces of the protocol, sound and broken, in random order."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import strategies as st

__all__ = ["commands", "cuts", "junk_replies", "junk_requests", "packed", "reply_values"]

REQUEST_PIECES = [
    *(b"*0\r\n", b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*-1\r\n", b"*-2\r\n", b"*01\r\n", b"*+1\r\n"),
    *(
        b"*\r\n",
        b"*11\r\n",
        b"*12345678901\r\n",
        b"*99999999999999999999\r\n",
        b"*1 \r\n",
        b"*1\rX",
    ),
    *(b"$0\r\n\r\n", b"$1\r\na\r\n", b"$3\r\nGET\r\n", b"$4\r\na\r\nb\r\n", b"$2\r\n\r\n\r\n"),
    *(b"$-1\r\n", b"$00\r\n", b"$1\r\nabcd\r\n", b"$5\r\nab\r\n", b"$\r\n", b"$99999999999\r\n"),
    *(b"\r\n", b"\n", b"\r", b" ", b"PING\r\n", b"GET a\n", b"a b  c\r\n", b"\tx\vy\f z\r\n"),
    *(b'"a b"', b'"\\x41\\n\\q', b'\\"', b'"', b"'", b"'a\\'b'", b"\\", b'"" ', b'x"y z" ', b"\\'"),
    *(b"+OK\r\n", b":1\r\n", b"\0", b"\xff\xfe", b"*", b"$", b"*1\r\n$1\r\n", b"*1\r\n$1\r\nz\r\n"),
]

REPLY_PIECES = [
    *(
        b"+OK\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":1\r\n",
        b":-7\r\n",
        b":+7\r\n",
        b":007\r\n",
        b":\r\n",
    ),
    *(b":9223372036854775807\r\n", b":-9223372036854775808\r\n", b":9223372036854775808\r\n"),
    *(b"$0\r\n\r\n", b"$1\r\na\r\n", b"$-1\r\n", b"$-2\r\n", b"$3\r\na\r\n\r\n", b"$2\r\na\r\n"),
    *(b"*0\r\n", b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*-1\r\n", b"*?\r\n", b"*1001\r\n", b"*\r\n"),
    *(b"%1\r\n", b"%2\r\n", b"%0\r\n", b"%-1\r\n", b"~1\r\n", b"~2\r\n", b">1\r\n", b">2\r\n"),
    *(b"|1\r\n", b"|0\r\n", b"_\r\n", b"_x\r\n", b"#t\r\n", b"#f\r\n", b"#x\r\n", b",1.5\r\n"),
    *(b",inf\r\n", b",-inf\r\n", b",nan\r\n", b",1e5\r\n", b",1_0\r\n", b",.\r\n", b",-.5e+3\r\n"),
    *(
        b"(123456789012345678901234567890\r\n",
        b"(-5\r\n",
        b"(1_0\r\n",
        b"(\r\n",
        b"=7\r\ntxt:abc\r\n",
    ),
    *(
        b"=3\r\ntxt\r\n",
        b"=4\r\nabcd\r\n",
        b"!5\r\nERR x\r\n",
        b"!0\r\n\r\n",
        b"$9999999\r\n",
        b"+a\r+",
    ),
    *(b"\r\n", b"\0", b"\xff", b"x", b"+caf\xc3\xa9\r\n", b"+\xff\r\n"),
]


def junk_requests(choose: random.Random, piece_count: int) -> bytes:
    return b"".join(choose.choices(REQUEST_PIECES, k=choose.randint(1, piece_count)))


def junk_replies(choose: random.Random, piece_count: int) -> bytes:
    """With as many sound pieces as make long runs likely."""
    pieces = choose.choices(REPLY_PIECES, k=choose.randint(1, piece_count))
    sound = choose.choices([b"$1\r\na\r\n", b":1\r\n", b"*2\r\n", b"+OK\r\n"], k=len(pieces))
    return b"".join(choose.choice(pair) for pair in zip(pieces, sound, strict=True))


def packed(command: list[bytes]) -> bytes:
    """As clients send it."""
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in command]
    return b"".join(parts)


def cuts(choose: random.Random, data: bytes) -> Iterator[bytes]:
    """`data` in pieces of random sizes, small ones and large ones."""
    at = 0
    while at < len(data):
        size = min(choose.choice([1, 2, 3, 7, 50, 1000, 100_000]), choose.randint(1, len(data)))
        yield data[at : at + size]
        at += size


commands = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=6), max_size=8)

scalars = (
    st.binary(max_size=20)
    | st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=10)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
)
reply_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(scalars, inner, max_size=3)
        | st.frozensets(scalars, max_size=3)
    ),
    max_leaves=12,
)
