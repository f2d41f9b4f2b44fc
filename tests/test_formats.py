"""FORMATS.md is true: its tables are those of the sources, and its examples decode as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crc32c import crc32c

from lsmkv import filenames, manifest_format
from lsmkv._native.block import DELETE, PUT, Block
from lsmkv._native.bloom import BloomFilter
from lsmkv._native.log import SegmentReader
from lsmkv._native.merkle import MerkleTree
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from lsmkv.version import LogRef, TableKey
from lsmkv_cluster.coordination.replica_messages import (
    READ,
    Found,
    decode_found,
    decode_merge,
    decode_read,
    encode_read,
)
from lsmkv_cluster.coordination.requests import (
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from lsmkv_cluster.healing.antientropy_repair_messages import (
    ListAnswer,
    ListQuestion,
    decode_list_answer,
    encode_list_answer,
    encode_list_question,
)
from lsmkv_cluster.healing.antientropy_sync_messages import (
    decode_sync_answer,
    decode_sync_question,
    encode_sync_answer,
    encode_sync_question,
)
from lsmkv_cluster.healing.start_messages import Announcement
from lsmkv_cluster.healing.tombstone_messages import Question, decode_question, encode_question
from lsmkv_cluster.operations import Machine, Operation
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.ports import Ask, Now
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport, Prepare, Promise
from lsmkv_cluster.storage.engine_key import KeyScheme, Space, client_key, slot_in
from lsmkv_cluster.storage.storage_orders import Entry as KeyEntry
from lsmkv_cluster.storage.store_marks import IDENTITY_KEY, encode_identity, read_marks
from lsmkv_cluster.swim.gossip_messages import Statement, decode_statement, encode_statement
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.transport.datagram import DatagramOpener, DatagramSealer
from lsmkv_cluster.transport.handshake import Hello, decode_hello, encode_hello
from lsmkv_cluster.transport.traffic import Incoming, Traffic
from lsmkv_cluster.transport.wire import Frame, FrameDecoder, FrameKind, Lane, encode_frame
from lsmkv_cluster.versions import context, record_format
from lsmkv_cluster.versions.actor import Identity
from lsmkv_cluster.versions.record import Kind
from lsmkv_cluster.versions.vclock import Actor, Entry
from tests.support.worked_examples import BLOCKS, block, hexadecimal, joined

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lsmkv"


def test_the_tables_are_those_of_the_sources():
    compared = 0
    for source, text in BLOCKS:
        if not source:
            continue
        folder = PACKAGE if source.endswith(".py") else PACKAGE / "_native" / "kernels"
        if source.startswith("lsmkv_cluster/"):
            folder = ROOT / "cluster"
        lines = [
            re.sub(r"^ \*", "", line).split()
            for line in (folder / source).read_text(encoding="utf-8").splitlines()
        ]
        for line in text.splitlines():
            assert line.split() in lines, f"{source} does not say: {line}"
            compared += 1
    assert compared > 100


def test_file_names():
    rows = block("name kind")[1:]
    for row in rows:
        name, kind = row.split()[:2]
        parsed = filenames.parse(name)
        assert parsed is not None
        assert parsed.kind is FileKind[kind]
        assert str(parsed) == name
    assert len(rows) == len(FileKind)


def test_log_record():
    pieces = hexadecimal(block("64: ff"))
    assert list(pieces) == [64, 80, 96, 104]
    record = b"".join(pieces.values())
    assert len(record) == 48
    header = bytearray(64)
    header[:12] = b"LSMKVLOG" + (1).to_bytes(4, "little")
    header[16:32] = (1).to_bytes(8, "little") + (0x1122334455667788).to_bytes(8, "little")
    header[48:56] = (6).to_bytes(8, "little")
    checksum = crc32c(bytes(header[16:]), crc32c(bytes(header[:12])))
    header[12:16] = checksum.to_bytes(4, "little")
    reader = SegmentReader(bytes(header) + record, "example")
    [found] = list(reader)
    assert found.base_sequence == 7
    assert found.operations == ((1, b"k", b"vv"), (2, b"d", None))
    assert reader.end == "clean"


def test_block():
    data = b"".join(hexadecimal(block("01 0c")).values())
    assert len(data) == 58
    assert Block(data).entries() == [(b"ap", 7, PUT, b""), (b"apricot", 9, DELETE, b"")]


def test_table():
    image = joined(hexadecimal(block("0 4c534d4b 5654424c")), 512)
    filesystem = MemoryFileSystem()
    with filesystem.open("/example.sst", "x") as file:
        file.append(image)
    table = TableSpace(filesystem).open("/example.sst", 1)
    assert list(table.entries()) == [(b"k", 1, PUT, b"v")]
    assert table.summary().id == bytes(range(16))
    assert table.summary().tail_size == 0x1A6


def test_bloom_filter():
    lines = bytearray(3 * 64)
    lines[64], lines[93] = 0x02, 0x20
    key_hash = 0x80000000_00800001
    assert BloomFilter.from_bytes(bytes(lines), 2).may_contain(key_hash)
    for index in (64, 93):
        poorer = bytearray(lines)
        poorer[index] = 0
        assert not BloomFilter.from_bytes(bytes(poorer), 2).may_contain(key_hash)


def test_manifest_line():
    line = "".join(block("9c3e5181")).encode() + b"\n"
    content = manifest_format.checked_line(line, 0, len(line) - 1)
    assert content is not None
    edit = manifest_format.decode_edit(content)
    assert (edit.number, edit.removed, edit.added) == (7, (TableKey(12, None),), ())
    assert edit.live_logs == (LogRef(29, None),)
    assert manifest_format.encode_edit(edit) == line


def test_merkle_checkpoint():
    data = joined(hexadecimal(block("0 4c534d4b 564d4b4c")), 40 + 16 * 8)
    tree = MerkleTree.from_checkpoint(data)
    assert (tree.start, tree.span_bits, tree.depth, tree.entry_count) == (1 << 56, 44, 1, 1)
    assert tree.level(1) == (0, 0, 0, 0x1122334455667788, *[0] * 12)
    assert tree.checkpoint() == data


def test_engine_key():
    [key] = hexadecimal(block("01 1d cd")).values()
    scheme = KeyScheme(0x1122334455667788)
    assert scheme.engine_key(Space.DATA, b"k") == key
    assert (slot_in(key), client_key(key)) == (7629, b"k")


def test_marks_of_a_store():
    data = b"".join(hexadecimal(block("01 00 00 00 01 00 00 00 02 00")).values())
    identity = Identity(1, 2, start_number=3, leased=65538, trusted=2)
    assert encode_identity(identity) == data
    assert read_marks([(IDENTITY_KEY, data)]).identity == identity
    assert bytes([4]) + bytes(7) + b"identity" == IDENTITY_KEY


def test_frame():
    data = joined(hexadecimal(block("0 4c534d46")), 74)
    operations = (Operation(0x0301, b"kv"),)
    frame = Frame(
        FrameKind.REQUEST, Lane.DATA, bytes(range(16)), operations, 7, 30_000_000_000, request_id=5
    )
    assert encode_frame(frame) == data
    decoder = FrameDecoder(bytes(range(16)))
    decoder.admit(Lane.DATA)
    decoder.feed(data)
    assert decoder.next_frame() == frame


def test_hello():
    data = joined(hexadecimal(block("0 01010202")), 55)
    ids = bytes(range(0x10, 0x20)), bytes(range(0x20, 0x30))
    hello = Hello(1, 2, Lane.DATA, 3, 2, *ids, boot_number=4 << 32 | 9, name="n1")
    assert encode_hello(hello) == data
    assert decode_hello(data) == hello


def test_datagram():
    data = joined(hexadecimal(block("0 4c534d44")), 82)
    key, cluster_id, node_id = b"k" * 32, bytes(range(16)), bytes(range(0x10, 0x20))
    operations = (Operation(0x0201, b"kv"),)
    assert DatagramSealer(key, cluster_id, node_id, 4 << 32 | 9).seal(operations) == data
    found = DatagramOpener([key], cluster_id).open(data)
    assert (found.node_id, found.boot_number, found.sequence) == (node_id, 4 << 32 | 9, 1)
    assert found.operations == operations


def test_replica_operations():
    merge, found = hexadecimal(block("01 6b726563")).values()
    assert decode_merge(merge) == (b"k", b"rec")
    assert decode_found(found) == Found(digest=0x1122334455667788)


def test_gossip():
    data = joined(hexadecimal(block("0 02101112")), 58)
    member, *accusers = (bytes(range(start, start + 16)) for start in (0x10, 0x20, 0x30))
    statement = Statement(Status.SUSPECT, member, 4 << 32 | 1, None, tuple(accusers))
    assert encode_statement(statement) == data
    assert decode_statement(data) == statement


def test_call_id():
    """What goes out for a read, and what the machine of the peer is given of it."""
    payload = b"".join(hexadecimal(block("05000000 00000000 6b")).values())
    peer, now = b"p" * 16, Now(ms=100, wall_ms=1000)
    asker = Traffic(bytes(16), 1, {Machine.REPLICA}, lambda _: 0, first_call_id=5)
    asker.ask(Machine.REPLICA, Ask(peer, Lane.DATA, READ, encode_read(b"k"), 200, "token"))
    [(to, frame)] = asker.flush(now)
    assert (to, frame.request_id) == (peer, 0)
    assert frame.operations == (Operation(READ, payload),)
    incoming = Incoming({}, {})
    Traffic(bytes(16), 1, {Machine.REPLICA}, lambda _: 0, 0).receive(now, peer, frame, incoming)
    [asked] = incoming.requests[Machine.REPLICA]
    assert decode_read(asked.payload) == b"k"


def test_client_request_and_answer():
    lines = block("02 00 00 00")
    end = lines.index("")
    asked = b"".join(hexadecimal(lines[:end]).values())
    quorum = Consistency(Level.QUORUM)
    request = ClientRequest(Verb.PUT, b"k", (b"v",), write=quorum)
    assert (decode_request(asked), encode_request(request)) == (request, asked)
    given = b"".join(hexadecimal(lines[end + 1 :]).values())
    answer = ClientAnswer(Outcome.UNKNOWN, Reason.NOT_ENOUGH_REPLICAS, 1, 2)
    assert (decode_answer(given), encode_answer(answer)) == (answer, given)


@pytest.mark.parametrize("numbers", [Verb, Outcome, Reason])
def test_every_number_of_client_requests_stands_there(numbers):
    first = next(iter(numbers))
    rows = block(f"{first.name} = {first.value}")
    assert [row.split()[:3] for row in rows] == [[n.name, "=", str(n.value)] for n in numbers]


def test_list_of_keys():
    data = joined(hexadecimal(block("00000000 00000001 ffffffff")), 39)
    question = ListQuestion(1 << 56, 1 << 57, 256)
    assert encode_list_question(question) == data[:18]
    answer = ListAnswer((KeyEntry(b"k", 0x1122334455667788, 300),), 1 << 57)
    assert encode_list_answer(answer) == data[18:]
    assert decode_list_answer(data[18:], question) == answer


def test_handing_over():
    question, answer = hexadecimal(block("00000000 00000001 88776655")).values()
    assert decode_sync_question(question) == 1 << 56
    assert encode_sync_question(1 << 56) == question
    assert decode_sync_answer(answer) == 0x1122334455667788
    assert encode_sync_answer(0x1122334455667788) == answer


def test_start_announcement():
    data = b"".join(hexadecimal(block("2a000000 03000000")).values())
    assert Announcement.decode(data) == Announcement(42, 3, 9, 258)
    assert Announcement(42, 3, 9, 258).encode() == data


def test_decision_on_topology():
    data = b"".join(hexadecimal(block("06000000 00000000 0d0c0b0a")).values())
    prepare = Prepare(6, 1 << 32 | 0x0A0B0C0D)
    report = MemberReport(6, filled=(3, 4, 9))
    assert prepare.encode() + Promise().encode() + report.encode() == data
    assert Prepare.decode(data[:16]) == prepare
    assert Promise.decode(data[16:24]) == Promise()
    assert MemberReport.decode(data[24:]) == report


def test_record_and_context():
    data = b"".join(hexadecimal(block("8b cf")).values())
    assert len(data) == 58
    record = record_format.decode(data)
    assert record.clock.entries == {Actor(1, 2, 3): Entry(1, 1_700_000_000)}
    assert [(item.kind, item.value) for item in record.items] == [(Kind.VALUE, b"v")]
    given = b"".join(hexadecimal(block("77 1b")).values())
    assert len(given) == 48
    assert context.decode(given, b"k", b"s") == context.seen_in(record)


def test_question_about_deleted_records():
    data = b"".join(hexadecimal(block("02000300 00000000 00000101")).values())
    question = Question(2, 3, ((b"k", 0x1122334455667788),))
    assert decode_question(data) == question
    assert encode_question(question) == data
