"""WriteBatch: operations that become visible and durable together, or not at all."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from lsmkv._native.batch import OperationBuffer
from lsmkv._native.store import Store

__all__ = ["WriteBatch"]


class WriteBatch(OperationBuffer):
    """Collects `put` and `delete`; written when its `with` block ends, dropped if the block raises.

        with db.write_batch(sync=True) as batch:
            batch.put(b"a", b"1")
            batch.delete(b"b")

    Keys and values are copied as they are added. Outside a `with` block, or to end it early, call
    `write()` or `discard()`. A batch belongs to one thread.
    """

    def __init__(self, store: Store, *, sync: bool = False) -> None:
        self._store = store
        self._sync = sync

    def write(self) -> None:
        """Apply everything added, atomically. The batch cannot be used afterwards."""
        self._store._write(self, self._sync)
        self._seal()

    def discard(self) -> None:
        """Drop everything added."""
        self._seal()

    def __enter__(self) -> Self:
        self._store._refuse_write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self._is_sealed:
            self.write()
        else:
            self.discard()
