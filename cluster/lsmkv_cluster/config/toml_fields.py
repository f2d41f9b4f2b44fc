"""TOML documents of our own: values taken out with their types checked, and written back.

Nothing that nobody asked for is passed over: `end` refuses it and names what was perhaps meant.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from lsmkv_cluster.errors import ConfigError

__all__ = ["TomlFields", "did_you_mean", "toml_line", "toml_text"]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message, empty where nothing is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {close[0]}?" if close else ""


class TomlFields:
    """A table of the file `where`; `prefix` is where it stands in it."""

    def __init__(self, where: str, table: Mapping[str, Any], prefix: str = "") -> None:
        self._where = where
        self._left = dict(table)
        self._prefix = prefix
        self._known: list[str] = []

    def error(self, key: str, message: str) -> ConfigError:
        return ConfigError(message, self._where, (self._prefix + key).removesuffix("."))

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._left.pop(key, default)
        if value is None:
            raise self.error(key, "missing")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"a number from {low} to {high}, not {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"a text, not {value!r}")
        return value

    def hex(self, key: str, size: int) -> bytes:
        """The value itself is in no message: it may be secret."""
        text = self.text(key)
        try:
            data = bytes.fromhex(text) if len(text) == 2 * size else b""
        except ValueError:
            data = b""
        if len(data) != size:
            raise self.error(key, f"it takes {2 * size} hexadecimal digits")
        return data

    def table(self, key: str) -> TomlFields:
        """Empty where there is none."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "a table belongs here")
        return TomlFields(self._where, value, f"{self._prefix}{key}.")

    def names(self) -> list[str]:
        """What has not been taken."""
        return list(self._left)

    def end(self) -> None:
        for key in self._left:
            raise self.error(key, f"unknown{did_you_mean(key, self._known)}")


def toml_text(text: str) -> str:
    """As a basic string; json leaves nothing of it that TOML does not read alike."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_line(key: str, value: str | int) -> str:
    return f"{key} = {toml_text(value) if isinstance(value, str) else value}\n"
