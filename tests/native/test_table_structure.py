"""Tables whose every checksum is right and whose structure is not: each is refused, with the words
that say what is wrong. Written by the reference writer, in which one thing is another."""

import struct
from functools import partial

import pytest
import zstandard

from lsmkv._native.block import DELETE, PUT
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.errors import CorruptionError
from tests.support.reference_table import (
    DATA,
    DIRECTORY,
    INDEX,
    PROPERTIES,
    Writer,
    block_payload,
    footer,
    properties,
    stored,
)
from tests.support.table_cases import ID, PATH, replace_file

ENTRIES = [(key, 5, PUT, b"value") for key in (b"a", b"b", b"c", b"d")]
OTHER_ID = bytes(range(100, 116))
ZSTD = 3
INDEX_SECTION, PROPERTIES_SECTION = 1, 3
LEVELS_MAX = 33
SECTIONS_MAX = 16


def handle(child, ordinal):
    return struct.pack("<QII", child[1], child[2], ordinal)


def handles(children, first=0):
    return [(child[0], handle(child, first + at)) for at, child in enumerate(children)]


def compressed_block(offset, payload, type):
    frame = zstandard.compress(payload + bytes(1000))
    return stored(ID, offset, frame, type, codec=ZSTD, raw_size=len(payload) + 1000)


def node(writer, entries, *, compressed=False):
    """A node of (separator, value); returns what its parent says of it."""
    writer.align()
    offset = len(writer.data)
    payload = block_payload([(*separator, PUT, value) for separator, value in entries])
    seal = compressed_block if compressed else partial(stored, ID)
    writer.data += seal(offset, payload, INDEX)
    return entries[-1][0] if entries else None, offset, len(writer.data) - offset


def one_node(writer, children):
    node(writer, handles(children))


def two_nodes(writer, children):
    return [node(writer, handles(children[:2])), node(writer, handles(children[2:], 2))]


def two_levels(writer, children):
    node(writer, handles(two_nodes(writer, children)))


def table(index=one_node, *, levels=1, blocks=4, stated=ENTRIES, change=None, directory=b""):
    """The bytes; the properties are those of the entries `stated`, `change` sees the writer before
    the directory is written."""
    writer = Writer(ID)
    children = [((e[0], 0), *writer.block(block_payload([e]), DATA)) for e in ENTRIES]
    data_end = len(writer.data)
    writer.align()
    start = len(writer.data)
    index(writer, children)
    writer.sections.append((INDEX_SECTION, 1, start, len(writer.data) - start))
    summary = properties(stated, blocks, levels, 4096)
    writer.section(PROPERTIES_SECTION, 1, summary, PROPERTIES)
    if change is not None:
        change(writer)
    return writer.finish(data_end, directory)


def opened(data):
    files = MemoryFileSystem()
    replace_file(files, data)
    return TableSpace(files).open(PATH, 1)


def refusal(data):
    with pytest.raises(CorruptionError) as caught:
        opened(data)
    assert caught.value.path == PATH
    return str(caught.value)


@pytest.mark.parametrize(("index", "levels"), [(one_node, 1), (two_levels, 2)])
def test_the_tables_that_the_others_are_made_of_are_read(index, levels):
    assert list(opened(table(index, levels=levels)).entries()) == ENTRIES


# --- the index -----------------------------------------------------------------------------------


def compressed(writer, children):
    node(writer, handles(children), compressed=True)


def short_handle(writer, children):
    node(writer, [(separator, value[:-1]) for separator, value in handles(children)])


def wrong_ordinal(writer, children):
    node(writer, handles(children, 1))


def gap(writer, children):
    node(writer, handles([children[0], *children[2:]]))


def cut_node(writer, children):
    two_nodes(writer, children)
    del writer.data[-8 - len(writer.data) % 8 :]


def end_within_a_header(writer, children):
    node(writer, handles(children[:2]))
    writer.align()
    writer.data += bytes(8)


def swapped_nodes(writer, children):
    node(writer, handles(children[2:]))
    node(writer, handles(children[:2], 2))


def the_same_separator_twice(writer, children):
    node(writer, handles(children[:2]))
    again = [(children[1][0], handle(children[2], 2)), (children[3][0], handle(children[3], 3))]
    node(writer, again)


def a_node_too_many(writer, children):
    two_levels(writer, children)
    node(writer, handles(children))


def no_root(writer, children):
    two_nodes(writer, children)


def endless_levels(writer, children):
    level = two_nodes(writer, children)
    for _ in range(LEVELS_MAX + 1):
        level = [node(writer, handles([child], at)) for at, child in enumerate(level)]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (compressed, "not raw"),
        (short_handle, "wrong size"),
        (wrong_ordinal, "ordinals"),
        (gap, "not adjacent"),
        (cut_node, "beyond its section"),
        (end_within_a_header, "out of place"),
        (swapped_nodes, "not adjacent|out of order"),
        (the_same_separator_twice, "out of order"),
        (a_node_too_many, "after the root"),
        (no_root, "root is missing"),
        (endless_levels, "too many levels"),
    ],
)
def test_an_index_that_contradicts_itself(index, words):
    with pytest.raises(CorruptionError, match=words):
        opened(table(index, levels=2))


