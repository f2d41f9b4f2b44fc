"""Manifests that bytes choose line by line: most follow from what went before, any field may not.

Bytes alone rarely make JSON that is worth a look at its meaning. Nothing here knows the rules that
a state must keep; numbers are drawn close together, so that edits fit, or miss by one.
"""

from __future__ import annotations

import json
from typing import Any

from lsmkv.manifest_format import FORMAT_NAME, FORMAT_VERSION
from tests.fuzz.choices import Choices

__all__ = ["drawn_manifest"]

LINES_MAX = 12
KEYS = ("", "00", "61", "6100", "62", "63", "6d", "ff", "ffff")
# In place of any value, or of none; the name of a field among them makes one too many.
STRANGE = (None, True, -1, 0, 1, (1 << 63) - 1, 1 << 63, 1.5, "", "6", "zz", "6A", [], [[]], {})
Fields = dict[str, Any]


def drawn_manifest(choices: Choices) -> bytes:
    """Lines of JSON, without checksums."""
    lines: list[bytes] = []
    state = {"file": 1, "sequence": 0, "log": 0}
    live: list[list[Any]] = []
    while not choices.ended and len(lines) < LINES_MAX:
        fields = _edit(choices, len(lines) + 1, state, live)
        lines.append(json.dumps(fields, separators=(",", ":")).encode() + b"\n")
    return b"".join(lines)


def _edit(choices: Choices, number: int, state: dict[str, int], live: list[list[Any]]) -> Fields:
    pick = choices.below
    first = state["file"]
    added = [_table(choices, first + at, state) for at in range(pick(4))]
    removed = [live.pop(pick(len(live))) for _ in range(pick(3)) if live]
    live += [[table.get("number"), table.get("lower")] for table in added]
    state["file"] += len(added) + pick(3)
    state["sequence"] += pick(4)
    state["log"] = min(state["log"] + pick(2), state["file"])
    logs = [[state["log"] + at, None if pick(2) else 100 * at] for at in range(pick(3))]
    fields: Fields = {
        "edit": number,
        "added": added,
        "removed": removed,
        "next_file_number": state["file"] + len(logs),
        "last_sequence": state["sequence"],
        "log_number": state["log"],
        "live_logs": logs,
    }
    state["file"] = fields["next_file_number"]
    if number == 1:
        fields |= {"format": FORMAT_NAME, "format_version": FORMAT_VERSION}
        fields["database_id"] = f"{7:032x}"
    return _spoiled(choices, fields)


def _table(choices: Choices, number: int, state: dict[str, int]) -> Fields:
    pick = choices.below
    smallest = pick(len(KEYS))
    largest = min(smallest + pick(4), len(KEYS) - 1)
    is_whole = pick(3) > 0
    bounds = KEYS[smallest + 1 - (pick(16) == 15) :]
    state["sequence"] += pick(3)
    last = state["sequence"]
    fields: Fields = {
        "number": number - (pick(16) == 15),
        "id": f"{number:032x}",
        "file_size": 100,
        "tail_size": pick(2),
        "smallest": KEYS[smallest],
        "largest": KEYS[largest],
        "first_sequence": max(0, last - pick(3)),
        "last_sequence": last,
        "epoch": number - pick(2),
        "level": (0, 0, 1, 2, 6)[pick(5)],
        "entry_count": 3,
        "tombstone_count": pick(4),
        "lower": None if is_whole or not bounds else bounds[pick(len(bounds))],
        "upper": None if is_whole or pick(2) or not bounds else bounds[pick(len(bounds))],
        "has_range_deletes": False,
        "oldest_expiry_ms": (None, None, 5)[pick(3)],
        "format_version": 1,
    }
    return _spoiled(choices, fields)


def _spoiled(choices: Choices, fields: Fields) -> Fields:
    """The same, now and then with one field that is strange, missing, or one too many."""
    how = choices.below(32)
    name = tuple(fields)[choices.below(len(fields))] if how > 28 else ""
    if how == 31:
        return fields | {name: STRANGE[choices.below(len(STRANGE))]}
    if how == 30:
        return {other: value for other, value in fields.items() if other != name}
    if how == 29:
        return fields | {("opt_", "new_")[choices.below(2)] + name: 1}
    return fields
