"""The judge of images of lost power: it counts what it has judged, and what is wrong with an image
is noticed, also with one that an interrupted recovery leaves."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.soak.power_loss import recording_of
from tests.support import power_runs
from tests.support.crash_lab import State
from tests.support.power_runs import Moment, Recording, Tree, check_image, moments

pytestmark = pytest.mark.usefixtures("quiet_log")

RUNS = 12


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recording_of(0)


@pytest.fixture(scope="module")
def moment(recording: Recording) -> Moment:
    """When much has been promised."""
    half = len(recording.states) // 2
    return next(moment for moment in moments(recording) if moment.mark.synced > half)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """What the judge read from each image."""
    states: list[State] = []
    judge = power_runs._judge

    def noted(*arguments: object) -> State:
        states.append(judge(*arguments))  # type: ignore[arg-type]
        return states[-1]

    monkeypatch.setattr(power_runs, "_judge", noted)
    return states


def check_all(recording: Recording, moment: Moment, recoveries: int) -> int:
    return sum(
        check_image(recording, moment, "pieces of 512", random.Random(run), recoveries=recoveries)
        for run in range(RUNS)
    )


def test_as_many_are_counted_as_were_judged(
    recording: Recording, moment: Moment, judged: list[State]
) -> None:
    assert check_all(recording, moment, recoveries=0) == RUNS == len(judged)
    judged.clear()
    count = check_all(recording, moment, recoveries=2)
    assert RUNS < count == len(judged)


@pytest.fixture
def _loses(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(tree: Tree, options: object, rng: random.Random) -> Tree:
        return {path: None for path, content in tree.items() if content is None}

    monkeypatch.setattr(power_runs, "lose_power_while_opening", lose)


@pytest.mark.usefixtures("_loses")
def test_a_recovery_that_loses_when_it_is_interrupted_is_caught(
    recording: Recording, moment: Moment
) -> None:
    with pytest.raises(AssertionError, match="were promised"):
        check_all(recording, moment, recoveries=2)


@pytest.mark.usefixtures("_loses")
def test_even_when_nothing_was_promised_it_must_hold_the_same(
    recording: Recording, moment: Moment
) -> None:
    early = replace(moment, mark=replace(moment.mark, synced=0, copy_state=None))
    with pytest.raises(AssertionError, match="has changed something"):
        check_all(recording, early, recoveries=2)
