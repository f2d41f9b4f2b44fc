"""Names that clients give themselves: printable and without blanks, as they stand in lists."""

from __future__ import annotations

from lsmkv_cluster.resp.commanding import CommandError

__all__ = ["checked_name"]


def checked_name(name: bytes, what: str) -> bytes:
    if all(33 <= byte <= 126 for byte in name):
        return name
    raise CommandError(f"ERR {what} cannot contain spaces, newlines or special characters.")
