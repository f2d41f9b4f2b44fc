"""What somebody who is connected may do: each role also what those below it may."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Role"]


class Role(IntEnum):
    READ = 1
    WRITE = 2
    ADMIN = 3

    def allows(self, needed: Role) -> bool:
        return self >= needed
