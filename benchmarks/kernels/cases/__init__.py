"""All benchmarks, kernel by kernel, floors last."""

from __future__ import annotations

from benchmarks.kernels.case import Case, Scale
from benchmarks.kernels.cases import checksums, codec, floors, log, memory, nodes, python, resp

__all__ = ["all_cases"]


def all_cases(scale: Scale) -> tuple[Case, ...]:
    modules = (checksums, nodes, codec, memory, log, resp, python, floors)
    return tuple(case for module in modules for case in module.cases(scale))
