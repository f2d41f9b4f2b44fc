r"""One entry as one line of text: what `load` reads and `dump-db` and `scan` write.

    JSON lines   {"key": "caf\u00e9", "value": "x"}; a key or value that is not UTF-8 stands as
                 base64 in "key_base64" or "value_base64". Other fields are refused.
    TSV          key TAB value, both escaped as escaping.py says. A line may end in CR LF.

Both carry any bytes and give the same bytes back. Blank lines are nothing.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from lsmkv.cli.escaping import escape, unescape

__all__ = ["json_field", "json_record", "tsv_record", "parse_json", "parse_tsv"]

Entry = tuple[bytes, bytes]


def json_field(name: str, data: bytes) -> dict[str, str]:
    """{name: text}, or {name_base64: ...} when `data` is not UTF-8."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}


def json_record(key: bytes, value: bytes) -> dict[str, str]:
    return json_field("key", key) | json_field("value", value)


def tsv_record(key: bytes, value: bytes) -> str:
    return f"{escape(key)}\t{escape(value)}"


def parse_json(line: bytes) -> Entry | None:
    """The entry of one line, None for a blank line; ValueError says what is wrong."""
    text = line.decode("utf-8").strip()
    if not text:
        return None
    try:
        fields = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    entry = _take(fields, "key"), _take(fields, "value")
    if fields:
        raise ValueError(f"unknown field {min(fields)!r}")
    return entry


def _take(fields: dict[str, Any], name: str) -> bytes:
    base64_name = f"{name}_base64"
    if (name in fields) == (base64_name in fields):
        raise ValueError(f"needs either {name!r} or {base64_name!r}")
    used = name if name in fields else base64_name
    value = fields.pop(used)
    if not isinstance(value, str):
        raise ValueError(f"{used!r} is not a string")
    if used == name:
        return value.encode("utf-8")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError(f"{used!r} is not base64: {error}") from None


def parse_tsv(line: bytes) -> Entry | None:
    """The entry of one line, None for a blank line; ValueError says what is wrong."""
    text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    if not text:
        return None
    key, tab, value = text.partition("\t")
    if not tab or "\t" in value:
        raise ValueError("not one key, one tab, one value")
    return unescape(key), unescape(value)
