from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from lsmkv._native.arrays import Column
from lsmkv._native.columns import ColumnScan
from lsmkv._native.scan import Scan
from lsmkv._native.store import Store
from lsmkv._native.types import Buffer

_T = TypeVar("_T")

class Snapshot:
    def __init__(self, store: Store) -> None: ...
    @overload
    def get(self, key: Buffer, default: None = None) -> bytes | None: ...
    @overload
    def get(self, key: Buffer, default: _T) -> bytes | _T: ...
    def get_many(self, keys: Iterable[Buffer]) -> list[bytes | None]: ...
    def __getitem__(self, key: Buffer, /) -> bytes: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Scan: ...
    def scan(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Scan: ...
    def items(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Scan: ...
    def keys(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Scan: ...
    def values(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Scan: ...
    @overload
    def get_columns(
        self, keys: Column | NDArray[Any], *, width: None = None
    ) -> tuple[Column, NDArray[np.bool_]]: ...
    @overload
    def get_columns(
        self, keys: Column | NDArray[Any], *, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]: ...
    def scan_columns(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
        batch_count: int = 65536,
        batch_bytes: int = ...,
    ) -> ColumnScan: ...
    def close(self) -> None: ...
    def _pin_state(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, *exception: type[BaseException] | BaseException | TracebackType | None
    ) -> None: ...
