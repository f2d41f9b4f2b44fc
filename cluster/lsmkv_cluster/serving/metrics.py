"""Figures as Prometheus reads them (text format 0.0.4), and nothing about what they count.

A family has one name, type and help, and a sample for each set of labels. Names carry their unit;
those of counters end in _total.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["CONTENT_TYPE", "Family", "Kind", "counter", "exposition", "gauge"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: Kind
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...] = field(default=())


def counter(name: str, help: str, value: float, **labels: str) -> Family:
    return Family(name, Kind.COUNTER, help, ((labels, value),))


def gauge(name: str, help: str, value: float, **labels: str) -> Family:
    return Family(name, Kind.GAUGE, help, ((labels, value),))


def exposition(families: Iterable[Family]) -> str:
    """The page; families without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}")
        lines.append(f"# TYPE {family.name} {family.kind.value}")
        lines += [f"{family.name}{_labels(labels)} {_number(v)}" for labels, v in family.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return "{" + inside + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
