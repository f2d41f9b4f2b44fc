"""Requests are read as Redis reads them, however they are cut, within their limits, whatever comes.

Held against reference_resp.py, which reads the whole input at once; against a real redis-server in
test_resp_redis.py; tests/native/c/resp_check.c does the same under sanitizers.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv._native import memory
from lsmkv.kernel import RequestParser
from tests.support import c_program
from tests.support import reference_resp as reference
from tests.support.reference_resp import Limits, Outcome
from tests.support.resp_cases import commands, cuts, junk_requests, packed

TINY = Limits(argument_count_max=3, bulk_size_max=5, command_size_max=40)
LIMITS = [Limits(), Limits(is_restricted=True), TINY]

GOLDEN = [
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", [[b"SET", b"k", b""]], None),
    (b"PING\r\n", [[b"PING"]], None),
    (b"SET k 'a b'\n", [[b"SET", b"k", b"a b"]], None),
    (rb'ECHO "\x41\n\\\"" x"y z"' + b"\r\n", [[b"ECHO", b'A\n\\"', b"xy z"]], None),
    (b"ECHO 'it\\'s'\r\n", [[b"ECHO", b"it's"]], None),
    (b"\r\n\n  \r\n*0\r\n*-1\r\n*-7\r\nPING\r\n", [[b"PING"]], None),
    (b"*1\rX$4\rYPINGZZ", [[b"PING"]], None),
    (b"*1\r\n$4\r\n\r\n\r\n\r\n", [[b"\r\n\r\n"]], None),
    (b"PING\r\n*1\r\n$4\r\nPIN", [[b"PING"]], None),
    (b"*x\r\n", [], "invalid multibulk length"),
    (b"*\r\n", [], "invalid multibulk length"),
    (b"*01\r\n", [], "invalid multibulk length"),
    (b"*1048577\r\n", [], "invalid multibulk length"),
    (b"*9223372036854775808\r\n", [], "invalid multibulk length"),
    (b"PING\r\n*1\r\n+PING\r\n", [[b"PING"]], "expected '$', got '+'"),
    (b"*1\r\n\r\nPING\r\n", [], "expected '$', got ' '"),
    (b"*1\r\n\xffPING\r\n", [], "expected '$', got '\udcff'"),
    (b"*1\r\n$-1\r\n", [], "invalid bulk length"),
    (b"*1\r\n$1x\r\n", [], "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", [], "invalid bulk length"),
    (b'GET "a\r\n', [], "unbalanced quotes in request"),
    (b'GET "a"b\r\n', [], "unbalanced quotes in request"),
    (b"GET 'a\r\n", [], "unbalanced quotes in request"),
    (b"G" * 65537, [], "too big inline request"),
    (b"*" + b"1" * 65537, [], "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 65537, [], "too big bulk count string"),
    (b"*2\r\n$536870912\r\n" + b"x" * 600, [], None),
]


READ_SIZE_MAX = 64 << 10


def parser_of(limits: Limits) -> RequestParser:
    parser = RequestParser(limits.argument_count_max, limits.bulk_size_max, limits.command_size_max)
    parser.is_restricted = limits.is_restricted
    return parser


def take_all(parser: RequestParser) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    while taken := parser.take(1000):
        found += taken
    return found


def parse(pieces, limits: Limits = LIMITS[0]) -> Outcome:
    """Through `feed`, taking after each piece."""
    parser = parser_of(limits)
    found: list[list[bytes]] = []
    for piece in pieces:
        parser.feed(piece)
        found += take_all(parser)
    return Outcome(found, parser.fault)


def write_into(parser: RequestParser, data: bytes) -> None:
    """As asyncio's buffered protocols do it."""
    while data:
        with parser.get_buffer(-1) as view:
            size = min(len(view), len(data))
            view[:size] = data[:size]
        parser.buffer_updated(size)
        data = data[size:]


# --- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "expected", "fault"), GOLDEN)
def test_golden_inputs(data, expected, fault):
    fault = fault and f"Protocol error: {fault}"
    assert reference.requests(data, Limits()) == Outcome(expected, fault)
    assert parse([data]) == Outcome(expected, fault)


