"""Appending to the log, mapped and written (c/log.c); nothing is synced."""

from __future__ import annotations

from benchmarks.kernels.case import Case, Scale
from benchmarks.kernels.cases.floors import LOG_RECORD_SIZE, copy_name, write_name
from benchmarks.kernels.inputs import VALUE, keys, pack

__all__ = ["cases"]

MODES = {"written": 1, "mapped": 2}  # enum lsm_log_mode
SEGMENT_HEADER_SIZE = 64


def cases(scale: Scale) -> list[Case]:
    return [_append(mode) for mode in MODES]


def _append(mode: str) -> Case:
    floors = (copy_name(LOG_RECORD_SIZE), write_name(0))
    return Case(
        kernel="log",
        name=f"log append, {mode}",
        operations=20_000,
        create=lambda native: native.create(
            "log_append",
            native.directory / f"log_{mode}",
            MODES[mode],
            keys("decimal", 1000),
            pack([VALUE]),
        ),
        # The length of the segment and the last sequence.
        expected=lambda operations: SEGMENT_HEADER_SIZE + operations * (LOG_RECORD_SIZE + 1),
        floors=floors if mode == "mapped" else (*floors, write_name(LOG_RECORD_SIZE)),
    )
