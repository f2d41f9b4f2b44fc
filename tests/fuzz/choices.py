"""Bytes of a fuzzer as choices; 0 for ever behind the end."""

from __future__ import annotations

__all__ = ["Choices"]


class Choices:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def ended(self) -> bool:
        return self._position >= len(self._data)

    def below(self, limit: int) -> int:
        if self.ended:
            return 0
        self._position += 1
        return self._data[self._position - 1] % limit
