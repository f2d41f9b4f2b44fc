"""Loss of power on disks built from recorded operations: a drawn workload, every way in which what
was not synced may survive (support/power_images.py).

A slice of `python -m tests.soak power_loss`. The same promises as in test_power_loss.py, which
cuts one fixed workload off at each operation.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.soak.power_loss import recording_of
from tests.support.power_images import FAMILIES
from tests.support.power_runs import check_image, moments

CASES = (0, 11)
SHARE = 0.02


pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_way_to_lose_power_leaves_what_was_promised(case: int) -> None:
    rng = random.Random(case)
    recording = recording_of(case)
    seen: Counter[str] = Counter()
    for moment in moments(recording):
        for family in FAMILIES:
            if rng.random() < SHARE:
                seen[family] += check_image(recording, moment, family, rng, recoveries=2)
    assert set(seen) == set(FAMILIES)
    assert sum(seen.values()) > 300
