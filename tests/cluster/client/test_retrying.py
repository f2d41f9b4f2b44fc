"""When a call may go on elsewhere: never if it could write twice."""

from __future__ import annotations

import pytest

from lsmkv_cluster.client.retrying import (
    CONNECT_SHARE,
    REPLY_SHARE,
    Step,
    after_error,
    after_loss,
    may_go_on,
)
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.resp.verdicts import verdict


def test_what_was_perhaps_written_is_not_sent_again() -> None:
    assert after_loss(is_write=True, was_sent=True) is Step.GIVE_UP
    assert after_loss(is_write=True, was_sent=False) is Step.ELSEWHERE
    assert after_loss(is_write=False, was_sent=True) is Step.ELSEWHERE


@pytest.mark.parametrize("reason", Reason)
def test_errors_after_which_one_goes_on_say_that_nothing_was_written(reason: Reason) -> None:
    request = ClientRequest(Verb.PUT, b"k", (b"v",))
    refused = verdict(request, ClientAnswer(Outcome.REFUSED, reason, 1, 2)) or ""
    unknown = verdict(request, ClientAnswer(Outcome.UNKNOWN, reason, 1, 2)) or ""
    assert after_error(unknown.split()[0]) is Step.GIVE_UP
    if after_error(refused.split()[0]) is Step.ELSEWHERE:
        assert "nothing was written" in refused or reason is Reason.STALE


def test_a_busy_node_is_not_made_the_problem_of_others() -> None:
    assert after_error("BUSY") is Step.GIVE_UP
    assert after_error("LOADING") is Step.ELSEWHERE
    assert after_error("MOVED") is Step.REROUTE


def test_the_last_attempt_still_ends_in_time() -> None:
    attempt_s = 10.0 * (CONNECT_SHARE + REPLY_SHARE)
    assert may_go_on(attempt_s, 10.0), "a second node can be asked when the first is silent"
    assert not may_go_on(10.1 - attempt_s, 10.0)