@pytest.mark.parametrize(("data", "expected", "fault"), [row for row in GOLDEN if len(row[0]) < 80])
def test_golden_inputs_at_every_cut(data, expected, fault):
    whole = parse([data])
    assert parse(bytes([byte]) for byte in data) == whole
    for at in range(len(data) + 1):
        assert parse([data[:at], data[at:]]) == whole


@given(commands)
def test_what_clients_send_comes_back(wanted):
    assert parse([b"".join(map(packed, wanted))]) == Outcome(wanted)


@given(st.binary(max_size=80), st.sampled_from(LIMITS))
@settings(max_examples=300)
def test_any_line_equals_the_reference(line, limits):
    """Mostly inline commands; with quotes and escapes in the next test."""
    assert parse([line + b"\r\n"], limits) == reference.requests(line + b"\r\n", limits)


@given(st.text(alphabet="a x41\\\"'\t\v\r\nn", max_size=24))
@settings(max_examples=500)
def test_any_quoting_equals_the_reference(text):
    data = text.encode() + b"\r\n"
    assert parse([data]) == reference.requests(data, Limits())


@pytest.mark.parametrize("seed", range(20))
def test_junk_equals_the_reference_however_it_is_cut(seed):
    choose = random.Random(seed)
    faults = 0
    for _ in range(300):
        data = junk_requests(choose, 12)
        limits = choose.choice(LIMITS)
        expected = reference.requests(data, limits)
        assert parse([data], limits) == expected
        assert parse(cuts(choose, data), limits) == expected
        faults += expected.fault is not None
    assert 30 < faults < 290


@pytest.mark.parametrize("seed", range(3))
def test_large_inputs_however_they_are_cut(seed):
    """Pipelines, and arguments far larger than a read, by both ways in."""
    choose = random.Random(seed)
    wanted = [
        [choose.randbytes(choose.choice([0, 3, 100, 20_000])) for _ in range(choose.randint(1, 9))]
        for _ in range(120)
    ]
    data = b"".join(map(packed, wanted))
    assert parse(cuts(choose, data)) == Outcome(wanted)
    parser = parser_of(Limits())
    found: list[list[bytes]] = []
    for piece in cuts(choose, data):
        write_into(parser, piece)
        found += parser.take(choose.choice([0, 1, 2, 1000]))
    assert found + take_all(parser) == wanted
    assert parser.buffered_size == 0


def test_what_is_announced_is_expected_and_no_more():
    parser = parser_of(Limits())
    first = packed([b"GET", b"k"])
    parser.feed(first)
    assert parser.expected_size == len(first)
    announced = packed([b"SET", b"k", bytes(1000)])
    parser.feed(announced[:40])
    assert parser.take(9) == [[b"GET", b"k"]]
    assert (parser.buffered_size, parser.expected_size) == (40, len(announced))
    parser.feed(announced[40:])
    assert len(parser.take(9)) == 1
    assert (parser.buffered_size, parser.expected_size) == (0, 0)


def test_taking_little_of_much_loses_nothing_and_does_not_pile_up():
    parser = parser_of(Limits())
    before = memory.usage()
    found: list[list[bytes]] = []
    for i in range(20_000):
        parser.feed(packed([b"GET", b"%d" % i]) if i % 3 else b"GET %d\r\n" % i)
        if i > 50:
            found += parser.take(1)
    assert memory.usage()[0] - before[0] < 64 * 1024
    found += take_all(parser)
    assert found == [[b"GET", b"%d" % i] for i in range(20_000)]


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "fits", "exceeds", "fault"),
    [
        (TINY, packed([b"a"] * 3), packed([b"a"] * 4), "invalid multibulk length"),
        (TINY, packed([b"12345"]), packed([b"123456"]), "invalid bulk length"),
        (TINY, packed([b"12345"] * 3), None, None),
        (
            Limits(10, 100, 40),
            packed([b"a" * 29]),
            packed([b"a" * 30]),
            "too big request",
        ),
        (Limits(10, 100, 40), b"*6\r\n", b"*7\r\n", "too big request"),
        (LIMITS[1], packed([b"a"] * 10), b"*11\r\n", "unauthenticated multibulk length"),
        (LIMITS[1], packed([b"a" * 16384]), b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
        (LIMITS[0], b"a" * 65536 + b"\n", b"a" * 65537 + b"\n", "too big inline request"),
    ],
)
def test_limits_hold_to_the_byte(limits, fits, exceeds, fault):
    assert parse([fits], limits).fault is None
    if exceeds is not None:
        assert parse([exceeds], limits) == Outcome([], f"Protocol error: {fault}")


