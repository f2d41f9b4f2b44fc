"""FORMATS.md is true: its tables are those of the sources, and its examples decode as it says."""

from __future__ import annotations

import re
from pathlib import Path

from crc32c import crc32c

from lsmkv import filenames, manifest_format
from lsmkv._native.block import DELETE, PUT, Block
from lsmkv._native.bloom import BloomFilter
from lsmkv._native.log import SegmentReader
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from lsmkv.version import LogRef, TableKey

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lsmkv"
TEXT = (ROOT / "FORMATS.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text(?: from=(\S+))?\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def block(first_words: str) -> list[str]:
    """The lines of the one block that begins with these words."""
    found = [
        text
        for _, text in BLOCKS
        if text.split()[: len(first_words.split())] == first_words.split()
    ]
    assert len(found) == 1, first_words
    return found[0].splitlines()


def hexadecimal(lines: list[str]) -> dict[int, bytes]:
    """The bytes of a dump by offset: up to 16 a line, then an explanation."""
    found: dict[int, bytes] = {}
    end = 0
    for line in lines:
        offset, text = re.findall(r"^\s*(?:(\d+)(?:: |  ))?(.*)$", line)[0]
        groups = re.match(r"(?:(?:[0-9a-f]{2}){1,4}(?: {1,3}|$))+", text)
        assert groups is not None, line
        start = int(offset) if offset else end
        found[start] = bytes.fromhex(groups[0])[:16]
        end = start + len(found[start])
    return found


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
    image = bytearray(512)
    for offset, data in hexadecimal(block("0 4c534d4b")).items():
        image[offset : offset + len(data)] = data
    filesystem = MemoryFileSystem()
    with filesystem.open("/example.sst", "x") as file:
        file.append(bytes(image))
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
