"""What values a setting takes: read from text (flags, environment) or TOML, shown as text again.

Every kind checks its range, and says in words what it takes; `read(show(value)) == value`. Sizes
are bytes and may be written with a unit, times are numbers in the unit that the setting's name ends
with. A path is kept as it is written; whose directory it is relative to is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from lsmkv_cluster.placement.members import check_name

__all__ = [
    "Choice",
    "EndpointList",
    "FilePath",
    "HostPort",
    "Kind",
    "Label",
    "Number",
    "Size",
    "Switch",
    "show_size",
]

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

_NUMBER = re.compile(r"[0-9]{1,18}")
_SIZE = re.compile(r"([0-9]{1,18}) ?([KMGT]iB|B|)")
_WORDS = {"yes": True, "true": True, "on": True, "1": True}
_WORDS |= {"no": False, "false": False, "off": False, "0": False}


class Kind(Protocol):
    @property
    def placeholder(self) -> str:
        """What stands for a value in help, empty where none is given."""

    def read(self, value: object) -> object:
        """ValueError says what is taken instead."""

    def show(self, value: object) -> str: ...

    def __str__(self) -> str:
        """What it takes, in words."""


@dataclass(frozen=True)
class Number:
    low: int
    high: int
    placeholder: str = "N"

    def read(self, value: object) -> int:
        number = value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"it takes {self}, not {value!r}")
        if not self.low <= number <= self.high:
            raise ValueError(f"it takes {self}, not {number}")
        return number

    def show(self, value: object) -> str:
        return str(value)

    def __str__(self) -> str:
        return f"a number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Size:
    """Bytes; as text also in KiB, MiB, GiB, TiB."""

    low: int
    high: int
    placeholder: str = "SIZE"

    def read(self, value: object) -> int:
        size = value
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            size = int(match[1]) * UNITS.get(match[2], 1)
        if isinstance(size, bool) or not isinstance(size, int):
            raise ValueError(f"it takes {self}, not {value!r}")
        if not self.low <= size <= self.high:
            raise ValueError(f"it takes {self}, not {value}")
        return size

    def show(self, value: object) -> str:
        assert isinstance(value, int)
        return show_size(value)

    def __str__(self) -> str:
        return f"a size from {show_size(self.low)} to {show_size(self.high)}"


def show_size(size: int) -> str:
    """In the largest unit in which it is whole."""
    for unit, factor in reversed(UNITS.items()):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


@dataclass(frozen=True)
class Switch:
    placeholder: str = ""

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _WORDS:
            return _WORDS[value.strip().lower()]
        raise ValueError(f"it takes {self}, not {value!r}")

    def show(self, value: object) -> str:
        return "true" if value else "false"

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    @property
    def placeholder(self) -> str:
        return "|".join(self.values)

    def read(self, value: object) -> str:
        if isinstance(value, str) and value in self.values:
            return value
        raise ValueError(f"it takes {self}, not {value!r}")

    def show(self, value: object) -> str:
        return str(value)

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True)
class Label:
    """A short name, as topology documents hold them. Empty: somebody else decides."""

    can_be_empty: bool = False
    placeholder: str = "NAME"

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"it takes {self}, not {value!r}")
        if value or not self.can_be_empty:
            check_name("it takes a name, not", value)
        return value

    def show(self, value: object) -> str:
        return str(value)

    def __str__(self) -> str:
        return "a name"


@dataclass(frozen=True)
class FilePath:
    """Empty: none."""

    placeholder: str = "FILE"

    def read(self, value: object) -> Path | None:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"it takes {self}, not {value!r}")
        return Path(value).expanduser() if value else None

    def show(self, value: object) -> str:
        return "" if value is None else str(value)

    def __str__(self) -> str:
        return "a path"


@dataclass(frozen=True)
class HostPort:
    """`none`: how None is written, where that is a value."""

    none: str | None = None
    placeholder: str = "HOST:PORT"

    def read(self, value: object) -> Endpoint | None:
        if not isinstance(value, str):
            raise ValueError(f"it takes {self}, not {value!r}")
        if value == self.none:
            return None
        return parse_endpoint(value)

    def show(self, value: object) -> str:
        return str(value) if value is not None else self.none or ""

    def __str__(self) -> str:
        return f"HOST:PORT or {self.none}" if self.none else "HOST:PORT"


@dataclass(frozen=True)
class EndpointList:
    """As text with commas or spaces between them."""

    count_max: int
    placeholder: str = "HOST:PORT"

    def read(self, value: object) -> tuple[Endpoint, ...]:
        words = re.split(r"[,\s]+", value.strip(", \t\n")) if isinstance(value, str) else value
        if not isinstance(words, list | tuple):
            raise ValueError(f"it takes {self}, not {value!r}")
        found: dict[Endpoint, None] = {}
        for word in words:
            if not isinstance(word, str):
                raise ValueError(f"it takes {self}, not {word!r} among them")
            if word:
                found[parse_endpoint(word)] = None
        if len(found) > self.count_max:
            raise ValueError(f"it takes at most {self.count_max} addresses, not {len(found)}")
        return tuple(found)

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return ",".join(map(str, value))

    def __str__(self) -> str:
        return "a list of HOST:PORT"