def test_an_announcement_allocates_nothing():
    before = memory.usage()[0]
    parser = parser_of(Limits())
    for piece in (b"*1048576\r\n", b"$536870912\r\n", b"x" * 100):
        parser.feed(piece)
        assert parser.take(10) == []
    assert parser.fault is None
    assert memory.usage()[0] - before < 4096
    with parser.get_buffer(-1) as view:
        assert len(view) < 64 * 1024


def test_memory_follows_what_has_come_in():
    """One argument of 8 MiB never takes twice its size, and nothing when it is gone."""
    parser = parser_of(Limits())
    data = packed([b"SET", b"k", bytes(8 << 20)])
    before, largest = memory.usage()[0], 0
    for at in range(0, len(data), 64 * 1024):
        parser.feed(data[at : at + 64 * 1024])
        parser.take(1) if at + 64 * 1024 < len(data) else None
        largest = max(largest, memory.usage()[0] - before)
    assert largest < len(data) + 4096
    assert len(parser.take(1)) == 1
    assert memory.usage()[0] - before < 4096


@pytest.mark.parametrize("limit", [2**40 + 1, 2**64 - 1])
def test_limits_that_could_overflow_are_refused(limit):
    for limits in ((limit, 1, 1), (1, limit, 1), (1, 1, limit)):
        with pytest.raises(ValueError, match="limit"):
            RequestParser(*limits)


def test_before_authentication_commands_come_one_at_a_time():
    """What is behind AUTH is read by the limits that hold when AUTH was carried out."""
    parser = parser_of(Limits(is_restricted=True))
    large = [b"SET", b"k", bytes(20_000)]
    parser.feed(packed([b"AUTH", b"secret"]) + packed(large) + packed([b"PING"]))
    assert parser.take(100) == [[b"AUTH", b"secret"]]
    assert parser.fault is None
    parser.is_restricted = False
    assert parser.take(100) == [large, [b"PING"]]


# --- the object ----------------------------------------------------------------------------------


def test_nothing_is_read_behind_a_fault():
    parser = parser_of(Limits())
    parser.feed(b"PING\r\n*1\r\n+x\r\nPING\r\n")
    assert parser.take(10) == [[b"PING"]]
    assert parser.fault == "Protocol error: expected '$', got '+'"
    parser.feed(b"PING\r\n")
    assert parser.take(10) == []
    assert parser.fault == "Protocol error: expected '$', got '+'"


def test_a_fault_is_seen_when_reading_comes_to_it():
    parser = parser_of(Limits())
    parser.feed(b"PING\r\nPING\r\n*x\r\n")
    assert (parser.take(1), parser.fault) == ([[b"PING"]], None)
    assert (parser.take(9), parser.fault) == (
        [[b"PING"]],
        "Protocol error: invalid multibulk length",
    )


def test_nothing_moves_while_a_view_is_in_use():
    parser = parser_of(Limits())
    view = parser.get_buffer(100)
    assert len(view) >= 100
    view[:6] = b"PING\r\n"
    parser.buffer_updated(6)
    assert parser.take(5) == [[b"PING"]], "taking moves nothing"
    parser.feed(b"PING\r\n")
    with pytest.raises(BufferError, match="in use"):
        parser.feed(bytes(1 << 20))
    assert parser.take(5) == [[b"PING"]], "and what was refused changed nothing"
    view.release()
    parser.feed(packed([bytes(1 << 20)]))
    assert parser.take(5) == [[bytes(1 << 20)]]


