"""Metamorphic runs: thousands of random operations on two databases of different make and on a
dict; all answers must be the same (support/metamorphic.py).

A run that fails is shrunk, and the shorter script is in its story, ready to be played:

    python -m tests.soak model --case N
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tests.soak.part import Counts, Part
from tests.support.metamorphic import (
    Operation,
    Setting,
    draw_script,
    draw_setting,
    expect,
    play,
    shrink,
)

__all__ = ["PART", "compare", "run_script"]

OPERATIONS = (5_000, 10_000)
SHOWN = 200  # characters of an answer


def compare(script: Sequence[Operation], settings: Sequence[Setting]) -> str | None:
    """What differs, or None."""
    expected = expect(script)
    for setting in settings:
        try:
            answers = play(script, setting)
        except Exception as error:  # whatever it is, it is no answer
            return f"{setting}\n{error!r}"
        for number, (answer, right) in enumerate(zip(answers, expected, strict=True)):
            if answer != right:
                shown = f"{answer!r:.{SHOWN}}, not {right!r:.{SHOWN}}"
                return f"{setting}\noperation {number}, {script[number]!r:.{SHOWN}}: {shown}"
    return None


def run_script(script: Sequence[Operation], settings: Sequence[Setting]) -> None:
    """AssertionError with the shortest script that was found."""
    if compare(script, settings) is None:
        return
    shorter = shrink(script, lambda some: compare(some, settings) is not None)
    lines = "\n".join(f"    {operation!r}," for operation in shorter)
    story = compare(shorter, settings) or compare(script, settings)
    raise AssertionError(f"{story}\nscript = [\n{lines}\n]\nsettings = {list(settings)!r}")


def run_case(case: int, directory: Path) -> Counts:
    count = random.Random(f"size/{case}").randrange(*OPERATIONS)
    settings = [draw_setting(2 * case), draw_setting(2 * case + 1)]
    run_script(draw_script(case, count), settings)
    return {"runs": len(settings), "operations": len(settings) * count}


PART = Part("runs", run_case)
