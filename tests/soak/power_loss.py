"""Loss of power: a drawn workload with every operation recorded, and images of the disk at each.

Case 0 is the fixed workload of crash_lab, every other one is drawn. At each moment of a recording
some of the families are drawn; which, and what survives, depends on the case alone.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from tests.soak.part import Counts, Part, noted
from tests.support.crash_lab import run_workload
from tests.support.power_images import FAMILIES
from tests.support.power_runs import Moment, Recording, check_image, moments, record
from tests.support.random_workload import draw_options, run_random_workload

__all__ = ["PART", "check_some", "recording_of"]

SHARE = 0.08  # of the families, at each moment
RECOVERIES_MAX = 2


def recording_of(case: int) -> Recording:
    if case == 0:
        return record(run_workload, {})
    return record(partial(run_random_workload, seed=case), draw_options(case))


def check_some(recording: Recording, moment: Moment, rng: random.Random, share: float) -> Counts:
    """Some families, at one moment."""
    counts: Counts = {"images": 0, "recoveries": 0}
    for family in FAMILIES:
        if rng.random() < share:
            place = f"{family!r} at operation {moment.number}: {moment.entry.operation}"
            with noted(f"{place} {moment.entry.path}, {moment.mark}"):
                images = check_image(recording, moment, family, rng, recoveries=RECOVERIES_MAX)
            counts["images"] += images
            counts["recoveries"] += images - 1
    return counts


def run_case(case: int, directory: Path) -> Counts:
    rng = random.Random(f"power loss/{case}")
    recording = recording_of(case)
    totals: Counts = {"images": 0, "recoveries": 0, "operations": len(recording.trace)}
    for moment in moments(recording):
        for what, count in check_some(recording, moment, rng, SHARE).items():
            totals[what] += count
    return totals


PART = Part("images", run_case)