def test_the_room_is_as_large_as_asked_for_and_no_more_can_come():
    parser = parser_of(Limits())
    with parser.get_buffer(100_000) as view:
        room = len(view)
        assert room >= 100_000
        assert not view.readonly
    with pytest.raises(ValueError, match="room"):
        parser.buffer_updated(room + 1)
    assert parser.buffered_size == 0


@pytest.mark.parametrize("dies_early", [False, True])
def test_a_large_buffer_is_given_back_whenever_its_view_dies(dies_early):
    """Before `buffer_updated`, when what was written must stay, or after everything was taken."""
    parser = parser_of(Limits())
    data = packed([bytes(100_000)])
    before = memory.usage()
    view = parser.get_buffer(len(data))
    view[: len(data)] = data
    if dies_early:
        view.release()
        assert parser.take(1) == []
    parser.buffer_updated(len(data))
    assert parser.take(1) == [[bytes(100_000)]]
    view.release()
    assert memory.usage()[0] - before[0] < 4096


def test_what_was_written_is_told_once_and_before_anything_else_comes():
    parser = parser_of(Limits())
    with pytest.raises(ValueError, match="room"):
        parser.buffer_updated(0)
    with parser.get_buffer(10) as view:
        view[:6] = b"PING\r\n"
    parser.feed(b"TIME\r\n")
    with pytest.raises(ValueError, match="room"):
        parser.buffer_updated(6)
    assert take_all(parser) == [[b"TIME"]]


@pytest.mark.parametrize("data", ["text", None, 7])
def test_only_bytes_are_fed(data):
    parser = parser_of(Limits())
    with pytest.raises(TypeError, match="input"):
        parser.feed(data)


def test_any_buffer_is_fed():
    parser = parser_of(Limits())
    for data in (b"PI", bytearray(b"NG"), memoryview(b"\r\n")):
        parser.feed(data)
    assert (parser.buffered_size, parser.waiting) == (6, 0)
    assert parser.take(1) == [[b"PING"]]


def test_failing_allocations_lose_nothing():
    """Each in turn, also in the middle of commands: the same call succeeds afterwards."""
    data = b"".join(packed([b"SET", b"%d" % i, b"v"]) + b"GET 'x y'\r\n" for i in range(100))
    expected = parse([data])
    assert len(expected.items) == 200
    failures = 0
    for after in range(1, 12):
        parser = parser_of(Limits())
        memory.fail_allocation(after)
        _, fed_late = twice(lambda p=parser: p.feed(data))
        taken, taken_late = twice(lambda p=parser: p.take(1000))
        memory.fail_allocation(0)
        assert taken == expected.items
        failures += fed_late + taken_late
    assert failures > 5


def twice(call):
    """The result, and whether the first attempt failed for lack of memory."""
    try:
        return call(), False
    except MemoryError:
        return call(), True


def test_memory_is_returned():
    before = memory.usage()
    parser = parser_of(Limits())
    parser.feed(b"".join(packed([b"GET", b"%d" % i]) for i in range(10_000)))
    assert len(parser.take(20_000)) == 10_000
    assert memory.usage()[0] - before[0] < 32 * 1024, "an idle connection holds little"
    parser.feed(b"*2\r\n$3\r\nGE")
    del parser
    assert memory.usage() == before


# --- under sanitizers ----------------------------------------------------------------------------

KERNELS = ["resp_request", "resp_inline", "resp_input", "resp_reply", "resp_writer", "allocator"]


@pytest.fixture(scope="module")
def sanitized_check(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sanitized")
    return c_program.build(folder, "resp_check", KERNELS, c_program.SANITIZED)


@pytest.mark.parametrize("part", ["requests", "replies", "writer"])
def test_junk_under_sanitizers(sanitized_check, part):
    for seed in range(1, 5):
        c_program.run(sanitized_check, part, seed, 2000)


def test_no_read_takes_more_than_so_much_however_much_is_awaited():
    """While one client is read the others wait."""
    parser = RequestParser(10, 8 << 20, 16 << 20)
    parser.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n" + bytes(1_000_000))
    assert len(parser.get_buffer(-1)) == READ_SIZE_MAX
    parser.buffer_updated(0)
    assert len(parser.get_buffer(100_000)) == 100_000
    parser.buffer_updated(0)