@pytest.mark.parametrize("field", ["key", "sequence", "offset", "size"])
def test_an_entry_that_contradicts_its_child(field):
    def index(writer, children):
        left, right = two_nodes(writer, children)
        (key, sequence), offset, size = left
        spoiled = {
            "key": ((key + b"0", sequence), offset, size),
            "sequence": ((key, sequence + 1), offset, size),
            "offset": (left[0], offset + 64, size),
            "size": (left[0], offset, size + 1),
        }[field]
        node(writer, handles([spoiled, right]))

    assert "contradicts its child" in refusal(table(index, levels=2))


@pytest.mark.parametrize(
    ("blocks", "words"),
    [(3, "too many entries"), (5, "root is missing"), (0, "more blocks"), (1 << 31, "more blocks")],
)
def test_more_or_fewer_blocks_than_the_index_has(blocks, words):
    assert words in refusal(table(blocks=blocks))


def test_a_node_of_nothing():
    def index(writer, children):
        node(writer, [])

    assert "a node is empty" in refusal(table(index, blocks=1))


def test_levels_that_the_index_does_not_have():
    assert "contradict the index" in refusal(table(levels=2))


# --- sections ------------------------------------------------------------------------------------


def twice(writer):
    writer.section(PROPERTIES_SECTION, 1, properties(ENTRIES, 4, 1, 4096), PROPERTIES)


def too_many(writer):
    for number in range(100, 100 + SECTIONS_MAX):
        writer.section(number, 0, b"unknown", DIRECTORY)


def unlisted(writer):
    writer.section(100, 0, b"unknown" * 20, DIRECTORY)
    writer.sections.pop()


def without(number):
    def change(writer):
        at = next(i for i, section in enumerate(writer.sections) if section[0] == number)
        writer.sections[at] = (100, 0, *writer.sections[at][2:])

    return change


def beyond_the_directory(writer):
    number, flags, offset, size = writer.sections[-1]
    writer.sections[-1] = number, flags, offset, size + 4096


def behind_the_directory(writer):
    writer.sections.append((100, 0, writer.sections[-1][2] + 4096, 64))


def shorter_than_a_header(writer):
    number, flags, offset, _ = writer.sections[-1]
    writer.sections[-1] = number, flags, offset, 8


def short_properties(writer):
    del writer.data[writer.sections.pop()[2] :]
    writer.section(PROPERTIES_SECTION, 1, bytes(8), PROPERTIES)


def compressed_properties(writer):
    offset = writer.sections.pop()[2]
    del writer.data[offset:]
    writer.data += compressed_block(offset, properties(ENTRIES, 4, 1, 4096), PROPERTIES)
    writer.sections.append((PROPERTIES_SECTION, 1, offset, len(writer.data) - offset))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (twice, "stands twice"),
        (too_many, "too many sections"),
        (unlisted, "belong to no section"),
        (without(INDEX_SECTION), "missing"),
        (without(PROPERTIES_SECTION), "missing"),
        (beyond_the_directory, "out of place"),
        (behind_the_directory, "out of place"),
        (shorter_than_a_header, "out of place"),
        (short_properties, "malformed section"),
        (compressed_properties, "malformed section"),
    ],
)
def test_sections_that_cannot_be(change, words):
    assert words in refusal(table(change=change))


def test_a_directory_of_pieces():
    assert "malformed section directory" in refusal(table(directory=b"?"))


def test_the_footer_of_another_table():
    data = table()
    tail_size, directory_offset, directory_size = struct.unpack_from("<QQI", data, len(data) - 32)
    forged = footer(OTHER_ID, len(data) - 64, tail_size, directory_offset, directory_size)
    assert "different table ids" in refusal(data[:-64] + forged)


# --- what is told by verify alone ----------------------------------------------------------------


def a_later_end(writer, children):
    """The last separator is behind the last key."""
    node(writer, handles([*children[:3], ((b"e", 0), *children[3][1:])]))


@pytest.mark.parametrize(
    ("index", "stated", "words"),
    [
        (one_node, [(b"0", *ENTRIES[0][1:]), *ENTRIES[1:]], "smallest or largest"),
        (a_later_end, [*ENTRIES[:3], (b"e", *ENTRIES[3][1:])], "smallest or largest"),
        (
            one_node,
            [(key, 5 + at, *rest) for at, (key, _, *rest) in enumerate(ENTRIES)],
            "disagree",
        ),
        (one_node, [(*entry[:2], DELETE, entry[3]) for entry in ENTRIES], "disagree"),
    ],
)
def test_properties_of_other_entries(index, stated, words):
    subject = opened(table(index, stated=stated))
    assert list(subject.entries()) == ENTRIES
    with pytest.raises(CorruptionError, match=words):
        subject.verify()


def test_a_tail_that_became_another_one():
    files = MemoryFileSystem()
    replace_file(files, table())
    subject = TableSpace(files).open(PATH, 1)
    subject.verify()
    replace_file(files, table(stated=[(*entry[:3], b"") for entry in ENTRIES]))
    with pytest.raises(CorruptionError, match="differs from the file's"):
        subject.verify()
