from collections.abc import Callable, Iterable
from typing import Any

from lsmkv._native.store import Store
from lsmkv._native.types import Buffer

def merge_batch(
    store: Store,
    records: Iterable[tuple[Buffer, Buffer]],
    function: Callable[[bytes, bytes | None, bytes], bytes | None] | Any,
    *,
    sync: bool = False,
) -> list[bytes | None]: ...
