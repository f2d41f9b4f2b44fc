"""The count of hints goes over every partition once, page by page."""

from __future__ import annotations

from lsmkv_cluster.healing.hint_survey import HintSurvey
from lsmkv_cluster.placement.slots import Partitioning
from lsmkv_cluster.storage.engine_key import Space, partition_tokens


def test_every_page_of_every_partition_is_ordered_once() -> None:
    partitioning = Partitioning(3)
    survey = HintSurvey(partitioning, 7)
    pages: list[tuple[int, bytes]] = []
    answers = iter([b"a", b"b", None, None, b"c", None])
    while not survey.is_over:
        order = survey.order()
        tokens = partition_tokens(Space.HINT, partitioning, survey.partition)
        assert (order.space, order.first, order.end) == (Space.HINT, tokens.first, tokens.end)
        assert order.count_max == 7
        pages.append((survey.partition, order.after))
        survey.counted(next(answers))
    assert pages == [(0, b""), (0, b"a"), (0, b"b"), (1, b""), (2, b""), (2, b"c")]


def test_a_page_that_failed_is_ordered_again() -> None:
    survey = HintSurvey(Partitioning(2), 7)
    survey.counted(b"a")
    assert survey.order() == survey.order()
    assert survey.order().after == b"a"
