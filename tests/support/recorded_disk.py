"""A disk made from recorded operations, which knows of everything whether it was synced.

    RecordedDisk   fed with the trace of a FaultFileSystem (contents recorded), one operation at a
                   time; what it holds is files, names and what of both a sync has covered
    Choice         what of the rest a loss of power leaves
    RecordedDisk.image(choice)  the files after it, as a MemoryFileSystem

It is written from the rules of POSIX alone and shares nothing with kernels/vfs_memory.c, which
makes the same decisions at random. Directories are never moved here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lsmkv._native.trace import TraceEntry
from lsmkv._native.vfs import MemoryFileSystem

__all__ = ["Choice", "Inode", "NameChange", "RecordedDisk", "Write"]

CREATE, EXCLUSIVE, TRUNCATE = 4, 8, 16  # of kernels/vfs.h


@dataclass(frozen=True)
class Write:
    """Bytes that were written, or, with `data` None, a cut to `offset`."""

    number: int  # of the operation
    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(eq=False)
class Inode:
    """A file: what its last sync covered, and every write since."""

    number: int
    is_directory: bool = False
    durable: bytes = b""
    writes: list[Write] = field(default_factory=list)

    def states(self) -> list[bytes]:
        """The content as of the last sync, and after each write since."""
        content = bytearray(self.durable)
        found = [bytes(content)]
        for write in self.writes:
            write.apply(content)
            found.append(bytes(content))
        return found

    def content(self) -> bytes:
        return self.states()[-1]


@dataclass(frozen=True, eq=False)
class NameChange:
    """One name since the last sync of its directory. Both halves of a rename have one `number`."""

    number: int  # of the operation
    path: str
    inode: Inode | None  # None: the name is gone


Keeps = Callable[[NameChange], bool]
Contents = Callable[[Inode], bytes]


@dataclass(frozen=True)
class Choice:
    """Which name changes survive, and what is in each file. A rename survives whole or not."""

    keeps: Keeps
    content: Contents


class RecordedDisk:
    """`base`: durable files that were there before the recording, by path; None: a directory."""

    def __init__(self, base: Mapping[str, bytes | None] | None = None) -> None:
        self._inode_count = 0
        self._operation_count = 0
        self.live: dict[str, Inode] = {}
        self.durable: dict[str, Inode] = {}
        self.changes: list[NameChange] = []
        for path, content in (base or {}).items():
            inode = self._create(is_directory=content is None)
            inode.durable = content or b""
            self.live[path] = self.durable[path] = inode

    def unsynced_files(self) -> list[Inode]:
        """Those with writes that no sync has covered and that a name leads to, or led."""
        reachable = [*self.live.values(), *self.durable.values()]
        reachable += [change.inode for change in self.changes if change.inode is not None]
        found = {inode.number: inode for inode in reachable if inode.writes}
        return [found[number] for number in sorted(found)]

    # --- feeding

    def apply(self, entry: TraceEntry) -> None:
        """What a successful run of this operation does; one that had to fail does nothing."""
        self._operation_count += 1
        handler = self._HANDLERS.get(entry.operation)
        if handler is not None:
            handler(self, entry)

    def _create(self, *, is_directory: bool = False) -> Inode:
        self._inode_count += 1
        return Inode(self._inode_count, is_directory)

    def _set_name(self, path: str, inode: Inode | None) -> None:
        if inode is None:
            del self.live[path]
        else:
            self.live[path] = inode
        self.changes.append(NameChange(self._operation_count, path, inode))

    def _open(self, entry: TraceEntry) -> None:
        flags = CREATE if entry.operation == "lock" else entry.flags or 0
        inode = self.live.get(entry.path)
        if inode is None:
            if flags & CREATE and posixpath.dirname(entry.path) in {"/", *self.live}:
                self._set_name(entry.path, self._create())
        elif flags & TRUNCATE and not flags & EXCLUSIVE and inode.content():
            inode.writes.append(Write(self._operation_count, 0, None))

    def _write(self, entry: TraceEntry) -> None:
        assert entry.offset is not None
        assert entry.data is not None or entry.size == 0, "record the contents as well"
        data = entry.data or b""
        self.live[entry.path].writes.append(Write(self._operation_count, entry.offset, data))

    def _truncate(self, entry: TraceEntry) -> None:
        assert entry.offset is not None
        self.live[entry.path].writes.append(Write(self._operation_count, entry.offset, None))

    def _sync(self, entry: TraceEntry) -> None:
        inode = self.live[entry.path]
        inode.durable = inode.content()
        inode.writes = []

    def _sync_directory(self, entry: TraceEntry) -> None:
        rest = []
        for change in self.changes:
            if posixpath.dirname(change.path) != entry.path:
                rest.append(change)
            else:
                _set(self.durable, change)
        self.changes = rest

    def _rename(self, entry: TraceEntry) -> None:
        assert entry.target is not None
        inode = self.live.get(entry.path)
        if inode is not None:
            assert not inode.is_directory, "directories are never moved"
            self._set_name(entry.path, None)
            self._set_name(entry.target, inode)

    def _link(self, entry: TraceEntry) -> None:
        assert entry.target is not None
        inode = self.live.get(entry.path)
        if inode is not None and entry.target not in self.live:
            self._set_name(entry.target, inode)

    def _remove(self, entry: TraceEntry) -> None:
        if entry.path in self.live:
            self._set_name(entry.path, None)

    def _make_directory(self, entry: TraceEntry) -> None:
        parent = posixpath.dirname(entry.path)
        if entry.path not in self.live and parent in {"/", *self.live}:
            self._set_name(entry.path, self._create(is_directory=True))

    _HANDLERS: Mapping[str, Callable[[RecordedDisk, TraceEntry], None]] = {
        "open": _open,
        "lock": _open,
        "append": _write,
        "log_commit": _write,
        "truncate": _truncate,
        "sync": _sync,
        "log_sync": _sync,
        "sync_directory": _sync_directory,
        "rename": _rename,
        "link": _link,
        "remove": _remove,
        "remove_directory": _remove,
        "make_directory": _make_directory,
    }

    # --- what is left

    def tree(self, choice: Choice) -> dict[str, bytes | None]:
        """Path to content, None for a directory; parents first."""
        names = dict(self.durable)
        for change in self.changes:
            if choice.keeps(change):
                _set(names, change)
        tree: dict[str, bytes | None] = {}
        for path in sorted(names):
            if posixpath.dirname(path) in {"/", *tree}:
                inode = names[path]
                tree[path] = None if inode.is_directory else choice.content(inode)
        return tree


def _set(names: dict[str, Inode], change: NameChange) -> None:
    if change.inode is None:
        names.pop(change.path, None)
    else:
        names[change.path] = change.inode


def filesystem_of(tree: Mapping[str, bytes | None]) -> MemoryFileSystem:
    """Those files, synced."""
    files = MemoryFileSystem()
    for path, content in tree.items():
        if content is None:
            files.make_directory(path)
            continue
        with files.open(path, "x") as file:
            file.append(content)
            file.sync()
    for path in ["/", *(path for path, content in tree.items() if content is None)]:
        files.sync_directory(path)
    return files


def synced_only() -> Choice:
    return Choice(keeps=lambda change: False, content=lambda inode: inode.durable)


def everything() -> Choice:
    return Choice(keeps=lambda change: True, content=Inode.content)


def recorded(trace: Iterable[TraceEntry], base: RecordedDisk | None = None) -> RecordedDisk:
    """The disk after all of a trace."""
    disk = base if base is not None else RecordedDisk()
    for entry in trace:
        disk.apply(entry)
    return disk
