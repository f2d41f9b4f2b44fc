from collections.abc import Callable
from typing import Any, final

from lsmkv._native.resp import InputBuffer

@final
class Aggregate: ...

@final
class ReplyParser(InputBuffer):
    def __init__(
        self,
        bulk_size_max: int,
        depth_max: int,
        element_count_max: int,
        *,
        error: Callable[[str], object],
        push: Callable[[tuple[Any, ...]], object],
        verbatim: Callable[[str, bytes], object],
    ) -> None: ...
    def take(self, count_max: int) -> list[Any]: ...
    @property
    def fault(self) -> str | None: ...
