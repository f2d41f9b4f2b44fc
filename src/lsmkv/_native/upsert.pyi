from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

from lsmkv._native.store import Store
from lsmkv._native.types import Buffer

_Function = Callable[[bytes, bytes | None, bytes], bytes | None] | Any

@overload
def merge_batch(
    store: Store,
    records: Iterable[tuple[Buffer, Buffer]],
    function: _Function,
    *,
    sync: bool = False,
    pairs: Literal[False] = False,
    hash_key: None = None,
) -> list[bytes | None]: ...
@overload
def merge_batch(
    store: Store,
    records: Iterable[tuple[Buffer, Buffer]],
    function: _Function,
    *,
    sync: bool = False,
    pairs: Literal[True],
    hash_key: None = None,
) -> list[tuple[bytes | None, bytes | None]]: ...
@overload
def merge_batch(
    store: Store,
    records: Iterable[tuple[Buffer, Buffer]],
    function: _Function,
    *,
    sync: bool = False,
    pairs: Literal[False] = False,
    hash_key: bytes,
) -> list[tuple[int, int, int] | None]: ...
