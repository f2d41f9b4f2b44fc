from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lsmkv._native.arrays import Column
from lsmkv._native.scan import Scan
from lsmkv._native.store import Store
from lsmkv._native.types import Buffer

class NativeBytes: ...
class InputColumn: ...

class ColumnStore(Store):
    def put_columns(
        self, keys: Column | NDArray[Any], values: Column | NDArray[Any], *, sync: bool = False
    ) -> None: ...
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

class ColumnScan(Scan):
    def __next__(self) -> tuple[Column, Column]: ...
