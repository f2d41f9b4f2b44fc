"""Each datagram counts once, whatever the network does; copies of a node are told apart.

The window is held against its definition: the set of everything that was accepted.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.transport.handshake import boot_number
from lsmkv_cluster.transport.replay_window import WINDOW_SIZE, ReplayWindow, Verdict

A, B = b"a" * 16, b"b" * 16
BOOT = boot_number(5, 1)


def test_once_in_any_order():
    window = ReplayWindow()
    for sequence in (3, 1, 5, 2, 4):
        assert window.judge(A, BOOT, sequence) is Verdict.FRESH
    for sequence in (1, 2, 3, 4, 5):
        assert window.judge(A, BOOT, sequence) is Verdict.REPLAYED
    assert window.judge(B, BOOT, 5) is Verdict.FRESH


def test_the_window_has_an_end():
    window = ReplayWindow()
    assert window.judge(A, BOOT, 5000) is Verdict.FRESH
    assert window.judge(A, BOOT, 5000 - WINDOW_SIZE + 1) is Verdict.FRESH
    assert window.judge(A, BOOT, 5000 - WINDOW_SIZE + 1) is Verdict.REPLAYED
    assert window.judge(A, BOOT, 5000 - WINDOW_SIZE) is Verdict.TOO_OLD
    assert window.judge(A, BOOT, 5001) is Verdict.FRESH
    assert window.judge(A, BOOT, 5001 - WINDOW_SIZE) is Verdict.TOO_OLD


def test_a_leap_costs_nothing_and_forgets_the_window():
    window = ReplayWindow()
    assert window.judge(A, BOOT, 1) is Verdict.FRESH
    assert window.judge(A, BOOT, 2**64 - 1) is Verdict.FRESH
    assert window._senders[A].seen == 1
    assert window.judge(A, BOOT, 1) is Verdict.TOO_OLD


steps = st.lists(
    st.tuples(
        st.sampled_from([A, B]),
        st.one_of(
            st.integers(1, 40),
            st.integers(WINDOW_SIZE - 20, WINDOW_SIZE + 60),
            st.integers(3 * WINDOW_SIZE, 3 * WINDOW_SIZE + 20),
        ),
    ),
    max_size=200,
)


@given(steps)
def test_equals_the_definition(arrivals):
    window = ReplayWindow()
    accepted: dict[bytes, set[int]] = {A: set(), B: set()}
    for node_id, sequence in arrivals:
        known = accepted[node_id]
        expected = Verdict.FRESH
        if known and sequence <= max(known) - WINDOW_SIZE:
            expected = Verdict.TOO_OLD
        elif sequence in known:
            expected = Verdict.REPLAYED
        assert window.judge(node_id, BOOT, sequence) is expected
        if expected is Verdict.FRESH:
            known.add(sequence)
        assert window._senders[node_id].seen < 1 << WINDOW_SIZE  # no more than a window is kept


def test_a_restarted_sender_begins_anew_and_its_past_is_over():
    window = ReplayWindow()
    assert window.judge(A, BOOT, 900) is Verdict.FRESH
    restarted = boot_number(6, 0)
    assert window.judge(A, restarted, 1) is Verdict.FRESH
    assert window.judge(A, BOOT, 901) is Verdict.EARLIER_RUN
    assert window.judge(A, restarted, 1) is Verdict.REPLAYED
    assert window.judge(A, restarted, 2) is Verdict.FRESH


def test_two_runs_of_one_start_are_a_clone():
    """A copied disk: both copies count one start further, with other random bits."""
    window = ReplayWindow()
    assert window.judge(A, boot_number(6, 1), 10) is Verdict.FRESH
    for random_bits in (0, 2):
        assert window.judge(A, boot_number(6, random_bits), 11) is Verdict.CLONE
    assert window.judge(A, boot_number(6, 1), 11) is Verdict.FRESH


def test_senders_are_bounded():
    window = ReplayWindow(sender_count_max=1)
    assert window.judge(A, BOOT, 1) is Verdict.FRESH
    assert window.judge(B, BOOT, 1) is Verdict.TOO_MANY_SENDERS
    window.forget(A)
    window.forget(A)
    assert window.judge(B, BOOT, 1) is Verdict.FRESH
