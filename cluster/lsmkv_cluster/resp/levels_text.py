"""Levels, modes and resolutions as people write them in KV.* commands, and as these show them."""

from __future__ import annotations

from typing import Final

from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode, Resolution
from lsmkv_cluster.resp.commanding import CommandError

__all__ = ["MODES", "RESOLUTIONS", "level_of", "resolution_of", "show_resolution"]

MODES: Final = {"strict": Mode.STRICT, "sloppy": Mode.SLOPPY}

# Counters, sets and maps merge in the same way: what a key is follows from how it is written.
RESOLUTIONS: Final = {
    "siblings": Resolution.SIBLINGS,
    "lww": Resolution.LAST_WRITER,
    "counter": Resolution.CRDT,
    "set": Resolution.CRDT,
    "map": Resolution.CRDT,
    "crdt": Resolution.CRDT,
}
SHOWN: Final = {
    Resolution.SIBLINGS: "siblings",
    Resolution.LAST_WRITER: "lww",
    Resolution.CRDT: "crdt",
}


def level_of(arg: bytes) -> Consistency:
    text = arg.decode("latin-1").upper()
    if text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 255:
        return Consistency(Level.COUNT, int(text))
    if text in Level.__members__ and text != "COUNT":
        return Consistency(Level[text])
    raise CommandError(
        f"ERR level '{text}' is not one of ONE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM, 1 to 255"
    )


def resolution_of(arg: bytes) -> Resolution:
    found = RESOLUTIONS.get(arg.decode("latin-1").lower())
    if found is None:
        raise CommandError(f"ERR RESOLVE is one of {', '.join(RESOLUTIONS)}")
    return found


def show_resolution(resolution: Resolution) -> str:
    return SHOWN[resolution]
