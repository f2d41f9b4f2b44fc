"""lsmkv.verify and an open agree on every damage to a file of whole databases (damage_lab.py): what
is refused or fails to be read is a problem, with the damaged file among those named unless it is
another that tells; what an open takes for a torn end, or is harmless, is none."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

import lsmkv
from tests.soak.damage import KINDS
from tests.support.crash_lab import DIRECTORY
from tests.support.damage_lab import (
    SIZE_MAX,
    SPECIMENS,
    Damage,
    Outcome,
    Specimen,
    files_of,
    judge,
    specimen,
)

STRIDES = {"flipped bits": 499, "replaced bytes": 701, "misplaced": 701, "shorter": 61}
STRIDE = 11  # of the other kinds

pytestmark = pytest.mark.usefixtures("quiet_log")


def agree(subject: Specimen, damage: Damage) -> Outcome:
    """What became of it; AssertionError when verify says something else."""
    content = dict(subject.files)
    if damage.content is None:
        del content[damage.path]
    else:
        content[damage.path] = damage.content
    files = files_of(content)
    report = lsmkv.verify(DIRECTORY, filesystem=files)
    found = {
        path: files.read_file(path, SIZE_MAX)
        for path in (f"{DIRECTORY}/{name}" for name in files.list_directory(DIRECTORY))
    }
    assert found == content, "it writes nothing"
    named = {problem.path for problem in report.problems}
    outcome = judge(subject, damage, repairs=False)
    if outcome is Outcome.REFUSED:
        with pytest.raises(lsmkv.Error) as caught:
            lsmkv.open(DIRECTORY, filesystem=files, read_only=True, **subject.options)
        assert any(path in str(caught.value) for path in named), f"{caught.value}, but {report}"
    elif outcome is Outcome.REPORTED:
        assert named == {damage.path}, str(report)
    else:
        assert report, str(report)
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("kind", KINDS)
def test_verify_and_an_open_agree(name: str, kind: str) -> None:
    subject = specimen(name)
    outcomes: Counter[Outcome] = Counter()
    stride = STRIDES.get(kind, STRIDE)
    for index, path in enumerate(subject.targets):
        for content in islice(KINDS[kind](subject, path), index % stride, None, stride):
            if content != subject.files[path]:
                outcomes[agree(subject, Damage(path, content))] += 1
    assert outcomes or kind == "stale"
