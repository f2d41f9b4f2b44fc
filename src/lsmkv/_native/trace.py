"""One recorded file operation: what `FaultFileSystem.trace()` lists."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TraceEntry"]


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """An operation by name, and what it was applied to; None where a field has no meaning for it.

    `target` is the second path of rename and link. `offset` and `size` are bytes: for append and
    log_commit where and how much, for sync the size of the file. `flags` of an open are those of
    kernels/vfs.h. `data` is what append and log_commit wrote, if contents are recorded.
    """

    operation: str
    path: str
    target: str | None
    offset: int | None
    size: int | None
    flags: int | None = None
    data: bytes | None = None
